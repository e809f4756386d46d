"""Methods are scored as users run them: at the stored size, squashed as in the plan, at the
network's size, and by region."""

import numpy as np
import pytest

from enhancer.data.pairs import Pair
from enhancer.inference.sizes import reduce_photo
from enhancer.photo.io import encode_jpeg
from enhancer.scoring import evaluation, metrics
from enhancer.scoring.columns import COLUMNS, MAIN_COLUMNS
from enhancer.scoring.evaluation import evaluate, squashed, unedited
from enhancer.scoring.metrics import color_differences, find_regions, l1, psnr_db, ssim


def picture(value: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def pair(before: int, after: int, name: str | bytes = "a", **size: int) -> dict:
    return {
        "input": encode_jpeg(picture(before, **size)),
        "target": encode_jpeg(picture(after, **size)),
        "id": name,
    }


def scores_of(method, source, *, name: str = "it", **options) -> list[dict]:
    return evaluate({name: method}, source, **options)[name]


def brighter(photo: np.ndarray) -> np.ndarray:
    return np.clip(photo.astype(int) + 20, 0, 255).astype(np.uint8)


def test_each_photo_gets_a_row_in_the_order_of_the_source():
    rows = scores_of(brighter, [pair(100, 120, "first"), pair(100, 140, b"second")])
    assert [row["id"] for row in rows] == ["first", "second"]
    assert [row["l1"] for row in rows] == pytest.approx([0.0, 20 / 255])
    assert all({"id", *MAIN_COLUMNS} < set(row) <= {"id", *COLUMNS} for row in rows)


def test_squash_makes_squares_as_the_plans_scripts_did():
    seen = []
    scores_of(
        lambda photo: seen.append(photo.shape) or photo,
        [pair(1, 2, height=20, width=50)],
        squash=48,
    )
    assert seen == [(48, 48, 3)]


def test_a_method_that_changes_the_size_is_named():
    with pytest.raises(ValueError, match=r"half on test pair 'a'.*differ in size"):
        scores_of(
            lambda photo: photo[::2, ::2].copy(), [pair(1, 2, height=64, width=64)], name="half"
        )


@pytest.fixture(scope="module")
def room() -> Pair:
    """Dark on the left, bright on the right, 60 x 90, and its target."""
    ramp = np.linspace(0, 255, 90).astype(np.uint8)
    photo = np.repeat(np.repeat(ramp[None, :, None], 60, axis=0), 3, axis=2)
    target = np.clip(photo.astype(int) + 30 + np.arange(60)[:, None, None] % 7, 0, 255).astype(
        np.uint8
    )
    return Pair("room", photo, target)


def test_the_plans_protocol_is_l1_of_squares(room, monkeypatch):
    monkeypatch.setattr(evaluation, "PLAN_SIDE", 96)
    small = Pair("small", room.input[:40, :40], room.target[:40, :40])
    squares = [squashed(picture, 96) for picture in (room.input, room.target)]
    rows = scores_of(unedited, [room, small])
    assert [row["l1_plan"] for row in rows] == [metrics.l1(*squares), None]
    (row,) = scores_of(unedited, [room], squash=96)
    assert row["l1_plan"] == row["l1"] == metrics.l1(*squares)


def test_at_network_size_photo_and_target_are_reduced_first(room):
    seen = []
    (row,) = scores_of(lambda photo: seen.append(photo.shape[:2]) or photo, [room], network_side=30)
    assert seen[-1] == (30, 45)
    assert row["l1_network"] == metrics.l1(
        reduce_photo(room.input, 30), reduce_photo(room.target, 30)
    )


def test_without_a_network_there_is_no_network_size(room):
    (row,) = scores_of(unedited, [room])
    assert "l1_network" not in row


def test_regions_are_those_of_the_photo_before_the_edit(room):
    """A method that spoils the bright part alone pays there and not in the shadows."""

    def spoil(photo: np.ndarray) -> np.ndarray:
        return np.where(photo > 180, 0, photo).astype(np.uint8)

    rows = evaluate({"unedited": unedited, "spoiled": spoil}, [room])
    before, after = rows["unedited"][0], rows["spoiled"][0]
    assert after["l1_shadows"] == before["l1_shadows"]
    assert after["l1_highlights"] > 5 * before["l1_highlights"]


def test_a_regions_scores_are_those_of_its_pixels(room):
    (row,) = scores_of(unedited, [room])
    for region, mask in find_regions(room.input).items():
        pixels = [picture[mask][None] for picture in (room.input, room.target)]
        assert row[f"l1_{region}"] == pytest.approx(metrics.l1(*pixels))
        assert row[f"ciede2000_{region}"] == pytest.approx(metrics.ciede2000(*pixels))


def test_a_photo_without_highlights_has_no_score_for_them():
    (row,) = scores_of(unedited, [pair(40, 60)])
    assert (row["l1_highlights"], row["ciede2000_highlights"]) == (None, None)
    assert row["l1_shadows"] is not None


def test_the_scores_are_those_of_the_metrics_by_their_names(room):
    (row,) = scores_of(brighter, [room])
    pictures = brighter(room.input), room.target
    expected = {"l1": l1(*pictures), "psnr_db": psnr_db(*pictures), "ssim": ssim(*pictures)}
    expected |= color_differences(*pictures)[0]._asdict()
    assert {name: row[name] for name in MAIN_COLUMNS} == expected
