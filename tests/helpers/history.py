"""What a stage's history and that of its repetition have in common."""


def without_clock(rows: list[dict]) -> list[dict]:
    """The rows without what a clock says."""
    clock = ("images_per_second", "seconds")
    return [{key: value for key, value in row.items() if key not in clock} for row in rows]
