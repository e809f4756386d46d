"""The folders that FiveK's photos are in: downloaded, extracted from the archive, or exported."""

from pathlib import Path
from typing import NamedTuple

from datasets.sources.lists import find_split_lists
from datasets.sources.photo_files import check_folder, describe_content, photos_by_stem
from datasets.sources.survey import find_pairs
from datasets.types import SourceError, SourcePair

_RENDERED = ("tiff16_inputAsShotZeroed", "input_tiff")


class Layout(NamedTuple):
    """Where the two photos of each pair are, under the same name; no input's is in two folders."""

    inputs: tuple[Path, ...]
    targets: Path


def find_fivek_pairs(folder: Path, expert: str, *, rendered: bool = False) -> list[SourcePair]:
    """Find MIT-Adobe FiveK pairs, with the targets of an expert from "a" to "e", in one of the
    layouts of `find_layout`, in lists, or in `{train,test}/{input,target}/` as they circulate with
    other networks.

    With `rendered` the inputs are TIFFs that others have developed, and lists are not read. Pairs
    are in the order of their ids. A photo without its counterpart is included: the other file does
    not exist. SourceError: no known layout, or two files claim the same id.
    """
    check_folder(folder)
    layout = find_layout(folder, expert, rendered=rendered)
    if layout is None:
        sets = [*find_split_lists(folder), *folder.glob("[Tt]rain*/*/")]
        if sets and not rendered:
            return find_pairs(folder)
        raise SourceError(
            f"{folder} is not a FiveK folder for expert {expert.upper()}: it holds "
            f"{describe_content(folder)}. {_expected(expert, rendered)}"
        )
    inputs, targets = photos_by_stem(*layout.inputs), photos_by_stem(layout.targets)
    names = sorted(inputs.keys() | targets.keys())
    if not names:
        folders = " and ".join(map(str, (*layout.inputs, layout.targets)))
        raise SourceError(
            f"{folders} hold no photos. Expected files such as a0001.dng or a0001.jpg."
        )
    return [
        SourcePair(
            name,
            inputs.get(name, layout.inputs[0] / f"{name}.*"),
            targets.get(name, layout.targets / f"{name}.*"),
            None,
        )
        for name in names
    ]


def find_layout(folder: Path, expert: str, *, rendered: bool = False) -> Layout | None:
    """Return the folders of the inputs and of one expert's targets, or None where one is missing.

    The inputs are in `input/`, `img/dng/`, or the `raw_photos/HQa*/photos/` of the archive; with
    `rendered` in one of the folders of developed TIFFs.
    """
    tops = (folder, folder / "fivek_dataset")  # the archive is extracted to a folder of its own
    exported = folder / f"output_expert_{expert.upper()}"
    name = f"tiff16_{expert.lower()}"
    tiffs = [top / place / name for top in tops for place in ("", "img")]
    if rendered:
        inputs = [top / place / name for top in tops for name in _RENDERED for place in ("img", "")]
        layouts = [Layout((path,), targets) for path in inputs for targets in (*tiffs, exported)]
    else:
        archives = (tuple(sorted(top.glob("raw_photos/HQa*/photos/"))) for top in tops)
        extracted = next(filter(None, archives), ())
        layouts = [
            Layout((folder / "input",), exported),
            Layout((folder / "img" / "dng",), folder / "img" / name),
            *(Layout(extracted, targets) for targets in tiffs if extracted),
        ]
    for layout in layouts:
        if layout.targets.is_dir() and all(path.is_dir() for path in layout.inputs):
            return layout
    return None


def _expected(expert: str, rendered: bool) -> str:
    """Say which folders are understood."""
    upper, targets = expert.upper(), f"tiff16_{expert.lower()}/"
    if rendered:
        names = " or ".join(f"{name}/" for name in _RENDERED)
        return (
            f"Expected the folder {names} and {targets}, both there or in img/; or "
            f"output_expert_{upper}/ as the second."
        )
    return (
        f"Expected the folders input/ and output_expert_{upper}/ with files of the same name, or "
        f"img/dng/ and img/{targets}, or the archive's raw_photos/ with {targets} or img/{targets} "
        "beside it (extract fivek_dataset.tar with `tar xf`), or train/ and test/ with input/ and "
        "target/ in each, or lists train.jsonl and val.jsonl."
    )
