"""A tiny FiveK and a tiny real-estate set, rendered, in the source layouts of the real ones.

The whole product runs on them on a fresh machine with nothing downloaded. The same call writes the
same bytes.
"""

import concurrent.futures
import itertools
import json
import os
import types
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from datasets.miniature import camera, files
from datasets.miniature.landscapes import render_landscape
from datasets.miniature.rooms import render_room
from enhancer.photo.io import encode_jpeg, write_photo
from enhancer.system.errors import EnhancerError
from enhancer.system.progress import progress_bar

LONG_EDGE = 224
"""Of the photos, in pixels."""
FIVEK_PAIRS = 40
REAL_ESTATE_PAIRS = types.MappingProxyType({"train": 72, "val": 8, "test": 40})
_FIRST_ROOM = 101  # of the first 54 rooms two are furnished nearly alike
_TWINS = {205}
"""Rooms furnished almost like an earlier one, which preparation would refuse in another split."""
EDITOR = 6
"""Who publishes the rooms of the real-estate set; another number is an editor of other taste."""
_TASTES = {"a": 1.15, "b": 0.88, "c": 1.0, "d": 1.07, "e": 0.94}
"""Exponents of the experts' tone curves: above 1 they like it darker than expert C."""
_OVERSAMPLING = 1.5
_SAMPLE_SEED = 900  # far from the seeds of the sets: a sample is a photo that no model has seen
SAMPLES = {"living-room": 8, "dining-room": 12, "bedroom": 7, "dark-dining-room": 5}
"""The rooms that the demo offers, by name: numbers for `sample_room`."""


def write(
    out: Path,
    *,
    long_edge: int = LONG_EDGE,
    fivek_pairs: int = FIVEK_PAIRS,
    experts: str = "c",
    real_estate_pairs: Mapping[str, int] = REAL_ESTATE_PAIRS,
) -> None:
    """Write `out/fivek` (DNG, 16-bit ProPhoto TIFF, names) and `out/real_estate` (JPEG, lists).

    Args:
        out: created when missing; files of the same names are replaced.
        long_edge: of the photos, in pixels, at least 96.
        fivek_pairs: number of FiveK pairs; about half are landscapes, every third is upright.
        experts: letters of the experts whose versions are written; each has a taste of their own.
        real_estate_pairs: number of pairs for "train", "val" and "test".

    Raises:
        EnhancerError: `long_edge` is too small, or an expert is unknown.
    """
    if unknown := set(experts) - _TASTES.keys():
        raise EnhancerError(
            f"experts are letters of {''.join(_TASTES)}; received {', '.join(sorted(unknown))}"
        )
    if long_edge < 96:
        raise EnhancerError(
            "long_edge must be at least 96 px, so that the short side is at least 64; received "
            f"{long_edge}"
        )
    fivek, real_estate = out / "fivek", out / "real_estate"
    for folder in (fivek / "img" / "dng", real_estate / "images"):
        folder.mkdir(parents=True, exist_ok=True)
    rooms = (number for number in itertools.count(_FIRST_ROOM) if number not in _TWINS)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = []
        for split, count in real_estate_pairs.items():
            numbers = list(itertools.islice(rooms, count))
            rows = ({"src": f"images/{n}_src.jpg", "tar": f"images/{n}_tar.jpg"} for n in numbers)
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (real_estate / f"{split}.jsonl").write_text(lines, encoding="utf-8")
            jobs += [pool.submit(_write_room, real_estate, n, long_edge) for n in numbers]
        numbers = range(1, fivek_pairs + 1)
        names = "".join(f"{_fivek_name(number)}\n" for number in numbers)
        (fivek / "names.txt").write_text(names, encoding="utf-8")
        jobs += [pool.submit(_write_fivek_pair, fivek, n, long_edge, experts) for n in numbers]
        for job in progress_bar(jobs, desc="rendering photos", unit="pair"):
            job.result()


def sample_room(number: int = 0, *, long_edge: int = 960) -> np.ndarray:
    """Render an unedited interior that is in neither set, such as an example for the demo: sRGB,
    uint8 `(height, width, 3)`."""
    return real_estate_pair(_SAMPLE_SEED + number, long_edge)[0]


def write_samples(out: Path, *, long_edge: int = 1080) -> list[Path]:
    """Write the demo's sample photos as JPEGs, one for each of `SAMPLES`; return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    for name, number in SAMPLES.items():
        photo = encode_jpeg(sample_room(number, long_edge=long_edge), quality=68)
        (out / f"{name}.jpg").write_bytes(photo)
    return [out / f"{name}.jpg" for name in SAMPLES]


def fivek_scene(number: int, long_edge: int) -> np.ndarray:
    """Return a FiveK scene, exposed and upright: linear sRGB, float32 `(height, width, 3)`, where 1
    is full scale."""
    rng = np.random.default_rng((number, 3))
    height, width = _shape(long_edge, upright=number % 3 == 0)
    if number % 2:
        light, brightness = _supersample(render_landscape, number, height, width), (0.35, 0.85)
    else:
        light, brightness = _supersample(render_room, 500 + number, height, width), (0.5, 1.1)
    scene = camera.expose(light, rng, brightness)
    # LibRaw takes the brightest value for white when it is between 75 and 100 % of full scale.
    peak = float(scene[..., 1].max())
    return scene * np.float32(1.02 / peak) if 0.7 < peak < 1.02 else scene


def real_estate_pair(
    number: int, long_edge: int, editor: int = EDITOR
) -> tuple[np.ndarray, np.ndarray]:
    """Return a room before and after an editor's work: sRGB, uint8 `(height, width, 3)`."""
    light = _supersample(render_room, number, *_shape(long_edge))
    camera_rng, taste = np.random.default_rng((number, 4)), np.random.default_rng((editor, 6))
    before, after = camera.interior_pair(light, camera_rng, taste)
    return camera.to_uint8(before), camera.to_uint8(after)


def _fivek_name(number: int) -> str:
    return f"a{number:04d}-miniature_{number:04d}"


def _write_fivek_pair(folder: Path, number: int, long_edge: int, experts: str) -> None:
    scene = fivek_scene(number, long_edge)
    name = _fivek_name(number)
    # As cameras do it: the sensor is read in its own direction, the file says how it was held.
    held_upright = scene.shape[0] > scene.shape[1]
    sensor = np.rot90(scene) if held_upright else scene
    rng = np.random.default_rng((number, 5))
    mosaic = camera.add_sensor_noise(files.mosaic_of(np.ascontiguousarray(sensor)), rng)
    dng = folder / "img" / "dng" / f"{name}.dng"
    files.write_dng(dng, mosaic, orientation=6 if held_upright else 1)
    retouched = camera.retouch(scene)
    for expert in experts:
        targets = folder / "img" / f"tiff16_{expert}"
        targets.mkdir(exist_ok=True)
        light = camera.decode_srgb(retouched ** _TASTES[expert])
        files.write_prophoto_tiff(targets / f"{name}.tif", light)


def _write_room(folder: Path, number: int, long_edge: int) -> None:
    before, after = real_estate_pair(number, long_edge)
    write_photo(folder / "images" / f"{number}_src.jpg", before)
    write_photo(folder / "images" / f"{number}_tar.jpg", after)


def _shape(long_edge: int, *, upright: bool = False) -> tuple[int, int]:
    """Height and width at 3:2, even numbers because of the colour filter."""
    long, short = 2 * round(long_edge / 2), 2 * round(long_edge / 3)
    return (long, short) if upright else (short, long)


def _supersample(
    render: Callable[[int, int, int], np.ndarray], seed: int, height: int, width: int
) -> np.ndarray:
    light = render(seed, round(height * _OVERSAMPLING), round(width * _OVERSAMPLING))
    # Light above the sensor's range would leave stairs on window frames.
    light = np.minimum(light, 2.5 * np.percentile(light, 97))
    return cv2.resize(light, (width, height), interpolation=cv2.INTER_AREA)
