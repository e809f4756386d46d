"""Files that decode without an error and hold no picture, or half of one, are refused."""

import numpy as np
import pytest

from datasets.checks.damage import refuse_damaged
from datasets.types import PairRejected


def photo(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(30, 220, (90, 120, 3), dtype=np.uint8)


@pytest.mark.parametrize("role", [0, 1])
def test_one_uniform_colour(role):
    pair = [photo(), photo()]
    pair[role] = np.full((90, 120, 3), 128, np.uint8)
    with pytest.raises(PairRejected, match="is one uniform colour"):
        refuse_damaged(*pair)


@pytest.mark.parametrize("role", [0, 1])
def test_the_grey_rest_of_a_file_that_was_cut_off(role):
    pair = [photo(), photo()]
    pair[role][60:] = 128
    sentence = r"32% of the (input|target) is one empty or striped area"
    with pytest.raises(PairRejected, match=sentence) as caught:
        refuse_damaged(*pair)
    assert caught.value.measured == pytest.approx(29 / 90, abs=0.001)


def test_a_last_row_that_is_repeated_to_the_end():
    striped = photo()
    striped[40:] = striped[40]
    with pytest.raises(PairRejected, match="empty or striped"):
        refuse_damaged(photo(), striped)


def test_a_frame_around_both_is_no_damage():
    before, after = photo(), photo(1)
    for pixels in (before, after):
        pixels[:8] = pixels[-8:] = 120
    refuse_damaged(before, after)


def test_night_and_overexposed_sky_are_no_damage():
    before, after = photo(), photo(1)
    before[50:] = 0
    after[:30] = 255
    refuse_damaged(before, after)
