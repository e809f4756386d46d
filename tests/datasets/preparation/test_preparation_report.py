"""The page about a prepared folder: complete, self-contained, always the same, readable."""

import re
import shutil

import pytest
from playwright.sync_api import sync_playwright

from datasets.preparation.preparation import Variant, prepare
from datasets.preparation.prepared_folder import read_rows
from datasets.sources.lists import find_listed_pairs
from datasets.sources.named_pairs import find_named_pairs
from datasets.sources.pair_source import PairSource
from datasets.types import Choices, PreparationError
from tests.helpers.pair_folders import soft_photo as photo
from tests.helpers.pair_folders import write_png_pair as write

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
VARIANT = Variant("real_estate", "all pairs", None)
ACCEPT = Choices(allow_near_duplicates=True)


def prepare_here(source, output, choices=ACCEPT, variant=VARIANT, find=find_listed_pairs):
    return prepare(PairSource(source, find), output, variant, choices, num_workers=0)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twenty-six usual edits, one strange one, one room twice, and three that cannot be used."""
    folder = tmp_path_factory.mktemp("source")
    rows = [write(folder, f"usual{seed}", photo(seed)) for seed in range(26)]
    rows.append(write(folder, "strange", photo(40), photo(40) // 8))
    rows.append(write(folder, "twin", photo(3) // 10 * 9, photo(3) // 20 * 9 + 90))
    rows.append(write(folder, "<b>mixed&up", photo(50), photo(51)))
    rows.append(write(folder, "same", photo(52), photo(52)))
    rows.append(write(folder, "torn", photo(53), photo(53) // 2))
    (folder / "images/torn_tar.png").write_bytes(b"torn")
    (folder / "train.jsonl").write_text("".join(rows[:3] + rows[4:]))
    (folder / "val.jsonl").write_text(rows[3])
    return folder


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory):
    output = tmp_path_factory.mktemp("prepared") / "out"
    return output, prepare_here(source, output)


def test_everything_is_counted_in_the_metadata(prepared):
    _, metadata = prepared
    assert metadata["rejected_by_reason"] == {
        "different scene": 1,
        "target equals input": 1,
        "unreadable photo": 1,
    }
    assert metadata["flagged"] == 1
    assert metadata["near_duplicates"] == {"groups": 1, "photos": 2, "groups_in_several_splits": 1}


def test_the_rows_of_unusual_edits_carry_flags(prepared):
    flags = {row["id"]: row["flags"] for row in read_rows(prepared[0], "train")}
    assert flags["usual1"] == []
    assert flags["strange"][0].startswith("brightness × 0.1")


def test_the_page_shows_what_was_refused_flagged_and_doubled(prepared):
    page = (prepared[0] / "preparation_report.html").read_text()
    assert "28 of 31 pairs can be learned from" in page
    assert "&lt;b&gt;mixed&amp;up" in page
    assert "do not show the same scene" in page
    assert "usual3 (validation)" in page
    assert "twin (train)" in page
    # Two of each refusal that decodes, one of the torn pair, two of the strange edit, the twins.
    assert page.count('src="data:image/jpeg;base64,') == 2 + 2 + 1 + 2 + 2
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_it_is_the_same_on_every_run(source, prepared, tmp_path):
    prepare_here(source, tmp_path / "b")
    name = "preparation_report.html"
    assert (tmp_path / "b" / name).read_bytes() == (prepared[0] / name).read_bytes()


def test_doubled_scenes_in_two_lists_stop_the_preparation_and_are_in_the_page(source, tmp_path):
    sentence = r"twin \(train\) and usual3 \(validation\).*--allow-near-duplicates"
    with pytest.raises(PreparationError, match=sentence):
        prepare_here(source, tmp_path / "out", Choices())
    assert "in more than one split" in (tmp_path / "out/preparation_report.html").read_text()
    assert prepare_here(source, tmp_path / "out")["run"]["pairs"] == 0


def test_outliers_are_dropped_on_request_and_come_back(source, prepared, tmp_path):
    def run(*, drop):
        choices = Choices(drop_outliers=drop, allow_near_duplicates=True)
        return prepare_here(source, tmp_path / "out", choices)

    dropped = run(drop=True)
    assert dropped["rejected_by_reason"]["unusual edit"] == 1
    assert not list((tmp_path / "out/images").glob("strange*"))
    rejected = (tmp_path / "out/rejected.jsonl").read_text()
    assert "the edit is unlike the others in this data set: brightness × 0.1" in rejected
    again = run(drop=False)
    assert again["images_sha256"] == prepared[1]["images_sha256"]
    assert again["run"]["pairs"] == 1


def test_twins_stay_together_where_the_source_has_no_lists(source, tmp_path):
    variant = Variant("real_estate", "all pairs", None, validation_share=0.1, test_share=0.1)
    metadata = prepare_here(source, tmp_path / "out", ACCEPT, variant, find_named_pairs)
    assert metadata["near_duplicates"] == {"groups": 1, "photos": 2, "groups_in_several_splits": 0}
    assert (metadata["counts"]["validation"], metadata["counts"]["test"]) == (3, 3)
    assert "kept together in one split" in (tmp_path / "out/preparation_report.html").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_it_fits_the_screen_and_asks_nobody(prepared):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page, requests = browser.new_page(), []
        page.on("request", lambda request: requests.append(request.url))
        page.goto((prepared[0] / "preparation_report.html").as_uri())
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        for width in (390, 1200):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page_color = "getComputedStyle(document.body).backgroundColor"
        page.emulate_media(color_scheme="light")
        light = page.evaluate(page_color)
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(page_color) != light
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
        browser.close()
