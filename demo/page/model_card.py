"""What a visitor should know about the model: what it was trained on, and its test scores."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from enhancer.inference.enhancer import find_stage

_METHODS = {"finetune": "finetuned", "pretrain": "pretrained", "scratch": "scratch"}
_METRICS = {
    "psnr_db": ("PSNR, dB", 1, "higher is closer to the editor's version"),
    "ssim": ("SSIM", 3, "higher is closer"),
    "ciede2000": ("Colour difference, CIEDE2000", 1, "lower is closer"),
}
_FEW_PHOTOS = 10
_HEAD = Markup(
    "<table><thead><tr><th>{}</th><th>This model</th><th>Unedited</th></tr></thead><tbody>"
)
_ROW = Markup(
    '<tr><th scope="row">{}<small>{}</small></th>'
    "<td>{}<small>{}</small></td><td>{}<small>{}</small></td></tr>"
)


@dataclasses.dataclass(frozen=True)
class Score:
    """One metric on the test photos: means with 95 % intervals (NaN for a single photo)."""

    metric: str
    model: tuple[float, float, float]
    """Mean, low, high."""
    unedited: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """All of it as plain values."""

    description: str
    trained_on: str = "What it was trained on is not known."
    """A sentence."""
    photos: int = 0
    """Test photos; 0 where there was no test."""
    scores: tuple[Score, ...] = ()


def read_model_card(workdir: Path, description: str) -> ModelCard:
    """Read the card of the model that `Enhancer.load(workdir)` takes, from `results.json`.

    A missing or damaged file makes a card that says so; it is no error.

    Args:
        workdir: what a recipe left behind, or one stage's folder in it.
        description: the `Enhancer`'s.
    """
    stage = find_stage(workdir)
    run = workdir if stage != workdir else workdir.parent
    try:
        results = json.loads((run / "results.json").read_text())
        trained_on = _trained_on(results["config"], stage.name)
        methods = results["methods"]
        model, unedited = methods.get(_METHODS.get(stage.name, "")), methods.get("unedited")
        if not (model and unedited):
            return ModelCard(description, trained_on)
        scores = tuple(
            Score(metric, _interval(model, metric), _interval(unedited, metric))
            for metric in _METRICS
        )
        return ModelCard(description, trained_on, int(model["n"]), scores)
    except FileNotFoundError:
        return ModelCard(description, "What it was trained on is not recorded beside it.")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ModelCard(description, "Its record (results.json) cannot be read.")


def summarise(card: ModelCard) -> str:
    """Return one line."""
    line = f"About the model: {card.trained_on[:1].lower()}{card.trained_on[1:].rstrip('.')}"
    if not card.scores:
        return f"{line}; no test scores"
    psnr, photos = card.scores[0], f"{card.photos} test photo{'' if card.photos == 1 else 's'}"
    return f"{line}; {psnr.model[0]:.1f} dB on {photos} against {psnr.unedited[0]:.1f} dB unedited"


def render_model_card(card: ModelCard) -> str:
    """Return the card as HTML."""
    parts = [Markup("<p><b>{}.</b> {}</p>").format(card.description, card.trained_on)]
    if not card.scores:
        parts.append(Markup("<p>There are no test scores for it: judge it by its pictures.</p>"))
    else:
        number = f"{card.photos} photo{'' if card.photos == 1 else 's'}"
        parts.append(_HEAD.format(f"Test on {number} that it never saw"))
        for score in card.scores:
            title, decimals, meaning = _METRICS[score.metric]
            cells = [_cell(values, decimals) for values in (score.model, score.unedited)]
            parts.append(_ROW.format(title, meaning, *cells[0], *cells[1]))
        parts.append(Markup("</tbody></table>"))
        if card.photos < _FEW_PHOTOS:
            parts.append(
                Markup("<p>In brackets: 95 % intervals. {} {} a small test.</p>").format(
                    number, "is" if card.photos == 1 else "are"
                )
            )
        else:
            parts.append(Markup("<p>In brackets: 95 % intervals.</p>"))
    return str(Markup("").join(parts))


def _cell(values: tuple[float, float, float], decimals: int) -> tuple[str, str]:
    mean, low, high = (f"{value:.{decimals}f}" for value in values)
    return mean, "" if math.isnan(values[1]) else f" [{low}, {high}]"


def _interval(method: Mapping[str, Any], metric: str) -> tuple[float, float, float]:
    low, high = (
        math.nan if bound is None else float(bound) for bound in method["interval_95"][metric]
    )
    return float(method["mean"][metric]), low, high


def _trained_on(config: Mapping[str, Any], stage: str) -> str:
    def is_rendered(name: str) -> bool:
        return bool(config.get("miniature")) and config.get(name) is None

    fivek = (
        "rendered scenes" if is_rendered("fivek") else "MIT-Adobe FiveK (a set for research only)"
    )
    rooms = "rendered rooms" if is_rendered("real_estate") else "pairs of real-estate photos"
    if stage == "pretrain":
        said = f"Trained on {fivek}"
    elif stage == "scratch":
        said = f"Trained on {rooms}"
    else:
        said = f"Trained on {fivek}, then on {rooms}"
    is_all_rendered = is_rendered("real_estate") and (stage == "scratch" or is_rendered("fivek"))
    return f"{said}{': no real photo was among them' if is_all_rendered else ''}."
