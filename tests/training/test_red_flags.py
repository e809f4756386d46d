"""Red flags need evidence, keep still once raised, and name an option; the transfer is summed up in plain numbers."""

import json

import numpy as np
import pytest

from enhancer.training.red_flags import (
    EVIDENCE_EPOCHS,
    run_flags,
    stage_flags,
    summary_sentences,
    transfer_summary,
)


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


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "scratch"])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.08])
def test_a_run_that_learns_raises_nothing_however_noisy(stage, noise):
    flags = [
        stage_flags(stage, rows_of(falling(noise=noise, seed=seed), falling()))
        for seed in range(40)
    ]
    assert flags == [[]] * 40


def test_pretraining_that_does_not_fall_is_told_to_lower_its_rate():
    (flag,) = stage_flags("pretrain", rows_of([0.1] * 10))
    assert flag.name == "Pre-training does not learn"
    assert "started at 0.1000" in flag.sentence
    assert flag.option == "--pretrain.peak-learning-rate 2e-5"


def test_pretraining_whose_training_loss_falls_alone_points_at_the_data():
    (flag, *_) = stage_flags("pretrain", rows_of([0.1] * 10, np.linspace(0.1, 0.08, 10)))
    assert "data" in flag.cause
    assert flag.option == "--pretrain.augmentation strong"


def test_the_warm_up_is_no_evidence():
    warm_up = [0.0, 1e-5, 2e-5, 3e-5, 4e-5, 5e-5]
    losses = [0.1] * 6 + [0.099] * 4
    assert stage_flags("pretrain", rows_of(losses, rates=warm_up + [5e-5] * 4)) == []
    assert len(stage_flags("pretrain", rows_of([*losses, 0.099], rates=warm_up + [5e-5] * 5))) == 1


def test_a_fine_tuning_loss_that_rises_while_training_falls_is_overfitting():
    (flag,) = stage_flags("finetune", rows_of(v_shaped(18), np.linspace(0.075, 0.065, 19)))
    assert flag.name == "Fine-tuning: validation loss rises"
    assert "overfitting" in flag.cause
    assert flag.option == "--finetune.frozen-levels 2"


def test_a_fine_tuning_loss_that_rises_with_training_has_too_high_a_rate():
    (flag,) = stage_flags("finetune", rows_of(v_shaped()))
    assert flag.option == "--finetune.peak-learning-rate 2e-5"


def test_a_single_jump_is_not_a_rise():
    losses = falling()
    losses[20] *= 3
    assert stage_flags("finetune", rows_of(losses, falling())) == []


def test_a_large_gap_must_last():
    train = np.full(12, 0.03)
    once = np.full(12, 0.04)
    once[6:10] = 0.05
    assert not any("gap" in flag.name for flag in stage_flags("finetune", rows_of(once, train)))
    (flag,) = (
        flag
        for flag in stage_flags("scratch", rows_of(np.full(12, 0.05), train))
        if "gap" in flag.name
    )
    assert "0.0500 against 0.0300" in flag.sentence
    assert flag.option == "--finetune.augmentation strong"


def test_a_flag_once_raised_stays_with_the_same_words():
    history = rows_of(np.concatenate([v_shaped(20), np.linspace(0.08, 0.03, 10)]))
    raised = [stage_flags("finetune", history[:count]) for count in range(1, len(history) + 1)]
    first = next(index for index, flags in enumerate(raised) if flags)
    assert first >= EVIDENCE_EPOCHS
    assert all(flags == raised[first] for flags in raised[first:])


def test_a_finished_run_says_that_the_loss_recovered():
    history = rows_of(np.concatenate([v_shaped(20), np.linspace(0.08, 0.03, 10)]))
    (flag,) = run_flags({"finetune": history})
    assert flag.sentence.endswith("Later the validation loss reached 0.0300 in epoch 30.")


def test_worse_than_the_baseline_by_validation_loss():
    histories = {"finetune": rows_of(falling(end=0.05)), "scratch": rows_of(falling(end=0.04))}
    (flag,) = run_flags(histories)
    assert flag.name == "Worse than the baseline"
    assert flag.option == "--finetune.mix-weight 0.3"
    histories["finetune"] = rows_of(falling(end=0.0402))
    assert run_flags(histories) == []


@pytest.mark.parametrize(
    ("low", "high", "count"), [(0.001, 0.02, 1), (-0.01, 0.02, 0), (None, None, 0)]
)
def test_a_test_on_photos_decides_over_the_validation_loss(low, high, count):
    histories = {"finetune": rows_of(falling(end=0.05)), "scratch": rows_of(falling(end=0.04))}
    results = {
        "paired": {"finetuned_vs_scratch": {"l1": {"mean": 0.01, "low": low, "high": high, "n": 8}}}
    }
    assert len(run_flags(histories, results)) == count


def test_the_transfer_is_summed_up_in_plain_numbers():
    histories = {
        "pretrain": rows_of([0.1, 0.06, 0.05]),
        "finetune": rows_of([0.08, 0.06, 0.04, 0.03], [0, 0.05, 0.035, 0.025]),
        "scratch": rows_of([0.16, 0.1, 0.06, 0.05, 0.045, 0.05], [0, 0.1, 0.06, 0.05, 0.04, 0.03]),
    }
    summary = json.loads(json.dumps(transfer_summary(histories), allow_nan=False))
    assert summary["best"]["scratch"] == {"epoch": 4, "validation_loss": 0.045}
    assert summary["start"]["below_scratch_percent"] == pytest.approx(50)
    assert summary["start"]["above_pretrain_best_percent"] == pytest.approx(60)
    assert (summary["to_baseline"]["finetune_epoch"], summary["to_baseline"]["fewer_percent"]) == (
        2,
        50.0,
    )
    assert summary["last_gap"]["finetune"] == pytest.approx(0.005)
    assert summary["last_gap"]["scratch"] == pytest.approx(0.02)
    start, best, race, gap = summary_sentences(summary)
    assert "50 % below training from scratch (0.1600) and 60 % above pre-training's best" in start
    assert "fine-tuning in epoch 3 (0.0300)" in best
    assert "in epoch 2: 50 % fewer epochs" in race
    assert "+0.0050 fine-tuned, +0.0200 from scratch" in gap


def test_the_gap_of_a_stage_that_has_trained_on_its_validation_photos_is_not_told():
    summary = transfer_summary({"finetune": rows_of([0.08, 0.06], [0, 0.05])})
    assert any(
        "Validation minus training loss" in sentence for sentence in summary_sentences(summary)
    )
    assert not any("Validation minus" in sentence for sentence in summary_sentences(summary, True))


def test_a_baseline_that_is_not_reached_is_said():
    summary = transfer_summary({"finetune": rows_of([0.1, 0.09]), "scratch": rows_of([0.2, 0.05])})
    assert summary["to_baseline"]["finetune_epoch"] is None
    assert any("does not reach" in sentence for sentence in summary_sentences(summary))


@pytest.mark.parametrize(
    "stages", [(), ("pretrain",), ("finetune",), ("scratch",), ("pretrain", "finetune")]
)
def test_any_stage_may_be_missing_and_may_have_but_its_first_row(stages):
    histories = {stage: rows_of([0.1]) for stage in stages}
    assert run_flags(histories) == []
    assert isinstance(summary_sentences(transfer_summary(histories)), list)
