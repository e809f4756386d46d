"""What a visitor should know about the model: what it was trained on, and its test scores."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from enhancer.inference.enhancer import find_stage
from enhancer.network.trained import load_alone

_METHODS = {"finetune": "finetuned", "pretrain": "pretrained", "scratch": "scratch"}
_METRICS = {
    "psnr_db": ("PSNR, dB", 1, "higher is closer to the editor's version"),
    "ssim": ("SSIM", 3, "higher is closer"),
    "ciede2000": ("Colour difference, CIEDE2000", 1, "lower is closer"),
    "pink": ("Pink in blown whites", 2, "0.4 in people's edits"),
    "bright_detail": ("Detail kept in bright parts", 2, "0.97 in people's edits"),
}
_DATA = {
    "fivek": ("MIT-Adobe FiveK (a set for research only)", "rendered scenes"),
    "real_estate": ("pairs of real-estate photos", "rendered rooms"),
}
"""What each set is called where it is the real one, and where it is rendered."""
_FEW_PHOTOS = 10
_HEAD = Markup(
    "<table><thead><tr><th>{}</th><th>This model</th><th>Unedited</th></tr></thead><tbody>"
)
_ROW = Markup(
    '<tr><th scope="row">{}<small>{}</small></th>'
    "<td>{}<small>{}</small></td><td>{}<small>{}</small></td></tr>"
)


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """All of it as plain values."""

    description: str
    trained_on: str = "What it was trained on is not known."
    """A sentence."""
    photos: int = 0
    """Test photos; 0 where there was no test."""
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Its `mean` and `interval_95` of each metric, as in `results.json`."""
    unedited: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def read_model_card(workdir: Path | None, description: str) -> ModelCard:
    """Read the card of the model that `Enhancer.load(workdir)` takes, from `results.json`.

    A missing or damaged file makes a card that says so; it is not an error.

    Args:
        workdir: what a recipe left behind, or one stage's folder in it; None for the model in the
            package.
        description: the `Enhancer`'s.
    """
    if workdir is None:
        about = load_alone()[1]
        scores = about["scores"]
        return ModelCard(
            description, about["trained_on"], scores["photos"], scores["model"], scores["unedited"]
        )
    stage = find_stage(workdir)
    run = workdir if stage != workdir else workdir.parent
    try:
        results = json.loads((run / "results.json").read_text())
        trained_on = _trained_on(results["config"], stage.name)
        methods = results["methods"]
        model, unedited = methods.get(_METHODS.get(stage.name, "")), methods.get("unedited")
        if not (model and unedited):
            return ModelCard(description, trained_on)
        card = ModelCard(description, trained_on, int(model["n"]), model, unedited)
        render_model_card(card)  # so that what is damaged is found here
        return card
    except FileNotFoundError:
        return ModelCard(description, "What it was trained on is not recorded beside it.")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ModelCard(description, "Its record (results.json) cannot be read.")


def summarise(card: ModelCard) -> str:
    """Return one line."""
    line = f"About the model: {card.trained_on[:1].lower()}{card.trained_on[1:].rstrip('.')}"
    if not card.photos:
        return f"{line}; no test scores"
    model, unedited = (method["mean"]["psnr_db"] for method in (card.model, card.unedited))
    photos = f"{card.photos} test photo{'' if card.photos == 1 else 's'}"
    return f"{line}; {model:.1f} dB on {photos} against {unedited:.1f} dB unedited"


def render_model_card(card: ModelCard) -> str:
    """Return the card as HTML."""
    said = Markup("<p><b>{}.</b> {}</p>").format(card.description, card.trained_on)
    if not card.photos:
        told = "There are no test scores for it: judge it by its pictures."
        return str(said + Markup("<p>{}</p>").format(told))
    number = f"{card.photos} photo{'' if card.photos == 1 else 's'}"
    said += _HEAD.format(f"Test on {number} that it never saw")
    for metric, (title, decimals, meaning) in _METRICS.items():
        if metric not in card.model["mean"]:
            continue  # no test photo has such a part, or it was tested before faults were scored
        cells = [_cell(method, metric, decimals) for method in (card.model, card.unedited)]
        said += _ROW.format(title, meaning, *cells[0], *cells[1])
    notes = "In brackets: 95 % intervals."
    if card.photos < _FEW_PHOTOS:
        notes += f" {number} {'is' if card.photos == 1 else 'are'} a small test."
    return str(said + Markup("</tbody></table><p>{}</p>").format(notes))


def _cell(method: Mapping[str, Any], metric: str, decimals: int) -> tuple[str, str]:
    if metric not in method["mean"]:
        return "–", ""
    low, high = method["interval_95"][metric]  # None for a single photo
    interval = "" if low is None else f" [{low:.{decimals}f}, {high:.{decimals}f}]"
    return f"{method['mean'][metric]:.{decimals}f}", interval


def _trained_on(config: Mapping[str, Any], stage: str) -> str:
    stages = {"pretrain": ["fivek"], "scratch": ["real_estate"]}.get(
        stage, ["fivek", "real_estate"]
    )
    is_rendered = [bool(config.get("miniature")) and config.get(name) is None for name in stages]
    names = [_DATA[name][rendered] for name, rendered in zip(stages, is_rendered, strict=True)]
    said = f"Trained on {', then on '.join(names)}"
    return f"{said}{': no real photo was among them' if all(is_rendered) else ''}."
