"""Tables teach: photos taken a little differently, edited as their pairs are."""

import cv2
import numpy as np

from enhancer.data.pairs import ReadablePairs, decode_pair
from recipes.experiment.taught_pairs import VERSIONS, TaughtPairs


def encoded(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def taught_by_inverting(count: int = 3) -> TaughtPairs:
    photos = np.random.default_rng(0).integers(0, 256, (count, 16, 24, 3), np.uint8)
    photos = [cv2.resize(photo, (96, 64), interpolation=cv2.INTER_CUBIC) for photo in photos]
    pairs = [
        {"id": b"%d" % n, "input": encoded(photo), "target": encoded(255 - photo)}
        for n, photo in enumerate(photos)
    ]
    return TaughtPairs(ReadablePairs(pairs))


def test_they_are_edited_as_the_real_pairs_are():
    taught = taught_by_inverting()
    for index in range(len(taught)):
        pair = decode_pair(taught[index])
        inverted = 255.0 - pair.input
        assert abs(pair.target - inverted).mean() < abs(pair.input - inverted).mean() / 4


def test_each_photo_comes_in_versions_that_stay_the_same():
    taught, again = taught_by_inverting(), taught_by_inverting()
    records = [taught[index] for index in range(len(taught))]
    assert len(records) == 3 * VERSIONS
    assert len({record["input"] for record in records}) == len(records)
    assert records == [again[index] for index in range(len(again))]
