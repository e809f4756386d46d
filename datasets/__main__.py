"""`python -m datasets`: build a data set without TensorFlow, or write the miniature source folders."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from datasets.sources import SourceError


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
    verify: bool = False,
    beam_pipeline_options: str | None = None,
) -> None:
    """Prepare source photos and write them as a TFDS data set (ArrayRecord).

    The photos come from a folder (--manual-dir), or FiveK's official files are fetched one by one and dropped as soon as
    they were used (--download, or --base-url for another server). Stopped at any moment, the same command continues.

    Args:
        dataset: Which one.
        data_dir: Where data sets are kept. This one goes to DATA_DIR/<dataset>/<config>/.
        manual_dir: Folder with the source photos, or FiveK's fivek_dataset.tar; only read.
        download: Fetch FiveK from its own server (about 310 GB for all 5,000 photos; never more than 1 GB on the disk).
        base_url: Fetch FiveK from this server: img/dng/<name>.dng and img/tiff16_c/<name>.tif are below it.
        names: Fetch the photos of this list only: a text file with a name a line, such as a0001-jmac_DSC1459 or a0001.
        limit: Fetch the first so many photos only, for a trial.
        keep_originals: Keep what is fetched in this folder, which is then a --manual-dir of its own.
        connections: To the server at the same time, at most; by default 4.
        config: Variant, such as c_512 (expert C, long edge 512 px); by default c_1024 or long_1536.
        overwrite: Build again although the data set exists.
        drop_outliers: Leave out the pairs whose edit is unlike the others' instead of flagging them.
        allow_near_duplicates: Accept split lists in which one scene is in several splits.
        workers: Processes that prepare photos side by side; by default one for each CPU core.
        verify: First compare fivek_dataset.tar with fivek_dataset.tar.sha1 beside it.
        beam_pipeline_options: Prepare them in an Apache Beam pipeline instead, with these options, separated by commas,
            such as runner=DirectRunner,direct_num_workers=2,direct_running_mode=multi_processing.
    """
    if workers is not None and workers < 1:
        sys.exit(f"--workers must be at least 1, received {workers}.")
    # Imported late: it takes seconds, and `--help` should not.
    from datasets.build import build as build_dataset
    from datasets.fivek.archive_checksum import verify_archive
    from datasets.fivek.official_files import BASE_URL, Request
    from datasets.pair_builder import SourceChanged
    from datasets.preparation import Choices
    from datasets.prepared_folder import PreparationError
    from enhancer.system.files import FolderLockError

    if (manual_dir is not None) + download + (base_url is not None) != 1:
        sys.exit("Name one source: --manual-dir FOLDER, or for fivek --download or --base-url URL.")
    fetch_options = {
        "--names": names,
        "--limit": limit,
        "--keep-originals": keep_originals,
        "--connections": connections,
    }
    given = [option for option, value in fetch_options.items() if value is not None]
    if given and manual_dir is not None:
        sys.exit(
            f"{given[0]} goes with --download or --base-url; --manual-dir takes all photos of the folder."
        )
    choices = Choices(drop_outliers, allow_near_duplicates)
    if verify and (dataset != "fivek" or manual_dir is None):
        sys.exit(
            "--verify goes with fivek and --manual-dir: it compares fivek_dataset.tar with its SHA-1."
        )
    try:
        if verify:
            verify_archive(manual_dir)
        request = None
        if manual_dir is None:
            if dataset != "fivek":
                raise SourceError(f"{dataset} is on no server. Name its folder with --manual-dir.")
            request = Request(
                base_url or BASE_URL,
                names,
                limit,
                keep_originals,
                4 if connections is None else connections,
            )
        build_dataset(
            dataset,
            manual_dir,
            data_dir,
            config,
            overwrite,
            workers,
            choices,
            request=request,
            beam_pipeline_options=beam_pipeline_options,
        )
    except (SourceError, SourceChanged, PreparationError, FolderLockError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(_describe(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command continues where it was.")


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
        fivek_pairs: Number of FiveK pairs; fivek/names.txt lists them, for --names of a build from a server.
        experts: Letters of the experts whose versions are written, such as abcde.
    """
    from datasets.miniature import write

    try:
        write(out, long_edge=size, fivek_pairs=fivek_pairs, experts=experts)
    except ValueError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(_describe(error))
    print(f"wrote {out / 'fivek'} and {out / 'real_estate'}")


def samples(out: Annotated[Path, tyro.conf.Positional], size: int = 1080) -> None:
    """Render the demo's sample photos: unedited rooms that are in no data set. The repository's are from `samples demo/samples`.

    Args:
        out: Folder for the JPEG files; created if missing.
        size: Long edge of the photos, in pixels.
    """
    from datasets.miniature import write_samples

    try:
        written = write_samples(out, long_edge=size)
    except OSError as error:
        sys.exit(_describe(error))
    print(
        f"wrote {', '.join(path.name for path in written)} to {out} ({sum(p.stat().st_size for p in written) / 1e3:.0f} KB)"
    )


def _describe(error: OSError) -> str:
    """Say what the operating system refused: no folder, read-only, disk full, ..."""
    if error.strerror is None:
        return str(error)
    where = f" '{error.filename}'" if error.filename else ""
    return f"The operating system refused{where}: {error.strerror}. Check the path, its permissions and the free space."


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {"build": build, "miniature": miniature, "samples": samples}, prog="python -m datasets"
    )
