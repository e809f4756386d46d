"""Build a data set as ArrayRecord files, and open a built one for random access."""

import contextlib
import importlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import absl.logging
import grain
import tensorflow_datasets as tfds

from datasets.fivek.official_files import Request
from datasets.pair_builder import PairBuilder
from datasets.preparation import DEFAULT_CHOICES, Choices
from datasets.prepared_folder import PreparationError
from datasets.sources import SourceError, Split
from enhancer.system.errors import EnhancerError

DatasetName = Literal["fivek", "real_estate"]


class DatasetNotBuilt(EnhancerError, FileNotFoundError):
    """A data set that is not there yet; the message names the command that makes it."""


class DatasetDamaged(DatasetNotBuilt):
    """A built data set with a file that cannot be opened; the message names it and the command that makes it again."""


def build(
    name: DatasetName,
    manual_dir: Path | None,
    data_dir: Path,
    config: str | None = None,
    overwrite: bool = False,
    num_workers: int | None = None,
    choices: Choices = DEFAULT_CHOICES,
    *,
    request: Request | None = None,
    beam_pipeline_options: str | None = None,
) -> None:
    """Prepare the source photos and write them as a TFDS data set; nothing to do when that has been done.

    Args:
        name: which data set.
        manual_dir: folder with the source photos, or one that was prepared earlier, or FiveK's archive. None only checks
            that the data set is there. One that is gone (a disk that is no longer mounted) does when it was built from there.
        data_dir: the data set goes to `<data_dir>/<name>/<config>/`, intermediate files to `<data_dir>/prepared/`.
        config: one of the builder's configs, such as "c_1024"; None takes the first.
        overwrite: build again although it exists.
        num_workers: processes that prepare the photos, by default as many as there are CPU cores.
        choices: what to do with doubtful pairs.
        request: what to fetch from a server, instead of `manual_dir`; for "fivek" only.
        beam_pipeline_options: prepare them in an Apache Beam pipeline with these options, such as
            "runner=DirectRunner,direct_num_workers=2,direct_running_mode=multi_processing".

    Raises:
        SourceError: the source folder is missing, empty or of no known layout, not named although the data set is to
            be overwritten, or the config is unknown; or the server cannot be reached.
        SourceChanged: it exists, made from another source.
        PreparationError: no pair can be used, or one photo is in two splits.
        DatasetNotBuilt: `manual_dir` is None and the data set is not there.
        FolderLockError: another process is building it.
    """
    beam_options = _parse_beam_options(beam_pipeline_options)
    with _quiet():
        builder = _builder(name, data_dir, config)
        builder.num_workers, builder.choices, builder.request = num_workers, choices, request
        exists = builder.is_prepared() and not overwrite
        if manual_dir is None and request is None and not exists and not overwrite:
            raise _not_built(builder, data_dir)
        mode = (
            tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
            if overwrite
            else tfds.GenerateMode.REUSE_DATASET_IF_EXISTS
        )
        builder.download_and_prepare(
            download_dir=str(data_dir / "downloads"),
            download_config=tfds.download.DownloadConfig(
                manual_dir=manual_dir, download_mode=mode, beam_options=beam_options
            ),
        )
    counts = ", ".join(
        f"{info.num_examples} {split}" for split, info in builder.info.splits.items()
    )
    print(
        f"{'already built' if exists else 'built'}: {builder.info.full_name} ({counts}) in {builder.data_dir}"
    )


def source(
    name: DatasetName, split: Split, data_dir: Path, config: str | None = None
) -> Sequence[dict[str, Any]]:
    """Open a split of a built data set for random access.

    Returns:
        A sequence of records: `input` and `target` are JPEG `bytes`, `id` is `bytes`, `width` and `height` are in pixels.

    Raises:
        DatasetNotBuilt: it, or the split, is not there.
        DatasetDamaged: one of its files is cut off or gone. A damaged record in a whole file shows when it is read.
    """
    builder = _open(name, data_dir, config)
    if split not in builder.info.splits:
        raise DatasetNotBuilt(
            f"{builder.info.full_name} in {builder.data_dir} has no split '{split}'; it has "
            f"{', '.join(builder.info.splits)}. Add the split to the source and build it again with --overwrite."
        )
    _check_files(builder, split, data_dir)
    skip = tfds.decode.SkipDecoding()
    return builder.as_data_source(split, decoders={"input": skip, "target": skip})


def splits(name: DatasetName, data_dir: Path, config: str | None = None) -> list[Split]:
    """Return the splits that a built data set has.

    Raises:
        DatasetNotBuilt: it is not there.
    """
    return list(_open(name, data_dir, config).info.splits)


def fingerprint(name: DatasetName, data_dir: Path, config: str | None = None) -> str:
    """Return what tells this data set's photos from all others: the SHA-256 over its ids and pictures, hexadecimal.

    Raises:
        DatasetNotBuilt: it is not there.
    """
    return (_open(name, data_dir, config).info.metadata or {})["images_sha256"]


def _parse_beam_options(options: str | None) -> Any:
    """Read them as the stock `tfds build` does: Beam's flags without their dashes, separated by commas."""
    if options is None:
        return None
    try:
        from apache_beam.options.pipeline_options import PipelineOptions  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise PreparationError(
            "Apache Beam is not installed. Install the extra `tfds-cli`."
        ) from error
    return PipelineOptions(flags=[f"--{option}" for option in options.split(",")])


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
    return builder_class(
        data_dir=str(data_dir), config=config or names[0], file_format="array_record"
    )


def _check_files(builder: PairBuilder, split: Split, data_dir: Path) -> None:
    """Open each file once: what an ArrayRecord file holds stands at its end, so that a cut off one gives no record at all.

    TFDS opens them at the first read, which may be hours later, and then says neither which file it is nor what to do.
    """
    for path in builder.info.splits[split].filepaths:
        try:
            grain.sources.ArrayRecordDataSource(str(path))
        except RuntimeError as error:  # the only one that the reader knows
            raise DatasetDamaged(
                f"{path} cannot be read, it is cut off, damaged or gone ({error}). Build {builder.info.full_name} again with: "
                f"{_build_command(builder, data_dir)} --overwrite"
            ) from error


def _not_built(builder: PairBuilder, data_dir: Path) -> DatasetNotBuilt:
    command = _build_command(builder, data_dir)
    return DatasetNotBuilt(
        f"{builder.info.full_name} is not built in {data_dir}. Build it with: {command}"
    )


def _build_command(builder: PairBuilder, data_dir: Path) -> str:
    where = f"--data-dir {shlex.quote(str(data_dir))} --config {builder.builder_config.name}"
    return f"python -m datasets build {builder.name} --manual-dir FOLDER_WITH_THE_PHOTOS {where}"


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
