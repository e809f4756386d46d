"""Write a trained network for other programs, and run what was written against the network itself.

    onnx        for ONNX Runtime, OpenVINO, and whatever else reads ONNX
    stablehlo   a serialised `jax.export.Exported`, weights included, for CPUs, CUDA GPUs and TPUs

Both take float32 `(batch, height, width, 3)` in [0, 1] and return the same shape, not clipped: what
`Enhancer` gives its network.
"""

import importlib.util
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from enhancer.inference.enhancer import Enhancer
from enhancer.inference.sizes import reduce_photo
from enhancer.network.blocks import formulated_for_accelerators
from enhancer.network.restormer import SIZE_MULTIPLE, Restormer
from enhancer.photo.io import read_photo
from enhancer.system.errors import EnhancerError

Format = Literal["onnx", "stablehlo"]
Run = Callable[[np.ndarray], np.ndarray]
Sides = tuple[int | None, int | None]

TOLERANCE = 1e-4
"""Largest difference that is let pass, of values in [0, 1]: a fortieth of an 8-bit step."""

_PACKAGES = {"onnx": ("onnx", "onnxruntime"), "stablehlo": ()}
_PLATFORMS = ("cpu", "cuda", "tpu")


class ExportError(EnhancerError):
    """Nothing can be exported."""


class DifferenceError(EnhancerError):
    """What was exported computes something else than the network."""


def export_model(
    workdir: str | os.PathLike[str],
    file_format: Format,
    output: Path,
    size: str = "dynamic",
    check_photo: Path | None = None,
    *,
    overwrite: bool = False,
) -> str:
    """Write the model of a run; the file appears when its answers are the model's own.

    Args:
        workdir: as for `Enhancer.load`.
        file_format, output: what to write, and the file; its folder is made.
        size: "dynamic", or height and width such as "896x1344".
        check_photo: photo to compare on; None draws a room.
        overwrite: replace `output`.

    Returns:
        What was written and how far its answers differ, in a sentence.

    Raises:
        ExportError: an argument makes no sense, or a package is missing.
        CheckpointError, PhotoError: there is no model, or no photo.
        DifferenceError: the answers differ by more than `TOLERANCE`; nothing is left behind.
    """
    sides = _parse_size(size)
    if output.suffix.lower() != f".{file_format}":
        raise ExportError(
            f"--output {output} must end in .{file_format} for the format {file_format}."
        )
    if output.exists() and not overwrite:
        raise ExportError(f"{output} exists already; --overwrite replaces it.")
    missing = [name for name in _PACKAGES[file_format] if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f"The format {file_format} needs {' and '.join(missing)}, not installed here; install "
            f"the extra `{file_format}`: pip install {' '.join(missing)}"
        )
    enhancer = Enhancer.load(workdir)
    model = enhancer.model
    if isinstance(model, Restormer) and model.config.base == "retouch":
        raise ExportError(
            f"The network of {workdir} answers with numbers of a retouch, which other programs "
            "cannot apply. Only those trained with --base photo are exported."
        )
    pictures = _check_pictures(check_photo, enhancer.working_size, sides)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=output.parent) as folder:
        written = Path(folder) / output.name
        written.write_bytes(_exported_bytes(enhancer, file_format, sides))
        difference = largest_difference(_open(file_format, written), model, pictures)
        if not difference <= TOLERANCE:
            raise DifferenceError(
                f"The exported model's answers differ from the model's by {difference:.1e} of 1, "
                f"more than {TOLERANCE:g}; {output} was not written."
            )
        os.replace(written, output)
    sizes = " and ".join("{} x {}".format(*picture.shape[1:3]) for picture in pictures)
    return (
        f"{output}: {output.stat().st_size / 1e6:.1f} MB; its answers to pictures of {sizes} "
        f"pixels differ from the model's by at most {difference:.1e} of 1 (allowed: {TOLERANCE:g}; "
        f"a step of 8 bits is {1 / 255:.1e})"
    )


def largest_difference(run: Run, model: Any, pictures: list[np.ndarray]) -> float:
    """Of a program's and the network's answers to float32 `(1, h, w, 3)`, [0, 1], on the CPU."""
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


def _exported_bytes(enhancer: Enhancer, file_format: Format, sides: Sides) -> bytes:
    model = enhancer.model
    assert isinstance(model, Restormer)  # `Enhancer.load` knows no other
    if file_format == "stablehlo":
        return stablehlo_from_restormer(model, sides)
    from enhancer.export.onnx import onnx_from_restormer

    return onnx_from_restormer(model, sides, enhancer.description).SerializeToString()


def _open(file_format: Format, path: Path) -> Run:
    """The written file as a function, in float32."""
    content = path.read_bytes()
    if file_format == "stablehlo":
        program = jax.export.deserialize(bytearray(content))
        return lambda x: np.asarray(program.call(x))
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda x: np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def stablehlo_from_restormer(model: Restormer, sides: Sides = (None, None)) -> bytes:
    """The network with its weights as a serialised `jax.export.Exported`, for any device; `sides`
    as for `enhancer.export.onnx.onnx_from_restormer`."""
    with formulated_for_accelerators():
        plain = Restormer(model.config)
        weights = [np.asarray(v.value) for v in model.trainable_variables]

        def edit(x):
            height, width = x.shape[1:3]
            padded = _reflect(_reflect(x, 1), 2)
            return plain.stateless_call(weights, [], padded)[0][:, :height, :width]

        names = [str(side or name) for side, name in zip(sides, ("height", "width"), strict=True)]
        shape = jax.export.symbolic_shape(
            f"batch, {names[0]}, {names[1]}, {model.config.channels}",
            constraints=[f"{name}>={SIZE_MULTIPLE}" for name in names if not name.isdigit()],
        )
        program = jax.export.export(jax.jit(edit), platforms=_PLATFORMS)(
            jax.ShapeDtypeStruct(shape, jnp.float32)
        )
        return bytes(program.serialize())


def _reflect(x: jax.Array, axis: int) -> jax.Array:
    """Pad to a multiple of 8 where the length may be a symbol, as the network cannot."""
    length = x.shape[axis]
    index = jnp.arange(SIZE_MULTIPLE * ((length + SIZE_MULTIPLE - 1) // SIZE_MULTIPLE))
    return jnp.take(x, jnp.minimum(index, 2 * (length - 1) - index), axis=axis)


def _parse_size(size: str) -> Sides:
    if size == "dynamic":
        return None, None
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if not match or min(map(int, match.groups())) < SIZE_MULTIPLE:
        raise ExportError(
            f"--size takes dynamic, or height and width from {SIZE_MULTIPLE} pixels such as "
            f"896x1344; received {size}."
        )
    return int(match[1]), int(match[2])


def _check_pictures(check_photo: Path | None, working_size: int, sides: Sides) -> list[np.ndarray]:
    """What the network would see of a photo; where sides are open, an odd part of it too."""
    if check_photo is None:
        photo = _draw_room(4 * working_size // 3, 2 * working_size)
    else:
        photo = read_photo(check_photo).pixels
    if sides[0] and sides[1]:
        pictures = [cv2.resize(photo, (sides[1], sides[0]), interpolation=cv2.INTER_AREA)]
    else:
        whole = reduce_photo(photo, working_size)
        height, width = (max(SIZE_MULTIPLE, side // 2 - 1 | 1) for side in whole.shape[:2])
        pictures = [whole, np.ascontiguousarray(whole[:height, :width])]
    return [p[None].astype(np.float32) / np.float32(255) for p in pictures]


def _draw_room(height: int, width: int) -> np.ndarray:
    """A dim wall with a bright window and sensor noise, uint8 `(height, width, 3)`."""
    room = np.linspace(50, 120, width)[None, :, None] * np.array([1.0, 0.96, 0.9])
    room = room + np.random.default_rng(0).normal(0, 2, (height, width, 3))
    room[height // 3 : height // 2, width // 3 : width // 2] = 250, 252, 255
    return np.clip(room, 0, 255).astype(np.uint8)
