"""Self-contained HTML pages: one style, light and dark, on paper and on a phone."""

import base64
import datetime
import importlib.metadata
import importlib.resources
import platform
from collections.abc import Mapping
from typing import Any

import cv2
import jinja2
import numpy as np

from enhancer.photo.io import encode_jpeg

_SHOWN_PIXELS = 720
_PACKAGES = ("enhancer", "keras", "jax", "numpy", "scikit-image")


def render(template: str, **values: Any) -> bytes:
    """Fill in a template of this package, such as "report.html"; UTF-8."""
    templates = importlib.resources.files("enhancer.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (templates / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    versions = [f"{package} {importlib.metadata.version(package)}" for package in _PACKAGES]
    page = environment.get_template(template).render(
        versions=", ".join([f"Python {platform.python_version()}", *versions]),
        written=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        **values,
    )
    return page.encode()


def image_url(pixels: np.ndarray) -> str:
    """A picture, uint8 `(H, W, 3)` sRGB, as a `data:` address, no larger than the page shows it."""
    scale = min(1.0, _SHOWN_PIXELS / max(pixels.shape[:2]))
    if scale < 1.0:
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(pixels, quality=88)).decode()


def flat_settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings in settings under joined names, `finetune.epochs`, as text for people."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _value_text(value)
    return flat


def _value_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}".replace("-", "−")
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value_text, value))
    return "–" if value is None else str(value)
