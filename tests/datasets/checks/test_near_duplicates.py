"""Photos of one scene from one place are recognised, rooms that merely look alike are not."""

import functools
import json
import time

import cv2
import numpy as np

from datasets.checks.near_duplicates import find_groups, find_shown, perceptual_hash
from datasets.miniature import real_estate_pair
from enhancer.photo.io import encode_jpeg, read_photo


@functools.cache
def room(number):
    return real_estate_pair(number, 192)


def groups_of(pairs):
    hashes = [(perceptual_hash(before), perceptual_hash(after)) for before, after in pairs]
    return find_groups(hashes, lambda index: pairs[index][1])


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
    assert groups_of([room(number) for number in range(1, 7)]) == []


def test_blank_walls_are_no_evidence():
    rng = np.random.default_rng(0)
    ramp = np.linspace(120, 160, 240)[None, :, None]
    walls = [
        np.clip(ramp + rng.normal(0, 1, (160, 240, 3)), 0, 255).astype(np.uint8) for _ in range(4)
    ]
    assert groups_of([(wall, wall) for wall in walls]) == []


def test_a_few_photos_are_looked_for_among_others_that_are_not_compared_with_each_other():
    def parts(pairs):
        return [(perceptual_hash(before), perceptual_hash(after)) for before, after in pairs]

    read = []
    photos, others = (
        [room(1), room(2)],
        [room(3), tuple(brighter(p, 0.6) for p in room(2)), room(3), room(4)],
    )
    shown = find_shown(
        parts(photos),
        lambda i: photos[i][1],
        parts(others),
        lambda i: read.append(i) or others[i][1],
    )
    assert shown == [1]
    assert set(read) <= {1}  # of the others only those are opened that resemble one


def test_five_thousand_photos_take_seconds():
    rng = np.random.default_rng(0)
    hashes = [(rng.bytes(16).hex(), rng.bytes(16).hex()) for _ in range(5000)]
    began = time.process_time()
    assert find_groups(hashes, lambda index: np.zeros((8, 8, 3), np.uint8)) == []
    assert time.process_time() - began < 20


def test_real_rooms_are_told_apart_and_real_bursts_found(shared_data):
    pairs, names = [], []
    for line in (shared_data / "real_estate/train.jsonl").read_text().splitlines():
        row = json.loads(line)
        names.append(row["src"])
        pairs.append(
            tuple(
                read_photo(shared_data / "real_estate" / row[key]).pixels for key in ("src", "tar")
            )
        )
    for number in (781, 259, 782, 786, 262):
        names.append(f"lol/{number}")
        images = shared_data / "lol/images"
        pairs.append(
            tuple(read_photo(images / f"{number}_{role}.jpg").pixels for role in ("src", "tar"))
        )
    found = [{names[index] for index in group} for group in groups_of(pairs)]
    assert found == [{"lol/781", "lol/782", "lol/786"}, {"lol/259", "lol/262"}]
