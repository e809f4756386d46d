"""`python -m datasets`: build a data set without TensorFlow, or write the miniature source folders."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from datasets.sources import SourceError


def build(
    dataset: Annotated[Literal["fivek", "real_estate"], tyro.conf.Positional],
    manual_dir: Path,
    data_dir: Path,
    config: str | None = None,
    overwrite: bool = False,
    drop_outliers: bool = False,
    allow_near_duplicates: bool = False,
    workers: int | None = None,
    beam_pipeline_options: str | None = None,
) -> None:
    """Prepare a folder of source photos and write it as a TFDS data set (ArrayRecord).

    Stopped at any moment, the same command continues where it was.

    Args:
        dataset: Which one.
        manual_dir: Folder with the source photos; only read.
        data_dir: Where data sets are kept. This one goes to DATA_DIR/<dataset>/<config>/.
        config: Variant, such as c_512 (expert C, long edge 512 px); by default c_1024 or long_1536.
        overwrite: Build again although the data set exists.
        drop_outliers: Leave out the pairs whose edit is unlike the others' instead of flagging them.
        allow_near_duplicates: Accept split lists in which one scene is in several splits.
        workers: Processes that prepare photos side by side; by default one for each CPU core.
        beam_pipeline_options: Prepare them in an Apache Beam pipeline instead, with these options, separated by commas,
            such as runner=DirectRunner,direct_num_workers=2,direct_running_mode=multi_processing.
    """
    if workers is not None and workers < 1:
        sys.exit(f"--workers must be at least 1, received {workers}.")
    # Imported late: it takes seconds, and `--help` should not.
    from datasets.build import build as build_dataset
    from datasets.pair_builder import SourceChanged
    from datasets.preparation import Choices
    from datasets.prepared_folder import PreparationError

    choices = Choices(drop_outliers, allow_near_duplicates)
    try:
        build_dataset(dataset, manual_dir, data_dir, config, overwrite, workers, choices, beam_pipeline_options)
    except (SourceError, SourceChanged, PreparationError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(_describe(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command continues where it was.")


def miniature(out: Annotated[Path, tyro.conf.Positional], size: int = 224) -> None:
    """Write a small FiveK and a small real-estate set, rendered, in the layouts of the real ones.

    Args:
        out: Folder to create; gets fivek/ and real_estate/.
        size: Long edge of the photos, in pixels.
    """
    from datasets.miniature import write

    try:
        write(out, long_edge=size)
    except ValueError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(_describe(error))
    print(f"wrote {out / 'fivek'} and {out / 'real_estate'}")


def _describe(error: OSError) -> str:
    """Say what the operating system refused: no folder, read-only, disk full, ..."""
    if error.strerror is None:
        return str(error)
    where = f" '{error.filename}'" if error.filename else ""
    return f"The operating system refused{where}: {error.strerror}. Check the path, its permissions and the free space."


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"build": build, "miniature": miniature}, prog="python -m datasets")
