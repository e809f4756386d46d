"""Self-contained HTML pages: one style, light and dark, on paper and on a phone."""

import base64
import importlib.metadata
import importlib.resources
import platform
from typing import Any

import cv2
import jinja2
import numpy as np

from enhancer.photo.io import encode_jpeg

_STRIP_PIXELS = 720
_PACKAGES = ("enhancer", "keras", "jax", "numpy", "scikit-image")


def render(template: str, **values: Any) -> str:
    """Fill in a template of this package, such as "report.html", which may extend "page_template.html"."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(versions=_versions(), **values)


def image_url(pixels: np.ndarray) -> str:
    """A picture, uint8 `(H, W, 3)` sRGB, as a `data:` address; reduced when it is larger than the page shows it."""
    scale = min(1.0, _STRIP_PIXELS / max(pixels.shape[:2]))
    if scale < 1.0:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(pixels, quality=88)).decode()


def _read(name: str) -> str:
    return (
        importlib.resources.files("enhancer.report")
        .joinpath("templates")
        .joinpath(name)
        .read_text(encoding="utf-8")
    )


def _versions() -> str:
    versions = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(versions)


def value_text(value: Any) -> str:
    """A setting for people."""
    if isinstance(value, float):
        return f"{value:g}".replace("-", "−")
    if isinstance(value, (list, tuple)):
        return ", ".join(map(value_text, value))
    return "–" if value is None else str(value)
