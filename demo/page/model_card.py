"""What a visitor should know about the model: what it was trained on, and its test scores.

It is read without Keras, so that the page can be there before the model.
"""

import dataclasses
import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from markupsafe import Markup

from enhancer.config import ModelConfig, StageConfig

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
_PACKAGED = "The model in the package; one that is trained on your own pairs does better"
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
    """One line."""
    is_adjustable: bool = False
    """Whether brightness and warmth of its edits can be moved, and photos of one home matched."""
    trained_on: str = "What it was trained on is not recorded beside it."
    """A sentence."""
    photos: int = 0
    """Test photos; 0 where there was no test."""
    are_rendered: bool = False
    """Whether those are pictures of rooms that do not exist."""
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Its `mean` and `interval_95` of each metric, as in `results.json`."""
    unedited: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def tested_on(self) -> str:
        noun = "rendered room" if self.are_rendered else "photo"
        return f"{self.photos} {noun}{'' if self.photos == 1 else 's'}"


def read_model_card(workdir: Path | None) -> ModelCard:
    """Read the card of the model that `Enhancer.load(workdir)` takes.

    Without test scores, or where they are damaged, the card says so; that is not an error.

    Args:
        workdir: what a recipe left behind, or one stage's folder in it; None for the model in the
            package.

    Raises:
        CheckpointError: there is no trained model in `workdir`.
    """
    try:
        return _packaged_card() if workdir is None else _run_card(workdir)
    except Exception:
        from enhancer.inference.enhancer import Enhancer

        Enhancer.load(workdir)  # which needs Keras, and says what is wrong
        raise


def _packaged_card() -> ModelCard:
    path = importlib.resources.files("enhancer.network") / "rooms.safetensors"
    with safetensors.safe_open(str(path), framework="numpy") as file:
        about = {name: json.loads(value) for name, value in file.metadata().items()}
    scores, is_adjustable = about["scores"], about["model"]["base"] == "retouch"
    tests = scores["photos"], True, scores["model"], scores["unedited"]
    return ModelCard(_PACKAGED, is_adjustable, about["trained_on"], *tests)


def _run_card(workdir: Path) -> ModelCard:
    stage = next(s for s in (workdir / "finetune", workdir) if (s / "checkpoints").is_dir())
    saved = json.loads((stage / "config.json").read_text())
    is_adjustable = ModelConfig.from_json(saved["model"]).base == "retouch"
    resolution = StageConfig.from_json(saved["stage"]).resolution
    card = ModelCard(f"Stage “{stage.name}”, works at {resolution} px", is_adjustable)
    try:
        results = (workdir if stage != workdir else workdir.parent) / "results.json"
        return _with_scores(card, json.loads(results.read_text()), stage.name)
    except FileNotFoundError:
        return card
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        told = "Its record (results.json) cannot be read."
        return dataclasses.replace(card, trained_on=told)


def _with_scores(card: ModelCard, results: Mapping[str, Any], stage: str) -> ModelCard:
    config, methods = results["config"], results["methods"]
    card = dataclasses.replace(card, trained_on=_trained_on(config, stage))
    model, unedited = methods.get(_METHODS.get(stage, "")), methods.get("unedited")
    if model and unedited:
        rendered = _is_rendered(config, "real_estate" if stage != "pretrain" else "fivek")
        card = dataclasses.replace(card, photos=int(model["n"]), are_rendered=rendered)
        card = dataclasses.replace(card, model=model, unedited=unedited)
        render_model_card(card)  # so that what is damaged is found here
    return card


def summarise(card: ModelCard) -> str:
    """Return one line."""
    line = f"About the model: {card.trained_on[:1].lower()}{card.trained_on[1:].rstrip('.')}"
    if not card.photos:
        return f"{line}; no test scores"
    model, unedited = (method["mean"]["psnr_db"] for method in (card.model, card.unedited))
    return f"{line}; {model:.1f} dB on {card.tested_on} against {unedited:.1f} dB unedited"


def render_model_card(card: ModelCard) -> str:
    """Return the card as HTML."""
    said = Markup("<p><b>{}.</b> {}</p>").format(card.description, card.trained_on)
    if not card.photos:
        told = "There are no test scores for it: judge it by its pictures."
        return str(said + Markup("<p>{}</p>").format(told))
    said += _HEAD.format(f"Test on {card.tested_on} that it never saw")
    for metric, (title, decimals, meaning) in _METRICS.items():
        if metric not in card.model["mean"]:
            continue  # no test photo has such a part, or it was tested before faults were scored
        cells = [_cell(method, metric, decimals) for method in (card.model, card.unedited)]
        said += _ROW.format(title, meaning, *cells[0], *cells[1])
    notes = "In brackets: 95 % intervals."
    if card.photos < _FEW_PHOTOS:
        notes += f" {card.tested_on} {'is' if card.photos == 1 else 'are'} a small test."
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
    is_rendered = [_is_rendered(config, name) for name in stages]
    names = [_DATA[name][rendered] for name, rendered in zip(stages, is_rendered, strict=True)]
    said = f"Trained on {', then on '.join(names)}"
    return f"{said}{': no real photo was among them' if all(is_rendered) else ''}."


def _is_rendered(config: Mapping[str, Any], name: str) -> bool:
    return bool(config.get("miniature")) and config.get(name) is None
