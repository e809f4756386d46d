"""What the TFDS builders of before/after pairs have in common: prepare the source folder once, then read it."""

import abc
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.writer import ExampleWriter
from tensorflow_datasets.proto import tf_example_pb2

from datasets import preparation, prepared_folder
from datasets.fivek.official_files import Request
from datasets.originals import Source
from datasets.sources import SPLITS, SourceError, SourcePair
from enhancer.system.errors import EnhancerError
from enhancer.system.lock import FolderLock

MANUAL_DOWNLOAD_INSTRUCTIONS = """
Name the folder with the source photos with --manual_dir (or --manual-dir of `python -m datasets build`).
The data set's README.md lists the layouts that are understood.
"""


class SourceChanged(EnhancerError, RuntimeError):
    """A data set that exists already, made from another source than the one now named."""


class _ReproducibleWriter(ExampleWriter):
    """Writes the same bytes for the same records on every run: protobuf orders a map's entries by a seed per process."""

    def write(self, path, examples: Iterable[tuple[Any, bytes]]):
        """Write one shard of serialised records."""
        return super().write(path, ((key, _reserialise(example)) for key, example in examples))


def _reserialise(example: bytes) -> bytes:
    return tf_example_pb2.Example.FromString(example).SerializeToString(deterministic=True)


def _do_nothing() -> None:
    pass


class PairBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of the builders; a subclass says where its pairs are and what each record carries besides them."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = MANUAL_DOWNLOAD_INSTRUCTIONS
    request: Request | None = None
    """What to fetch from a server instead of reading a folder, for the data sets that are on one."""

    num_workers: int | None = None
    """Processes that prepare the source, by default as many as there are CPU cores; see `preparation.prepare`."""
    choices: preparation.Choices = preparation.DEFAULT_CHOICES
    """What to do with doubtful pairs."""

    @abc.abstractmethod
    def find_pairs(self, folder: Path) -> list[SourcePair]:
        """Read the layout of a source folder."""

    def source_at(self, manual_dir: Path | None) -> Source | None:
        """Return what the pairs are taken from, or None when nothing was named."""
        return Source(manual_dir, self.find_pairs) if manual_dir else None

    @abc.abstractmethod
    def preparation_options(self) -> preparation.Options:
        """Say what the chosen config stores."""

    def extra_features(self) -> dict[str, tfds.features.FeatureConnector]:
        """Features besides the pictures, the id and the size."""
        return {}

    def extra_values(self, pair_id: str) -> dict[str, str]:
        """Values of the extra features for one pair."""
        return {}

    def download_and_prepare(
        self,
        *,
        download_dir=None,
        download_config: tfds.download.DownloadConfig | None = None,
        **options: Any,
    ) -> None:
        """Build as TFDS does, but never leave an existing data set standing in for another source.

        Raises:
            SourceError: the source folder is missing, empty or of no known layout.
            SourceChanged: the data set exists and was made from another source.
            PreparationError: no pair can be used, or one photo is in two splits.
            FolderLockError: another process is building it.
        """
        manual_dir = (
            Path(download_config.manual_dir)
            if download_config and download_config.manual_dir
            else None
        )
        overwrite = download_config is not None and download_config.download_mode.overwrite_dataset
        source = self.source_at(manual_dir)
        if self.is_prepared() and not overwrite:
            if source:
                self._check_same_source(source)
            return
        if source is None:
            raise SourceError(
                f"No source photos named for {self.name}. {MANUAL_DOWNLOAD_INSTRUCTIONS.strip()}"
            )
        if {"[", "]"} & set(str(self.data_path)):
            raise SourceError(
                f"A data set in {self.data_path} could not be read: TFDS takes [ and ] for patterns. Name another folder."
            )
        # The lock is a file already.
        prepared_folder.refuse_inside(source.folder, self.prepared_dir)
        with FolderLock(Path(self.data_path).parent):
            # Before TFDS deletes what it is going to overwrite: a source that gives nothing must not cost the old data.
            self._prepare_source(source, download_config.beam_options if download_config else None)
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

    def _prepare_source(self, source: Source, beam_options: Any) -> None:
        folder, metadata = source.folder, self._read_prepared(source.folder)
        if metadata is None:
            folder, options = self.prepared_dir, self.preparation_options()
            metadata = preparation.prepare(
                source.folder,
                source.find_pairs,
                folder,
                options,
                self.choices,
                refresh=True,
                num_workers=self.num_workers,
                originals=source.originals,
                beam_options=beam_options,
            )
        self._prepared, self._prepared_metadata = folder, metadata

    def _check_same_source(self, source: Source) -> None:
        recorded = self.info.metadata or {}
        if self.choices.drop_outliers and not recorded.get("drop_outliers"):
            raise SourceChanged(
                f"{self.info.full_name} in {self.data_dir} was built with its outliers. Add --overwrite to build it again "
                "without them, or name another --data-dir."
            )
        place = source.originals.source(source.folder.resolve())
        same_place = place == recorded.get("source")
        if same_place and source.originals.is_gone(source.folder):
            print(
                f"{source.folder} is no longer there: using {self.info.full_name} as it was built.",
                file=sys.stderr,
            )
            return
        if self._fingerprint(source) == recorded.get("source_fingerprint"):
            return
        what = "has changed since" if same_place else "is another source"
        build_again = [
            "python",
            "-m",
            "datasets",
            "build",
            self.name,
            *source.originals.arguments(source.folder),
        ]
        build_again += [
            "--data-dir",
            str(self._data_dir_root),
            "--config",
            self.builder_config.name,
            "--overwrite",
        ]
        raise SourceChanged(
            f"{self.info.full_name} in {self.data_dir} was built from {recorded.get('source')}, and {place} {what}. "
            f"Build it again with: {shlex.join(build_again)}, or name another --data-dir."
        )

    def _fingerprint(self, source: Source) -> str:
        prepared = self._read_prepared(source.folder)
        if prepared:
            return prepared["source_fingerprint"]
        folder, options = source.folder.resolve(), self.preparation_options()
        return preparation.source_fingerprint(
            source.find_pairs(folder), folder, options, source.originals
        )

    def _read_prepared(self, folder: Path) -> dict[str, Any] | None:
        """Return the metadata when `folder` was already prepared for this config, None when it is a source."""
        metadata = prepared_folder.read_metadata(folder)
        options = self.preparation_options()
        made = {key: metadata.get(key) for key in vars(options)} if metadata else vars(options)
        if made != vars(options):
            raise SourceError(
                f"{folder} was prepared as {made}, but {self.name}/{self.builder_config.name} needs {vars(options)}. "
                "Choose the config that fits, or name the folder with the original photos."
            )
        return metadata

    def _info(self) -> tfds.core.DatasetInfo:
        image = {"shape": (None, None, 3), "encoding_format": "jpeg"}
        features = {
            "input": tfds.features.Image(**image, doc="The photo before the edit, sRGB."),
            "target": tfds.features.Image(
                **image, doc="The photo after the edit, sRGB, same size."
            ),
            "id": tfds.features.Text(doc="Name of the pair in its source."),
            "width": tfds.features.Scalar(np.int32, doc="Pixels, of both photos."),
            "height": tfds.features.Scalar(np.int32, doc="Pixels, of both photos."),
        }
        info = self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features | self.extra_features()),
            supervised_keys=("input", "target"),
            metadata=tfds.core.MetadataDict(),
        )
        # It asks a server for what was built elsewhere, which there is not for these data sets, and on every
        # call leaves an empty folder among the system's temporary files.
        info.initialize_from_bucket = _do_nothing
        return info

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        recorded = ("source", "source_fingerprint", "images_sha256")
        self.info.metadata.update({key: self._prepared_metadata[key] for key in recorded})
        self.info.metadata["drop_outliers"] = self._prepared_metadata["choices"]["drop_outliers"]
        rows = {split: prepared_folder.read_rows(self._prepared, split) for split in SPLITS}
        return {
            split: self._generate_examples(self._prepared, rows[split])
            for split in SPLITS
            if rows[split]
        }

    def _generate_examples(
        self, folder: Path, rows: list[prepared_folder.Row]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in rows:
            pictures = {role: (folder / row[role]).read_bytes() for role in ("input", "target")}
            size = {"width": row["width"], "height": row["height"]}
            yield row["id"], {**pictures, "id": row["id"], **size, **self.extra_values(row["id"])}

    def _example_writer(self) -> ExampleWriter:
        return _ReproducibleWriter(file_format=self.info.file_format)

    def _log_download_bytes(self) -> None:
        """Print nothing: TFDS would announce a download of unknown size, and nothing is downloaded."""

    def _log_download_done(self) -> None:
        """Print nothing, for the same reason."""
