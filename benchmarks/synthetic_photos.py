"""Photos that cost what real ones cost: smooth areas, edges, and texture."""

import cv2
import numpy as np

_TEXTURE_SIDE = 512
_TEXTURE_STRENGTH = 6  # standard deviation, of 255
_QUALITY = 92


def render(height: int, width: int, seed: int) -> np.ndarray:
    """A scene of soft light and hard-edged objects, uint8 `(height, width, 3)`."""
    rng = np.random.default_rng(seed)
    light = rng.integers(40, 216, (6, 9, 3), dtype=np.uint8)
    photo = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(40):
        corner = rng.integers(0, (width, height))
        extent = rng.integers(8, (width // 4 + 9, height // 4 + 9))
        colour = rng.integers(0, 256, 3).tolist()
        cv2.rectangle(photo, corner.tolist(), (corner + extent).tolist(), colour, cv2.FILLED)
    # One tile repeated: noise for every pixel of a large photo would take a gigabyte on the way.
    noise = rng.normal(128, _TEXTURE_STRENGTH, (_TEXTURE_SIDE, _TEXTURE_SIDE, 3))
    tile = noise.clip(0, 255).astype(np.uint8)
    for top in range(0, height, _TEXTURE_SIDE):
        for left in range(0, width, _TEXTURE_SIDE):
            part = photo[top : top + _TEXTURE_SIDE, left : left + _TEXTURE_SIDE]
            part[:] = cv2.addWeighted(part, 1, tile[: part.shape[0], : part.shape[1]], 1, -128)
    return photo


def jpeg(photo: np.ndarray) -> bytes:
    """The photo as a camera would write it, 4:2:0."""
    written, content = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not written:
        raise RuntimeError("OpenCV cannot write JPEG.")
    return content.tobytes()


def pairs(number: int, height: int, width: int) -> list[dict[str, str | bytes]]:
    """A source for `enhancer.data.pairs`: each target is its input, brightened."""
    source = []
    for index in range(number):
        photo = render(height, width, seed=index)
        brighter = cv2.convertScaleAbs(photo, alpha=1.2, beta=10)
        source.append({"id": f"synthetic_{index}", "input": jpeg(photo), "target": jpeg(brighter)})
    return source
