"""One pair is decoded, checked and shrunk, or refused with the value that decided."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from datasets.pair import PairRejected, prepare_pair


def photo(seed=0, height=72, width=96):
    """A smooth picture that differs from seed to seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 96
    waves = [np.sin(x * rng.uniform(2, 9) + rng.uniform(0, 6)) + np.cos(y * rng.uniform(2, 9)) for _ in range(3)]
    return np.stack([120 + 40 * wave for wave in waves], axis=-1).astype(np.uint8)


def write_pair(folder, before, after=None):
    Image.fromarray(before).save(folder / "src.png")
    Image.fromarray(before // 2 + 90 if after is None else after).save(folder / "tar.png")
    return folder / "src.png", folder / "tar.png"


def test_a_large_pair_is_shrunk_and_a_small_one_kept(tmp_path):
    paths = write_pair(tmp_path, photo())
    assert prepare_pair(*paths, long_edge=90).target.shape == (68, 90, 3)
    assert prepare_pair(*paths, long_edge=4000).input.shape == (72, 96, 3)


def test_orientation_is_applied_before_sizes_are_compared(tmp_path):
    paths = write_pair(tmp_path, photo())
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = np.rot90(photo())
    Image.fromarray(np.ascontiguousarray(stored)).save(paths[0], exif=exif)
    pair = prepare_pair(*paths, None)
    np.testing.assert_array_equal(pair.input, photo())


@pytest.mark.parametrize(
    ("before", "after", "kind", "measured"),
    [
        (photo(), photo(), "target equals input", 0.0),
        (photo(), photo(1, 72, 95), "sizes differ", [96, 72, 95, 72]),
        (photo(0, 60, 96), photo(1, 60, 96), "too small", 60),
    ],
)
def test_pairs_that_cannot_be_learned_from(tmp_path, before, after, kind, measured):
    paths = write_pair(tmp_path, before, after)
    with pytest.raises(PairRejected) as caught:
        prepare_pair(*paths, None)
    assert (caught.value.kind, caught.value.measured) == (kind, measured)


def test_a_pair_that_becomes_too_small_is_refused(tmp_path):
    paths = write_pair(tmp_path, photo(0, 70, 6000))
    with pytest.raises(PairRejected, match="512x6 at a long edge of 512") as caught:
        prepare_pair(*paths, 512)
    assert (caught.value.kind, caught.value.measured) == ("too small", 6)


def test_a_pair_published_with_a_wrong_target_is_refused(shared_data):
    folder = shared_data / "fivek_defects"
    with pytest.raises(PairRejected, match="equals the input"):
        prepare_pair(folder / "input/a4774.png", folder / "output_expert_C/a4774.png", None)
    with pytest.raises(PairRejected, match="the input is 336x509, the target 335x508"):
        prepare_pair(folder / "input/a4869.png", folder / "output_expert_C/a4869.png", None)


def test_real_pairs_are_accepted(shared_data):
    for folder in sorted((shared_data / "fivek/input").iterdir())[:4]:
        target = shared_data / "fivek/output_expert_C" / folder.name
        assert prepare_pair(folder, target, 256).input.shape == prepare_pair(folder, target, 256).target.shape
