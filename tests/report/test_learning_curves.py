"""Curves are drawn once for the page and the picture, with the best epochs and the baseline marked."""

import re

import numpy as np
import pytest
from enhancer.report.curves import draw, page_curves
from PIL import Image


def rows_of(validation) -> list[dict]:
    return [
        {
            "epoch": epoch,
            "train_loss": 0.9 * float(loss) if epoch else None,
            "validation_loss": float(loss),
        }
        for epoch, loss in enumerate(validation)
    ]


HISTORIES = {
    "pretrain": rows_of([0.1, 0.08, 0.07]),
    "finetune": rows_of([0.09, 0.06, 0.05, 0.04, 0.045]),
    "scratch": rows_of([0.12, 0.09, 0.07, 0.055, 0.05]),
}


def test_the_picture_is_complete_and_nothing_else_is_left(tmp_path):
    draw(HISTORIES, tmp_path / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    with Image.open(tmp_path / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[1] > 1.5 * pixels.shape[0]
    for color in ((0x16, 0x68, 0xB3), (0xC2, 0x57, 0x0C), (0x4A, 0x7A, 0x35)):
        assert (np.abs(pixels - color).max(axis=-1) < 3).any()


def test_an_svg_picture_has_colours_of_its_own(tmp_path):
    draw(HISTORIES, tmp_path / "curves.svg")
    svg = (tmp_path / "curves.svg").read_text()
    assert "#1668b3" in svg
    assert "var(" not in svg


def test_best_epochs_and_the_way_to_the_baseline_are_written_on_the_plot():
    _, plot = page_curves(HISTORIES)
    assert plot["title"] == "Fine-tuning against training from scratch"
    assert "fine-tuned, validation (best 0.0400, epoch 3)" in plot["svg"]
    assert "best from scratch, reached in epoch 2 (50 % fewer)" in plot["svg"]


def test_a_baseline_that_is_not_reached_is_said():
    _, plot = page_curves(HISTORIES | {"finetune": rows_of([0.09, 0.08])})
    assert "best from scratch, not reached by fine-tuning" in plot["svg"]


def test_the_legend_leaves_the_plot_its_width():
    late = rows_of(np.linspace(0.2, 0.04, 121))
    _, plot = page_curves({"pretrain": late, "finetune": late, "scratch": late})
    (across,) = re.findall(
        r'd="M ([\d.]+) [\d.]+ \nL ([\d.]+) [\d.]+ \n" clip-path="[^"]+" style="[^"]*stroke-width: 1.6',
        plot["svg"],
    )
    assert float(across[1]) - float(across[0]) > 0.8 * 6.4 * 72  # points


def test_fine_tuning_alone_has_no_baseline():
    (plot,) = page_curves({"finetune": HISTORIES["finetune"]})
    assert plot["title"] == "Fine-tuning"
    assert "from scratch" not in plot["svg"]


def test_losses_over_more_than_a_decade_get_readable_logarithmic_ticks():
    (plot,) = page_curves({"finetune": rows_of(np.geomspace(0.5, 0.01, 20))})
    assert ">0.02<" in plot["svg"]
    assert ">0.2<" in plot["svg"]


@pytest.mark.parametrize(
    ("histories", "name"), [({}, "a.png"), ({"finetune": []}, "a.png"), (HISTORIES, "a.gif")]
)
def test_what_cannot_be_drawn_is_said(tmp_path, histories, name):
    with pytest.raises(ValueError, match=r"no epochs to draw|drawn as \.png or \.svg"):
        draw(histories, tmp_path / name)
    assert not list(tmp_path.iterdir())
