"""`python -m datasets`: build a data set without TensorFlow, or write the miniature folders."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from datasets.types import Choices, Request
from enhancer.system.errors import EnhancerError


def build(
    dataset: Annotated[Literal["fivek", "real_estate"], tyro.conf.Positional],
    data_dir: Path,
    request: Request,
    choices: Choices,
    manual_dir: Path | None = None,
    config: str | None = None,
    overwrite: bool = False,
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
        request: What to fetch, instead of --manual-dir.
        choices: What to do with doubtful pairs.
        manual_dir: Folder with the source photos; only read.
        config: Variant, such as c_512 (expert C, long edge 512 px); by default c_1024 or
            long_1536.
        overwrite: Build again although the data set exists.
        workers: Processes that prepare photos side by side; by default one for each CPU core.
        beam_pipeline_options: Prepare them in an Apache Beam pipeline instead, with these options,
            separated by commas, such as
            runner=DirectRunner,direct_num_workers=2,direct_running_mode=multi_processing.
    """
    if workers is not None and workers < 1:
        sys.exit(f"--workers must be at least 1, received {workers}.")
    if (manual_dir is not None) + request.download + (request.base_url is not None) != 1:
        sys.exit("Name one source: --manual-dir FOLDER, or for fivek --download or --base-url URL.")
    if manual_dir is not None and request != Request():
        sys.exit(
            "--names, --limit, --keep-originals and --connections go with --download or "
            "--base-url, not with --manual-dir."
        )
    # Imported late: it takes seconds, and `--help` should not.
    from datasets import build as datasets_build

    if manual_dir is not None:
        for line in datasets_build.look(dataset, manual_dir, config):
            print(line, flush=True)
    datasets_build.build(
        dataset,
        manual_dir,
        data_dir,
        config,
        overwrite,
        workers,
        choices,
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

    write(out, long_edge=size, fivek_pairs=fivek_pairs, experts=experts)
    print(f"wrote {out / 'fivek'} and {out / 'real_estate'}")


def samples(out: Annotated[Path, tyro.conf.Positional], size: int = 1080) -> None:
    """Render the demo's sample photos: unedited rooms that are in no data set.

    The repository's own are from `samples demo/samples`.

    Args:
        out: Folder for the JPEG files; created if missing.
        size: Long edge of the photos, in pixels.
    """
    from datasets.miniature import write_samples

    written = write_samples(out, long_edge=size)
    kilobytes = sum(path.stat().st_size for path in written) / 1e3
    print(f"wrote {', '.join(path.name for path in written)} to {out} ({kilobytes:.0f} KB)")


def main(arguments: list[str] | None = None) -> None:
    """Run a command line, by default the process' own; what goes wrong ends it with a sentence."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"build": build, "miniature": miniature, "samples": samples},
            prog="python -m datasets",
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes,),
        )
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
    main()
