"""Write a trained network for other programs, and run what was written against the network itself.

    onnx        ONNX Runtime, and whatever else reads ONNX
    openvino    OpenVINO's IR (.xml with a .bin beside it), made of the ONNX graph
    stablehlo   a serialised `jax.export.Exported`, weights included, for CPUs, CUDA GPUs and TPUs

All take float32 `(batch, height, width, 3)` in [0, 1] and return the same shape, not clipped: what
`Enhancer` gives its network.
"""

import dataclasses
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from enhancer.inference.enhancer import Enhancer
from enhancer.inference.sizes import reduce_photo
from enhancer.network.blocks import formulated_for_accelerators
from enhancer.network.restormer import SIZE_MULTIPLE, Restormer
from enhancer.photo.io import read_photo

Format = Literal["onnx", "openvino", "stablehlo"]
Run = Callable[[np.ndarray], np.ndarray]
Sides = tuple[int | None, int | None]

TOLERANCE = 1e-4
"""Largest difference that is let pass, of values in [0, 1]: a fortieth of an 8-bit step. Summing in
another order makes some 1e-6."""

_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "stablehlo": ".stablehlo"}
_PACKAGES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino"), "stablehlo": ()}
_PLATFORMS = ("cpu", "cuda", "tpu")
_SMALLEST_SIDE = SIZE_MULTIPLE


class ExportError(ValueError):
    """Nothing can be exported; the message is one sentence for the user."""


class DifferenceError(ValueError):
    """What was exported computes something else than the network."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """A model that was written."""

    path: Path
    num_bytes: int
    sizes: tuple[tuple[int, int], ...]
    """Height and width of the pictures that it was compared on."""
    difference: float
    """The largest between its answers and the network's, of values in [0, 1]."""

    def __str__(self) -> str:
        sizes = " and ".join(f"{height} x {width}" for height, width in self.sizes)
        return (
            f"{self.path}: {self.num_bytes / 1e6:.1f} MB; its answers to pictures of {sizes} pixels differ from the model's by at most "
            f"{self.difference:.1e} of 1 (allowed: {TOLERANCE:g}; a step of 8 bits is {1 / 255:.1e})"
        )


def export_model(
    workdir: str | os.PathLike[str],
    file_format: Format,
    output: Path,
    size: str = "dynamic",
    check_photo: Path | None = None,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write the model of a run; the file appears when its answers are the model's own.

    Args:
        workdir: as for `Enhancer.load`.
        file_format: what to write.
        output: the file; its folder is made.
        size: "dynamic", or height and width such as "896x1344".
        check_photo: photo to compare on; None renders a room.
        overwrite: replace `output`.

    Raises:
        ExportError: an argument makes no sense, or a package is missing.
        CheckpointError, PhotoError: there is no model, or no photo.
        DifferenceError: the answers differ by more than `TOLERANCE`; nothing is left behind.
    """
    sides = _parse_size(size)
    if output.suffix.lower() != _SUFFIXES[file_format]:
        raise ExportError(
            f"--output {output} must end in {_SUFFIXES[file_format]} for the format {file_format}."
        )
    for written in (output, output.with_suffix(".bin")) if file_format == "openvino" else (output,):
        if written.exists() and not overwrite:
            raise ExportError(f"{written} exists already; --overwrite replaces it.")
    missing = [name for name in _PACKAGES[file_format] if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f"The format {file_format} needs {' and '.join(missing)}, not installed here; install the extra `{file_format}`: "
            f"pip install {' '.join(missing)}"
        )
    enhancer = Enhancer.load(workdir)
    pictures = _check_pictures(check_photo, enhancer.working_size, sides)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=output.parent) as folder:
        written = Path(folder) / output.name
        _write(enhancer, file_format, sides, written)
        difference = largest_difference(_open(file_format, written), enhancer.model, pictures)
        if not difference <= TOLERANCE:
            raise DifferenceError(
                f"The exported model's answers differ from the model's by {difference:.1e} of 1, more than {TOLERANCE:g}; "
                f"{output} was not written."
            )
        files = sorted(Path(folder).iterdir())  # an .xml after its .bin, which it refers to
        num_bytes = sum(file.stat().st_size for file in files)
        for file in files:
            os.replace(file, output.parent / file.name)
    return Exported(output, num_bytes, tuple(p.shape[1:3] for p in pictures), difference)


def largest_difference(run: Run, model: Any, pictures: list[np.ndarray]) -> float:
    """Compare a program with the network on pictures; both compute on the CPU, in float32.

    Args:
        run: the program.
        model: the network.
        pictures: float32 `(1, h, w, 3)`, [0, 1].
    """
    differences = [0.0]
    with jax.default_device(jax.devices("cpu")[0]):
        variables = [model.trainable_variables, model.non_trainable_variables]
        weights = [[np.asarray(variable.value) for variable in kind] for kind in variables]
        forward = jax.jit(lambda weights, x: model.stateless_call(*weights, x)[0])
        for picture in pictures:
            answer = run(picture)
            if answer.shape != picture.shape:
                raise DifferenceError(
                    f"The exported model answers {picture.shape} with {answer.shape}."
                )
            differences.append(float(np.abs(answer - np.asarray(forward(weights, picture))).max()))
    return float(np.max(differences))  # unlike max(), not deaf to NaN


def _write(enhancer: Enhancer, file_format: Format, sides: Sides, path: Path) -> None:
    model = enhancer.model
    assert isinstance(model, Restormer)  # `Enhancer.load` knows no other
    if file_format == "stablehlo":
        path.write_bytes(stablehlo_from_restormer(model, sides))
        return
    from enhancer.export.onnx import onnx_from_restormer

    proto = onnx_from_restormer(model, sides, enhancer.description)
    if file_format == "onnx":
        path.write_bytes(proto.SerializeToString())
        return
    openvino = _import_openvino()
    graph = openvino.Core().read_model(proto.SerializeToString())
    openvino.save_model(graph, path, compress_to_fp16=False)


def _open(file_format: Format, path: Path) -> Run:
    """The written file as a function, in float32."""
    if file_format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(
            path.read_bytes(), providers=["CPUExecutionProvider"]
        )
        return lambda x: np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])
    if file_format == "openvino":
        compiled = (
            _import_openvino()
            .Core()
            .compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        )
        return lambda x: np.asarray(compiled(x)[0])
    program = jax.export.deserialize(bytearray(path.read_bytes()))
    return lambda x: np.asarray(program.call(x))


def _import_openvino() -> Any:
    """OpenVINO without its usage statistics: importing it forks to send some, and a fork beside
    JAX's threads may hang."""
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))  # as if not installed
    return importlib.import_module("openvino")


def stablehlo_from_restormer(model: Restormer, sides: Sides = (None, None)) -> bytes:
    """The network with its weights as a serialised `jax.export.Exported` of the plain layers, for
    any device.

    Args:
        model: computing in float32.
        sides: height and width of the pictures; None leaves one open, from 8 pixels.
    """
    with formulated_for_accelerators():
        plain = Restormer(model.config)
        weights = [np.asarray(v.value) for v in model.trainable_variables]

        def edit(x):
            height, width = x.shape[1:3]
            padded = _reflect(_reflect(x, 1), 2)
            return plain.stateless_call(weights, [], padded)[0][:, :height, :width]

        names = [str(side or name) for side, name in zip(sides, ("height", "width"), strict=True)]
        open_sides = [
            f"{name}>={_SMALLEST_SIDE}"
            for side, name in zip(sides, names, strict=True)
            if side is None
        ]
        shape = jax.export.symbolic_shape(
            f"batch, {names[0]}, {names[1]}, {model.config.channels}", constraints=open_sides
        )
        program = jax.export.export(jax.jit(edit), platforms=_PLATFORMS)(
            jax.ShapeDtypeStruct(shape, jnp.float32)
        )
        return bytes(program.serialize())


def _reflect(x: jax.Array, axis: int) -> jax.Array:
    """Pad by reflection up to a multiple of 8, also where the length is a symbol, which the
    network's own padding cannot."""
    length = x.shape[axis]
    index = jnp.arange(SIZE_MULTIPLE * ((length + SIZE_MULTIPLE - 1) // SIZE_MULTIPLE))
    return jnp.take(x, jnp.minimum(index, 2 * (length - 1) - index), axis=axis)


def _parse_size(size: str) -> Sides:
    if size == "dynamic":
        return None, None
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if not match or min(map(int, match.groups())) < _SMALLEST_SIDE:
        raise ExportError(
            f"--size takes dynamic, or height and width from {_SMALLEST_SIDE} pixels such as 896x1344; received {size}."
        )
    return int(match[1]), int(match[2])


def _check_pictures(check_photo: Path | None, working_size: int, sides: Sides) -> list[np.ndarray]:
    """What the network would see of a photo; where sizes are open, a part of it too, of another
    shape and odd sides."""
    photo = (
        render_room(4 * working_size // 3, 2 * working_size)
        if check_photo is None
        else read_photo(check_photo).pixels
    )
    if sides[0] and sides[1]:
        pictures = [cv2.resize(photo, (sides[1], sides[0]), interpolation=cv2.INTER_AREA)]
    else:
        whole = reduce_photo(photo, working_size)
        height, width = (max(_SMALLEST_SIDE, side // 2 - 1 | 1) for side in whole.shape[:2])
        pictures = [whole, np.ascontiguousarray(whole[:height, :width])]
    return [p[None].astype(np.float32) / np.float32(255) for p in pictures]


def render_room(height: int, width: int) -> np.ndarray:
    """A dim room with a bright window, uint8 `(height, width, 3)`: what the network is for, where
    no photo is at hand."""
    corners = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.7], [0.25, 0.7]]) * (width, height)
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    room = np.zeros((height, width, 3), np.float32)
    shades = (
        (95, 92, 88),
        (60, 56, 50),
        (80, 62, 45),
        (70, 66, 60),
    )  # ceiling, right wall, floor, left wall
    for side, shade in enumerate(shades):
        following = (side + 1) % 4
        outline = [frame[side], frame[following], corners[following], corners[side]]
        cv2.fillPoly(room, [np.array(outline, np.int32)], shade)
    cv2.fillPoly(room, [corners.astype(np.int32)], (85, 80, 72))
    room[35 * height // 100 : 55 * height // 100, 40 * width // 100 : 55 * width // 100] = (
        250,
        252,
        255,
    )  # a window
    light = 1 + 0.4 * np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    noise = np.random.default_rng(0).normal(0, 2, room.shape)
    return np.clip(room * light + noise, 0, 255).astype(np.uint8)
