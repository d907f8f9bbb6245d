"""The frame in blocks of 4 x 4 pixels, where wide and faint light stands out of the noise.

`light_in_blocks` sums each block's pixels, takes the sky off and averages each block with the eight
around it. It goes through the frame by rows of cells of the sky, which stay in the processor's
cache; a cell is a whole number of blocks wide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tosip.stars.arrays import Flags, Image, Singles
from tosip.stars.sky import Sky

BLOCK = 4


def light_in_blocks(image: Image, sky: Sky) -> tuple[Singles, Flags]:
    """Return the smoothed light (counts) above the sky in blocks, and which stand out of it."""
    rows, columns = (size // BLOCK for size in image.shape)
    blocks = np.empty((rows, columns), dtype=np.float32)
    light, bright = np.empty_like(blocks), np.empty(blocks.shape, dtype=bool)
    across = sky.cells(np.zeros(1, dtype=np.intp), np.arange(columns) * BLOCK)[1]
    bands = [slice(band.start // BLOCK, band.stop // BLOCK) for band in sky.bands(rows * BLOCK)]
    for band, level in zip(bands, (sky.level * BLOCK**2).astype(np.float32)):
        pixels = image[band.start * BLOCK : band.stop * BLOCK, : columns * BLOCK]
        blocks[band] = block_sums(pixels) - level[across]
    if image.dtype.kind == "f":
        blocks[~np.isfinite(blocks)] = 0
    # Noise of a sum of 16 pixels is 4 sigma, of the mean of nine sums a third of that.
    for band, limit in zip(bands, (sky.noise * (5 * BLOCK / 3)).astype(np.float32)):
        light[band] = _smooth(blocks, band)
        np.greater(light[band], limit[across], out=bright[band])
    return light, bright


def block_sums(pixels: Image) -> Singles:
    """Return the sums of 4 x 4 pixels of a frame whose sides are multiples of 4."""
    columns = pixels.shape[1]
    if pixels.dtype == np.uint16 and pixels.flags.c_contiguous:
        pixels = _sums_of_pairs(pixels)
    elif pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2:
        pixels = pixels.astype(np.int32)
    else:
        pixels = pixels.astype(np.float32)
    tall = pixels[0::BLOCK].copy()
    for offset in range(1, BLOCK):
        tall += pixels[offset::BLOCK]
    across = tall.shape[1] // (columns // BLOCK)
    sums = tall[:, 0::across].astype(np.float32)
    for offset in range(1, across):
        sums += tall[:, offset::across]
    return sums


def _sums_of_pairs(pixels: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """Return the sums of two pixels side by side, read at once as one number of 32 bits."""
    pairs = pixels.view(np.uint32)
    sums = pairs & np.uint32(0xFFFF)
    sums += pairs >> np.uint32(16)
    return sums


def _smooth(blocks: Singles, band: slice) -> Singles:
    """Return the mean of each 3 x 3 blocks, less at the edges, in a band of rows."""
    tall = blocks[band].copy()
    above = blocks[max(0, band.start - 1) : band.stop - 1]
    below = blocks[band.start + 1 : band.stop + 1]
    tall[len(tall) - len(above) :] += above
    tall[: len(below)] += below
    wide = tall.copy()
    wide[:, 1:] += tall[:, :-1]
    wide[:, :-1] += tall[:, 1:]
    wide /= 9
    return wide
