"""Edit transfers of what a trained network makes of real photos; the scores are explained in `benchmarks.transfer`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np

from benchmarks.transfer_methods import METHODS
from benchmarks.transfer_scores import mask_near_edges, psnr_db
from enhancer.inference.enhancer import Enhancer
from enhancer.photo.io import PhotoError, read_photo
from enhancer.system.compiler import compiler_options

_LOCAL_SIGMA = 24
_CROP_SIDE = 384
_CAPTION_ROW = 18
_MULTIPLE = 8  # the network halves its input three times


def score_network(
    workdir: Path,
    photos: Path,
    methods: Sequence[str],
    small_side: int,
    factor: int,
    crops: Path | None,
) -> Iterator[dict[str, Any]]:
    """Yield the scores of each method on each readable photo of the folder."""
    model = Enhancer.load(workdir).model

    @jax.jit
    def forward(trainable, non_trainable, x):
        return model.stateless_call(trainable, non_trainable, x)[0].astype("float32")

    def predict(picture: np.ndarray) -> np.ndarray:
        weights = [
            [variable.value for variable in group]
            for group in (model.trainable_variables, model.non_trainable_variables)
        ]
        x = picture[None].astype(np.float32) / 255
        return np.asarray(
            forward.lower(*weights, x).compile(compiler_options=compiler_options())(*weights, x)
        )[0]

    for path in sorted(path for path in photos.iterdir() if path.is_file()):
        try:
            photo = read_photo(path).pixels
        except PhotoError as error:
            print(f"{path.name}: {error}")
            continue
        scale = small_side / min(photo.shape[:2])
        if scale * factor > 1:
            print(
                f"{path.name}: its short side is less than {small_side * factor} pixels, left out"
            )
            continue
        width, height = (_MULTIPLE * round(side * scale / _MULTIPLE) for side in photo.shape[1::-1])
        large = cv2.resize(photo, (width * factor, height * factor), interpolation=cv2.INTER_AREA)
        low_input = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        reference = np.clip(predict(large), 0, 1)
        reduced_edit = cv2.resize(reference, (width, height), interpolation=cv2.INTER_AREA)
        small_edit = predict(low_input)
        truth, near_edges = np.rint(reference * 65535).astype(np.uint16), mask_near_edges(large)
        guide = low_input.astype(np.float32) / 255
        results = {}
        for method in methods:
            result = results[method] = METHODS[method](large, guide, small_edit)
            local, local_edges = _local_psnr_db(result, reference, near_edges)
            reduced, reduced_edges = psnr_db(
                METHODS[method](large, guide, reduced_edit), truth, near_edges
            )
            back = (
                cv2.resize(result, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
                / 255
            )
            yield {
                "photo": path.name,
                "method": method,
                "small edit dB": local,
                "small, edges": local_edges,
                "reduced edit dB": reduced,
                "reduced, edges": reduced_edges,
                "kept dB": _psnr_db(np.square(back - np.clip(small_edit, 0, 1))),
            }
        if crops:
            crops.mkdir(parents=True, exist_ok=True)
            pictures = {"photo": large, "network, large": (truth >> 8).astype(np.uint8), **results}
            cv2.imwrite(str(crops / f"{path.stem}.png"), _side_by_side(large, pictures)[..., ::-1])


def _local_psnr_db(
    result: np.ndarray, reference: np.ndarray, near_edges: np.ndarray
) -> tuple[float, float]:
    error = result.astype(np.float32) / 255 - reference
    squared = np.square(error - cv2.GaussianBlur(error, (0, 0), _LOCAL_SIGMA))
    return _psnr_db(squared), _psnr_db(squared[near_edges])


def _psnr_db(squared_error: np.ndarray) -> float:
    return (
        float(-10 * np.log10(max(float(squared_error.mean()), 1e-12)))
        if squared_error.size
        else float("nan")
    )


def _side_by_side(photo: np.ndarray, pictures: dict[str, np.ndarray]) -> np.ndarray:
    """The square with most contrast of each picture, two rows of them, each with its name."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    side = min(_CROP_SIDE, *grey.shape)
    window = {"ksize": (side, side), "anchor": (0, 0), "borderType": cv2.BORDER_REPLICATE}
    spread = cv2.blur(np.square(grey), **window) - np.square(cv2.blur(grey, **window))
    spread = spread[: grey.shape[0] - side + 1, : grey.shape[1] - side + 1]
    top, left = np.unravel_index(int(spread.argmax()), spread.shape)
    tiles = []
    for name, picture in pictures.items():
        tile = np.full((side + _CAPTION_ROW, side, 3), 255, np.uint8)
        tile[_CAPTION_ROW:] = picture[top : top + side, left : left + side]
        tiles.append(
            cv2.putText(
                tile, name, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA
            )
        )
    if len(tiles) % 2:
        tiles.append(np.full_like(tiles[0], 255))
    half = len(tiles) // 2
    return np.vstack([np.hstack(tiles[:half]), np.hstack(tiles[half:])])
