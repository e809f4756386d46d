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
from enhancer.scoring.columns import FAULTS, MAIN_COLUMNS
from enhancer.scoring.evaluation import evaluate, unedited
from enhancer.scoring.results import build_results

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


def page_of(tmp_path, *, histories=None, strips=(), scores=BETTER, **others) -> str:
    rows = {
        method: [
            {"id": f"photo {i}"} | dict.fromkeys(MAIN_COLUMNS, 0.5) | {"l1": value}
            for i, value in enumerate(values)
        ]
        for method, values in scores.items()
    }
    given = {"weights_sha256": {"finetuned": "f00d"}, "config": {}, "stages": {}} | others
    results = build_results(rows, **given)
    write_report(tmp_path / "r.html", results, histories or {}, strips, {"target": -15.0})
    return (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    pixels = np.full((900, 1600, 3), 120, np.uint8)
    strip = Strip("Best photo", "a0001", (("before", pixels, 0.25), ("target", pixels, None)))
    stages = {"finetune": {"seconds": 90.0}}
    return page_of(
        tmp_path_factory.mktemp("page"),
        histories={"pretrain": HISTORY, "finetune": HISTORY, "scratch": HISTORY},
        strips=[strip],
        config={"seed": 7, "finetune": {"epochs": 5}},
        stages=stages,
        price_per_hour=4.0,
        notes=["2 pairs were left out."],
    )


def test_the_page_is_self_contained(page):
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.findall(r"url\((?!#)|@import|<script", page)


def test_the_table_has_a_column_for_each_method_and_a_line_for_each_score(page):
    (head,) = re.findall(r"<thead>(.*?)</thead>", page)
    assert re.findall(r'col">(.*?)<', head) == ["Score", "unedited", "scratch", "fine-tuned"]
    assert "0.2967<small>± 0.0379</small>" in page
    for words in ("scale from 0 (equal) to 1", "3 dB more", "local structure", "just noticeable"):
        assert words in page


def test_the_page_says_what_the_network_changes_with_an_interval(page):
    assert re.search(
        r"<td>−18\.2 %<small>\[−\d+\.\d, −\d+\.\d\]</small><small>better</small>", page
    )
    assert "The gain is real" in page


def test_the_plots_are_in_the_pages_own_colours(page):
    # What is changed, all photos, pre-training, fine-tuning against scratch.
    assert page.count("<svg") == 4
    plots = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--series-1)" in plots
    assert not re.search(r"#1668b3|#c2570c|#4a7a35|#1d2126|#dfe2e5", plots)
    assert "dotted: target −15 %" in plots


def test_the_page_says_what_the_test_was_about(page):
    assert "2 pairs were left out." in page
    assert "Training took 1.5 minutes of steps, at 4 an hour 0.10 in all" in page
    assert "<span>finetune.epochs</span><span>5</span>" in page
    assert "sha256:f00d" in page
    assert "No stage raised a red flag" in page


def test_a_red_flag_is_shown_with_what_to_try(tmp_path):
    rising = [row | {"validation_loss": 0.05 + 0.01 * row["epoch"]} for row in HISTORY]
    rising += [rising[-1] | {"epoch": i, "validation_loss": 0.05 + 0.01 * i} for i in range(6, 12)]
    page = page_of(tmp_path, histories={"finetune": rising})
    assert "finetune: validation loss rises" in page
    assert "try frozen_levels 2" in page
    assert "red flag:" not in page


def test_pictures_are_embedded_small(page):
    (picture, _) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert max(image.size) <= 1000


def test_names_are_escaped(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    strip = Strip("Best photo", "<script>alert(1)</script>", (("target", pixels, None),))
    page = page_of(tmp_path, strips=[strip], config={"<b>": "<i>"})
    assert "<script>" not in page
    assert "&lt;b&gt;" in page


def test_a_page_needs_neither_curves_nor_photos_nor_a_second_method(tmp_path):
    page = page_of(tmp_path, scores={"unedited": [0.3, 0.2]})
    assert "The scores of this run" in page
    assert "Learning curves" not in page


def test_the_page_says_when_the_last_weights_are_tested_and_validation_photos_were_trained_on(
    page, tmp_path
):
    config = {"finetune": {"keep": "last"}, "train_on_validation": True}
    last = page_of(tmp_path, histories={"finetune": HISTORY}, config=config)
    assert "tested are the weights of the last epoch" in last
    assert "Fine-tuning was given its validation photos to train on" in last
    assert "whose weights are the ones tested" in page
    assert "validation photos to train on" not in page


def shown(source: list[dict], **options) -> list[Strip]:
    methods = {"unedited": unedited, "scratch": unedited, "finetuned": unedited}
    strips = make_strips(source, evaluate(methods, source, **options), methods, **options)
    return [strip for strip in strips if not strip.fault]


def test_the_three_worst_of_each_fault_are_shown_worst_first(tmp_path):
    source = [pair(name, offset) for name, offset in zip("abcd", (20, 60, 30, 5), strict=True)]
    methods = {"unedited": unedited, "finetuned": unedited}
    rows = evaluate(methods, source)
    for row, pink in zip(rows["finetuned"], (0.3, None, 2.5, 0.9), strict=True):
        row["pink"] = pink
    strips = make_strips(source, rows, methods)
    found = {fault: [s.photo_id for s in strips if s.fault == fault] for fault in FAULTS}
    assert found["pink"] == ["c", "d", "a"]
    assert found["exposure_stops"] == ["b", "c", "a"]
    assert found["newly_clipped"] == []  # nothing became white
    page = page_of(tmp_path, strips=strips)
    assert "The worst of each fault" in page
    assert "pink: 2.50" in page


def pair(name: str, offset: int, height: int = 16, width: int = 20) -> dict:
    target = np.random.default_rng(0).integers(100, 120, (height, width, 3)).astype(np.uint8)
    return {"input": encode_jpeg(target - offset), "target": encode_jpeg(target), "id": name}


def test_strips_show_the_best_median_and_worst_photo_by_the_fine_tuned_l1():
    strips = shown([pair("far", 60), pair("near", 10), pair("middle", 30)])
    titles = {"Best photo": "near", "Median photo": "middle", "Worst photo": "far"}
    assert {strip.title: strip.photo_id for strip in strips} == titles
    captions = [caption for caption, *_ in strips[0].pictures]
    assert captions == ["before", "scratch", "fine-tuned", "target", "difference"]
    assert strips[2].pictures[2][2] == pytest.approx(60 / 255, abs=0.01)


@pytest.mark.parametrize(
    ("count", "titles"), [(1, ["The only photo"]), (2, ["Best photo", "Worst photo"])]
)
def test_few_photos_are_not_shown_twice(count, titles):
    assert [strip.title for strip in shown([pair(str(i), 30) for i in range(count)])] == titles


def test_strips_show_squashed_pictures_when_those_were_scored():
    (strip,) = shown([pair("a", 30, height=40, width=60)], squash=32)
    assert {pixels.shape for _, pixels, _ in strip.pictures} == {(32, 32, 3)}


def test_differences_are_black_where_there_are_none_and_four_times_as_strong():
    target = np.full((8, 8, 3), 100, np.uint8)
    prediction = target.copy()
    prediction[:4] += 70
    picture = difference_picture(prediction, target)
    assert picture[6, 0].sum() < 10
    assert picture[0, 0].sum() > 500  # 4 x 70 of 255 is the brightest there is
