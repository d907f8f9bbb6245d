"""Focus from the stars of one frame: how wide they are, how round, and whether to believe it.

The sky's level and noise come from a coarse grid of cells, each seen through every seventh pixel.
Pixels that stand out of their cell's sky and above their neighbours are peaks. What is sharper than
optics can draw (cosmic rays, hot pixels), saturated, near something saturated, near a frame's edge
or near another peak is left out, and of the rest the brightest of each of 4 x 4 zones are measured,
so that a rich corner does not outvote the field. Each star is cut out, its sky is taken from a ring
around it (never one level for the frame: a gradient would bias), and its half-flux diameter (HFD)
and adaptive moments are measured. The aperture is the same for all stars of a frame, the first of
a ladder of sizes that is wide enough for the median star. Outliers in log HFD, such as galaxies and
blends, are clipped; the figures are medians.

Strong defocus breaks a star into many peaks that disqualify each other. When few stars were found,
a second look at sums of 4 x 4 pixels takes each connected patch of light as one star.

A width is published only when the outcome is good. Cloud removes stars and leaves artefacts that
make a width look better than it was, so too few stars give NaN. The exception is a frame taken of a
focus star: a star of very high signal to noise has a width of its own, and that is published with
a warning that says so.

All sums run in a fixed order: the same frame gives the same figures to the last bit. The pixel's
own width is part of the recorded image and is not taken out of the figures.

Needs NumPy and SciPy; never changes the frame, never holds a copy of it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from tosip import (
    Alarm,
    Algorithm,
    Inputs,
    Metadata,
    Outputs,
    Result,
    Severity,
    Status,
    output,
    param,
)

Image = NDArray[Any]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]

SMALLEST_SIDE = 64  # px; below this there is no room for a star and its sky
CELL = 16  # samples along a side of a sky cell
MOST_PIXELS = 10_000  # bright pixels looked at in a row of cells; bounds the time of a bad frame
MOST_PEAKS = 6_000
ZONES = 4  # along each side
# Aperture radius and the widest median HFD (px) that it serves: at least twice the HFD where
# seeing's wings count, less for donuts, which end sharply.
LADDER = ((10, 5.0), (16, 8.0), (24, 13.0), (36, 22.0), (56, 36.0), (80, 56.0), (120, 84.0))
DIRECT_RUNGS = 3  # beyond these, a star is broken into many peaks
CUT_PIXELS = 400_000  # pixels cut out in all
STARS_PER_ZONE = 16
SHARPEST = 0.15  # of the peak: the least mean of four neighbours that optics can give
FAINTEST = 0.02  # of the peak: the least mean of the faintest four of eight neighbours
NARROWEST = 0.3  # px: the least minor-axis sigma
LEAST_SNR = 20.0
NEIGHBOUR = 0.05  # of a star's height: a peak this high is too close inside the aperture
MOST_ELONGATED = 0.5
FEWEST_TRAILS = 5
WIDEST_SCATTER = 0.3  # of log HFD; real stars of one frame agree far better
BLOCK = 4
COMPACT = 3.0  # px: patches of a smaller radius must have a star's sharp peak
ROUNDS = 6
LEAST_WEIGHT = 0.5  # px^2
STEP = 0.1  # px, of the growth curve
SUBPIXELS = 5
PIXEL_VARIANCE = 1 / 12  # px^2, of a square pixel along any direction
FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
SCALE_KEYWORDS = ("PIXSCALE", "PIXSCAL1", "SECPIX", "SECPIX1", "SCALE")


class Outcome(str, enum.Enum):
    """What a frame is good for."""

    GOOD = "good"
    FEW_STARS = "few stars"
    NO_STARS = "no stars"
    SATURATED = "saturated"
    TRAILED = "trailed"
    UNUSABLE = "unusable"


class Params(Inputs):
    """What operators set."""

    threshold: float = param(
        "Peak of a star above the sky",
        default=8.0,
        units="sigma",
        precision=1,
        limits=(3.0, 1000.0),
    )
    minimum_stars: int = param(
        "Stars that make a frame good\nWith fewer, no width is published, except a focus star's.",
        default=15,
        limits=(1, 300),
    )
    focus_star_snr: float = param(
        "Signal to noise of a focus star\n"
        "Where there are too few stars, those as bright as this are believed alone; 0: none are.",
        default=200.0,
        precision=0,
        limits=(0.0, 1e6),
    )
    saturation: float = param(
        "Level at which pixels saturate\n0: from the header's SATURATE, else from flat tops.",
        default=0.0,
        units="counts",
        precision=0,
        limits=(0.0, 1e9),
    )
    pixel_scale: float = param(
        "Pixel scale if the header has none\nThe header's PIXSCALE, SECPIX, CDELT1 or CD matrix,"
        " or XPIXSZ with FOCALLEN, come first.",
        default=1.47,
        units="arcsec/px",
        limits=(0.001, 1000.0),
    )
    largest_aperture: float = param(
        "Largest aperture radius\nStars too wide for it make the frame unusable.",
        default=80.0,
        units="px",
        precision=0,
        limits=(10.0, 120.0),
    )


class Figures(Outputs):
    """What operators read; the float figures are NaN unless the outcome is good."""

    hfd: float = output(
        "Half-flux diameter\nOf the circle that holds half of a star's light; median of the stars."
        " The alarm limits suit 1.47 arcsec pixels and seeing up to 2 arcsec: set your site's.",
        units="arcsec",
        precision=2,
        limits=(0.0, 15.0),
        alarm=Alarm(high=4.5, hihi=6.0, hysteresis=0.1),
        default=math.nan,
    )
    hfd_pixels: float = output(
        "Half-flux diameter in pixels",
        units="px",
        precision=2,
        limits=(0.0, 15.0),
        default=math.nan,
    )
    fwhm: float = output(
        "Full width at half maximum\nOf the Gaussian with the stars' adaptive moments.",
        units="arcsec",
        precision=2,
        limits=(0.0, 15.0),
        default=math.nan,
    )
    ellipticity: float = output(
        "Ellipticity, 1 - b/a",
        precision=3,
        limits=(0.0, 1.0),
        alarm=Alarm(high=0.25, hihi=0.4, hysteresis=0.01),
        default=math.nan,
    )
    e1: float = output(
        "Elongation along columns or rows\nPositive: along the rows. (Mxx - Myy) / (Mxx + Myy)",
        precision=3,
        limits=(-1.0, 1.0),
        default=math.nan,
    )
    e2: float = output(
        "Elongation along the diagonals\n2 Mxy / (Mxx + Myy); changes sign through focus.",
        precision=3,
        limits=(-1.0, 1.0),
        default=math.nan,
    )
    stars: int = output(
        "Stars that the figures rest on\nThe brightest of each of 16 zones, at most 256 in all.",
        alarm=Alarm(lolo=2, low=14),
        default=0,
    )
    saturated: int = output("Saturated stars", default=0)
    sky: float = output("Sky level", units="counts", precision=1, default=math.nan)
    sky_noise: float = output("Sky noise per pixel", units="counts", precision=2, default=math.nan)
    outcome: Outcome = output(
        "What the frame is good for",
        default=Outcome.NO_STARS,
        severities={
            Outcome.FEW_STARS: Severity.MINOR,
            Outcome.NO_STARS: Severity.MAJOR,
            Outcome.SATURATED: Severity.MAJOR,
            Outcome.TRAILED: Severity.MAJOR,
            Outcome.UNUSABLE: Severity.MAJOR,
        },
    )


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


@dataclass(frozen=True)
class Candidates:
    """Places that may be stars, brightest first; `usable` ones may be measured."""

    y: Places
    x: Places
    height: Floats
    usable: Flags


@dataclass(frozen=True)
class Stars:
    """Measured stars, in pixels; `widest` is the greatest HFD that their aperture serves."""

    hfd: Floats
    fwhm: Floats
    ellipticity: Floats
    e1: Floats
    e2: Floats
    snr: Floats
    widest: float = math.inf

    def only(self, keep: Flags) -> Stars:
        """Return the stars for which `keep` is True."""
        return Stars(
            self.hfd[keep],
            self.fwhm[keep],
            self.ellipticity[keep],
            self.e1[keep],
            self.e2[keep],
            self.snr[keep],
            self.widest,
        )


_NONE = np.empty(0)
NO_STARS = Stars(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE)


class Focus(Algorithm[Params, Figures]):
    """Width of the stars: focus and seeing.

    Half-flux diameter, FWHM and ellipticity of the stars of one frame, and whether to believe them.
    """

    def process(
        self,
        image: np.ndarray[Any, Any],
        params: Params,
        attributes: Mapping[str, Any],
        metadata: Metadata,
    ) -> Result[Figures]:
        """Measure one frame, (rows, columns), of any real number type."""
        with np.errstate(all="ignore"):
            fault = unusable(image)
            sky = None if fault else sample_sky(image)
            if sky is None:
                return verdict(
                    Figures(outcome=Outcome.UNUSABLE), fault or "no sky noise to judge by"
                )
            return measure_frame(image, sky, params, attributes)


def unusable(image: Image) -> str:
    """Say what keeps a frame from being looked at, or nothing."""
    if image.ndim != 2:
        return f"expected rows and columns, got {image.ndim} dimensions"
    if image.dtype.kind not in "iuf":
        return f"expected real numbers, got {image.dtype}"
    if min(image.shape) < SMALLEST_SIDE:
        return f"expected at least {SMALLEST_SIDE} pixels a side, got {image.shape}"
    return ""


def verdict(figures: Figures, message: str) -> Result[Figures]:
    """Return figures that need words."""
    return Result(figures, status=Status.WARNING, message=message)


# --- the sky


def sample_sky(image: Image) -> Sky | None:
    """Estimate level and noise by cells; None when the frame holds no numbers or only one.

    The step between samples is odd, so that colour filters and paired amplifiers are all seen.
    The level is the mean of a cell's middle half, which does not jump by whole counts; the noise
    comes from the darker side, where no stars are.
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
    rows, columns = samples.shape[0] // CELL, samples.shape[1] // CELL
    cells = samples[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
    ranked = np.sort(cells.swapaxes(1, 2).reshape(rows, columns, CELL * CELL), axis=-1)
    level = ranked[..., 64:192].mean(axis=-1)
    # Of 256 normal samples those ranked 8 to 63 lie 1.131 sigma below the mean, on average.
    noise = (level - ranked[..., 8:64].mean(axis=-1)) / 1.131
    # A cell that an extended object fills takes its neighbours' sky.
    level = ndimage.median_filter(level, 3, mode="nearest")
    noise = ndimage.median_filter(noise, 3, mode="nearest")
    floor = float(np.median(noise)) / 2 or _least_noise(image, float(np.median(level)))
    return Sky(level, np.maximum(noise, floor), step * CELL) if floor > 0 else None


def _least_noise(image: Image, level: float) -> float:
    """Return a noise for frames that show none: a little of the brightest pixel."""
    finite = image if image.dtype.kind in "iu" else image[np.isfinite(image)]
    return max(0.0, float(finite.max()) - level) * 1e-4


# --- peaks


def bright_pixels(image: Image, sky: Sky, sigmas: float) -> tuple[Places, Places]:
    """Return rows and columns of the pixels that stand `sigmas` above their cell's sky."""
    limits = _like(image, sky.level + sigmas * sky.noise)
    rows, columns = image.shape
    bands = len(limits)
    tallest = rows - (bands - 1) * sky.pitch
    mask = np.zeros(-(-max(tallest, sky.pitch) * columns // 8) * 8, dtype=bool)
    across = np.minimum(np.arange(columns) // sky.pitch, limits.shape[1] - 1)
    found = []
    for band in range(bands):
        top = band * sky.pitch
        strip = image[top:rows] if band == bands - 1 else image[top : top + sky.pitch]
        np.greater(strip, limits[band, across], out=mask[: strip.size].reshape(strip.shape))
        mask[strip.size :] = False
        found.append(_brightest(image, _true_places(mask) + top * columns))
    places = np.concatenate(found)
    return places // columns, places % columns


def _like(image: Image, limits: Floats) -> Image:
    """Turn limits into the image's own type, so that comparing converts no pixel."""
    if image.dtype.kind == "f":
        return limits.astype(image.dtype)
    span = np.iinfo(image.dtype)
    # float(span.max) may round up, out of the type: stay below.
    highest = np.nextafter(float(span.max), 0) if span.bits > 32 else float(span.max)
    return np.clip(np.floor(limits), float(span.min), highest).astype(image.dtype)


def _true_places(mask: Flags) -> Places:
    """Return the places of the few true bytes, looking at eight at once."""
    words = np.flatnonzero(mask.view(np.uint64) != 0)
    word, byte = np.nonzero(mask.reshape(-1, 8)[words])
    return np.asarray(words[word] * 8 + byte, dtype=np.intp)


def _brightest(image: Image, places: Places) -> Places:
    if len(places) <= MOST_PIXELS:
        return places
    values = image.ravel()[places]
    cut = np.partition(values, -MOST_PIXELS)[-MOST_PIXELS]
    kept: Places = places[values >= cut][:MOST_PIXELS]
    return kept


def find_peaks(image: Image, y: Places, x: Places) -> tuple[Places, Places]:
    """Keep the pixels that are the highest of the 7 x 7 around them."""
    inside = (y >= 3) & (x >= 3) & (y < image.shape[0] - 3) & (x < image.shape[1] - 3)
    columns = image.shape[1]
    places, pixels = (y * columns + x)[inside], image.ravel()
    here = pixels[places]
    near = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4) if dy or dx]
    for dy, dx in sorted(near, key=lambda offset: offset[0] ** 2 + offset[1] ** 2):
        there = pixels[places + (dy * columns + dx)]
        # Of equal pixels the first counts.
        keep = here > there if (dy, dx) < (0, 0) else here >= there
        places, here = places[keep], here[keep]
    return places // columns, places % columns


def starlike(image: Image, sky: Sky, y: Places, x: Places) -> Flags:
    """Tell which pixels, not at the edge, have neighbours as bright as optics would make them.

    A hot pixel has none, a cosmic ray's track two; a star lights all eight, the faintest four of
    them to several percent of its own pixel.
    """
    level, noise = (grid[sky.cells(y, x)] for grid in (sky.level, sky.noise))
    height = image[y, x] - level
    cross = [image[y + dy, x + dx] - level for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    corners = [image[y + dy, x + dx] - level for dy in (-1, 1) for dx in (-1, 1)]
    faintest = np.sort(np.stack(cross + corners), axis=0)[:4].mean(axis=0)
    sharp = np.stack(cross).mean(axis=0) < SHARPEST * height
    return np.asarray(~sharp & (faintest > np.maximum(noise, FAINTEST * height)))


def direct_look(image: Image, sky: Sky, y: Places, x: Places, spoilt: Flags) -> Candidates:
    """Make candidates of the peaks among bright pixels."""
    y, x = find_peaks(image, y, x)
    height = image[y, x] - sky.level[sky.cells(y, x)]
    usable = starlike(image, sky, y, x) & ~spoilt[y // 16, x // 16]
    order = np.argsort(-height, kind="stable")[:MOST_PEAKS]
    return Candidates(y[order], x[order], height[order], usable[order])


# --- saturation


def saturation_level(
    image: Image, params: Params, attributes: Mapping[str, Any], y: Places, x: Places
) -> float:
    """Return the level at which pixels count as saturated: set, from the header, or learnt.

    Learnt: the brightest pixel, if three of its eight neighbours reach 99 % of it. An unsaturated
    star is never so flat.
    """
    given = params.saturation or number(attributes.get("SATURATE"))
    if given > 0:
        return given
    full = float(np.iinfo(image.dtype).max) if image.dtype.kind in "iu" else math.inf
    inside = (y >= 1) & (x >= 1) & (y < image.shape[0] - 1) & (x < image.shape[1] - 1)
    y, x = y[inside], x[inside]
    if not len(y):
        return full
    values = image[y, x].astype(np.float64)
    tops = np.flatnonzero(values >= 0.99 * values.max())[:MOST_PIXELS]
    around = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    flat = sum(image[y[tops] + dy, x[tops] + dx] >= 0.99 * values.max() for dy, dx in around)
    return min(full, 0.98 * float(values.max())) if np.any(flat >= 3) else full


def saturated_areas(
    image: Image, sky: Sky, level: float, y: Places, x: Places
) -> tuple[Flags, int]:
    """Map, in squares of 16 pixels, where saturated stars and their wings are; count the stars."""
    squares = np.zeros((image.shape[0] // 16 + 1, image.shape[1] // 16 + 1), dtype=bool)
    full = (image[y, x] >= level) & (np.minimum(y, x) > 0)
    full &= (y < image.shape[0] - 1) & (x < image.shape[1] - 1)
    y, x = y[full], x[full]
    star = starlike(image, sky, y, x)  # a hot pixel or a cosmic ray may be full too
    squares[y[star] // 16, x[star] // 16] = True
    count = int(ndimage.label(squares, np.ones((3, 3)))[1])
    return ndimage.maximum_filter(squares, 5), count


# --- the second look


def second_look(image: Image, sky: Sky, spoilt: Flags) -> tuple[Candidates, float]:
    """Find patches of light in sums of 4 x 4 pixels; also return their typical radius (px).

    A patch's centre is its centre of light, so a donut's is its hole.
    """
    blocks = block_sums(image)
    row, column = (np.arange(size) * BLOCK for size in blocks.shape)
    cell_y, cell_x = sky.cells(row, column)
    cells = np.ix_(cell_y, cell_x)
    blocks -= (sky.level * BLOCK**2).astype(np.float32)[cells]
    blocks[~np.isfinite(blocks)] = 0
    smooth = _smooth(blocks)
    # Noise of a sum of 16 pixels is 4 sigma, of the mean of nine sums a third of that.
    limits = (sky.noise * (5 * BLOCK / 3)).astype(np.float32)[cells]
    flux, middle_y, middle_x, radius = _patches(smooth, smooth > limits)
    if not len(flux):
        return Candidates(middle_y, middle_x, flux, np.empty(0, dtype=bool)), 0.0
    y, x = _brightest_near(image, middle_y, middle_x, radius <= COMPACT)
    usable = ~spoilt[y // 16, x // 16] & ((radius > COMPACT) | starlike(image, sky, y, x))
    return Candidates(y, x, flux, usable), float(np.median(radius[:50]))


def _patches(smooth: NDArray[np.float32], bright: Flags) -> tuple[Floats, Places, Places, Floats]:
    """Return light, centre (px) and root mean square radius (px) of patches, brightest first."""
    patches, count = ndimage.label(bright)
    y, x = np.nonzero(bright)
    light, name = smooth[y, x].astype(np.float64), patches[y, x] - 1
    flux = _sums(name, light, count)
    middle_y, middle_x = _sums(name, light * y, count) / flux, _sums(name, light * x, count) / flux
    spread = (y - middle_y[name]) ** 2 + (x - middle_x[name]) ** 2
    # What block and smoothing add, both axes together: 2 (1 + 9) / 12.
    variance = _sums(name, light * spread, count) / flux - 20 * PIXEL_VARIANCE
    order = np.argsort(-flux, kind="stable")[:MOST_PEAKS]
    row, column = (
        np.rint(middle[order] * BLOCK + (BLOCK - 1) / 2).astype(np.intp)
        for middle in (middle_y, middle_x)
    )
    return flux[order], row, column, np.sqrt(np.maximum(variance[order], 0)) * BLOCK


def _brightest_near(image: Image, y: Places, x: Places, compact: Flags) -> tuple[Places, Places]:
    """Move `compact` places to the brightest of 9 x 9 pixels, and all of them off the edge."""
    y, x = (np.clip(at, 5, size - 6) for at, size in ((y, image.shape[0]), (x, image.shape[1])))
    grid = np.arange(-4, 5)
    around = image[y[compact, None, None] + grid[:, None], x[compact, None, None] + grid]
    brightest = around.reshape(-1, 81).argmax(axis=1)
    y[compact] += brightest // 9 - 4
    x[compact] += brightest % 9 - 4
    return y, x


def block_sums(image: Image) -> NDArray[np.float32]:
    """Return the sums of 4 x 4 pixels; a rest at the far edges is left out."""
    rows, columns = (size // BLOCK for size in image.shape)
    kind = np.int32 if image.dtype.kind in "iu" and image.dtype.itemsize <= 2 else np.float32
    blocks = np.empty((rows, columns), dtype=np.float32)
    for top in range(0, rows, 32):  # a band at a time stays in the processor's cache
        band = image[top * BLOCK : min(top + 32, rows) * BLOCK, : columns * BLOCK]
        tall = band[0::BLOCK].astype(kind)
        for offset in range(1, BLOCK):
            tall += band[offset::BLOCK]
        blocks[top : top + 32] = tall[:, 0::BLOCK]
        for offset in range(1, BLOCK):
            blocks[top : top + 32] += tall[:, offset::BLOCK]
    return blocks


def _smooth(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of each 3 x 3 blocks, less at the edges."""
    tall = blocks.copy()
    tall[1:] += blocks[:-1]
    tall[:-1] += blocks[1:]
    wide = tall.copy()
    wide[:, 1:] += tall[:, :-1]
    wide[:, :-1] += tall[:, 1:]
    wide /= 9
    return wide


# --- choosing and measuring stars


def choose(candidates: Candidates, shape: tuple[int, ...], radius: int, margin: int) -> Places:
    """Return which candidates to measure: isolated, inside the frame, the brightest by zones."""
    y, x, height = candidates.y, candidates.x, candidates.height
    good = candidates.usable & (y >= margin) & (x >= margin)
    good &= (y < shape[0] - margin) & (x < shape[1] - margin)
    tree = spatial.cKDTree(np.column_stack([y, x]))
    pairs = tree.query_pairs(radius * 1.2, output_type="ndarray")
    for one, other in ((0, 1), (1, 0)):
        near, far = pairs[:, one], pairs[:, other]
        good[near[height[far] > NEIGHBOUR * height[near]]] = False
    places = np.flatnonzero(good)
    zone = y[places] * ZONES // shape[0] * ZONES + x[places] * ZONES // shape[1]
    quota = max(2, min(STARS_PER_ZONE, CUT_PIXELS // (2 * margin + 1) ** 2 // ZONES**2))
    return np.concatenate([places[zone == number][:quota] for number in range(ZONES**2)])


def survey(
    image: Image, sky: Sky, candidates: Candidates, ladder: list[tuple[int, float]]
) -> Stars:
    """Measure the chosen stars in the first aperture of `ladder` that is wide enough for them."""
    stars, hfd = NO_STARS, 0.0
    for radius, widest in ladder:
        if 1.3 * widest < hfd:  # already in a smaller aperture, which reads too narrow
            continue
        margin = radius + max(4, radius // 4)
        chosen = choose(candidates, image.shape, radius, margin)
        y, x = candidates.y[chosen], candidates.x[chosen]
        measured = measure(image, y, x, radius, margin, sky.noise[sky.cells(y, x)])
        if measured.hfd.size:
            stars = replace(measured, widest=widest)
            hfd = float(np.median(stars.hfd))
            if hfd <= widest:
                break
    return stars


def measure(image: Image, y: Places, x: Places, radius: int, margin: int, noise: Floats) -> Stars:
    """Measure the stars at the given pixels and return those that look like stars."""
    grid = np.arange(-margin, margin + 1)
    cuts = image[y[:, None, None] + grid[:, None], x[:, None, None] + grid].astype(np.float64)
    distance = np.hypot(grid[:, None], grid)
    whole = np.isfinite(cuts[:, distance <= radius]).all(axis=1)
    cuts, noise = cuts[whole], noise[whole]
    ring = cuts[:, (distance > radius) & (distance <= margin)]
    edge = margin - radius
    cuts = cuts[:, edge:-edge, edge:-edge] - local_sky(ring, noise)[:, None, None]
    cuts[~np.isfinite(cuts)] = 0.0  # the corners, outside the aperture
    centre_y, centre_x, moments = adaptive_moments(cuts, radius)
    hfd, flux = half_flux_diameters(cuts, centre_y, centre_x, radius)
    xx, yy, xy = moments
    size, e1, e2 = xx + yy, (xx - yy) / (xx + yy), 2 * xy / (xx + yy)
    stretch = np.hypot(e1, e2)
    minor, major = size * (1 - stretch) / 2, size * (1 + stretch) / 2
    fwhm = FWHM_PER_SIGMA * (xx * yy - xy**2) ** 0.25
    snr = flux / (noise * math.sqrt(math.pi) * hfd)
    good = (snr >= LEAST_SNR) & (minor >= NARROWEST**2) & (major < radius**2)
    good &= np.hypot(centre_y, centre_x) <= max(1.5, radius / 4)
    return Stars(hfd, fwhm, 1 - np.sqrt(minor / major), e1, e2, snr).only(good)


def local_sky(ring: Floats, noise: Floats) -> Floats:
    """Return the clipped mean of each ring's pixels, (stars, pixels).

    A mean, since a median moves in steps of the camera's counts, which many pixels multiply.
    """
    level = np.median(ring, axis=1) if np.isfinite(ring).all() else np.nanmedian(ring, axis=1)
    for _ in range(2):
        near = np.abs(ring - level[:, None]) <= 3 * noise[:, None]
        count = near.sum(axis=1)
        mean = np.where(near, ring, 0.0).sum(axis=1) / np.maximum(count, 1)
        level = np.where(count > 0, mean, level)
    return level


def adaptive_moments(
    cuts: Floats, radius: int
) -> tuple[Floats, Floats, tuple[Floats, Floats, Floats]]:
    """Return centres (px from the middle) and second moments (xx, yy, xy; px^2) of cut-outs.

    The weight is a Gaussian that takes on the star's own shape (Bernstein & Jarvis 2002, AJ 123,
    583, section 3; Hirata & Seljak 2003): under a weight W a Gaussian star M shows moments V with
    1/V = 1/M + 1/W, which gives the next W = M, and a centre moved by W / (W + M) of its way. The
    weight stays wide enough for the pixels to sample it.
    """
    count, light = len(cuts), cuts.astype(np.float32)
    cy, cx, xy = np.zeros(count), np.zeros(count), np.zeros(count)
    xx = yy = np.full(count, (radius / 4.0) ** 2)
    for _ in range(ROUNDS):
        weight = (np.maximum(xx, LEAST_WEIGHT), np.maximum(yy, LEAST_WEIGHT), xy)
        my, mx, seen = _weighted_moments(light, cy, cx, weight)
        xx, yy, xy = _without_weight(seen, weight, radius)
        gain = 1 + (xx + yy) / (weight[0] + weight[1])
        # What has no light or no width stays where it is; `measure` throws it out later.
        cx = np.clip(np.nan_to_num(cx + mx * gain), -radius, radius)
        cy = np.clip(np.nan_to_num(cy + my * gain), -radius, radius)
    return cy, cx, (xx, yy, xy)


def _weighted_moments(
    cuts: NDArray[np.float32], cy: Floats, cx: Floats, weight: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats, tuple[Floats, Floats, Floats]]:
    """Return first moments (y, x) about a centre and central second moments under a Gaussian."""
    grid = np.arange(cuts.shape[1]) - cuts.shape[1] // 2
    dx, dy = grid - cx[:, None], grid - cy[:, None]
    xx, yy, xy = weight
    det = xx * yy - xy**2
    power = _outer(-0.5 * yy / det, dy**0, dx**2)
    power += _outer(-0.5 * xx / det, dy**2, dx**0)
    power += _outer(xy / det, dy, dx)
    light = np.exp(power, out=power)
    light *= cuts
    across = light.sum(axis=1).astype(np.float64)
    along = light.sum(axis=2).astype(np.float64)
    total = across.sum(axis=1)
    mx, my = (across * dx).sum(axis=1) / total, (along * dy).sum(axis=1) / total
    vxx = (across * dx**2).sum(axis=1) / total - mx**2
    vyy = (along * dy**2).sum(axis=1) / total - my**2
    light *= dx.astype(np.float32)[:, None, :]
    vxy = (light.sum(axis=2) * dy).sum(axis=1) / total - mx * my
    return my, mx, (vxx, vyy, vxy)


def _outer(factor: Floats, dy: Floats, dx: Floats) -> NDArray[np.float32]:
    column = (factor[:, None] * dy).astype(np.float32)[:, :, None]
    return column * dx.astype(np.float32)[:, None, :]


def _without_weight(
    seen: tuple[Floats, ...], weight: tuple[Floats, ...], radius: int
) -> tuple[Floats, Floats, Floats]:
    """Solve 1/M = 1/V - 1/W for M, kept between a fifth of a pixel and the aperture."""
    (vxx, vyy, vxy), (wxx, wyy, wxy) = seen, weight
    v, w = vxx * vyy - vxy**2, wxx * wyy - wxy**2
    axx, ayy, axy = vxx / v - wxx / w, vyy / v - wyy / w, vxy / v - wxy / w
    a = axx * ayy - axy**2
    sound = (a > 0) & (axx > 0) & (v > 0)
    largest, least = float(radius**2), 0.04
    xx = np.where(sound, np.clip(axx / a, least, largest), largest)
    yy = np.where(sound, np.clip(ayy / a, least, largest), largest)
    most = 0.98 * np.sqrt(xx * yy)
    return xx, yy, np.where(sound, np.clip(axy / a, -most, most), 0.0)


def half_flux_diameters(
    cuts: Floats, centre_y: Floats, centre_x: Floats, radius: int
) -> tuple[Floats, Floats]:
    """Return diameters (px) of the circles with half of the light, and the light (counts).

    The growth curve counts each pixel's light as spread evenly over it: by subpixels in the core,
    farther out by a straight edge one pixel deep. That widens the star by one pixel's variance,
    which is taken off again, as of a Gaussian: HFD^2 = 8 ln 2 sigma^2.
    """
    middle, core = cuts.shape[1] // 2, 3
    grid = np.arange(cuts.shape[1]) - middle
    inner = slice(middle - core, middle + core + 1)
    fine = (np.arange((2 * core + 1) * SUBPIXELS) + 0.5) / SUBPIXELS - core - 0.5
    outside = cuts.copy()
    outside[:, inner, inner] = 0.0
    centre = cuts[:, inner, inner] / SUBPIXELS**2
    centre = centre.repeat(SUBPIXELS, axis=1).repeat(SUBPIXELS, axis=2)
    bins = round((radius + 1) / STEP)
    half = round(0.5 / STEP)
    hard = _by_distance(centre, fine - centre_y[:, None], fine - centre_x[:, None], bins)
    soft = _by_distance(outside, grid - centre_y[:, None], grid - centre_x[:, None], bins)
    summed = np.cumsum(np.cumsum(soft, axis=1), axis=1)
    growth = np.cumsum(hard, axis=1)[:, half:-half]
    growth = growth + (summed[:, 2 * half :] - summed[:, : -2 * half]) / (2 * half)
    return _crossing(growth, half, radius)


def _by_distance(light: Floats, dy: Floats, dx: Floats, bins: int) -> Floats:
    """Sum each star's light in rings of `STEP` pixels; the last ring is for all beyond."""
    distance = np.sqrt((dy**2)[:, :, None] + (dx**2)[:, None, :])
    ring = np.minimum(distance * (1 / STEP), bins).astype(np.intp)
    ring += (np.arange(len(light)) * (bins + 1))[:, None, None]
    sums = _sums(ring.ravel(), light.ravel(), len(light) * (bins + 1))
    return sums.reshape(len(light), bins + 1)[:, :bins]


def _sums(name: NDArray[Any], weight: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(name, weight, count), dtype=np.float64)


def _crossing(growth: Floats, first: int, radius: int) -> tuple[Floats, Floats]:
    """Find where growth curves first pass half of their value at `radius`."""
    flux = growth[:, round(radius / STEP) - first - 1]
    wanted = flux[:, None] / 2
    at = np.maximum(1, (growth >= wanted).argmax(axis=1))[:, None]
    above, below = np.take_along_axis(growth, at, 1), np.take_along_axis(growth, at - 1, 1)
    part = np.clip((wanted - below) / (above - below), 0.0, 1.0)
    # growth[i] holds the light out to (i + first + 1) steps
    crossing = ((at + part + first) * STEP)[:, 0]
    square = (2 * crossing) ** 2 - FWHM_PER_SIGMA**2 * PIXEL_VARIANCE
    return np.where(flux > 0, np.sqrt(np.maximum(square, 0.01)), np.nan), flux


# --- the verdict


def measure_frame(
    image: Image, sky: Sky, params: Params, attributes: Mapping[str, Any]
) -> Result[Figures]:
    """Find and measure stars and judge what they tell."""
    y, x = bright_pixels(image, sky, params.threshold)
    level = saturation_level(image, params, attributes, y, x)
    known = Figures(
        sky=float(np.median(sky.level)),
        sky_noise=float(np.median(sky.noise)),
        outcome=Outcome.SATURATED,
    )
    if known.sky >= level:
        return verdict(known, f"the sky itself is saturated, at {known.sky:.0f} counts")
    spoilt, saturated = saturated_areas(image, sky, level, y, x)
    ladder = [rung for rung in LADDER if rung[0] <= params.largest_aperture]
    objects = survey(image, sky, direct_look(image, sky, y, x, spoilt), ladder[:DIRECT_RUNGS])
    stars = round_stars(objects)
    if len(stars.hfd) < params.minimum_stars or np.median(stars.hfd) > stars.widest:
        candidates, size = second_look(image, sky, spoilt)
        wide = [rung for rung in ladder if rung[0] >= 1.5 * size]
        again = survey(image, sky, candidates, wide or ladder[-1:])
        looks = [(stars, objects), (round_stars(again), again)]
        stars, objects = max(looks, key=_worth)
    known = known.replace(stars=len(stars.hfd), saturated=saturated)
    if trailed(objects):
        message = f"most of {len(objects.hfd)} objects are elongated the same way: trailed"
        return verdict(known.replace(outcome=Outcome.TRAILED), message)
    return judge(stars, known, params, attributes)


def _worth(look: tuple[Stars, Stars]) -> tuple[bool, int, float]:
    stars = look[0]
    served = len(stars.hfd) > 0 and bool(np.median(stars.hfd) <= stars.widest)
    return served, len(stars.hfd), float(stars.snr.sum())


def trailed(objects: Stars) -> bool:
    """Tell whether most of several objects are elongated, and in one direction."""
    long = objects.only(objects.ellipticity > MOST_ELONGATED)
    if len(long.hfd) < max(FEWEST_TRAILS, len(objects.hfd) / 2):
        return False
    together = math.hypot(float(long.e1.mean()), float(long.e2.mean()))
    return together > 0.8 * float(np.hypot(long.e1, long.e2).mean())


def round_stars(objects: Stars) -> Stars:
    """Leave out what is elongated, then, three times, what is off by 3 MAD in log HFD."""
    stars = objects.only(objects.ellipticity <= MOST_ELONGATED)
    for _ in range(3 if len(stars.hfd) else 0):
        width = np.log(stars.hfd)
        off = np.abs(width - np.median(width))
        stars = stars.only(off <= 3 * max(1.4826 * float(np.median(off)), 0.01))
    return stars


def judge(
    stars: Stars, known: Figures, params: Params, attributes: Mapping[str, Any]
) -> Result[Figures]:
    """Decide whether widths can be believed, and publish them if so."""
    alone = ""
    if len(stars.hfd) < params.minimum_stars:
        bright = stars.snr >= params.focus_star_snr
        if not params.focus_star_snr or not bright.any():
            return verdict(known.replace(outcome=_too_few(known)), _count_in_words(known))
        stars = stars.only(bright)
        known = known.replace(stars=len(stars.hfd))
        alone = f"few stars: widths of {len(stars.hfd)} bright one(s) alone, S/N {stars.snr[0]:.0f}"
    outcome, fault = _shape_fault(stars)
    if fault:
        return verdict(known.replace(outcome=outcome), fault)
    figures = widths(stars, known, pixel_scale(params, attributes))
    ratio = figures.fwhm / figures.hfd
    if not 0.7 < ratio < 1.4:
        alone = alone or f"FWHM and half-flux diameter disagree, {ratio:.2f} to 1: far from focus?"
    return verdict(figures, alone) if alone else Result(figures)


def _too_few(known: Figures) -> Outcome:
    if known.saturated > known.stars:
        return Outcome.SATURATED
    return Outcome.FEW_STARS if known.stars else Outcome.NO_STARS


def _count_in_words(known: Figures) -> str:
    return f"{known.stars} stars and {known.saturated} saturated ones: too few to measure widths"


def _shape_fault(stars: Stars) -> tuple[Outcome, str]:
    width = np.log(stars.hfd)
    middle = float(np.median(width))
    scatter = 1.4826 * float(np.median(np.abs(width - middle)))
    if math.exp(middle) > stars.widest:
        return (
            Outcome.UNUSABLE,
            f"stars of {math.exp(middle):.0f} px: wider than the aperture serves",
        )
    if scatter > WIDEST_SCATTER:
        return Outcome.UNUSABLE, f"widths of {len(width)} objects disagree: these are no stars"
    return Outcome.GOOD, ""


def widths(stars: Stars, known: Figures, scale: float) -> Figures:
    """Return `known` with the medians of the stars' figures."""
    hfd, fwhm, ellipticity, e1, e2 = (
        float(np.median(values))
        for values in (stars.hfd, stars.fwhm, stars.ellipticity, stars.e1, stars.e2)
    )
    return known.replace(
        hfd=hfd * scale,
        hfd_pixels=hfd,
        fwhm=fwhm * scale,
        ellipticity=ellipticity,
        e1=e1,
        e2=e2,
        outcome=Outcome.GOOD,
    )


def pixel_scale(params: Params, attributes: Mapping[str, Any]) -> float:
    """Return arcsec per pixel, from the header if it tells."""
    given = [number(attributes.get(keyword)) for keyword in SCALE_KEYWORDS]
    given.append(3600 * math.hypot(*(number(attributes.get(k)) for k in ("CD1_1", "CD2_1"))))
    given.append(3600 * abs(number(attributes.get("CDELT1"))))
    # Pixel size in micrometres and focal length in millimetres, as amateur cameras write them.
    focal = number(attributes.get("FOCALLEN"))
    given.append(206.265 * number(attributes.get("XPIXSZ")) / focal if focal > 0 else math.nan)
    # CDELT1 = 1, or a WCS in other units, is no scale.
    return next((scale for scale in given if 0.001 < scale < 1000), params.pixel_scale)


def number(value: Any) -> float:
    """Return a keyword's value as a float, NaN where it is none; headers hold numbers as text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
