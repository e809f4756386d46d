"""The programs that `benchmarks.preparation` times, each in a process of its own: `python -m benchmarks.preparation_programs NAME
SOURCE OUTPUT`. All make 512-pixel JPEG pairs of DNG and 16-bit ProPhoto TIFF files."""

import io
import sys
from pathlib import Path

LONG_EDGE = 512
NAMES = ("worker processes", "threads", "one process", "plain loop")


def plain_loop(source: Path, output: Path) -> None:
    """What one would write first: rawpy and Pillow, one file after another, nothing checked, nothing resumable."""
    import rawpy
    from PIL import Image, ImageCms

    srgb = ImageCms.createProfile("sRGB")
    output.mkdir()
    for path in sorted((source / "img" / "dng").iterdir()):
        with rawpy.imread(str(path)) as raw:
            developed = raw.postprocess(use_camera_wb=True, no_auto_bright=True, gamma=(2.4, 12.92))
        before = Image.fromarray(developed)
        with Image.open(
            source / "img" / "tiff16_c" / f"{path.stem}.tif"
        ) as tiff:  # Pillow keeps 8 of its 16 bits
            profile = ImageCms.ImageCmsProfile(io.BytesIO(tiff.info["icc_profile"]))
            after = ImageCms.profileToProfile(tiff, profile, srgb)
        for role, picture in (("input", before), ("target", after)):
            picture.thumbnail((LONG_EDGE, LONG_EDGE), Image.Resampling.BOX)
            picture.save(output / f"{path.stem}_{role}.jpg", quality=95, subsampling=0)


def ours(source: Path, output: Path, num_workers: int | None) -> None:
    """The preparation of this project, as `python -m datasets build` calls it."""
    from datasets.fivek.layouts import find_fivek_pairs
    from datasets.preparation.preparation import Variant, prepare
    from datasets.sources.pair_source import PairSource

    pairs = PairSource(source, lambda folder: find_fivek_pairs(folder, "c"))
    prepare(pairs, output, Variant("fivek", "expert C", LONG_EDGE), num_workers=num_workers)


def threads(source: Path, output: Path) -> None:
    """The work of our processes in as many threads of one process."""
    import concurrent.futures

    from datasets.fivek.layouts import find_fivek_pairs
    from datasets.preparation.pair_job import develop
    from datasets.workers.pool import WorkerPool, default_count

    (output / "images").mkdir(parents=True)
    here = WorkerPool(0)  # the threads do the work themselves
    with concurrent.futures.ThreadPoolExecutor(default_count()) as threads:
        jobs = [
            threads.submit(develop, here, pair, output, LONG_EDGE)
            for pair in find_fivek_pairs(source, "c")
        ]
        for job in jobs:
            job.result()


def main(name: str, source: Path, output: Path) -> None:
    match name:
        case "worker processes":
            ours(source, output, None)
        case "threads":
            threads(source, output)
        case "one process":
            ours(source, output, 0)
        case "plain loop":
            plain_loop(source, output)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
