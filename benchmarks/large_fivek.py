"""FiveK pairs of a real size, quickly: rendered small, enlarged, with noise in every pixel so that they compress like photos."""

from pathlib import Path

import cv2
import numpy as np
import tqdm

from datasets import miniature
from datasets.miniature import camera, files

_RENDERED_LONG_EDGE = 960
_GRAIN = 0.01  # standard deviation of each pixel's brightness, relative


def write(folder: Path, number: int, long_edge: int) -> None:
    """Write the pairs that are not there yet: 16-bit DNG and compressed 16-bit ProPhoto TIFF in the official layout.

    Args:
        folder: created when missing.
        number: of pairs.
        long_edge: in pixels; 4608 makes 14 megapixels, a DNG of 28 MB and a TIFF of about 50 MB, as FiveK has them.
    """
    inputs, targets = folder / "img" / "dng", folder / "img" / "tiff16_c"
    for path in (inputs, targets):
        path.mkdir(parents=True, exist_ok=True)
    names = [f"a{index:04d}" for index in range(1, number + 1)]
    missing = [
        index for index, name in enumerate(names, 1) if not (targets / f"{name}.tif").exists()
    ]
    for index in tqdm.tqdm(missing, desc="rendering large pairs", unit="pair", disable=not missing):
        rng = np.random.default_rng(index)
        scene = miniature.fivek_scene(index, _RENDERED_LONG_EDGE)
        height, width = (
            2 * round(side * long_edge / _RENDERED_LONG_EDGE / 2) for side in scene.shape[:2]
        )
        grain = rng.normal(1, _GRAIN, (height, width, 1)).astype(np.float32)
        # Retouched before it is enlarged: the edit's wide blur would take a minute at full size.
        retouched = _enlarge(camera.retouch(scene), width, height) * grain
        scene = _enlarge(scene, width, height) * grain
        sensor = np.rot90(scene) if height > width else scene
        mosaic = camera.add_sensor_noise(files.mosaic_of(np.ascontiguousarray(sensor)), rng)
        files.write_dng(
            inputs / f"{names[index - 1]}.dng", mosaic, orientation=6 if height > width else 1
        )
        files.write_prophoto_tiff(
            targets / f"{names[index - 1]}.tif", camera.decode_srgb(retouched.clip(0, 1))
        )


def _enlarge(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, None)
