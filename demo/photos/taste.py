"""How a visitor wants a photo; the network is not run again for that."""

from typing import NamedTuple


class Taste(NamedTuple):
    """Whole numbers, as the page's sliders have them."""

    strength: int = 100
    """Percent of the edit, 0 to 100; 0 is the photo as it was."""
    brightness: int = 0
    """Hundredths of a stop, -100 to 100."""
    warmth: int = 0
    """-100 to 100: bluer, or more yellow."""
    one_home: int = 0
    """1: the visitor's photos are of one home and have to match."""

    @property
    def name(self) -> str:
        """What files of this taste are called by."""
        numbers = "-".join(map(str, self[:-1])).replace("--", "-m")
        return f"{numbers}-home" if self.one_home else numbers
