"""Fetch files over HTTP from a server that may be slow, busy or failing, and never the same byte twice if it can be helped.

Proxies (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) and the system's certificates (or SSL_CERT_FILE) are used as usual.
"""

import dataclasses
import email.utils
import http.client
import random
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from datasets.partial_file import Checksum, PartialFile
from datasets.sources import SourceError
from datasets.traffic import Traffic

_USER_AGENT = "enhancer-datasets/1 (streams photo pairs; resumes; few connections)"
_BLOCK = 1 << 18
_PROGRESS = 1 << 20  # bytes that make a failed attempt worth more than nothing
_GONE = (404, 410)
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524)
_LONGEST_PAUSE_S = 3600.0


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long is waited for what."""

    max_attempts: int = 8
    """In a row that bring less than a megabyte each."""
    first_delay_s: float = 1.0
    """Before the second attempt; doubled each time, up to `longest_delay_s`, of which a random half is left out."""
    longest_delay_s: float = 60.0
    silence_s: float = 30.0
    """Without a byte, or with fewer than `slowest_bytes_per_s` on average, before the connection is given up."""
    slowest_bytes_per_s: float = 1000.0


class NotOnServer(Exception):
    """The server answers that it has no such file, or does not give it out."""


class NotFetched(Exception):
    """All attempts failed, with this file."""


class ServerUnreachable(SourceError):
    """Nothing can be fetched; the message names the host and says what to try."""


class Stopped(Exception):
    """Someone called `Downloader.stop`."""


class _Fault(Exception):
    """What ended an attempt, and another may cure."""

    def __init__(self, cause: str, *, detail: object = None, pause_s: float | None = None):
        super().__init__(f"{cause} ({detail})" if detail else cause)
        self.cause, self.pause_s = cause, pause_s


class Downloader:
    """Fetches from any number of threads, over a few connections at a time."""

    def __init__(self, connections: int = 4, patience: Patience | None = None) -> None:
        """Connect to nothing yet.

        Args:
            connections: at the same time, at most.
            patience: how long is waited for what.
        """
        self.traffic = Traffic()
        self._patience = patience or Patience()
        self._opener = urllib.request.build_opener()  # takes the proxies from the environment
        self._connections = threading.BoundedSemaphore(connections)
        self._stopped = threading.Event()
        self._paused_until = 0.0
        self._has_answered = False

    def stop(self) -> None:
        """Let every `fetch` end with `Stopped`; what was received is kept for the next run."""
        self._stopped.set()

    def fetch(self, url: str, path: Path) -> Checksum:
        """Fetch one file, or the part of it that is missing; it appears under its name when it is complete.

        Args:
            url: http or https.
            path: where to; a file that is there is replaced.

        Raises:
            NotOnServer: there is no such file (404, 410), or the server does not give it out (401, 403, ...).
            NotFetched: the attempts are used up.
            ServerUnreachable: its certificate is not trusted, or it has never answered.
            Stopped: see `stop`.
        """
        with PartialFile(path) as part:
            self._receive_all(url, part)
            self.traffic.completed()
            return part.finish()

    def _receive_all(self, url: str, part: PartialFile) -> None:
        failures, furthest, continued = 0, part.size, False
        while not part.is_complete:
            if part.size and not continued:
                self.traffic.resumed()
                continued = True
            try:
                with self._connections:
                    self._wait(self._paused_until - time.monotonic())
                    return self._receive(url, part)
            except _Fault as fault:
                self.traffic.retried(fault.cause)
                failures = failures + 1 if part.size < furthest + _PROGRESS else 1
                furthest = max(furthest, part.size)
                if failures >= self._patience.max_attempts:
                    raise self._give_up(url, fault, failures) from fault
                self._wait(self._delay_s(failures, fault.pause_s))

    def _receive(self, url: str, part: PartialFile) -> None:
        headers = {"User-Agent": _USER_AGENT}
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
            if part.validator:
                headers["If-Range"] = part.validator
        try:
            request = urllib.request.Request(url, headers=headers)
            response = self._opener.open(request, timeout=self._patience.silence_s)
        except urllib.error.HTTPError as error:
            with error:
                self._has_answered = True
                raise self._refusal(url, error, part) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(url, error) from error
        with response:
            self._has_answered = True
            # Hotel networks and proxies answer with their own page, and status 200.
            if response.headers.get_content_type() == "text/html":
                raise _Fault("web page instead of the file")
            _agree(response, part)
            self._read_body(response, part)

    def _read_body(self, response: http.client.HTTPResponse, part: PartialFile) -> None:
        since, at = time.monotonic(), part.size
        while not part.is_complete:
            missing = _BLOCK if part.length is None else min(_BLOCK, part.length - part.size)
            try:
                block = response.read1(missing)
            except TimeoutError as error:
                raise _Fault("server silent") from error
            except (OSError, http.client.HTTPException) as error:
                raise _Fault("connection dropped") from error
            if self._stopped.is_set():
                raise Stopped
            if not block:
                if part.length is None:
                    return
                raise _Fault("connection dropped")
            part.append(block)
            self.traffic.received(len(block))
            now = time.monotonic()
            if now - since >= self._patience.silence_s:
                if (part.size - at) / (now - since) < self._patience.slowest_bytes_per_s:
                    raise _Fault("server too slow")
                since, at = now, part.size

    def _refusal(self, url: str, error: urllib.error.HTTPError, part: PartialFile) -> Exception:
        """Turn an HTTP error into what `fetch` does about it."""
        if (
            error.code == 416
        ):  # the file ends where, or before, we wanted to go on: its length was not what was said
            part.discard()
            return _Fault("wrong length")
        if error.code in _GONE:
            return NotOnServer(f"{url} is not on the server ({error.code} {error.reason})")
        if error.code == 407:
            return _unreachable(
                url, "the proxy wants a user name and password: http://USER:PASSWORD@PROXY"
            )
        if error.code not in _TRY_AGAIN:
            return NotOnServer(f"the server refuses {url} ({error.code} {error.reason})")
        pause_s = _retry_after_s(error.headers.get("Retry-After"))
        if pause_s is not None:
            if pause_s > _LONGEST_PAUSE_S:
                host = urllib.parse.urlsplit(url).netloc
                return ServerUnreachable(
                    f"{host} asks to be left alone for {pause_s / 3600:.1f} hours ({error.code} {error.reason}). "
                    "Start the same command after that; it continues."
                )
            # All connections wait: the server does not mean this file only.
            self._paused_until = max(self._paused_until, time.monotonic() + pause_s)
        what = "busy" if error.code in (429, 503) else "error"
        return _Fault(f"server {what} ({error.code})", pause_s=pause_s)

    def _no_answer(self, url: str, error: Exception) -> Exception:
        """Tell what no attempt will cure from what another one may."""
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        host = urllib.parse.urlsplit(url).netloc
        if isinstance(reason, ssl.SSLCertVerificationError):
            return ServerUnreachable(
                f"The certificate of {host} is not trusted ({reason.verify_message}). Check the computer's clock; behind a "
                "proxy that opens TLS connections, name its certificates in the environment variable SSL_CERT_FILE."
            )
        if not self._has_answered and isinstance(reason, (socket.gaierror, ConnectionRefusedError)):
            return _unreachable(url, reason)
        if isinstance(reason, TimeoutError):
            return _Fault("server silent")
        if isinstance(reason, (ConnectionResetError, BrokenPipeError, http.client.HTTPException)):
            return _Fault("connection dropped")
        return _Fault("no connection", detail=reason)

    def _give_up(self, url: str, fault: _Fault, failures: int) -> Exception:
        if not self._has_answered:
            return _unreachable(url, fault)
        return NotFetched(
            f"{url} could not be fetched in {failures} attempts, the last one: {fault}"
        )

    def _delay_s(self, failures: int, pause_s: float | None) -> float:
        if pause_s is not None:
            return pause_s
        delay_s = min(
            self._patience.first_delay_s * 2 ** (failures - 1), self._patience.longest_delay_s
        )
        # So that connections which failed together do not come back together.
        return delay_s * random.uniform(0.5, 1.0)

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(max(0.0, seconds)):
            raise Stopped


def _agree(response: http.client.HTTPResponse, part: PartialFile) -> None:
    """Make the partial file ready for the bytes that this answer brings."""
    length = response.headers.get("Content-Length", "")
    if response.status != 206:
        # All of it: the first attempt, a server that knows no ranges, or a file that has changed.
        part.start(int(length) if _is_number(length) else None, _validator(response))
        return
    content_range = re.fullmatch(
        r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "")
    )
    begins_right = content_range is not None and int(content_range[1]) == part.size
    if not begins_right or (
        part.length is not None and content_range[2] not in ("*", str(part.length))
    ):
        part.discard()
        raise _Fault("wrong range")
    if part.validator and _validator(response) not in (None, part.validator):
        part.discard()
        raise _Fault("file changed on the server")


def _validator(response: http.client.HTTPResponse) -> str | None:
    etag = response.headers.get("ETag")
    # A weak one promises the same meaning, not the same bytes.
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdecimal()


def _retry_after_s(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date."""
    if value is None:
        return None
    if _is_number(value.strip()):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _unreachable(url: str, reason: object) -> ServerUnreachable:
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and urllib.request.proxy_bypass(parts.hostname or ""):
        proxy = None
    way = (
        f" through the proxy {urllib.parse.urlsplit(proxy).netloc.rpartition('@')[2]}"
        if proxy
        else ""
    )
    reason = getattr(reason, "strerror", None) or reason
    return ServerUnreachable(
        f"{parts.netloc} cannot be reached{way} ({reason}). Check the address and the connection, or open {parts.scheme}://"
        f"{parts.netloc}/ in a browser; where the network has a proxy, name it in the environment variable "
        f"{parts.scheme.upper()}_PROXY. The same command continues."
    )
