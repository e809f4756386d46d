"""The folders that FiveK's photos are in: as it is downloaded, as its archive is extracted, as others have exported it."""

import dataclasses
from pathlib import Path

ARCHIVE = "fivek_dataset.tar"
_TOP, _RAW_PHOTOS = "fivek_dataset", "raw_photos"
_RENDERED = ("tiff16_inputAsShotZeroed", "input_tiff")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the two photos of each pair are, under the same name."""

    inputs: tuple[Path, ...]
    """Folders; no name is in two of them."""
    targets: Path


def find_layout(folder: Path, expert: str, *, rendered: bool = False) -> Layout | None:
    """Return the folders of the inputs and of one expert's targets, or None where one of the two is missing.

    Args:
        folder: the source folder, or the one above `fivek_dataset/`.
        expert: "a" to "e".
        rendered: take the inputs that somebody has developed from the RAW files, instead of these.
    """
    both_named = Layout((folder / "input",), folder / f"output_expert_{expert.upper()}")
    if rendered:
        layouts = [
            Layout((inputs,), targets)
            for inputs in _rendered(folder)
            for targets in _targets(folder, expert)
        ]
        layouts += [Layout((inputs,), both_named.targets) for inputs in _rendered(folder)]
    else:
        official = Layout((folder / "img" / "dng",), folder / "img" / f"tiff16_{expert.lower()}")
        extracted = _extracted(folder)
        layouts = [
            both_named,
            official,
            *(Layout(extracted, targets) for targets in _targets(folder, expert) if extracted),
        ]
    for layout in layouts:
        if layout.targets.is_dir() and all(inputs.is_dir() for inputs in layout.inputs):
            return layout
    return None


def find_targets(folder: Path, expert: str) -> Path | None:
    """Return the folder of an expert's TIFFs beside the archive or its extracted photos, or None."""
    return next((targets for targets in _targets(folder, expert) if targets.is_dir()), None)


def is_archived_photo(parts: tuple[str, ...]) -> bool:
    """Whether a file of the archive is a photo: `.../raw_photos/HQa1to700/photos/<name>.dng`.

    Args:
        parts: of its path.
    """
    if (
        len(parts) < 4
        or (parts[-4], parts[-2]) != (_RAW_PHOTOS, "photos")
        or not parts[-3].startswith("HQa")
    ):
        return False
    # Hidden files are what file managers leave.
    return parts[-1].lower().endswith(".dng") and not parts[-1].startswith(".")


def expected_layouts(expert: str, *, rendered: bool = False) -> str:
    """Say which folders are understood."""
    upper, targets = expert.upper(), f"tiff16_{expert.lower()}/"
    if rendered:
        names = " or ".join(f"{name}/" for name in _RENDERED)
        return f"Expected the folder {names} and {targets}, both there or in img/; or output_expert_{upper}/ as the second."
    return (
        f"Expected the folders input/ and output_expert_{upper}/ with files of the same name, or img/dng/ and img/{targets}, "
        f"or {ARCHIVE} or its raw_photos/ with {targets} or img/{targets} beside it, or lists train.jsonl and val.jsonl."
    )


def _tops(folder: Path) -> tuple[Path, Path]:
    """The archive is extracted to a folder of its own."""
    return folder, folder / _TOP


def _targets(folder: Path, expert: str) -> list[Path]:
    name = f"tiff16_{expert.lower()}"
    return [top / place / name for top in _tops(folder) for place in ("", "img")]


def _rendered(folder: Path) -> list[Path]:
    return [
        top / place / name for top in _tops(folder) for name in _RENDERED for place in ("img", "")
    ]


def _extracted(folder: Path) -> tuple[Path, ...]:
    for top in _tops(folder):
        if found := tuple(
            sorted(path for path in (top / _RAW_PHOTOS).glob("HQa*/photos") if path.is_dir())
        ):
            return found
    return ()
