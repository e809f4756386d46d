"""TFDS builder of real-estate photos: a home as the camera saw it and as it was published."""

import sys
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

# The stock `tfds build` imports this file by its folder, with a stand-in for `datasets`.
_ROOT = str(Path(__file__).resolve().parents[2])
if "datasets.pair_builder" not in sys.modules:
    sys.modules.pop("datasets", None)
sys.path.insert(0, _ROOT)
from datasets.pair_builder import PairBuilder, PairConfig  # noqa: E402
from datasets.preparation.preparation import Variant  # noqa: E402
from datasets.sources.survey import find_pairs  # noqa: E402
from datasets.types import SourcePair  # noqa: E402

sys.path.remove(_ROOT)


class RealEstateConfig(PairConfig):
    """How large the photos are stored."""

    def __init__(self, name: str, long_edge: int | None):
        """Set the longer side in pixels; None keeps the size of the source."""
        edge = f"{long_edge} px" if long_edge else "as in the source"
        variant = Variant("real_estate", "all pairs", long_edge, 0.1, 0.1)
        super().__init__(name, variant, description=f"Long edge {edge}.")


class Builder(PairBuilder):
    """Reads the source folders that README.md describes."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        # Square crops of 896 px from photos of 3:2 need a long edge of at least 1344.
        RealEstateConfig("long_1536", 1536),
        RealEstateConfig("full", None),
    ]

    def find_pairs(self, folder: Path) -> list[SourcePair]:
        """Read the pairs in whichever layout they have."""
        return find_pairs(folder)
