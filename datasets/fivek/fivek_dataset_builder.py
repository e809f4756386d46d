"""TFDS builder of MIT-Adobe FiveK: input photo and one expert's retouched version."""

import sys
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

# The stock `tfds build` imports this file by its folder, with a stand-in for `datasets`.
_ROOT = str(Path(__file__).resolve().parents[2])
if "datasets.pair_builder" not in sys.modules:
    sys.modules.pop("datasets", None)
sys.path.insert(0, _ROOT)
from datasets.fivek.layouts import find_fivek_pairs, find_layout  # noqa: E402
from datasets.fivek.official_files import OfficialFiles  # noqa: E402
from datasets.fivek.photo_names import FACTS, choose_names, read_catalogue  # noqa: E402
from datasets.fivek.published_splits import PUBLISHED_SPLITS, assign_published_split  # noqa: E402
from datasets.pair_builder import PairBuilder, PairConfig  # noqa: E402
from datasets.preparation.preparation import Variant  # noqa: E402
from datasets.sources.pair_source import PairSource  # noqa: E402
from datasets.types import SourceError, SourcePair  # noqa: E402

sys.path.remove(_ROOT)

_EXPERTS = "cabde"
_LONG_EDGES = {"1024": 1024, "512": 512, "full": None}


class FivekConfig(PairConfig):
    """Whose version is the target, how large photos are stored and split, and what the input is."""

    def __init__(self, expert: str, size: str, published_split: str = "", rendered: bool = False):
        """Name the config after its values, such as `c_1024`, `c_512_upe` or `c_1024_rendered`.

        Args:
            expert: "a" to "e".
            size: the longer side in pixels, or "full".
            published_split: one of `PUBLISHED_SPLITS`; empty for 95 % to train on, 5 % to validate.
            rendered: the inputs are TIFFs that somebody has developed from the RAW files.
        """
        names = filter(None, (expert, size, published_split, "rendered" if rendered else ""))
        variant = f"expert {expert.upper()}" + (", rendered input" if rendered else "")
        splits = f"the published split {published_split}" if published_split else "95 % train"
        super().__init__(
            "_".join(names),
            variant=Variant("fivek", variant, _LONG_EDGES[size], published_split=published_split),
            description=f"{variant}, long edge {size}, {splits}.",
        )
        self.expert, self.rendered = expert, rendered


class Builder(PairBuilder):
    """Reads the source layouts that README.md describes."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    # The first one is the default.
    BUILDER_CONFIGS: ClassVar = [
        FivekConfig(expert, size, published_split, rendered)
        for published_split, rendered in (
            *((name, False) for name in ("", *PUBLISHED_SPLITS)),
            ("", True),
        )
        for expert in _EXPERTS
        for size in _LONG_EDGES
    ]
    builder_config: FivekConfig
    facts = FACTS

    def find_pairs(self, folder: Path) -> list[SourcePair]:
        """Find the pairs of the config's expert, with the splits of its published split."""
        config = self.builder_config
        return self._split(find_fivek_pairs(folder, config.expert, rendered=config.rendered))

    def find_lists(self, folder: Path) -> list[Path]:
        """Return none where a layout of folders counts instead."""
        config = self.builder_config
        layout = find_layout(folder, config.expert, rendered=config.rendered)
        return [] if layout else super().find_lists(folder)

    def source_at(self, manual_dir: Path | None) -> PairSource | None:
        """Return the folder, or the official files where they were asked for."""
        if self.request is None:
            return super().source_at(manual_dir)
        config = self.builder_config
        if config.rendered:
            raise SourceError(
                f"The server is not known to have the inputs for {config.name}. Name a folder with "
                "--manual-dir, or take a config whose inputs are developed here, such as c_1024."
            )
        names = choose_names(self.request.names, self.request.limit)
        scratch = self.prepared_dir.with_name(f"{self.prepared_dir.name}.originals")
        return OfficialFiles(self.request, config.expert, names, scratch, self._split)

    def find_facts(self, pair_id: str) -> dict[str, str]:
        """Look a photo up in FiveK's own catalogue, by its full name (`a0015-DSC_0081`) or its
        number (`a0015`)."""
        return read_catalogue().get(pair_id) or dict.fromkeys(FACTS, "")

    def _split(self, pairs: list[SourcePair]) -> list[SourcePair]:
        name = self.builder_config.variant.published_split
        return assign_published_split(pairs, name) if name else pairs
