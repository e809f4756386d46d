"""Pink lamps, wiped-out windows, blown walls and wrong light are measured."""

import numpy as np
import pytest

from enhancer.scoring.faults import find_faults


@pytest.fixture
def room() -> np.ndarray:
    """A grey room with a bright, finely woven curtain and a blown window."""
    photo = np.full((120, 200, 3), 70, np.uint8)
    weave = np.where(np.indices((120, 60)).sum(axis=0) % 2, 200, 180).astype(np.uint8)
    photo[:, 60:120] = weave[..., None]
    photo[:, 150:] = 255
    return photo


def test_a_photo_has_no_faults_against_itself(room):
    found = find_faults(room, room, room)
    assert found["pink"] == pytest.approx(0, abs=0.01)
    assert found["bright_detail"] == pytest.approx(1)
    assert found["newly_clipped"] == 0
    assert found["exposure_stops"] == 0


def test_a_tint_on_blown_white_is_pink(room):
    tinted = room.copy()
    tinted[:, 150:] = 255, 235, 245
    assert find_faults(room, tinted)["pink"] > 5


def test_detail_that_a_flat_curve_takes_is_missed(room):
    weave = room[:, 60:120]
    flat = (200 + (weave.astype(int) - 190) // 4).astype(np.uint8)
    assert find_faults(weave, flat)["bright_detail"] == pytest.approx(0.25, abs=0.05)


def test_what_the_edit_made_white_is_counted(room):
    washed = room.copy()
    washed[:, :50] = 255
    assert find_faults(room, washed)["newly_clipped"] == pytest.approx(0.25)


def test_exposure_is_signed_and_in_stops(room):
    linear = (room / 255.0) ** 2.2
    darker = np.rint(255 * (linear / 2) ** (1 / 2.2)).astype(np.uint8)
    assert find_faults(room, darker, room)["exposure_stops"] == pytest.approx(-1, abs=0.05)
    assert find_faults(room, room, darker)["exposure_stops"] == pytest.approx(1, abs=0.05)


def test_where_there_is_nothing_to_judge_there_is_no_score():
    grey = np.full((40, 60, 3), 70, np.uint8)
    found = find_faults(grey, grey)
    assert (found["pink"], found["bright_detail"], found["exposure_stops"]) == (None, None, None)
