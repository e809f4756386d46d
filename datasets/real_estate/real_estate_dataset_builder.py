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


class Builder(PairBuilder):
    """Reads the source folders that README.md describes."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        # Square crops of 896 px from photos of 3:2 need a long edge of at least 1344.
        PairConfig(
            name, description=text, variant=Variant("real_estate", "all pairs", edge, 0.1, 0.1)
        )
        for name, edge, text in (
            ("long_1536", 1536, "Long edge 1536 px."),
            ("full", None, "Long edge as in the source."),
        )
    ]

    def find_pairs(self, folder: Path) -> list[SourcePair]:
        """Read the pairs in whichever layout they have."""
        return find_pairs(folder)
