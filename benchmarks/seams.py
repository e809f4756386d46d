"""How visible the borders of tiles are, and what the network's answer at full size is worth.

    python -m benchmarks.seams --workdir runs/quick
    python -m benchmarks.seams --workdir runs/a --photos kitchen.jpg --short-side 1024 --tile 512

Every way to tile is compared with the same network run over the photo at once, so the photo has to fit into the memory. Differences are in
levels of 255. "step": by how much two neighbouring lines of pixels differ from what they do without tiles, mean over the line; of the worst line
within 16 pixels of where tiles meet, and of the worst one elsewhere. "tone": how much the mean errors of two neighbouring tiles differ, of the
worst pair. "overlap" is the least; tiles are spaced evenly.

Rendered rooms, whose right edit is known, also give the PSNR against it. Ctrl-C keeps what is finished.
"""

import dataclasses
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    import numpy as np

    from enhancer.network.restormer import Restormer

# What needs JAX and Keras is imported after the command line is understood, so that --help answers at once.

INTERRUPTED, WRONG_USAGE = 130, 2
_FIRST_ROOM = 500  # rooms that no training rendered
_OVERLAPS = (0, 32, 64, 128)
_NEAR = 16  # lines beside the pixels that two tiles share, which their borders still disturb


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    workdir: Path
    """What a recipe left behind, or one stage of it: the network."""
    photos: tuple[Path, ...] = ()
    """Photos instead of rendered rooms."""
    rooms: int = 2
    """Rendered rooms."""
    short_side: int = 512
    """To which the photos are reduced, in pixels; a photo that is smaller stays as it is."""
    tile: int = 256
    """Side of a tile in pixels."""
    working_size: int | None = None
    """Short side of what the network sees of the whole photo; by default the resolution that it was trained at."""
    json: Path | None = None
    """File for the numbers."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m benchmarks.seams")
    if arguments.short_side < 16 or arguments.rooms < 1 or arguments.tile < 8 or arguments.tile % 8:
        print(
            "--short-side takes at least 16, --rooms at least 1 and --tile a multiple of 8.",
            file=sys.stderr,
        )
        return WRONG_USAGE

    from benchmarks import machine
    from benchmarks.table import aligned
    from enhancer.inference.enhancer import find_stage
    from enhancer.network.trained import CheckpointError, load_best, read_config
    from enhancer.photo.io import PhotoError
    from enhancer.system.files import write_json

    rows: list[dict[str, Any]] = []
    try:
        stage_dir = find_stage(arguments.workdir)
        working_size = arguments.working_size or read_config(stage_dir)[1].resolution
        model = load_best(stage_dir)
        for name, photo, target in _photos(arguments):
            print(f"{name}, {photo.shape[1]} x {photo.shape[0]}", file=sys.stderr, flush=True)
            rows += [
                {"photo": name} | row
                for row in _measure(model, photo, target, working_size, arguments.tile)
            ]
    except (CheckpointError, PhotoError, OSError) as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        print(f"\ntiles of {arguments.tile} pixels\n{aligned(rows)}")
        if arguments.json and rows:
            write_json(arguments.json, {"machine": machine.describe(), "rows": rows})
    return 0


def _photos(arguments: Arguments):
    """Name, uint8 photo and its right edit, or None where nobody knows it."""
    import cv2

    from datasets.miniature import real_estate_pair
    from enhancer.photo.io import read_photo

    def reduced(picture: "np.ndarray") -> "np.ndarray":
        scale = arguments.short_side / min(picture.shape[:2])
        if scale >= 1:
            return picture
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)

    for path in arguments.photos:
        yield path.stem, reduced(read_photo(path).pixels), None
    for number in range(
        _FIRST_ROOM, _FIRST_ROOM + arguments.rooms if not arguments.photos else _FIRST_ROOM
    ):
        pair = real_estate_pair(number, arguments.short_side * 3 // 2)
        yield f"room {number}", *map(reduced, pair)


def _measure(
    model: "Restormer",
    photo: "np.ndarray",
    target: "np.ndarray | None",
    working_size: int,
    tile: int,
):
    """A row per way to run the network."""
    import cv2
    import jax
    import numpy as np

    from enhancer.inference.edit_transfer import transfer_edit
    from enhancer.inference.tiled_inference import TiledInference
    from enhancer.inference.tiles import edit_in_tiles
    from enhancer.system.compiler import compiler_options

    scale = min(1.0, working_size / min(photo.shape[:2]))
    low_input = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    weights = [
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
    ]
    network = jax.jit(
        lambda x: model.stateless_call(*weights, x)[0], compiler_options=compiler_options()
    )
    tiled = TiledInference(model)
    wide = photo.astype(np.uint16) * 257  # so that no rounding to 8 bits is measured

    def alone(x: "np.ndarray") -> "np.ndarray":
        return np.asarray(network(x))

    def row(way: str, overlap: int | None, edited: "np.ndarray", untiled: "np.ndarray | None"):
        level = np.iinfo(edited.dtype).max / 255
        against_target = None if target is None else _psnr(edited / level, target)
        compared: dict[str, Any] = dict.fromkeys(
            ("mean", "largest", "step at borders", "step elsewhere", "tone")
        )
        if untiled is not None:
            error = (edited.astype(np.float32) - untiled) / np.float32(level)
            compared |= {"mean": float(np.abs(error).mean()), "largest": float(np.abs(error).max())}
            compared |= {} if overlap is None else _seams(error, tile, overlap)
        return {"network": way, "overlap": overlap, **compared, "PSNR to target dB": against_target}

    # One tile for all, large enough for what is added beyond the edges.
    one_tile = -(-max(photo.shape) // 8) * 8 + 2 * max(_OVERLAPS)

    yield row("none", None, photo, None)
    low_output = alone(low_input[None].astype(np.float32) / 255)[0]
    yield row("reduced photo, transferred", None, transfer_edit(photo, low_input, low_output), None)
    untiled = edit_in_tiles(wide, alone, tile=one_tile, overlap=0)
    yield row("untiled", None, untiled, None)
    edited = tiled.enhance(wide, low_input, tile=one_tile, overlap=0)
    yield row("untiled, the reduced photo's attention", None, edited, untiled)
    for overlap in (0, 64):
        untiled = edit_in_tiles(wide, alone, tile=one_tile, overlap=overlap)
        edited = edit_in_tiles(wide, alone, tile=tile, overlap=overlap)
        yield row("tiles, each its own attention", overlap, edited, untiled)
    for overlap in _OVERLAPS:
        if 2 * overlap <= tile:
            untiled = tiled.enhance(wide, low_input, tile=one_tile, overlap=overlap)
            edited = tiled.enhance(wide, low_input, tile=tile, overlap=overlap)
            yield row("tiles, the reduced photo's attention", overlap, edited, untiled)


def _seams(error: "np.ndarray", tile: int, overlap: int) -> dict[str, float]:
    """From what the tiles changed, `(H, W, 3)` in levels of 255."""
    import numpy as np

    from enhancer.inference.tiles import spans

    at_borders, elsewhere, edges = [0.0], [0.0], []
    for axis in (0, 1):
        context = overlap // 4
        length = -(-(error.shape[axis] + 2 * context) // 8) * 8
        starts = [span.start - context for span in spans(length, min(tile, length), overlap)]
        steps = np.abs(np.diff(error, axis=axis)).mean(axis=(1 - axis, 2))
        shared = np.zeros(len(steps), bool)
        for left, right in itertools.pairwise(starts):
            shared[max(right - _NEAR, 0) : left + tile + _NEAR] = True
        at_borders += steps[shared].tolist()
        elsewhere += steps[~shared].tolist()
        edges.append(
            [0, *((a + tile + b) // 2 for a, b in itertools.pairwise(starts)), error.shape[axis]]
        )
    means = np.asarray(
        [
            [
                error[top:bottom, left:right].mean(axis=(0, 1))
                for left, right in itertools.pairwise(edges[1])
            ]
            for top, bottom in itertools.pairwise(edges[0])
        ]
    )
    tone = max(np.abs(np.diff(means, axis=axis)).max(initial=0) for axis in (0, 1))
    return {
        "step at borders": max(at_borders),
        "step elsewhere": max(elsewhere),
        "tone": float(tone),
    }


def _psnr(edited: "np.ndarray", target: "np.ndarray") -> float:
    """In dB, of pictures in levels of 255."""
    import numpy as np

    return float(10 * np.log10(255**2 / np.mean((edited - target.astype(np.float64)) ** 2)))


if __name__ == "__main__":
    sys.exit(main())
