"""FiveK's photos: its catalogue, and which of them are fetched."""

import csv
import functools
import re
from pathlib import Path

from datasets.types import SourceError

FACTS = ("name", "licence", "camera_make", "camera_model", "location", "time", "light", "subject")
_EXPECTED = "Expected a name a line, such as a0001-jmac_DSC1459, or a0001."
_CATALOGUE = Path(__file__).with_name("catalogue.tsv")


@functools.cache
def read_catalogue() -> dict[str, dict[str, str]]:
    """Return FiveK's photos by full name ("a0015-DSC_0081") and by number ("a0015")."""
    catalogue = {}
    with open(_CATALOGUE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            facts = {fact: row[fact] for fact in FACTS}
            catalogue[row["name"]] = facts
            if number := re.match(r"a\d{4}(?=-)", row["name"]):
                catalogue[number.group()] = facts
    return catalogue


def choose_names(names_file: Path | None, limit: int | None) -> list[str]:
    """Return full names such as "a0001-jmac_DSC1459", each once, in alphabetical order: of a text
    file with a name or a number a line, with or without suffix, or of the whole catalogue; with a
    limit the first so many. SourceError: the file cannot be read, or a line is not a name."""
    catalogue = read_catalogue()
    if names_file is None:
        return sorted({facts["name"] for facts in catalogue.values()})[:limit]
    try:
        lines = names_file.read_bytes().decode("utf-8-sig").split("\n")
    except (UnicodeDecodeError, OSError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise SourceError(
            f"{names_file} cannot be read ({why}). Name a UTF-8 text file with a name a line."
        ) from error
    names = set()
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        name = re.sub(r"\.(dng|tif)$", "", line, flags=re.IGNORECASE)
        if name.startswith(".") or not name.isprintable() or set(name) & set('/\\:?*"<>|'):
            raise SourceError(f"{names_file}, line {number} is {line[:80]!r}. {_EXPECTED}")
        names.add(catalogue[name]["name"] if name in catalogue else name)
    if not names:
        raise SourceError(f"{names_file} has no names. {_EXPECTED}")
    return sorted(names)[:limit]
