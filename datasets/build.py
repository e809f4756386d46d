"""Build a data set as ArrayRecord files, and open a built one for random access."""

import contextlib
import importlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import absl.logging
import tensorflow_datasets as tfds

from datasets.pair_builder import PairBuilder
from datasets.sources import SourceError, Split

DatasetName = Literal["fivek", "real_estate"]


class DatasetNotBuilt(FileNotFoundError):
    """A data set that is not there yet; the message names the command that makes it."""


def build(
    name: DatasetName, manual_dir: Path | None, data_dir: Path, config: str | None = None, overwrite: bool = False
) -> None:
    """Prepare the source photos and write them as a TFDS data set; nothing to do when that has been done.

    Args:
        name: which data set.
        manual_dir: folder with the source photos, or one that was prepared earlier. None only checks that the data
            set is there. One that is gone (a disk that is no longer mounted) does when it was built from there.
        data_dir: the data set goes to `<data_dir>/<name>/<config>/`, intermediate files to `<data_dir>/prepared/`.
        config: one of the builder's configs, such as "c_1024"; None takes the first.
        overwrite: build again although it exists.

    Raises:
        SourceError: the source folder is missing, empty or of no known layout, not named although the data set is to
            be overwritten, or the config is unknown.
        SourceChanged: it exists, made from another source.
        PreparationError: no pair can be used, or one photo is in two splits.
        DatasetNotBuilt: `manual_dir` is None and the data set is not there.
    """
    with _quiet():
        builder = _builder(name, data_dir, config)
        exists = builder.is_prepared() and not overwrite
        if manual_dir is None and not exists and not overwrite:
            raise _not_built(builder, data_dir)
        mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS if overwrite else tfds.GenerateMode.REUSE_DATASET_IF_EXISTS
        builder.download_and_prepare(
            download_dir=str(data_dir / "downloads"),
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, download_mode=mode),
        )
    counts = ", ".join(f"{info.num_examples} {split}" for split, info in builder.info.splits.items())
    print(f"{'already built' if exists else 'built'}: {builder.info.full_name} ({counts}) in {builder.data_dir}")


def source(name: DatasetName, split: Split, data_dir: Path, config: str | None = None) -> Sequence[dict[str, Any]]:
    """Open a split of a built data set for random access.

    Returns:
        A sequence of records: `input` and `target` are JPEG `bytes`, `id` is `bytes`, `width` and `height` are in pixels.

    Raises:
        DatasetNotBuilt: it, or the split, is not there.
    """
    builder = _open(name, data_dir, config)
    if split not in builder.info.splits:
        raise DatasetNotBuilt(
            f"{builder.info.full_name} in {builder.data_dir} has no split '{split}'; it has "
            f"{', '.join(builder.info.splits)}. Add the split to the source and build it again with --overwrite."
        )
    skip = tfds.decode.SkipDecoding()
    return builder.as_data_source(split, decoders={"input": skip, "target": skip})


def fingerprint(name: DatasetName, data_dir: Path, config: str | None = None) -> str:
    """Return what tells this data set's photos from all others: the SHA-256 over its ids and pictures, hexadecimal.

    Raises:
        DatasetNotBuilt: it is not there.
    """
    return (_open(name, data_dir, config).info.metadata or {})["images_sha256"]


def _open(name: DatasetName, data_dir: Path, config: str | None) -> PairBuilder:
    """Return the builder of a data set that is there, or raise DatasetNotBuilt."""
    with _quiet():
        builder = _builder(name, data_dir, config)
    if not builder.is_prepared():
        raise _not_built(builder, data_dir)
    return builder


def _builder(name: DatasetName, data_dir: Path, config: str | None) -> PairBuilder:
    builder_class = importlib.import_module(f"datasets.{name}.{name}_dataset_builder").Builder
    names = [builder_config.name for builder_config in builder_class.BUILDER_CONFIGS]
    if config is not None and config not in names:
        raise SourceError(f"{name} has no config '{config}'. Choose one of {', '.join(names)}.")
    return builder_class(data_dir=str(data_dir), config=config or names[0], file_format="array_record")


def _not_built(builder: PairBuilder, data_dir: Path) -> DatasetNotBuilt:
    where = f"--data-dir {shlex.quote(str(data_dir))} --config {builder.builder_config.name}"
    return DatasetNotBuilt(
        f"{builder.info.full_name} is not built in {data_dir}. Build it with: python -m datasets build {builder.name} "
        f"--manual-dir FOLDER_WITH_THE_PHOTOS {where}"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide TFDS' own chatter: warnings about data sets that are not there yet, and bars for work that takes a second."""
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    tfds.disable_progress_bar()
    try:
        yield
    finally:
        tfds.enable_progress_bar()
        absl.logging.set_verbosity(verbosity)
