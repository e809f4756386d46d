"""FiveK's official files, fetched while other pairs are developed, and dropped when used."""

import collections
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tqdm

from datasets.preparation.prepared_folder import NOT_FETCHED, NOT_ON_SERVER
from datasets.sources import checksums, download
from datasets.sources.checksums import Checksum
from datasets.sources.pair_source import Develop, PairSource
from datasets.types import PairRecord, Request, SourcePair

BASE_URL = "https://data.csail.mit.edu/graphics/fivek/"
_IN_DEVELOPMENT = 4  # pairs on disk besides those on the connections
_FAILED_IN_A_ROW = 8
_MISSING_AT_FIRST = 20


class OfficialFiles(PairSource):
    """The files of one expert on a server: `img/dng/<name>.dng` and `img/tiff16_<e>/<name>.tif`."""

    def __init__(
        self,
        request: Request,
        expert: str,
        names: list[str],
        scratch: Path,
        assign_splits: Callable[[list[SourcePair]], list[SourcePair]] = lambda pairs: pairs,
        patience: download.Patience | None = None,
    ):
        """Fetch nothing yet.

        Args:
            request, names, patience: what to fetch, which photos, and how long to wait for what.
            expert: of the targets, "a" to "e".
            scratch: folder for the originals where they are not kept; removed in the end.
            assign_splits: gives the pairs their splits.
        """
        super().__init__(request.keep_originals or scratch, self._pairs)
        self._request, self._names, self._assign_splits = request, names, assign_splits
        self._targets = f"tiff16_{expert}"
        self.name = request.base_url or BASE_URL
        self.arguments = request.arguments
        self.pairs_at_once = request.connections + _IN_DEVELOPMENT
        self._downloader = download.Downloader(request.connections, patience)
        self._known: dict[str, Checksum] = {}
        self._lock = threading.Lock()
        self._failures: collections.Counter[str] = collections.Counter()
        self._arrived = 0

    def is_gone(self) -> bool:
        """No: a server is asked when something is needed from it."""
        return False

    def describe(self, pairs: list[SourcePair]) -> list[Any]:
        """Return the files by name: a mirror has the same ones."""
        return ["official files", *([pair.id, *self._paths(pair)] for pair in pairs)]

    def begin(self, pairs: list[SourcePair], output: Path) -> None:
        """Say what is going to happen, and take up what earlier runs left."""
        self._known = checksums.read(output / checksums.FILE_NAME)
        if self._request.keep_originals:
            self._known |= checksums.read(self.folder / checksums.FILE_NAME)
            kept = f"kept in {self.folder}"
        else:
            wanted = {file for pair in pairs for file in self._files(pair)}
            for path in set(self.folder.glob("img/*/*")) - wanted:  # of pairs that are done
                path.unlink()
            kept = f"dropped when used: at most {self.pairs_at_once} pairs in {self.folder}"
        _say(f"Fetching {len(pairs)} pairs from {self.name}; originals are {kept}")

    def prepare(self, pair: SourcePair, develop: Develop) -> PairRecord:
        """Fetch a pair, develop it, and drop its originals unless they are kept.

        What cannot be used is fetched once more: it may have been damaged on the way.

        Raises:
            ServerUnreachable: nothing can be fetched (any more).
        """
        try:
            fetched = self._bring(pair)
            with self._lock:  # before developing: that may outlast the failures of eight others
                self._failures[NOT_FETCHED], self._arrived = 0, self._arrived + 1
            record = develop(pair)
            if record["status"] == "rejected" and not fetched.items() <= self._known.items():
                again = self._bring(pair, anew=True)
                if again != fetched:
                    self._downloader.count_retry("damaged file")
                    fetched, record = again, develop(pair)
        except download.NotOnServer as error:
            return self._refused(pair, NOT_ON_SERVER, error)
        except download.NotFetched as error:
            return self._refused(pair, NOT_FETCHED, error)
        self._drop(pair)
        originals = {name: checksum._asdict() for name, checksum in fetched.items()}
        return {**record, "originals": originals}

    def status(self) -> str:
        """Say what was fetched, at what rate, and the further attempts that it took."""
        report = self._downloader.report()
        causes = ", ".join(f"{count} {cause}" for cause, count in report["retries"].items())
        return (
            f"fetched {report['files']} files, {report['bytes'] / 1e6:.1f} MB, "
            f"{report['megabytes_per_s']} MB/s; {sum(report['retries'].values())} retries"
            + (f" ({causes})" if causes else "")
        )

    def stop(self) -> None:
        """Close the connections; halves of files stay for the next run."""
        self._downloader.stop()

    def finish(self, records: list[PairRecord], output: Path) -> dict[str, Any]:
        """Write the checksums, remove the scratch folder, and return what this run fetched."""
        originals = {
            name: Checksum(**value)
            for record in records
            for name, value in record.get("originals", {}).items()
        }
        checksums.write(output / checksums.FILE_NAME, self.name, originals)
        if self._request.keep_originals:
            known = self._known | originals
            checksums.write(self.folder / checksums.FILE_NAME, self.name, known)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        return {"transfer": self._downloader.report()}

    def _pairs(self, folder: Path) -> list[SourcePair]:
        dng, tif = folder / "img" / "dng", folder / "img" / self._targets
        pairs = [
            SourcePair(name, dng / f"{name}.dng", tif / f"{name}.tif", None) for name in self._names
        ]
        return self._assign_splits(pairs)

    def _paths(self, pair: SourcePair) -> dict[str, Path]:
        """Both files by their path on the server."""
        return {p.relative_to(self.folder).as_posix(): p for p in (pair.input, pair.target)}

    def _files(self, pair: SourcePair) -> list[Path]:
        """Both files, and what is there of them while they are being received."""
        paths = (pair.input, pair.target)
        return [file for path in paths for file in (path, *download.partial_paths(path))]

    def _bring(self, pair: SourcePair, *, anew: bool = False) -> dict[str, Checksum]:
        return {n: self._bring_file(n, path, anew) for n, path in self._paths(pair).items()}

    def _bring_file(self, name: str, path: Path, anew: bool) -> Checksum:
        if path.is_file() and not anew:
            checksum = checksums.of(path)
            if checksum == self._known.get(name, checksum):
                return checksum
            _say(f"{path} is not the file that was fetched: fetching it again")
        url = checksums.url(self.name, name)
        checksum = self._downloader.fetch(url, path)
        if checksum == self._known.get(name, checksum):
            return checksum
        first, checksum = checksum, self._downloader.fetch(url, path)
        if checksum == self._known.get(name):
            self._downloader.count_retry("damaged file")
        elif checksum == first:
            _say(f"{url} has changed since it was first fetched: taking it as it is now")
        return checksum

    def _refused(self, pair: SourcePair, kind: str, error: Exception) -> PairRecord:
        """Refuse one pair; end the run where it looks as if all of them were to be refused."""
        with self._lock:
            self._failures[kind] += 1
            failures = self._failures[kind]
            if kind == NOT_FETCHED and failures >= _FAILED_IN_A_ROW:
                raise download.ServerUnreachable(
                    f"The last {failures} photos could not be fetched: {error}. The same command "
                    "continues later."
                ) from error
            if kind == NOT_ON_SERVER and failures >= _MISSING_AT_FIRST and not self._arrived:
                raise download.ServerUnreachable(
                    f"None of the first {failures} photos is there: {error}. Check the address: "
                    f"below it are expected img/dng/<name>.dng and img/{self._targets}/<name>.tif."
                ) from error
        self._drop(pair)
        return pair.rejected(kind, str(error))

    def _drop(self, pair: SourcePair) -> None:
        if not self._request.keep_originals:
            for file in self._files(pair):
                file.unlink(missing_ok=True)


def _say(sentence: str) -> None:
    tqdm.tqdm.write(sentence, file=sys.stderr)
