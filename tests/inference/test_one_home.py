"""Photos of one home come out alike, and what an edit did is said in numbers."""

import csv

import numpy as np
import pytest

from enhancer.inference.change import measure
from enhancer.inference.full_size import NEUTRAL
from enhancer.inference.one_home import SEEN_SIDE, draw_together
from enhancer.network import retouch
from enhancer.photo.io import read_photo, write_photo
from tests.helpers.command import run

CASTS = ((1.0, 1.0), (1.08, 0.8), (0.94, 1.1), (1.1, 1.2), (0.97, 0.9))
"""Red over blue, and brightness, of photos of the same walls."""


def walls(red: float, light: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.uniform(60, 150, (SEEN_SIDE, SEEN_SIDE, 1)), 3, axis=-1)
    return np.rint(np.clip(grey * light * (red, 1, 1 / red), 0, 255)).astype(np.uint8)


def test_white_balance_and_brightness_come_to_less_than_half_as_far_apart():
    seen = [walls(*cast) for cast in CASTS]
    edits, before, after = draw_together([NEUTRAL] * len(seen), seen)
    assert after.white_balance < 0.5 * before.white_balance
    assert after.stops < 0.5 * before.stops
    shown = np.array([edit.apply(x).mean(axis=(0, 1)) for edit, x in zip(edits, seen, strict=True)])
    alone = np.array([NEUTRAL.apply(x).mean(axis=(0, 1)) for x in seen])
    reds, before_reds = shown[:, 0] / shown[:, 2], alone[:, 0] / alone[:, 2]
    assert reds.std() < 0.5 * before_reds.std()


def test_a_photo_that_says_little_of_its_light_follows_and_the_others_stay():
    red_room = np.zeros((SEEN_SIDE, SEEN_SIDE, 3), np.uint8) + np.array((180, 20, 20), np.uint8)
    seen = [walls(1, 1), walls(1, 1), walls(1, 1), red_room]
    edits, _, _ = draw_together([NEUTRAL] * 4, seen)
    for edit in edits[:3]:
        np.testing.assert_allclose(edit.numbers, NEUTRAL.numbers, atol=0.02)
    # A red wall is not a cast: what is further off than cameras err is not followed.
    assert np.abs(edits[3].numbers[retouch.GAINS]).max() <= 1.0


@pytest.mark.parametrize("number", [0, 1])
def test_a_home_of_one_photo_or_none_is_left_as_it_is(number):
    edits, before, after = draw_together([NEUTRAL] * number, [walls(1.1, 1)] * number)
    assert [edit.numbers.tolist() for edit in edits] == [NEUTRAL.numbers.tolist()] * number
    assert before == after


def test_a_change_is_measured_in_stops_and_percent():
    before = np.tile(np.linspace(40, 110, 60, dtype=np.uint8)[:, None, None], (1, 60, 3))
    twice = 2 ** (1 / 2.2)
    change = measure(before, np.rint(before * twice).astype(np.uint8))
    assert change.brightness_stops == pytest.approx(1, abs=0.05)
    assert change.shadows_stops == pytest.approx(1, abs=0.05)
    assert change.highlights_stops == pytest.approx(1, abs=0.05)
    warmer = measure(before, np.rint(before * (1.1, 1, 1)).astype(np.uint8))
    assert warmer.warmth_percent == pytest.approx(10, abs=1)
    assert warmer.saturation_percent > 100
    assert measure(before, before) == (0, 0, 0, 0, 0)


def test_the_command_matches_photos_and_writes_what_it_did(enhancer, tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    for number, cast in enumerate(CASTS):
        write_photo(tmp_path / "in" / f"{number}.png", walls(*cast))
    (tmp_path / "in" / "broken.jpg").write_bytes(b"not a photo")
    monkeypatch.setattr(enhancer, "find_edit", lambda photo: NEUTRAL)
    table = tmp_path / "changes.csv"
    options = ("--output", tmp_path / "out", "--one-home", "--changes", table)
    assert run(tmp_path / "in", *options) == 1  # because of the broken one
    said = capsys.readouterr().out
    assert "one home: white balance differs by" in said
    assert "of a middle photo: brightness" in said
    means = np.array(
        [read_photo(tmp_path / "out" / f"{n}.png").pixels.mean(axis=(0, 1)) for n in range(5)]
    )
    ratios = means[:, 0] / means[:, 2]
    assert ratios.std() < 0.5 * np.std([red**2 for red, _ in CASTS])
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["photo"][-5:] for row in rows] == [f"{number}.png" for number in range(5)]
    assert float(rows[1]["brightness_stops"]) > float(rows[3]["brightness_stops"])


def test_a_model_that_answers_with_pictures_cannot_match(enhancer, tmp_path, capsys):
    write_photo(tmp_path / "a.png", walls(1, 1))
    assert run(tmp_path / "a.png", "--output", tmp_path / "out", "--one-home") == 2
    assert "--base retouch" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))
