"""What a network did to a photo, small enough to keep, and to apply again at another strength without the network."""

import dataclasses

import numpy as np

from enhancer.inference.edit_transfer import transfer_edit


@dataclasses.dataclass(frozen=True)
class Edit:
    """A reduced photo before and after the network."""

    low_input: np.ndarray
    """What the network saw: uint8 or uint16 `(h, w, 3)`."""
    low_output: np.ndarray
    """What it answered: float32 `(h, w, 3)`, [0, 1], values a little outside included."""

    def apply(self, photo: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Return the edited photo.

        Args:
            photo: the photo that `low_input` was made of: uint8 or uint16 `(H, W, 3)`.
            strength: 0 gives the photo itself, 1 the whole edit.

        Returns:
            The same shape and dtype.
        """
        if not 0.0 <= strength <= 1.0:
            raise ValueError(f"strength must be between 0 and 1, received {strength}.")
        if self.low_input.shape != photo.shape:
            return transfer_edit(photo, self.low_input, self.low_output, strength=strength)
        # A photo that the network saw at its own size comes back as the network made it.
        top = np.float32(np.iinfo(photo.dtype).max)
        blended = np.clip(self.low_output, 0.0, 1.0) * top
        if strength < 1.0:
            blended = photo + np.float32(strength) * (blended - photo)
        return np.rint(blended).astype(photo.dtype)
