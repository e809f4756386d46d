"""Another program's pictures as a method: found by name, resized where need be, refused when
ambiguous."""

import numpy as np
import pytest

from enhancer.data.pairs import Pair
from enhancer.photo.io import write_photo
from enhancer.scoring.evaluation import evaluate, unedited
from enhancer.scoring.predictions import (
    SavedPredictions,
    SavedPredictionsError,
    without_marks,
)


def pair(name: str, height: int = 24, width: int = 36) -> Pair:
    photo = np.random.default_rng(len(name)).integers(0, 200, (height, width, 3)).astype(np.uint8)
    return Pair(name, photo, photo + 40)


@pytest.mark.parametrize(
    "name", ["801.png", "801_enhanced.png", "801_src.png", "801_src_enhanced.png", "801_TAR.png"]
)
def test_a_prediction_is_found_by_the_name_of_its_pair(tmp_path, name):
    scored = pair("801")
    write_photo(tmp_path / name, scored.target)
    rows = evaluate({"theirs": SavedPredictions(tmp_path)}, [scored])
    assert rows["theirs"][0]["l1"] == 0.0


def test_a_photo_without_a_prediction_has_no_row(tmp_path):
    write_photo(tmp_path / "a.png", pair("a").target)
    rows = evaluate(
        {"unedited": unedited, "theirs": SavedPredictions(tmp_path)}, [pair("a"), pair("bb")]
    )
    assert [row["id"] for row in rows["theirs"]] == ["a"]
    assert len(rows["unedited"]) == 2


def test_a_prediction_of_another_size_is_resized_and_named(tmp_path):
    scored = pair("a")
    write_photo(tmp_path / "a.png", np.repeat(np.repeat(scored.target, 2, axis=0), 2, axis=1))
    predictions = SavedPredictions(tmp_path)
    rows = evaluate({"theirs": predictions}, [scored])
    assert rows["theirs"][0]["l1"] < 1 / 255
    assert predictions.resized == {"a"}


def test_two_pictures_of_one_pair_are_refused(tmp_path):
    for name in ("a.png", "a_enhanced.jpg"):
        write_photo(tmp_path / name, pair("a").target)
    with pytest.raises(SavedPredictionsError, match="both named after pair a"):
        SavedPredictions(tmp_path)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(SavedPredictionsError, match="no pictures"):
        SavedPredictions(tmp_path)
    with pytest.raises(SavedPredictionsError, match="not a folder"):
        SavedPredictions(tmp_path / "no")


def test_marks_go_but_a_name_that_is_one_stays():
    assert without_marks("_src") == "_src"
    assert without_marks("living_room_src_enhanced") == "living_room"
