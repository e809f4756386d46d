"""TFDS builder of MIT-Adobe FiveK: input photo and one expert's retouched version."""

import csv
import functools
import re
import sys
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

# The stock `tfds build` imports this file by its folder, with a stand-in for another library's module as `datasets`.
_ROOT = str(Path(__file__).resolve().parents[2])
if "datasets.pair_builder" not in sys.modules:
    sys.modules.pop("datasets", None)
sys.path.insert(0, _ROOT)
from datasets import preparation, sources  # noqa: E402
from datasets.fivek.archived_photos import ArchivedPhotos, find_archive  # noqa: E402
from datasets.fivek.names import choose_names  # noqa: E402
from datasets.fivek.official_files import OfficialFiles  # noqa: E402
from datasets.fivek.published_splits import PUBLISHED_SPLITS, assign_published_split  # noqa: E402
from datasets.originals import Source  # noqa: E402
from datasets.pair_builder import PairBuilder  # noqa: E402

sys.path.remove(_ROOT)

_CATALOGUE = Path(__file__).with_name("catalogue.tsv")
_FACTS = ("name", "licence", "camera_make", "camera_model", "location", "time", "light", "subject")
_EXPERTS = "cabde"
_LONG_EDGES = {"1024": 1024, "512": 512, "full": None}


class FivekConfig(tfds.core.BuilderConfig):
    """Which expert's version is the target, how large the photos are stored, how they are split, and what the input is."""

    def __init__(
        self, *, expert: str, size: str, published_split: str = "", rendered: bool = False
    ):
        """Name the config after its values, such as `c_1024`, `c_512_upe` or `c_1024_rendered`.

        Args:
            expert: "a" to "e".
            size: the longer side in pixels, or "full".
            published_split: one of `PUBLISHED_SPLITS`; empty for 95 % to train on and 5 % to validate.
            rendered: the inputs are TIFFs that somebody has developed from the RAW files.
        """
        splits = (
            f"the published split {published_split}"
            if published_split
            else "95 % train, 5 % validation"
        )
        edge = f"{size} px" if size != "full" else "as in the source"
        inputs = ", inputs rendered by others" if rendered else ""
        super().__init__(
            name="_".join(
                filter(None, (expert, size, published_split, "rendered" if rendered else ""))
            ),
            description=f"Expert {expert.upper()}, long edge {edge}, {splits}{inputs}.",
        )
        self.rendered = rendered
        self.expert, self.long_edge, self.published_split = (
            expert,
            _LONG_EDGES[size],
            published_split,
        )


class Builder(PairBuilder):
    """Reads the source layouts that README.md describes."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    # The first one is the default.
    BUILDER_CONFIGS: ClassVar = [
        FivekConfig(expert=expert, size=size, published_split=published_split)
        for published_split in ("", *PUBLISHED_SPLITS)
        for expert in _EXPERTS
        for size in _LONG_EDGES
    ] + [
        FivekConfig(expert=expert, size=size, rendered=True)
        for expert in _EXPERTS
        for size in _LONG_EDGES
    ]

    def find_pairs(self, folder: Path) -> list[sources.SourcePair]:
        """Find the pairs of the config's expert, with the splits of its published split."""
        config = self.builder_config
        return self.with_published_split(
            sources.find_fivek_pairs(folder, config.expert, rendered=config.rendered)
        )

    def with_published_split(self, pairs: list[sources.SourcePair]) -> list[sources.SourcePair]:
        """Return the pairs in the config's published split; as they are where it names none."""
        name = self.builder_config.published_split
        return assign_published_split(pairs, name) if name else pairs

    def source_at(self, manual_dir: Path | None) -> Source | None:
        """Return the folder, the archive, or the official files where they were asked for."""
        config = self.builder_config
        scratch = self.prepared_dir.with_name(f"{self.prepared_dir.name}.originals")
        if self.request is not None:
            if config.rendered:
                raise sources.SourceError(
                    f"The server has no inputs for {config.name} that are known of. Name a folder with --manual-dir, or take "
                    "a config whose inputs are developed here, such as c_1024."
                )
            names = choose_names(_catalogue(), self.request.names, self.request.limit)
            official = OfficialFiles(self.request, config.expert, names, scratch)
            return self._source(official.folder, official)
        if manual_dir is None:
            return None
        archive = find_archive(manual_dir, config.expert)
        if archive is None or config.rendered:
            return super().source_at(archive.parent if archive else manual_dir)
        # One index for all configs.
        cache = self.prepared_dir.with_name(f"{archive.name}.index.json")
        return self._source(
            archive.parent, ArchivedPhotos(archive, manual_dir, config.expert, scratch, cache)
        )

    def _source(self, folder: Path, originals: ArchivedPhotos | OfficialFiles) -> Source:
        return Source(
            folder,
            lambda folder: self.with_published_split(originals.find_pairs(folder)),
            originals,
        )

    def preparation_options(self) -> preparation.Options:
        """Say what the config stores."""
        config = self.builder_config
        variant = f"expert {config.expert.upper()}" + (
            ", rendered input" if config.rendered else ""
        )
        return preparation.Options(
            "fivek", variant, config.long_edge, published_split=config.published_split
        )

    def extra_features(self) -> dict[str, tfds.features.FeatureConnector]:
        """Facts of FiveK's own catalogue, empty where it does not know the photo."""
        return {fact: tfds.features.Text() for fact in _FACTS}

    def extra_values(self, pair_id: str) -> dict[str, str]:
        """Look a photo up by its full name (`a0015-DSC_0081`) or its number (`a0015`)."""
        return _catalogue().get(pair_id) or dict.fromkeys(_FACTS, "")


@functools.cache
def _catalogue() -> dict[str, dict[str, str]]:
    """FiveK's photos by full name and by number."""
    catalogue = {}
    with open(_CATALOGUE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            facts = {fact: row[fact] for fact in _FACTS}
            catalogue[row["name"]] = facts
            if number := re.match(r"a\d{4}(?=-)", row["name"]):
                catalogue[number.group()] = facts
    return catalogue
