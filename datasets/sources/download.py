"""Fetch files over HTTP from a server that may be slow, busy or failing, no byte twice if possible.

Proxies (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) and certificates (SSL_CERT_FILE) are used as usual.
"""

import collections
import dataclasses
import email.utils
import os
import random
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from datasets.sources import checksums
from datasets.sources.checksums import Checksum
from datasets.types import SourceError
from enhancer.system.files import write_atomically

_HEADERS = {
    "User-Agent": "enhancer-datasets/1 (streams photo pairs; resumes; few connections)",
    "Accept-Encoding": "identity",
}
_WORTH_IT = 1 << 20  # bytes that make a failed attempt worth more than nothing
_TRY_AGAIN = {408, 425, 429, *range(500, 600)} - {501, 505}
_LONGEST_PAUSE_S = 3600.0


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long is waited for what."""

    max_attempts: int = 8
    """In a row that bring less than a megabyte each."""
    first_delay_s: float = 1.0
    """Before the second attempt; doubled each time, up to a minute, less a random half of it."""
    silence_s: float = 30.0
    """Without a byte, or slower than `slowest_bytes_per_s`, before the connection is given up."""
    slowest_bytes_per_s: float = 1000.0


class NotOnServer(Exception):
    """The server answers that it has no such file, or does not give it out."""


class NotFetched(Exception):
    """All attempts failed, with this file."""


class Stopped(Exception):
    """Someone called `Downloader.stop`."""


class ServerUnreachable(SourceError):
    """Nothing can be fetched; the message names the host and says what to try."""


class _Fault(Exception):
    """What ended an attempt, and another may cure."""


class Downloader:
    """Fetches from any number of threads, over a few connections at a time."""

    def __init__(self, connections: int = 4, patience: Patience | None = None) -> None:
        """Connect to nothing yet."""
        self._patience = patience or Patience()
        self._client = httpx.Client(
            headers=_HEADERS,
            timeout=self._patience.silence_s,
            follow_redirects=True,
            verify=ssl.create_default_context(),
        )
        self._connections = threading.BoundedSemaphore(connections)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._paused_until, self._has_answered = 0.0, False
        self._began = self._last = time.monotonic()
        self._files = self._bytes = 0
        self._retries: collections.Counter[str] = collections.Counter()

    def stop(self) -> None:
        """Let every `fetch` end with `Stopped`; what was received is kept for the next run."""
        self._stopped.set()

    def fetch(self, url: str, path: Path) -> Checksum:
        """Fetch a file, or the part that is missing; it gets its name, or replaces another file of
        that name, when it is complete.

        Raises:
            NotOnServer: it is not there (404, 410), or is not given out (401, 403, ...).
            NotFetched: the attempts are used up.
            ServerUnreachable: it has never answered, its certificate is not trusted, or it asks for
                more than an hour's pause.
            Stopped: see `stop`.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        part, tag = partial_paths(path)
        if not tag.exists():  # what is there may be of another file
            part.unlink(missing_ok=True)
        furthest, failures = _size(part), 0
        while True:
            try:
                with self._connections:
                    self._wait(self._paused_until - time.monotonic())
                    self._receive(url, part, tag)
                break
            except _Fault as fault:
                self.count_retry(str(fault))
                size = _size(part)
                failures = failures + 1 if size < furthest + _WORTH_IT else 1
                furthest = max(furthest, size)
                if failures >= self._patience.max_attempts:
                    if not self._has_answered:
                        raise _unreachable(url, fault) from fault
                    raise NotFetched(
                        f"{url} could not be fetched in {failures} attempts, the last one: {fault}"
                    ) from fault
                # Random, so that connections which failed together do not come back together.
                delay_s = min(self._patience.first_delay_s * 2 ** (failures - 1), 60.0)
                self._wait(delay_s * random.uniform(0.5, 1.0))
        checksum = checksums.of(part)
        os.replace(part, path)
        tag.unlink()
        self._files += 1
        return checksum

    def count_retry(self, cause: str) -> None:
        """Count a further attempt by what made it necessary."""
        with self._lock:
            self._retries[cause] += 1

    def report(self) -> dict[str, Any]:
        """Return what was fetched so far, and the further attempts that it took, as JSON."""
        with self._lock:
            seconds = self._last - self._began
            return {
                "files": self._files,
                "bytes": self._bytes,
                "megabytes_per_s": round(self._bytes / seconds / 1e6, 1) if seconds else 0.0,
                "retries": dict(self._retries.most_common()),
            }

    def _receive(self, url: str, part: Path, tag: Path) -> None:
        """Add what is missing to `part`; `tag` holds what the server called the file it is of."""
        size = _size(part)
        headers = {"Range": f"bytes={size}-", "If-Range": tag.read_text()} if size else {}
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                self._has_answered = True
                said, status = response.headers.get("Content-Range", ""), response.status_code
                if status == 416 and said == f"bytes */{size}":
                    return  # all of it was there
                if status == 416 or (status == 206 and not said.startswith(f"bytes {size}-")):
                    part.unlink()
                    raise _Fault("wrong range")
                self._refuse(url, response)
                if status != 206:  # all of it: the first attempt, or it has changed
                    write_atomically(tag, _validator(response).encode())
                    part.write_bytes(b"")
                self._read_body(response, part)
        except httpx.TimeoutException as error:
            raise _Fault("server silent") from error
        except (httpx.ConnectError, httpx.ProxyError) as error:
            if self._has_answered and "CERTIFICATE_VERIFY_FAILED" not in str(error):
                raise _Fault("no connection") from error
            raise _unreachable(url, error) from error
        except httpx.TransportError as error:
            raise _Fault("connection dropped") from error

    def _read_body(self, response: httpx.Response, part: Path) -> None:
        since, received = time.monotonic(), 0
        with open(part, "ab", buffering=0) as file:  # what was received survives a kill -9
            for block in response.iter_raw():
                file.write(block)
                received, now = received + len(block), time.monotonic()
                with self._lock:
                    self._bytes, self._last = self._bytes + len(block), now
                self._wait(0)
                if (seconds := now - since) >= self._patience.silence_s:
                    if received < seconds * self._patience.slowest_bytes_per_s:
                        raise _Fault("server too slow")
                    since, received = now, 0

    def _refuse(self, url: str, response: httpx.Response) -> None:
        """Raise what an answer without the file means."""
        status = response.status_code
        said = f"{status} {response.reason_phrase}"
        # Hotel networks and proxies answer with their own page, and status 200.
        if response.is_success and "text/html" in response.headers.get("Content-Type", ""):
            raise _Fault("web page instead of the file")
        if response.is_success:
            return
        if status not in _TRY_AGAIN:
            is_gone = status in (404, 410)
            what = f"{url} is not on the server" if is_gone else f"the server refuses {url}"
            raise NotOnServer(f"{what} ({said})")
        pause_s = _retry_after_s(response.headers.get("Retry-After", ""))
        if pause_s > _LONGEST_PAUSE_S:
            hours = f"it asks to be left alone for {pause_s / 3600:.1f} hours, {said}"
            raise _unreachable(url, hours)
        # All connections wait: the server does not mean this file only.
        self._paused_until = max(self._paused_until, time.monotonic() + pause_s)
        raise _Fault(f"server {'busy' if status in (429, 503) else 'error'} ({status})")

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(max(0.0, seconds)):
            raise Stopped


def partial_paths(path: Path) -> tuple[Path, Path]:
    """Where a file is while it is being received, and what the server called it then."""
    return path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.tag")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _validator(response: httpx.Response) -> str:
    """What tells whether the server's file is still the same; without one, a rest never fits."""
    etag = response.headers.get("ETag", "W/")
    if not etag.startswith("W/"):  # a weak one promises the same meaning, not the same bytes
        return etag
    return response.headers.get("Last-Modified", '"unknown"')


def _retry_after_s(value: str) -> float:
    """Return the seconds of a Retry-After header, which holds seconds or a date; 0 without."""
    try:
        if value.strip().isdecimal():
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def _unreachable(url: str, reason: object) -> ServerUnreachable:
    parts = httpx.URL(url)
    scheme, host = parts.scheme, parts.netloc.decode()
    return ServerUnreachable(
        f"{host} cannot be reached ({reason}). Check the address, the connection and the "
        f"computer's clock, or open {scheme}://{host}/ in a browser; where the network has a "
        f"proxy, name it in the variable {scheme.upper()}_PROXY, and its own certificates in "
        "SSL_CERT_FILE. The same command continues."
    )
