"""FiveK's official files, fetched pair by pair while other pairs are developed, and dropped as soon as they were used."""

import dataclasses
import shutil
import sys
import threading
import urllib.parse
from pathlib import Path
from typing import Any

import tqdm

from datasets.brought_originals import BroughtOriginals, Develop
from datasets.download import Downloader, NotFetched, NotOnServer, Patience, ServerUnreachable
from datasets.fivek.checksums import (
    FILE_NAME,
    ChecksumLog,
    file_url,
    read_checksums,
    write_checksums,
)
from datasets.partial_file import Checksum, checksum_of
from datasets.prepared_folder import NOT_FETCHED, NOT_ON_SERVER, Row
from datasets.sources import SourceError, SourcePair

BASE_URL = "https://data.csail.mit.edu/graphics/fivek/"
_IN_DEVELOPMENT = 4  # pairs on disk besides those on the connections
_FAILED_IN_A_ROW = 8
_MISSING_AT_FIRST = 20


@dataclasses.dataclass(frozen=True)
class Request:
    """What to fetch, and how."""

    base_url: str = BASE_URL
    """Of the official layout: `img/dng/<name>.dng` and `img/tiff16_<expert>/<name>.tif` are below it."""
    names: Path | None = None
    """Text file with the names of the photos; None takes all 5,000."""
    limit: int | None = None
    """Only the first so many."""
    keep_originals: Path | None = None
    """Folder to keep the originals in, in the official layout; None drops them."""
    connections: int = 4
    """At the same time, at most."""

    def __post_init__(self) -> None:
        """Refuse what cannot be fetched.

        Raises:
            SourceError: the address is none of http or https, or there are no connections.
        """
        if not _is_address(self.base_url):
            raise SourceError(
                f"{self.base_url!r} is no address of a server. Expected one such as {BASE_URL}"
            )
        if not 1 <= self.connections <= 16:
            raise SourceError(
                f"--connections {self.connections} is out of range. Name 1 to 16; 4 are polite."
            )


class OfficialFiles(BroughtOriginals):
    """The files of one expert on a server."""

    def __init__(
        self,
        request: Request,
        expert: str,
        names: list[str],
        scratch: Path,
        patience: Patience | None = None,
    ):
        """Fetch nothing yet.

        Args:
            request: what to fetch.
            expert: folder of the targets: "a" to "e", or another `tiff16_<expert>`.
            names: of the photos.
            scratch: folder for the originals where they are not kept; removed in the end.
            patience: how long is waited for what.
        """
        self._request, self._expert, self._names = request, expert, names
        self.folder = request.keep_originals or scratch
        """The originals are here while they are needed."""
        self.pairs_at_once = request.connections + _IN_DEVELOPMENT
        self._downloader = Downloader(request.connections, patience)
        self._log: ChecksumLog | None = None
        self._known: dict[str, Checksum] = {}
        self._lock = threading.Lock()
        self._failed_in_a_row = self._missing = self._arrived = 0

    def find_pairs(self, folder: Path) -> list[SourcePair]:
        """Return the pairs by name, whether or not the server has them."""
        img = folder / "img"
        return [
            SourcePair(
                name,
                img / "dng" / f"{name}.dng",
                img / f"tiff16_{self._expert}" / f"{name}.tif",
                None,
            )
            for name in self._names
        ]

    def source(self, folder: Path) -> str:
        """Return the address."""
        return self._request.base_url

    def arguments(self, folder: Path) -> list[str]:
        """Return the address, and the list or number of photos where not all are taken."""
        request = self._request
        optional = {
            "--names": request.names,
            "--limit": request.limit,
            "--keep-originals": request.keep_originals,
        }
        chosen = [(name, str(value)) for name, value in optional.items() if value is not None]
        return ["--base-url", request.base_url, *(word for option in chosen for word in option)]

    def is_gone(self, folder: Path) -> bool:
        """A server is asked when something is needed from it."""
        return False

    def describe(self, pairs: list[SourcePair], folder: Path) -> list[Any]:
        """Return the files by name: a mirror has the same ones."""
        return ["official files", *([pair.id, *self._paths(pair)] for pair in pairs)]

    def begin(self, pairs: list[SourcePair], output: Path) -> None:
        """Say what is going to happen, and take up what earlier runs left."""
        self._known = read_checksums(output / FILE_NAME)
        if self._request.keep_originals:
            self._log = ChecksumLog(self.folder / FILE_NAME, self._request.base_url)
            self._known |= self._log.known
            kept = f"kept in {self.folder}"
        else:
            self._drop_all_but(pairs)
            kept = f"dropped when used: never more than {self.pairs_at_once} pairs in {self.folder}"
        print(
            f"Fetching {len(pairs)} pairs from {self._request.base_url}; originals are {kept}",
            file=sys.stderr,
        )

    def prepare(self, pair: SourcePair, develop: Develop) -> Row:
        """Fetch a pair, develop it, and drop its originals unless they are kept.

        What cannot be used is fetched once more: it may have been damaged on the way.

        Raises:
            ServerUnreachable: nothing can be fetched (any more).
        """
        try:
            checksums = self._bring(pair)
            self._server_answered()  # before developing: that may outlast the failures of eight other photos
            row = develop(pair)
            if row["status"] == "rejected" and not self._is_known(checksums):
                again = self._bring(pair, anew=True)
                if again != checksums:
                    self._downloader.traffic.retried("damaged file")
                    checksums, row = again, develop(pair)
        except NotOnServer as error:
            return self._missing_row(pair, str(error))
        except NotFetched as error:
            return self._failed_row(pair, error)
        if self._log:
            for name, checksum in checksums.items():
                self._log.record(name, checksum)
        self._drop(pair)
        originals = {name: dataclasses.asdict(checksum) for name, checksum in checksums.items()}
        return {**row, "originals": originals}

    def status(self) -> str:
        """Return the rate and the retries so far."""
        report = self._downloader.traffic.report()
        retries = sum(report.retries.values())
        return f"{report.megabytes_per_s:.1f} MB/s" + (f", retries: {retries}" if retries else "")

    def stop(self) -> None:
        """Close the connections; halves of files stay for the next run."""
        self._downloader.stop()

    def finish(self, rows: list[Row], output: Path) -> dict[str, Any]:
        """Write the checksums, remove the scratch folder, and return what this run fetched."""
        checksums = {
            name: Checksum(**value)
            for row in rows
            for name, value in row.get("originals", {}).items()
        }
        write_checksums(output / FILE_NAME, self._request.base_url, checksums)
        if not self._request.keep_originals:
            shutil.rmtree(self.folder, ignore_errors=True)
        return {"transfer": dataclasses.asdict(self._downloader.traffic.report())}

    def report(self) -> str:
        """Say what this run fetched."""
        return str(self._downloader.traffic.report())

    def _paths(self, pair: SourcePair) -> dict[str, Path]:
        """Both files by their path in the official layout."""
        return {
            f"{path.parts[-3]}/{path.parts[-2]}/{path.name}": path
            for path in (pair.input, pair.target)
        }

    def _bring(self, pair: SourcePair, *, anew: bool = False) -> dict[str, Checksum]:
        return {
            name: self._bring_file(name, path, anew) for name, path in self._paths(pair).items()
        }

    def _bring_file(self, name: str, path: Path, anew: bool) -> Checksum:
        if path.is_file() and not anew:
            checksum = checksum_of(path)
            if checksum == self._known.get(name, checksum):
                return checksum
            _say(f"{path} is not the file that was fetched: fetching it again")
        url = file_url(self._request.base_url, name)
        checksum = self._downloader.fetch(url, path)
        if checksum == self._known.get(name, checksum):
            return checksum
        first, checksum = checksum, self._downloader.fetch(url, path)
        if checksum == self._known.get(name, checksum):
            self._downloader.traffic.retried("damaged file")
        elif checksum == first:
            _say(f"{url} has changed since it was first fetched: taking it as it is now")
        return checksum

    def _server_answered(self) -> None:
        with self._lock:
            self._failed_in_a_row, self._arrived = 0, self._arrived + 1

    def _is_known(self, checksums: dict[str, Checksum]) -> bool:
        return all(self._known.get(name) == checksum for name, checksum in checksums.items())

    def _missing_row(self, pair: SourcePair, reason: str) -> Row:
        self._drop(pair)
        with self._lock:
            self._missing += 1
            if self._missing >= _MISSING_AT_FIRST and not self._arrived:
                raise ServerUnreachable(
                    f"None of the first {self._missing} photos is there: {reason}. Check the address: below it are expected "
                    f"img/dng/<name>.dng and img/tiff16_{self._expert}/<name>.tif."
                )
        return _rejected(pair, NOT_ON_SERVER, reason)

    def _failed_row(self, pair: SourcePair, error: NotFetched) -> Row:
        with self._lock:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= _FAILED_IN_A_ROW:
                raise ServerUnreachable(
                    f"The last {self._failed_in_a_row} photos could not be fetched: {error}. The same command continues later."
                ) from error
        self._drop(pair)
        return _rejected(pair, NOT_FETCHED, str(error))

    def _drop(self, pair: SourcePair) -> None:
        if self._request.keep_originals:
            return
        for path in self._paths(pair).values():
            for suffix in ("", ".part", ".part.json"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)

    def _drop_all_but(self, pairs: list[SourcePair]) -> None:
        """Remove what a killed run left of pairs that are done."""
        wanted = {str(path) for pair in pairs for path in self._paths(pair).values()}
        for path in self.folder.glob("img/*/*"):
            if str(path).removesuffix(".json").removesuffix(".part") not in wanted:
                path.unlink()


def _is_address(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        has_port = parts.port is None or parts.port > 0  # or it raises
    except ValueError:
        return False
    is_text = url.isprintable() and " " not in url
    return parts.scheme in ("http", "https") and bool(parts.hostname) and has_port and is_text


def _rejected(pair: SourcePair, kind: str, reason: str) -> Row:
    return {
        "id": pair.id,
        "split": pair.split,
        "status": "rejected",
        "kind": kind,
        "reason": reason,
        "measured": None,
    }


def _say(sentence: str) -> None:
    tqdm.tqdm.write(sentence, file=sys.stderr)
