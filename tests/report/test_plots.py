"""Curves are drawn once for the page and the picture, with the best epochs and the baseline
marked."""

import re

import numpy as np
from PIL import Image

from enhancer.report.plots import draw_curves, page_curves, plot_changes


def rows_of(validation) -> list[dict]:
    return [
        {"epoch": i, "train_loss": 0.9 * float(loss) if i else None, "validation_loss": float(loss)}
        for i, loss in enumerate(validation)
    ]


HISTORIES = {
    "pretrain": rows_of([0.1, 0.08, 0.07]),
    "finetune": rows_of([0.09, 0.06, 0.05, 0.04, 0.045]),
    "scratch": rows_of([0.12, 0.09, 0.07, 0.055, 0.05]),
}
AGAINST = "Fine-tuning against training from scratch"


def test_the_picture_is_complete_and_nothing_else_is_left(tmp_path):
    draw_curves(HISTORIES, tmp_path / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    with Image.open(tmp_path / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[1] > 1.5 * pixels.shape[0]
    for color in ((0x16, 0x68, 0xB3), (0xC2, 0x57, 0x0C), (0x4A, 0x7A, 0x35)):
        assert (np.abs(pixels - color).max(axis=-1) < 3).any()


def test_best_epochs_and_the_way_to_the_baseline_are_written_on_the_plot():
    plot = page_curves(HISTORIES)[AGAINST]
    assert "fine-tuned, validation (best 0.0400, epoch 3)" in plot
    assert "best from scratch, reached in epoch 2 (50 % fewer)" in plot


def test_a_baseline_that_is_not_reached_is_said():
    plot = page_curves(HISTORIES | {"finetune": rows_of([0.09, 0.08])})[AGAINST]
    assert "best from scratch, not reached by fine-tuning" in plot


def test_fine_tuning_alone_has_no_baseline():
    curves = page_curves({"finetune": HISTORIES["finetune"], "scratch": []})
    assert list(curves) == ["Fine-tuning"]
    assert "from scratch" not in curves["Fine-tuning"]


def test_losses_over_more_than_a_decade_get_readable_logarithmic_ticks():
    plot = page_curves({"finetune": rows_of(np.geomspace(0.5, 0.01, 20))})["Fine-tuning"]
    assert ">0.02<" in plot
    assert ">0.2<" in plot


def test_the_legend_leaves_the_plot_its_width():
    late = rows_of(np.linspace(0.2, 0.04, 121))
    plot = page_curves({"pretrain": late, "finetune": late, "scratch": late})[AGAINST]
    (across,) = re.findall(
        r'd="M ([\d.]+) [\d.]+ \nL ([\d.]+) [\d.]+ \n" clip-path="[^"]+" '
        r'style="[^"]*stroke-width: 1.6',
        plot,
    )
    assert float(across[1]) - float(across[0]) > 0.8 * 6.4 * 72  # points


def test_the_same_history_draws_the_same_plot():
    assert page_curves(HISTORIES) == page_curves(HISTORIES)


def change(percent: float, width: float | None) -> dict:
    low, high = (None, None) if width is None else (percent - width, percent + width)
    return {"relative_percent": percent, "relative_low": low, "relative_high": high}


def test_changes_without_an_interval_are_not_drawn():
    assert plot_changes({"scratch": change(-5.0, None)}, {}, "change") is None
    plot = plot_changes({"scratch": change(-5.0, 3.0), "one photo": change(-5.0, None)}, {}, "c")
    assert ">scratch<" in plot
    assert "one photo" not in plot
