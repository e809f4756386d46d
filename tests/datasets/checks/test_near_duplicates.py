"""Photos of one scene from one place are recognised, rooms that merely look alike are not."""

import functools
import time

import cv2
import numpy as np

from datasets.checks.near_duplicates import find_groups, find_shown, perceptual_hash
from datasets.miniature import real_estate_pair
from datasets.sources.lists import find_listed_pairs
from enhancer.photo.io import encode_jpeg, read_photo


@functools.cache
def room(number):
    return real_estate_pair(number, 192)


def hashes_of(pairs):
    return [(perceptual_hash(before), perceptual_hash(after)) for before, after in pairs]


def groups_of(pairs):
    return find_groups(hashes_of(pairs), lambda index: pairs[index][1])


def brighter(pixels, factor):
    return np.clip(pixels * factor, 0, 255).astype(np.uint8)


def test_exposures_of_a_bracket_are_one_scene():
    before, after = room(1)
    bracket = [(brighter(before, factor), brighter(after, factor**0.5)) for factor in (0.5, 1, 1.6)]
    assert groups_of([room(2), *bracket, room(3)]) == [[1, 2, 3]]


def test_a_frame_taken_a_moment_later_is_the_same_scene():
    before, after = room(1)
    later = tuple(np.ascontiguousarray(pixels[2:-4, 5:-1]) for pixels in (before, after))
    assert groups_of([(before, after), room(2), later]) == [[0, 2]]


def test_a_smaller_compressed_copy_is_the_same_scene(tmp_path):
    before, after = (
        cv2.resize(pixels, (150, 100), interpolation=cv2.INTER_AREA) for pixels in room(1)
    )
    (tmp_path / "copy.jpg").write_bytes(encode_jpeg(after, quality=40))
    assert groups_of([room(1), (before, read_photo(tmp_path / "copy.jpg").pixels)]) == [[0, 1]]


def test_different_rooms_are_different_scenes():
    assert groups_of([room(number) for number in range(1, 6)]) == []


def test_blank_walls_are_no_evidence():
    rng = np.random.default_rng(0)
    ramp = np.linspace(120, 160, 240)[None, :, None]
    walls = [
        np.clip(ramp + rng.normal(0, 1, (160, 240, 3)), 0, 255).astype(np.uint8) for _ in range(4)
    ]
    assert groups_of([(wall, wall) for wall in walls]) == []


def test_a_few_photos_are_looked_for_among_others_that_are_not_compared_with_each_other():
    read = []

    def read_other(index):
        read.append(index)
        return others[index][1]

    photos = [room(1), room(2)]
    others = [room(3), tuple(brighter(p, 0.6) for p in room(2)), room(3), room(4)]
    of_photos = hashes_of(photos), lambda index: photos[index][1]
    assert find_shown(*of_photos, hashes_of(others), read_other) == [1]
    assert set(read) <= {1}  # of the others only those are opened that resemble one


def test_two_thousand_photos_take_seconds():
    rng = np.random.default_rng(0)
    hashes = [(rng.bytes(16).hex(), rng.bytes(16).hex()) for _ in range(2000)]
    began = time.process_time()
    assert find_groups(hashes, lambda index: np.zeros((8, 8, 3), np.uint8)) == []
    assert time.process_time() - began < 4


def test_real_rooms_are_told_apart_and_real_bursts_found(shared_data):
    rooms = find_listed_pairs(shared_data / "real_estate")
    paths = {pair.id: (pair.input, pair.target) for pair in rooms if pair.split == "train"}
    for number in (781, 259, 782, 786, 262):
        images = shared_data / "lol/images"
        paths[f"lol/{number}"] = images / f"{number}_src.jpg", images / f"{number}_tar.jpg"
    pairs = [tuple(read_photo(path).pixels for path in both) for both in paths.values()]
    found = [{list(paths)[index] for index in group} for group in groups_of(pairs)]
    assert found == [{"lol/781", "lol/782", "lol/786"}, {"lol/259", "lol/262"}]
