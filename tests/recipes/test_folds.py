"""Folds test each pair once and keep a scene together; smaller subsets are parts of larger ones."""

import pytest

from recipes.ablation.folds import grouped_folds, subset


@pytest.mark.parametrize(("count", "number"), [(10, 5), (10, 2), (37, 4), (3, 3)])
def test_every_pair_is_tested_once_and_never_trained_on_in_its_fold(count, number):
    folds = grouped_folds(range(count), number)
    assert sorted(index for fold in folds for index in fold.test) == list(range(count))
    for fold in folds:
        assert sorted([*fold.train, *fold.validation, *fold.test]) == list(range(count))
        assert fold.train
        assert fold.validation


def test_near_duplicates_stay_together():
    scenes = [0, 0, 0, 1, 2, 2, 3, 4, 5, 5]
    for fold in grouped_folds(scenes, 3):
        parts = [{scenes[index] for index in part} for part in fold]
        assert sum(map(len, parts)) == len(set(scenes))


def test_folds_are_about_equally_large_in_spite_of_a_large_scene():
    sizes = sorted(len(fold.test) for fold in grouped_folds([0] * 5 + list(range(1, 11)), 3))
    assert sizes == [5, 5, 5]


def test_the_same_pairs_give_the_same_folds():
    assert grouped_folds(range(20), 4) == grouped_folds(range(20), 4)


def test_too_few_scenes_are_refused():
    with pytest.raises(ValueError, match="2 scenes in 4 pairs"):
        grouped_folds([0, 0, 1, 1], 2)


def test_a_smaller_subset_is_part_of_a_larger_one_and_seeds_differ():
    assert set(subset(5, 40, seed=1)) < set(subset(10, 40, seed=1))
    assert subset(10, 40, seed=1) != subset(10, 40, seed=2)
    assert subset(40, 40, seed=1) == list(range(40))
