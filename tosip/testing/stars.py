"""A frame of stars about which everything is known."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tosip.drivers.sky import Conditions, StarField, Telescope, Truth, expose, fits_bytes

SHAPE = (1024, 1024)
SATURATED = 65535


@dataclass(frozen=True)
class StarFrame:
    """`pixels` (rows, columns), what is true about them, and the keywords of a header."""

    pixels: NDArray[np.uint16]
    truth: Truth
    attributes: Mapping[str, bool | int | float | str]

    def fits(self) -> bytes:
        """Return the frame as a FITS file."""
        return fits_bytes(self.pixels, self.attributes)


def star_frame(conditions: Conditions = Conditions(), *, seed: int = 1) -> StarFrame:  # noqa: B008
    """Expose a field of about 300 stars; the same arguments give the same frame."""
    telescope = Telescope()
    pixels, truth = expose(StarField.random(SHAPE, seed), conditions, telescope, seed=seed)
    attributes: dict[str, bool | int | float | str] = {
        "DATE-OBS": "2026-01-01T00:00:00.000",
        "EXPTIME": 40.0,
        "CAMERA": 1,
        "FOCUSPOS": conditions.focus,
        "AMBTEMP": 10.0,
        "SEEING": conditions.seeing,
        "PIXSCALE": telescope.pixel_scale,
        "SATURATE": SATURATED,
    }
    return StarFrame(pixels, truth, attributes)
