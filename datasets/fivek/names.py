"""Which photos are fetched: all of FiveK's catalogue, or those of a list."""

from pathlib import Path

from datasets.sources import SourceError


def choose_names(
    catalogue: dict[str, dict[str, str]], names_file: Path | None, limit: int | None
) -> list[str]:
    """Return full names such as "a0001-jmac_DSC1459", each once, in alphabetical order.

    Args:
        catalogue: FiveK's photos by full name and by number ("a0001"); values hold "name".
        names_file: a text file with a name or a number a line, with or without suffix; None takes all of the catalogue.
        limit: the first so many; None takes all.

    Raises:
        SourceError: the file cannot be read, is empty or has a line that is no name, or `limit` is below 2.
    """
    if limit is not None and limit < 2:
        raise SourceError(
            f"--limit {limit} leaves nothing to train or validate on. Name at least 2."
        )
    if names_file is None:
        names = {facts["name"] for facts in catalogue.values()}
    else:
        names = set(_read_names(names_file, catalogue))
    return sorted(names)[:limit]


def _read_names(path: Path, catalogue: dict[str, dict[str, str]]) -> list[str]:
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8. Save the list of names as UTF-8 text.") from error
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read ({error.strerror}). Name a text file with a name a line."
        ) from error
    names = []
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        if name.lower().endswith((".dng", ".tif")):
            name = name[:-4]
        if name.startswith(".") or any(
            character in '/\\\t:?*"<>|' or not character.isprintable() for character in name
        ):
            raise SourceError(
                f"{path}, line {number} is {line.strip()[:80]!r}. Expected a name such as a0001-jmac_DSC1459, or a0001."
            )
        names.append(catalogue[name]["name"] if name in catalogue else name)
    if not names:
        raise SourceError(
            f"{path} has no names. Expected one a line, such as a0001-jmac_DSC1459, or a0001."
        )
    return names
