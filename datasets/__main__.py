"""`python -m datasets`: build a data set without TensorFlow, or write the miniature folders."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import tyro

from enhancer.system.errors import EnhancerError


def build(
    dataset: Annotated[Literal["fivek", "real_estate"], tyro.conf.Positional],
    data_dir: Path,
    manual_dir: Path | None = None,
    download: bool = False,
    base_url: str | None = None,
    names: Path | None = None,
    limit: int | None = None,
    keep_originals: Path | None = None,
    connections: int | None = None,
    config: str | None = None,
    overwrite: bool = False,
    drop_outliers: bool = False,
    allow_near_duplicates: bool = False,
    workers: int | None = None,
    beam_pipeline_options: str | None = None,
) -> None:
    """Prepare source photos and write them as a TFDS data set (ArrayRecord).

    The photos come from a folder (--manual-dir), or FiveK's official files are fetched one by one
    and dropped as soon as they were used (--download, or --base-url for another server). Stopped at
    any moment, the same command continues.

    Args:
        dataset: Which one.
        data_dir: Where data sets are kept. This one goes to DATA_DIR/<dataset>/<config>/.
        manual_dir: Folder with the source photos; only read.
        download: Fetch FiveK from its own server (about 310 GB for all 5,000 photos; never more
            than 1 GB on the disk).
        base_url: Fetch FiveK from this server: img/dng/<name>.dng and img/tiff16_c/<name>.tif are
            below it.
        names: Fetch the photos of this list only: a text file with a name a line, such as
            a0001-jmac_DSC1459 or a0001.
        limit: Fetch the first so many photos only, for a trial.
        keep_originals: Keep what is fetched in this folder, which is then a --manual-dir of its
            own.
        connections: To the server at the same time, at most; by default 4.
        config: Variant, such as c_512 (expert C, long edge 512 px); by default c_1024 or
            long_1536.
        overwrite: Build again although the data set exists.
        drop_outliers: Leave out the pairs whose edit is unlike the others' instead of flagging
            them.
        allow_near_duplicates: Accept split lists in which one scene is in several splits.
        workers: Processes that prepare photos side by side; by default one for each CPU core.
        beam_pipeline_options: Prepare them in an Apache Beam pipeline instead, with these options,
            separated by commas, such as
            runner=DirectRunner,direct_num_workers=2,direct_running_mode=multi_processing.
    """
    if workers is not None and workers < 1:
        sys.exit(f"--workers must be at least 1, received {workers}.")
    if (manual_dir is not None) + download + (base_url is not None) != 1:
        sys.exit("Name one source: --manual-dir FOLDER, or for fivek --download or --base-url URL.")
    given = {"names": names, "limit": limit, "keep-originals": keep_originals}
    given |= {"connections": connections}
    unused = [option for option, value in given.items() if value is not None]
    if unused and manual_dir is not None:
        sys.exit(f"--{unused[0]} goes with --download or --base-url, not with --manual-dir.")
    # Imported late: it takes seconds, and `--help` should not.
    from datasets.build import build as build_dataset
    from datasets.fetch.request import Request
    from datasets.preparation.preparation import Choices

    with _in_a_sentence():
        request = Request(base_url, names, limit, keep_originals, connections or 4)
        build_dataset(
            dataset,
            manual_dir,
            data_dir,
            config,
            overwrite,
            workers,
            Choices(drop_outliers, allow_near_duplicates),
            request=None if manual_dir else request,
            beam_pipeline_options=beam_pipeline_options,
        )


def miniature(
    out: Annotated[Path, tyro.conf.Positional],
    size: int = 224,
    fivek_pairs: int = 40,
    experts: str = "c",
) -> None:
    """Write a small FiveK and a small real-estate set, rendered, in the layouts of the real ones.

    Args:
        out: Folder to create; gets fivek/ and real_estate/.
        size: Long edge of the photos, in pixels.
        fivek_pairs: Number of FiveK pairs; fivek/names.txt lists them, for --names of a build from
            a server.
        experts: Letters of the experts whose versions are written, such as abcde.
    """
    from datasets.miniature import write

    with _in_a_sentence():
        try:
            write(out, long_edge=size, fivek_pairs=fivek_pairs, experts=experts)
        except ValueError as error:
            raise EnhancerError(str(error)) from error
    print(f"wrote {out / 'fivek'} and {out / 'real_estate'}")


def samples(out: Annotated[Path, tyro.conf.Positional], size: int = 1080) -> None:
    """Render the demo's sample photos: unedited rooms that are in no data set.

    The repository's own are from `samples demo/samples`.

    Args:
        out: Folder for the JPEG files; created if missing.
        size: Long edge of the photos, in pixels.
    """
    from datasets.miniature import write_samples

    with _in_a_sentence():
        written = write_samples(out, long_edge=size)
    kilobytes = sum(path.stat().st_size for path in written) / 1e3
    print(f"wrote {', '.join(path.name for path in written)} to {out} ({kilobytes:.0f} KB)")


@contextmanager
def _in_a_sentence() -> Iterator[None]:
    """End the program with a sentence about what went wrong."""
    try:
        yield
    except EnhancerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        sys.exit(
            f"error: The operating system refused{where}: {error.strerror or error}. Check the "
            "path, its permissions and the free space."
        )
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command continues where it was.")


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {"build": build, "miniature": miniature, "samples": samples}, prog="python -m datasets"
    )
