"""What the TFDS builders of before/after pairs share: prepare the source once, then read it."""

import abc
import dataclasses
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.writer import ExampleWriter
from tensorflow_datasets.proto import tf_example_pb2

from datasets.preparation import prepared_folder
from datasets.preparation.preparation import Variant, prepare, source_fingerprint
from datasets.sources.lists import find_lists
from datasets.sources.pair_source import PairSource
from datasets.types import (
    DEFAULT_CHOICES,
    SPLITS,
    Choices,
    PairRecord,
    Request,
    SourceError,
    SourcePair,
)
from enhancer.system.files import lock_folder


@dataclasses.dataclass(eq=False, kw_only=True)
class PairConfig(tfds.core.BuilderConfig):
    """A config of a set of pairs: what `variant` of the source it holds."""

    variant: Variant


class _ReproducibleWriter(ExampleWriter):
    """Writes the same bytes on every run: protobuf orders a map by a seed of the process."""

    def write(self, path, examples: Iterable[tuple[Any, bytes]]):
        """Write one shard of serialised records."""
        record = tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]
        ordered = (
            (key, record.FromString(example).SerializeToString(deterministic=True))
            for key, example in examples
        )
        return super().write(path, ordered)


class PairBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of the builders; a subclass says where its pairs are, and what else a record carries."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Name the folder with the source photos with --manual_dir (--manual-dir of `python -m "
        "datasets build`). The data set's README.md lists the layouts that are understood."
    )
    builder_config: PairConfig
    request: Request | None = None
    """What to fetch instead of reading a folder, for the data sets that are on a server."""
    num_workers: int | None = None
    """Processes that prepare the source, by default as many as there are CPU cores."""
    choices: Choices = DEFAULT_CHOICES
    """What to do with doubtful pairs."""

    @abc.abstractmethod
    def find_pairs(self, folder: Path) -> list[SourcePair]:
        """Read the layout of a source folder."""

    def find_lists(self, folder: Path) -> list[Path]:
        """Return the lists of pairs in a source folder that `find_pairs` reads."""
        return list(find_lists(folder))

    def source_at(self, manual_dir: Path | None) -> PairSource | None:
        """Return what the pairs are taken from, or None when nothing was named."""
        if self.request is not None:
            raise SourceError(f"{self.name} is on no server. Name its folder with --manual-dir.")
        return PairSource(manual_dir, self.find_pairs) if manual_dir else None

    facts: ClassVar[tuple[str, ...]] = ()
    """Texts that a record carries besides the pictures, the id and the size."""

    def find_facts(self, pair_id: str) -> dict[str, str]:
        """The texts of one pair."""
        return {}

    def download_and_prepare(
        self,
        *,
        download_dir=None,
        download_config: tfds.download.DownloadConfig | None = None,
        **options: Any,
    ) -> None:
        """Build as TFDS does, but never let an existing data set stand in for another source.

        Raises what `datasets.build.build` raises.
        """
        config = download_config or tfds.download.DownloadConfig()
        source = self.source_at(Path(config.manual_dir) if config.manual_dir else None)
        if self.is_prepared() and not config.download_mode.overwrite_dataset:
            if source:
                self._check_same_source(source)
            return
        if source is None:
            raise SourceError(
                f"No source photos named for {self.name}. {self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        if {"[", "]"} & set(str(self.data_path)):
            raise SourceError(
                f"A data set in {self.data_path} could not be read: TFDS takes [ and ] for "
                "patterns. Name another folder."
            )
        # The lock is a file already.
        prepared_folder.refuse_inside(source.folder, self.prepared_dir)
        with lock_folder(Path(self.data_path).parent):
            # Before TFDS deletes what it is going to overwrite: a source that gives nothing must
            # not cost the old data.
            self._prepared_metadata = prepare(
                source,
                self.prepared_dir,
                self.builder_config.variant,
                self.choices,
                num_workers=self.num_workers,
                beam_options=config.beam_options,
            )
            # Left behind by a build that was killed.
            for leftover in Path(self.data_path).parent.glob("incomplete.*"):
                shutil.rmtree(leftover)
            super().download_and_prepare(
                download_dir=download_dir, download_config=download_config, **options
            )

    @property
    def prepared_dir(self) -> Path:
        """The folder of this config's prepared pairs."""
        return Path(self._data_dir_root) / "prepared" / f"{self.name}-{self.builder_config.name}"

    def _check_same_source(self, source: PairSource) -> None:
        recorded = self.info.metadata or {}
        place = f"{self.info.full_name} in {self.data_dir}"
        if self.choices.drop_outliers and not recorded.get("drop_outliers"):
            raise SourceError(
                f"{place} was built with its outliers. Add --overwrite to build it again without "
                "them, or name another --data-dir."
            )
        is_same_place = source.name == recorded.get("source")
        if is_same_place and source.is_gone():
            used = f"using {self.info.full_name} as it was built."
            print(f"{source.folder} is no longer there: {used}", file=sys.stderr)
            return
        found = source_fingerprint(source, source.find_pairs(), self.builder_config.variant)
        if found == recorded.get("source_fingerprint"):
            return
        what = "has changed since" if is_same_place else "is another source"
        command = ["python", "-m", "datasets", "build", self.name, *source.arguments]
        command += ["--data-dir", str(self._data_dir_root), "--config", self.builder_config.name]
        raise SourceError(
            f"{place} was built from {recorded.get('source')}, and {source.name} {what}. Build it "
            f"again with: {shlex.join([*command, '--overwrite'])}, or name another --data-dir."
        )

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")
        features = {"input": image, "target": image, "id": tfds.features.Text()}
        features |= {side: tfds.features.Scalar(np.int32) for side in ("width", "height")}
        features |= {fact: tfds.features.Text() for fact in self.facts}
        info = self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("input", "target"),
            metadata=tfds.core.MetadataDict(),
        )
        # It asks a server for what was built elsewhere, which there is not for these data sets, and
        # on every call leaves an empty folder among the system's temporary files.
        info.initialize_from_bucket = lambda: None
        return info

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        metadata, made = self.info.metadata, self._prepared_metadata
        assert metadata is not None  # see `_info`
        metadata.update({k: made[k] for k in ("source", "source_fingerprint", "images_sha256")})
        metadata["drop_outliers"] = made["choices"]["drop_outliers"]
        rows = {split: prepared_folder.read_rows(self.prepared_dir, split) for split in SPLITS}
        return {split: self._generate_examples(rows[split]) for split in SPLITS if rows[split]}

    def _generate_examples(self, rows: list[PairRecord]) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in rows:
            example = {key: row[key] for key in ("id", "width", "height")}
            for role in ("input", "target"):
                example[role] = (self.prepared_dir / row[role]).read_bytes()
            yield row["id"], example | self.find_facts(row["id"])

    def _example_writer(self) -> ExampleWriter:
        file_format = self.info.file_format
        assert file_format is not None  # `build` names it
        return _ReproducibleWriter(file_format)

    def _log_download_bytes(self) -> None:
        """Print nothing, and neither below: TFDS would announce a download, and there is none."""

    def _log_download_done(self) -> None: ...
