"""Tiles cover a photo and blend into one picture."""

import numpy as np
import pytest

from enhancer.inference.tiles import edit_in_tiles, spans


def photo_of(height: int, width: int, dtype=np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(
        0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True
    )


@pytest.mark.parametrize(("tile", "overlap"), [(64, 0), (64, 16), (64, 32), (16, 8), (8, 0)])
def test_along_a_side_the_weights_of_all_tiles_add_up_to_one(tile, overlap):
    for length in range(tile, 6 * tile, 8):
        total, counted = np.zeros(length), np.zeros(length)
        for start, weights in spans(length, tile, overlap):
            assert start % 8 == 0
            total[start : start + tile] += weights
            counted[start : start + tile] += weights > 0
        np.testing.assert_allclose(total, 1, atol=1e-6)
        assert counted.max() <= 2


def test_the_border_of_a_tile_does_not_count():
    """A quarter of the overlap is context, except at the ends of the picture."""
    first, *_, last = tiles = spans(640, 128, 64)
    assert all(np.all(tile.weights[:16] == 0) for tile in tiles[1:])
    assert all(np.all(tile.weights[-16:] == 0) for tile in tiles[:-1])
    assert first.weights[0] == last.weights[-1] == 1


def test_tiles_are_as_few_as_the_overlap_allows_and_lie_evenly():
    assert [start for start, _ in spans(512 + 448, 512, 64)] == [0, 448]
    assert [start for start, _ in spans(512 + 456, 512, 64)] == [0, 224, 456]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(101, 77), (64, 200), (1, 1), (3, 100), (16, 16), (15, 15)])
def test_an_edit_of_nothing_returns_the_photo_bit_by_bit(size, dtype):
    photo = photo_of(*size, dtype)
    np.testing.assert_array_equal(
        edit_in_tiles(photo, lambda x: x, tile=32, overlap=16, batch=2), photo
    )


def test_an_edit_of_single_pixels_is_what_it_would_be_without_tiles():
    photo = photo_of(90, 130, np.uint16)
    edited = edit_in_tiles(photo, lambda x: 1.2 * x**0.8 - 0.05, tile=48, overlap=24)
    expected = np.rint(np.clip(1.2 * (photo / 65535) ** 0.8 - 0.05, 0, 1) * 65535)
    assert edited.dtype == np.uint16
    np.testing.assert_allclose(edited, expected, atol=1)


def test_at_the_edges_of_the_photo_the_border_of_a_tile_does_not_count_either():
    def spoil_border(x):
        x = x.copy()
        x[:, :4] = x[:, -4:] = x[:, :, :4] = x[:, :, -4:] = 1
        return x

    photo = photo_of(70, 100)
    np.testing.assert_array_equal(edit_in_tiles(photo, spoil_border, tile=48, overlap=16), photo)


def test_all_calls_have_one_shape_and_progress_counts_tiles():
    shapes, progress = set(), []

    def edit(x):
        shapes.add((x.shape, x.dtype))
        return x

    edit_in_tiles(
        photo_of(96, 96),
        edit,
        tile=48,
        overlap=8,
        batch=4,
        on_progress=lambda *now: progress.append(now),
    )
    assert shapes == {((4, 48, 48, 3), np.dtype("float32"))}
    assert progress == [(4, 9), (8, 9), (9, 9)]


def test_a_difference_between_two_tiles_is_spread_over_half_of_the_overlap():
    """Two tiles that disagree by the whole range are blended without a jump."""
    answers = iter([0.0, 1.0])
    photo = np.zeros((48, 80, 3), np.uint8)
    edited = edit_in_tiles(photo, lambda x: x + next(answers), tile=64, overlap=32)
    row = edited[0, :, 0].astype(int)
    assert (row[31], row[32], row[47], row[48]) == (0, 1, 254, 255)
    assert np.all(np.diff(row) >= 0)
    assert (
        np.diff(row).max() <= 255 / 16 * 1.6
    )  # a raised cosine is at most pi / 2 times as steep as a straight line


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tile": 100}, "side of a tile must be a multiple of 8 pixels, received 100"),
        ({"tile": 0}, "received 0"),
        (
            {"overlap": 12},
            "overlap of tiles must be a multiple of 8 pixels from 0 to half of their side, 32; received 12",
        ),
        ({"overlap": 40}, "received 40"),
        ({"overlap": -8}, "received -8"),
        ({"batch": 0}, "At least one tile"),
        (
            {"photo": np.zeros((8, 8, 3), np.float32)},
            r"uint8 or uint16.*received float32 \(8, 8, 3\)",
        ),
        ({"photo": np.zeros((0, 8, 3), np.uint8)}, r"received uint8 \(0, 8, 3\)"),
    ],
)
def test_what_cannot_be_tiled_is_refused(changed, message):
    arguments = {"photo": photo_of(8, 8), "tile": 64, "overlap": 16} | changed
    with pytest.raises(ValueError, match=message):
        edit_in_tiles(arguments.pop("photo"), lambda x: x, **arguments)
