"""What was fetched from a server and what went wrong on the way, counted across threads."""

import collections
import dataclasses
import threading
import time


@dataclasses.dataclass(frozen=True)
class TrafficReport:
    """The counts of one run."""

    files: int
    """Files that arrived complete."""
    bytes: int
    """Received, those of attempts that came to nothing included."""
    seconds: float
    """From the first to the last byte of the run."""
    resumed: int
    """Files of which an earlier attempt or run had left a part, and of which only the rest was asked for."""
    retries: dict[str, int]
    """Further attempts by what made them necessary, the most frequent first."""

    @property
    def megabytes_per_s(self) -> float:
        """Average rate, in millions of bytes."""
        return self.bytes / self.seconds / 1e6 if self.seconds else 0.0

    def __str__(self) -> str:
        """One line for people."""
        causes = ", ".join(f"{count} {cause}" for cause, count in self.retries.items())
        retries = f"{sum(self.retries.values())} retries ({causes})" if causes else "no retries"
        received = f"{self.files} files, {self.bytes / 1e6:.1f} MB, {self.megabytes_per_s:.1f} MB/s"
        return f"fetched {received}; {retries}; {self.resumed} resumed"


class Traffic:
    """Counts while files are being fetched."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._lock = threading.Lock()
        self._files = self._bytes = self._resumed = 0
        self._retries: collections.Counter[str] = collections.Counter()
        self._first = self._last = 0.0

    def received(self, num_bytes: int) -> None:
        """Count bytes that arrived."""
        with self._lock:
            self._last = time.monotonic()
            self._first = self._first or self._last
            self._bytes += num_bytes

    def completed(self) -> None:
        """Count a file."""
        with self._lock:
            self._files += 1

    def resumed(self) -> None:
        """Count a file that was continued in its middle."""
        with self._lock:
            self._resumed += 1

    def retried(self, cause: str) -> None:
        """Count a further attempt."""
        with self._lock:
            self._retries[cause] += 1

    def report(self) -> TrafficReport:
        """Return the counts so far."""
        with self._lock:
            seconds = round(self._last - self._first, 3)
            return TrafficReport(
                self._files, self._bytes, seconds, self._resumed, dict(self._retries.most_common())
            )
