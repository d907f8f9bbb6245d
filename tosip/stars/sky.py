"""Level and noise of the sky, in a coarse grid of cells, each seen through every seventh pixel.

Stars and donuts are brighter than the sky, so the level of a cell is the mean of its middle half,
which unlike a median does not jump by whole counts, and the noise comes from its darker side. A
cell that an extended object fills takes the sky of its neighbours.

The grid is for finding stars and judging their signal. What is measured of a star uses the sky of a
ring around it (`cutouts`), since one level for many stars would bias where the sky has a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tosip.stars.arrays import Floats, Image, Places

SMALLEST_SIDE = 64  # px; below this there is no room for a star and its sky
CELL = 16  # samples along a side of a cell


@dataclass(frozen=True)
class Sky:
    """Sky level and noise (counts) in square cells of `pitch` pixels."""

    level: Floats
    noise: Floats
    pitch: int

    def cells(self, y: Places, x: Places) -> tuple[Places, Places]:
        """Return the indices of the cells that hold the pixels; rests belong to the last cell."""
        rows, columns = self.level.shape
        return np.minimum(y // self.pitch, rows - 1), np.minimum(x // self.pitch, columns - 1)

    def bands(self, rows: int) -> list[slice]:
        """Cut a frame of so many rows into one band for each row of cells."""
        tops = [band * self.pitch for band in range(len(self.level))]
        return [slice(top, end) for top, end in zip(tops, [*tops[1:], rows])]


def sample_sky(image: Image) -> Sky | None:
    """Estimate level and noise by cells; None when the frame holds no numbers or only one.

    The step between samples is odd, so that colour filters and paired amplifiers are all seen.
    """
    step = min(7, (min(image.shape) // SMALLEST_SIDE) | 1)
    if min(image.shape) // step < CELL:
        step = 1
    samples = image[step // 2 :: step, step // 2 :: step].astype(np.float64)
    finite = np.isfinite(samples)
    if not finite.any():
        return None
    if not finite.all():
        samples[~finite] = np.median(samples[finite])
    level, noise = _by_cells(samples)
    floor = float(np.median(noise)) / 2 or _least_noise(image, float(np.median(level)))
    return Sky(level, np.maximum(noise, floor), step * CELL) if floor > 0 else None


def _by_cells(samples: Floats) -> tuple[Floats, Floats]:
    rows, columns = samples.shape[0] // CELL, samples.shape[1] // CELL
    cells = samples[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
    ranked = np.sort(cells.swapaxes(1, 2).reshape(rows, columns, CELL * CELL), axis=-1)
    level = ranked[..., 64:192].mean(axis=-1)
    # Of 256 normal samples those ranked 8 to 63 lie 1.131 sigma below the mean, on average.
    noise = (level - ranked[..., 8:64].mean(axis=-1)) / 1.131
    return (
        ndimage.median_filter(level, 3, mode="nearest"),
        ndimage.median_filter(noise, 3, mode="nearest"),
    )


def _least_noise(image: Image, level: float) -> float:
    """Return a noise for frames that show none: a little of the brightest pixel."""
    finite = image if image.dtype.kind in "iu" else image[np.isfinite(image)]
    return max(0.0, float(finite.max()) - level) * 1e-4
