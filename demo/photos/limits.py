"""What one visitor may ask of the server, and how much the server does at once."""

import dataclasses


class Refused(Exception):
    """What a visitor asked for is not done; the message is one sentence for the visitor."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds on a server that can be left running. The defaults fit a computer with 8 GB."""

    upload_megabytes: int = 200
    """Largest file that is taken, in units of 1,000,000 bytes; others are answered with 413."""
    disk_megabytes: int = 10_000
    """All uploads and results together. Results that were not used for longest go first; one
    visitor fills half of it at most."""
    uploads_per_visitor: int = 100
    """Uploads of one visitor that wait to be enhanced."""
    megapixels: int = 100
    """Largest photo that is worked on; others are refused, from the header where it can be read."""
    photos_per_batch: int = 50
    """Photos that one visitor may send at a time."""
    photos_at_once: int = 1
    """Photos that are worked on at the same time; one keeps a CPU or a GPU busy."""
    visitors: int = 32
    """Batches that are worked on in turn; further visitors are asked to try again later."""
    batches_per_visitor: int = 8
    """How many of those may be one visitor's."""
    decoder_megabytes: int = 4096
    """Address space of the process that decodes RAW, HEIC, TIFF and WebP files."""
    decoder_seconds: int = 60
    """Time that this process may take for one file."""
    keep_minutes: int = 60
    """How long photos and results are kept after the last use."""

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, received {value}.")
