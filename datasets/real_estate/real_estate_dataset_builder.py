"""TFDS builder of real-estate photos: a home as the camera saw it and as it was published."""

import sys
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

# The stock `tfds build` imports this file by its folder, with a stand-in for another library's module as `datasets`.
_ROOT = str(Path(__file__).resolve().parents[2])
if "datasets.pair_builder" not in sys.modules:
    sys.modules.pop("datasets", None)
sys.path.insert(0, _ROOT)
from datasets import bare_folder, preparation, sources  # noqa: E402
from datasets.pair_builder import PairBuilder  # noqa: E402

sys.path.remove(_ROOT)


class RealEstateConfig(tfds.core.BuilderConfig):
    """How large the photos are stored."""

    def __init__(self, *, name: str, long_edge: int | None):
        """Set the longer side in pixels; None keeps the size of the source."""
        super().__init__(
            name=name,
            description=f"Long edge {f'{long_edge} px' if long_edge else 'as in the source'}.",
        )
        self.long_edge = long_edge


class Builder(PairBuilder):
    """Reads the source folders that README.md describes."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        # Square crops of 896 px from photos of 3:2 need a long edge of at least 1344.
        RealEstateConfig(name="long_1536", long_edge=1536),
        RealEstateConfig(name="full", long_edge=None),
    ]

    def find_pairs(self, folder: Path) -> list[sources.SourcePair]:
        """Read the pairs of the split lists; without lists, those that the files' names show."""
        if folder.is_dir() and sources.find_lists(folder):
            return sources.find_listed_pairs(folder)
        return bare_folder.find_marked_pairs(folder)

    def preparation_options(self) -> preparation.Options:
        """Say what the config stores."""
        return preparation.Options(
            "real_estate",
            "all pairs",
            self.builder_config.long_edge,
            validation_share=0.1,
            test_share=0.1,
        )
