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
from datasets.sources.pair_source import PairSource
from datasets.sources.survey import survey
from datasets.types import (
    DEFAULT_CHOICES,
    SPLITS,
    Choices,
    DatasetNotBuilt,
    PreparationError,
    Request,
    SourceError,
    Split,
)

DatasetName = Literal["fivek", "real_estate"]


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
    """Prepare the source photos and write them as a TFDS data set, unless that has been done.

    Args:
        name: which data set.
        manual_dir: folder with the source photos. None only checks that the data set is there.
            One that is gone (a disk that is no longer mounted) is enough when the data set was
            built from it.
        data_dir: the data set goes to `<data_dir>/<name>/<config>/`, intermediate files to
            `<data_dir>/prepared/`.
        config: one of the builder's configs, such as "c_1024"; None takes the first.
        overwrite: build again although it exists.
        num_workers, choices: as for `prepare`.
        request: what to fetch from a server, instead of `manual_dir`.
        beam_pipeline_options: prepare in an Apache Beam pipeline with these options, such as
            "runner=DirectRunner,direct_num_workers=2,direct_running_mode=multi_processing".

    Raises:
        SourceError: the source is missing, empty, of no known layout or cannot be reached; the
            data set exists, made from another source; or the config is unknown.
        PreparationError: no pair can be used, or one photo is in two splits.
        DatasetNotBuilt: `manual_dir` is None and the data set is not there.
        FolderLockError: another process is building it.
    """
    beam_options = _parse_beam_options(beam_pipeline_options)
    builder = _builder(name, data_dir, config)
    builder.num_workers, builder.choices, builder.request = num_workers, choices, request
    exists = builder.is_prepared() and not overwrite
    if manual_dir is None and request is None and not exists and not overwrite:
        raise _not_built(builder, data_dir)
    modes = tfds.GenerateMode
    mode = modes.REUSE_CACHE_IF_EXISTS if overwrite else modes.REUSE_DATASET_IF_EXISTS
    with _quiet():
        builder.download_and_prepare(
            download_dir=str(data_dir / "downloads"),
            download_config=tfds.download.DownloadConfig(
                manual_dir=manual_dir, download_mode=mode, beam_options=beam_options
            ),
        )
    counts = ", ".join(f"{info.num_examples} {key}" for key, info in builder.info.splits.items())
    done = "already built" if exists else "built"
    print(f"{done}: {builder.info.full_name} ({counts}) in {builder.data_dir}")


def look(name: DatasetName, folder: Path, config: str | None = None) -> list[str]:
    """Say in a few lines what pairs a source folder has, before anything of it is read for long.

    Nothing is said of a folder that is gone. SourceError: the folder has no known layout, or not
    one whole pair; or the config is unknown.
    """
    builder = _builder(name, folder, config)
    if PairSource(folder, builder.find_pairs).is_gone():
        return []
    return survey(folder, builder.find_pairs(folder), builder.find_lists(folder))


def source(
    name: DatasetName, split: Split, data_dir: Path, config: str | None = None
) -> Sequence[dict[str, Any]]:
    """Open a split of a built data set for random access: records whose `input` and `target` are
    JPEG `bytes`, whose `id` is `bytes`, and whose `width` and `height` are in pixels.

    Raises:
        DatasetNotBuilt: it, or the split, is not there, or one of its files is cut off or gone. A
            damaged record in a whole file shows when it is read.
    """
    import grain  # it imports JAX, which takes seconds, and to build needs neither

    builder = _open(name, data_dir, config)
    if split not in builder.info.splits:
        raise DatasetNotBuilt(
            f"{builder.info.full_name} in {builder.data_dir} has no split '{split}'; it has "
            f"{', '.join(builder.info.splits)}. Add the split to the source and build it again "
            "with --overwrite."
        )
    # What an ArrayRecord file holds stands at its end. TFDS opens them at the first read, which may
    # be hours later, and then says neither which file is cut off nor what to do.
    for path in builder.info.splits[split].filepaths:
        try:
            grain.sources.ArrayRecordDataSource(str(path))
        except RuntimeError as error:  # the only one that the reader knows
            raise DatasetNotBuilt(
                f"{path} cannot be read, it is cut off, damaged or gone ({error}). Build "
                f"{builder.info.full_name} again with: {_command(builder, data_dir)} --overwrite"
            ) from error
    skip = tfds.decode.SkipDecoding()
    decoders = {"input": skip, "target": skip}
    return builder.as_data_source(split, decoders=decoders)  # pyright: ignore[reportCallIssue]


def splits(name: DatasetName, data_dir: Path, config: str | None = None) -> list[Split]:
    """Return the splits that a built data set has, or raise DatasetNotBuilt."""
    built = _open(name, data_dir, config).info.splits
    return [split for split in SPLITS if split in built]


def fingerprint(name: DatasetName, data_dir: Path, config: str | None = None) -> str:
    """Return the SHA-256 over a data set's ids and pictures, or raise DatasetNotBuilt."""
    return (_open(name, data_dir, config).info.metadata or {})["images_sha256"]


def _parse_beam_options(options: str | None) -> Any:
    """Read Beam's flags as `tfds build` does: without their dashes, separated by commas."""
    if options is None:
        return None
    try:
        from apache_beam.options.pipeline_options import (  # pyright: ignore[reportMissingImports]
            PipelineOptions,
        )
    except ImportError as error:
        raise PreparationError(
            "Apache Beam is not installed. Install the extra `tfds-cli`."
        ) from error
    return PipelineOptions(flags=[f"--{option}" for option in options.split(",")])


def _open(name: DatasetName, data_dir: Path, config: str | None) -> PairBuilder:
    builder = _builder(name, data_dir, config)
    if not builder.is_prepared():
        raise _not_built(builder, data_dir)
    return builder


def _builder(name: DatasetName, data_dir: Path, config: str | None) -> PairBuilder:
    builder_class = importlib.import_module(f"datasets.{name}.{name}_dataset_builder").Builder
    names = [builder_config.name for builder_config in builder_class.BUILDER_CONFIGS]
    config = config or names[0]
    if config not in names:
        raise SourceError(f"{name} has no config '{config}'. Choose one of {', '.join(names)}.")
    with _quiet():
        return builder_class(data_dir=str(data_dir), config=config, file_format="array_record")


def _not_built(builder: PairBuilder, data_dir: Path) -> DatasetNotBuilt:
    name, command = builder.info.full_name, _command(builder, data_dir)
    return DatasetNotBuilt(f"{name} is not built in {data_dir}. Build it with: {command}")


def _command(builder: PairBuilder, data_dir: Path) -> str:
    where = f"--data-dir {shlex.quote(str(data_dir))} --config {builder.builder_config.name}"
    return f"python -m datasets build {builder.name} --manual-dir FOLDER_WITH_THE_PHOTOS {where}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide TFDS' own chatter: warnings of data sets not there yet, bars for a second's work."""
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(min(verbosity, absl.logging.ERROR))
    tfds.disable_progress_bar()
    try:
        yield
    finally:
        tfds.enable_progress_bar()
        absl.logging.set_verbosity(verbosity)
