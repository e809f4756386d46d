"""The refusal of a pair, with what a photographer needs to judge it."""

from typing import Any


class PairRejected(Exception):
    """A pair that cannot be learned from."""

    def __init__(self, kind: str, reason: str, measured: Any = None):
        """Describe a refusal.

        Args:
            kind: one of a few short phrases, to count by.
            reason: what is wrong with this pair, in a sentence.
            measured: the value that decided, where there is one: a number, or numbers, as JSON has them.
        """
        super().__init__(reason)
        self.kind, self.reason, self.measured = kind, reason, measured
        self.thumbnails: dict[str, str] = {}
        """Of what could be decoded, by role: a small JPEG, base64."""
