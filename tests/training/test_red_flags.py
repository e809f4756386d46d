"""Red flags need evidence, keep still once raised, and name a setting to try."""

import numpy as np
import pytest

from enhancer.training.red_flags import EVIDENCE_EPOCHS, final_flags, stage_flags


def rows_of(validation, train=None, rates=None) -> list[dict]:
    """A stage's history; the training loss follows the validation loss unless given."""
    train = validation if train is None else train
    rates = [0.0, *[5e-5] * (len(validation) - 1)] if rates is None else rates
    columns = zip(validation, train, rates, strict=True)
    return [
        {
            "epoch": epoch,
            "train_loss": float(t) if epoch else None,
            "validation_loss": float(v),
            "learning_rate": rate,
        }
        for epoch, (v, t, rate) in enumerate(columns)
    ]


def falling(
    epochs: int = 40, start: float = 0.12, end: float = 0.04, noise: float = 0.0, seed: int = 0
) -> np.ndarray:
    curve = end + (start - end) * np.exp(-np.arange(epochs + 1) / 6)
    return curve * (1 + noise * np.random.default_rng(seed).standard_normal(epochs + 1))


def v_shaped(epochs: int = 30, bottom: int = 8) -> np.ndarray:
    return 0.05 + 0.003 * np.abs(np.arange(epochs + 1) - bottom)


@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.08])
def test_a_run_that_learns_raises_nothing_however_noisy(pretrained, noise):
    flags = [
        stage_flags(rows_of(falling(noise=noise, seed=seed), falling()), pretrained=pretrained)
        for seed in range(40)
    ]
    assert flags == [[]] * 40


def test_pretraining_that_does_not_fall_is_told_to_lower_its_rate():
    (flag,) = stage_flags(rows_of([0.1] * 10))
    assert flag.name == "it does not learn"
    assert "started at 0.1000" in flag.sentence
    assert flag.remedy.endswith("try peak_learning_rate 2e-5.")


def test_pretraining_whose_training_loss_falls_alone_points_at_the_data():
    (flag, *_) = stage_flags(rows_of([0.1] * 10, np.linspace(0.1, 0.08, 10)))
    assert "look at the data" in flag.remedy
    assert "augmentation strong" in flag.remedy


def test_the_warm_up_is_no_evidence():
    warm_up = [0.0, 1e-5, 2e-5, 3e-5, 4e-5, 5e-5]
    losses = [0.1] * 6 + [0.099] * 4
    assert stage_flags(rows_of(losses, rates=warm_up + [5e-5] * 4)) == []
    assert len(stage_flags(rows_of([*losses, 0.099], rates=warm_up + [5e-5] * 5))) == 1


def test_a_fine_tuning_loss_that_rises_while_training_falls_is_overfitting():
    (flag,) = stage_flags(rows_of(v_shaped(18), np.linspace(0.075, 0.065, 19)), pretrained=True)
    assert flag.name == "validation loss rises"
    assert "overfitting" in flag.remedy
    assert "frozen_levels 2" in flag.remedy


def test_a_fine_tuning_loss_that_rises_with_training_has_too_high_a_rate():
    (flag,) = stage_flags(rows_of(v_shaped()), pretrained=True)
    assert flag.remedy.endswith("try peak_learning_rate 2e-5.")


def test_a_single_jump_is_not_a_rise():
    losses = falling()
    losses[20] *= 3
    assert stage_flags(rows_of(losses, falling()), pretrained=True) == []


def test_a_large_gap_must_last():
    train = np.full(12, 0.03)
    once = np.full(12, 0.04)
    once[6:10] = 0.05
    flags = stage_flags(rows_of(once, train), pretrained=True)
    assert not any("gap" in flag.name for flag in flags)
    (flag,) = (
        flag for flag in stage_flags(rows_of(np.full(12, 0.05), train)) if "gap" in flag.name
    )
    assert "0.0500 against 0.0300" in flag.sentence
    assert "augmentation strong" in flag.remedy


def test_a_flag_once_raised_stays_with_the_same_words():
    history = rows_of(np.concatenate([v_shaped(20), np.linspace(0.08, 0.03, 10)]))
    raised = [stage_flags(history[:count], pretrained=True) for count in range(1, len(history) + 1)]
    first = next(index for index, flags in enumerate(raised) if flags)
    assert first >= EVIDENCE_EPOCHS
    assert all(flags == raised[first] for flags in raised[first:])


def test_a_finished_run_says_that_the_loss_recovered():
    history = rows_of(np.concatenate([v_shaped(20), np.linspace(0.08, 0.03, 10)]))
    (flag,) = final_flags(history, pretrained=True)
    assert flag.sentence.endswith("It later reached 0.0300 in epoch 30.")


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_history_of_one_row_raises_nothing(pretrained):
    assert stage_flags(rows_of([0.1]), pretrained=pretrained) == []
