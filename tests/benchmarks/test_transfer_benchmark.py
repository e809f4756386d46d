"""The benchmark of edit transfers measures what it says."""

import numpy as np
import pytest

from benchmarks import transfer
from benchmarks.transfer_scenes import FRAME_WIDTH, SCENES, WINDOW
from benchmarks.transfer_scores import halo_px, mask_near_edges, psnr_db

HEIGHT = 600


@pytest.fixture(scope="module")
def window() -> tuple[np.ndarray, np.ndarray]:
    return SCENES["window"].render(HEIGHT)


def rounded(truth: np.ndarray) -> np.ndarray:
    return np.rint(truth / 257).astype(np.uint8)


def test_the_truth_itself_has_no_halo(window):
    assert halo_px(rounded(window[1]), window[1]) == 0


@pytest.mark.parametrize("width", [1, 3, 17])
def test_a_halo_is_as_wide_as_it_was_painted(window, width):
    result = rounded(window[1])
    frame_begins = round(WINDOW[2] * HEIGHT)
    result[:, frame_begins - width : frame_begins] += 12
    assert halo_px(result, window[1]) == width


def test_a_halo_on_the_glass_counts_too(window):
    result = rounded(window[1])
    glass_begins = round((WINDOW[2] + FRAME_WIDTH) * HEIGHT)
    result[:, glass_begins : glass_begins + 5] -= 12
    assert halo_px(result, window[1]) == 5


def test_edges_are_scored_apart(window):
    photo, truth = window
    near_edges, result = mask_near_edges(photo), rounded(truth)
    assert 0 < near_edges.mean() < 0.5
    result[near_edges] ^= 16
    everywhere, at_edges = psnr_db(result, truth, near_edges)
    assert at_edges == pytest.approx(20 * np.log10(255 / 16), abs=0.1)
    assert everywhere == pytest.approx(at_edges - 10 * np.log10(near_edges.mean()), abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenes", "moon"], "--scenes: there is no moon; known are window"),
        (["--methods", "magic"], "--methods: there is no magic"),
        (["--photos", "here"], "--workdir and --photos go together"),
        (["--height", "500"], "--working-size must be at least 64 and less than --height"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(arguments, said, capsys):
    assert transfer.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_one_row_per_scene_and_method(tmp_path):
    command = [
        "--height",
        "300",
        "--working-size",
        "75",
        "--scenes",
        "window",
        "--methods",
        "bilateral grid",
    ]
    assert transfer.main([*command, "--repeats", "1", "--json", str(tmp_path / "rows.json")]) == 0
    assert '"PSNR dB"' in (tmp_path / "rows.json").read_text()
