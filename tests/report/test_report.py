"""The page says what the scores allow, carries everything with it, and escapes what it is given."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from enhancer.photo.io import encode_jpeg
from enhancer.report.pictures import Strip, difference_picture, make_strips
from enhancer.report.report import write_report
from enhancer.scoring.evaluation import evaluate, unedited
from enhancer.scoring.metrics import METRICS
from enhancer.scoring.results import build_results
from enhancer.scoring.verdict import verdict


def rows_of(*values: float) -> list[dict]:
    return [
        {"id": f"photo {i}"} | dict.fromkeys(METRICS, 0.5) | {"l1": value}
        for i, value in enumerate(values)
    ]


def results_of(config: dict | None = None, **methods: list[float]) -> dict:
    rows = {method: rows_of(*values) for method, values in methods.items()}
    return build_results(rows, weights_sha256={"finetuned": "f00d"}, config=config or {}, stages={})


BETTER = {
    "unedited": [0.3, 0.28, 0.31],
    "scratch": [0.10, 0.12, 0.11],
    "finetuned": [0.08, 0.098, 0.092],
}
HISTORY = [
    {
        "epoch": i,
        "train_loss": 0.1 / i if i else None,
        "validation_loss": 0.12 / max(i, 0.5),
        "learning_rate": 1e-4,
    }
    for i in range(6)
]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    tmp_path = tmp_path_factory.mktemp("page")
    pixels = np.full((900, 1600, 3), 120, np.uint8)
    strip = Strip("Best photo", "a0001", (("before", pixels, 0.25), ("target", pixels, None)))
    histories = {"pretrain": HISTORY, "finetune": HISTORY, "scratch": HISTORY}
    write_report(
        tmp_path / "report.html", results_of(config={"seed": 7}, **BETTER), histories, [strip]
    )
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_clear_gain_is_called_real():
    headline, sentences = verdict(results_of(**BETTER))
    assert headline == "The gain is real: pre-training lowers the test L1 by 18 %"
    assert "−18.2 % (95 % interval" in sentences[0]


def test_a_gain_within_the_noise_cannot_be_told():
    headline, _ = verdict(
        results_of(
            unedited=[0.3, 0.3, 0.31], scratch=[0.1, 0.12, 0.1], finetuned=[0.09, 0.13, 0.09]
        )
    )
    assert headline == "Whether pre-training helps cannot be told with 3 test photos"


def test_a_clear_loss_is_called_harm():
    headline, _ = verdict(
        results_of(
            unedited=[0.3, 0.3, 0.31], scratch=[0.08, 0.1, 0.09], finetuned=[0.1, 0.12, 0.112]
        )
    )
    assert headline == "It hurts: with pre-training the test L1 is 23 % higher"


def test_one_photo_proves_nothing():
    headline, sentences = verdict(results_of(unedited=[0.3], scratch=[0.2], finetuned=[0.01]))
    assert headline.endswith("cannot be told with one test photo")
    assert any("One test photo is a small test" in sentence for sentence in sentences)


def test_two_copies_of_a_model_show_no_gain():
    headline, _ = verdict(
        results_of(unedited=[0.3, 0.4, 0.3], scratch=[0.1, 0.2, 0.1], finetuned=[0.1, 0.2, 0.1])
    )
    assert (
        headline == "There is no difference: with and without pre-training the test L1 is the same"
    )


def test_a_model_that_does_harm_is_not_praised_for_beating_another():
    headline, _ = verdict(
        results_of(
            unedited=[0.05, 0.06, 0.055], scratch=[0.2, 0.21, 0.2], finetuned=[0.1, 0.11, 0.1]
        )
    )
    assert headline.startswith("The fine-tuned model does harm")


def test_without_a_scratch_model_the_question_is_whether_the_model_helps():
    headline, _ = verdict(results_of(unedited=[0.3, 0.28, 0.31], finetuned=[0.1, 0.09, 0.1]))
    assert headline == "The fine-tuned model brings photos closer to their targets"


def test_the_page_is_self_contained(page):
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.findall(r"url\((?!#)|@import|<script", page)


def test_the_page_shows_scores_with_unedited_first(page):
    order = [
        page.index(f'<th scope="row">{name}</th>') for name in ("unedited", "scratch", "fine-tuned")
    ]
    assert order == sorted(order)
    assert "0.2967<small>± 0.0379</small>" in page


def test_the_page_explains_each_metric(page):
    for words in (
        "scale from 0 (equal) to 1",
        "3 dB more",
        "similarity of local structure",
        "just noticeable",
    ):
        assert words in page


def test_the_page_has_two_plots_in_the_pages_own_colours(page):
    assert (
        page.count("<svg") == 5
    )  # the scale, all photos, their changes, pre-training, fine-tuning against scratch
    assert "var(--series-1)" in page
    assert not re.search(r"#0\d0303|#0[12]0[12]0[12]", page)


def test_the_page_says_what_the_transfer_gave_and_that_no_flag_was_raised(page):
    assert "What training shows" in page
    assert "Lowest validation loss: pre-training in epoch 5 (0.0240)" in page
    assert "No red flag was raised" in page


def test_the_page_shows_a_red_flag_with_its_cause_and_option(tmp_path):
    rising = [row | {"validation_loss": 0.05 + 0.01 * row["epoch"]} for row in HISTORY]
    rising += [rising[-1] | {"epoch": i, "validation_loss": 0.05 + 0.01 * i} for i in range(6, 12)]
    write_report(tmp_path / "r.html", results_of(**BETTER), {"finetune": rising}, [])
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Fine-tuning: validation loss rises" in page
    assert "by heart" in page
    assert "<code>--finetune.frozen-levels 2</code>" in page
    assert "No red flag" not in page


def test_pictures_are_embedded_small(page):
    (picture, _) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    data = base64.b64decode(picture)
    with Image.open(io.BytesIO(data)) as image:
        assert max(image.size) <= 1000


def test_the_page_shows_configuration_and_weights(page):
    assert "<td>seed</td><td>7</td>" in page
    assert "sha256:f00d" in page


def test_names_are_escaped(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    strip = Strip("Best photo", "<script>alert(1)</script>", (("target", pixels, None),))
    write_report(tmp_path / "r.html", results_of(config={"<b>": "<i>"}, **BETTER), {}, [strip])
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;b&gt;" in page


def test_a_page_needs_neither_curves_nor_photos(tmp_path):
    write_report(tmp_path / "r.html", results_of(unedited=[0.3, 0.2]), {}, [])
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "The scores of this run" in page
    assert "What training shows" not in page


def test_the_same_history_draws_the_same_plot(tmp_path):
    for name in ("a", "b"):
        write_report(tmp_path / name, results_of(**BETTER), {"finetune": HISTORY}, [])
    plots = [
        re.findall(r"<svg.*?</svg>", (tmp_path / name).read_text(), re.DOTALL)
        for name in ("a", "b")
    ]
    assert plots[0] == plots[1]


def test_strips_show_the_best_median_and_worst_photo_by_the_fine_tuned_l1():
    generator = np.random.default_rng(0)
    source = []
    for name, offset in (("far", 60), ("near", 10), ("middle", 30)):
        target = generator.integers(100, 120, (16, 20, 3)).astype(np.uint8)
        source.append(
            {"input": encode_jpeg(target - offset), "target": encode_jpeg(target), "id": name}
        )
    methods = {"unedited": unedited, "scratch": unedited, "finetuned": unedited}
    rows = {method: evaluate(enhance, source, name=method) for method, enhance in methods.items()}
    strips = make_strips(source, rows, methods)
    assert [(strip.title, strip.photo_id) for strip in strips] == [
        ("Best photo", "near"),
        ("Median photo", "middle"),
        ("Worst photo", "far"),
    ]
    assert [caption for caption, *_ in strips[0].pictures] == [
        "before",
        "scratch",
        "fine-tuned",
        "target",
        "difference",
    ]
    assert strips[2].pictures[2][2] == pytest.approx(60 / 255, abs=0.01)


@pytest.mark.parametrize(
    ("count", "titles"), [(1, ["The only photo"]), (2, ["Best photo", "Worst photo"])]
)
def test_few_photos_are_not_shown_twice(count, titles):
    picture = encode_jpeg(np.full((16, 16, 3), 90, np.uint8))
    source = [{"input": picture, "target": picture, "id": str(i)} for i in range(count)]
    rows = {method: evaluate(unedited, source, name=method) for method in ("unedited", "finetuned")}
    assert [strip.title for strip in make_strips(source, rows, {"finetuned": unedited})] == titles


def test_strips_show_squashed_pictures_when_those_were_scored():
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    source = [{"input": encode_jpeg(photo), "target": encode_jpeg(photo // 2), "id": "a"}]
    rows = {
        method: evaluate(unedited, source, squash=32, name=method)
        for method in ("unedited", "finetuned")
    }
    (strip,) = make_strips(source, rows, {"finetuned": unedited}, squash=32)
    assert {pixels.shape for _, pixels, _ in strip.pictures} == {(32, 32, 3)}


def test_differences_are_black_where_there_are_none_and_four_times_as_strong():
    target = np.full((8, 8, 3), 100, np.uint8)
    prediction = target.copy()
    prediction[:4] += 70
    picture = difference_picture(prediction, target)
    assert picture[6, 0].sum() < 10
    assert picture[0, 0].sum() > 500  # 4 x 70 of 255 is the brightest there is


def test_the_page_says_what_it_ran_on_and_how_long_training_took(tmp_path):
    rows = {"unedited": rows_of(0.3, 0.2), "finetuned": rows_of(0.1, 0.1)}
    results = build_results(
        rows,
        weights_sha256={},
        config={},
        stages={"finetune": {"seconds": 90.0}},
        price_per_hour=4.0,
    )
    write_report(tmp_path / "r.html", results, {}, [])
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Training took 1 min 30 s" in page
    assert "At 4 per machine hour that is 0.10." in page


def test_notes_about_the_test_are_on_the_page(tmp_path):
    results = build_results(
        {"unedited": rows_of(0.3, 0.2)},
        weights_sha256={},
        config={},
        stages={},
        notes=["2 pairs were left out."],
    )
    write_report(tmp_path / "r.html", results, {}, [])
    assert "2 pairs were left out." in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_photos_that_training_has_seen_are_the_first_thing_said(tmp_path):
    rows = {"unedited": rows_of(0.3, 0.2, 0.3), "finetuned": rows_of(0.1, 0.1, 0.1)}
    results = build_results(rows, weights_sha256={}, config={}, stages={}, seen=["photo 1"])
    assert verdict(results)[1][0].startswith(
        "1 of the 3 test photos shows a scene that fine-tuning was given"
    )
    write_report(tmp_path / "r.html", results, {}, [])
    assert "held back" not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_photos_that_were_seen_in_pretraining_are_named_beside_those(tmp_path):
    rows = {"unedited": rows_of(0.3, 0.2, 0.3), "finetuned": rows_of(0.1, 0.1, 0.1)}
    seen = {"seen": ["photo 1"], "seen_in_pretraining": ["photo 0", "photo 1"]}
    first, second, *_ = verdict(
        build_results(rows, weights_sha256={}, config={}, stages={}, **seen)
    )[1]
    assert "fine-tuning was given" in first
    assert second.startswith("2 of the 3 test photos show a scene that was seen in pre-training")
    assert second.endswith("photo 0, photo 1.")


def test_the_page_says_when_the_last_weights_are_tested_and_validation_photos_were_trained_on(
    page, tmp_path
):
    results = results_of(
        config={"finetune": {"keep": "last"}, "train_on_validation": True}, **BETTER
    )
    write_report(tmp_path / "r.html", results, {"finetune": HISTORY}, [])
    last = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "held back from fine-tuning" in last
    assert "Tested are the weights of the last epoch." in last
    assert "Fine-tuning was given its validation photos to train on" in last
    assert "no large gap" not in last
    assert "so that its gap tells nothing" in last
    assert "no large gap between training and validation" in " ".join(page.split())
    assert "so that its gap tells nothing" not in page
    assert "whose weights are the ones tested" in page
    assert "validation photos to train on" not in page


def test_a_baseline_that_is_as_good_as_the_network_is_in_the_verdict():
    as_good = {
        "unedited": [0.3, 0.2, 0.3],
        "adaptive_lookup": [0.1, 0.12, 0.09],
        "finetuned": [0.1, 0.11, 0.1],
    }
    assert any(
        "lookup table, adaptive" in sentence for sentence in verdict(results_of(**as_good))[1]
    )
