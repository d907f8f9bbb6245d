"""Size, place and shape of one beam spot: second moments as in ISO 11146, and a Gaussian fit.

1. The frame is averaged in blocks. The border gives the background and its noise; the brightest
   block, if it stands out, is where the beam is.
2. Moments are taken in an area of 3 beam widths around the centroid (ISO 11146), and again, until
   both agree. The background is measured just outside of that area (ISO/TR 11146-3).
3. A Gaussian with any orientation, on a constant background, is fitted to the same area.

A figure that the frame does not support is NaN, and the outcome says why: a saturated or cut beam
has no size. Single hot or dead pixels are replaced by the median of their neighbours. The error
of a figure is its standard error, from the residuals of the fit wherever they are: it needs no gain
and holds for noise that grows with the signal. It does not cover a beam that is no Gaussian.

Pixels count from 0 at their middle, x along the rows, y down. The pixel's own width is part of the
recorded spot and is not taken out. `docs/algorithms.md` has every formula with its source.

Needs NumPy and SciPy; never changes the frame, never holds a copy of it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from tosip import Algorithm, Inputs, Metadata, Outputs, Result, Severity, Status, output, param

COARSEST = 512  # blocks along the frame's longer side
SMALLEST_FRAME = 16
SMALLEST_SIGMA = 0.6  # px; narrower is a hot pixel
FINENESS = 6  # cells per sigma: more would only take time
CLEAR = 4.0  # sigma from the centroid to the edge: beyond is 0.01 % of a Gaussian
WIDEST_ANGLE_ERROR = 20.0  # degrees
MOST_ROUNDS = 30
COLOUR_AXIS = {"RGB1": 2, "RGB2": 1, "RGB3": 0}

Floats = NDArray[np.float64]
Pixels = NDArray[Any]


class Background(str, enum.Enum):
    """Where the background comes from."""

    MEASURED = "measured"
    FIXED = "fixed"


class Outcome(str, enum.Enum):
    """What a frame is good for."""

    GOOD = "good"
    NO_BEAM = "no beam"
    SATURATED = "saturated"
    CLIPPED = "clipped at edge"
    FIT_FAILED = "fit failed"
    UNUSABLE = "unusable frame"


class Params(Inputs):
    """What operators set."""

    background_from: Background = param(
        "Where the background comes from", default=Background.MEASURED
    )
    fixed_background: float = param("Level of the fixed background", default=0.0, units="counts")
    threshold: float = param(
        "Signal that makes a beam\nOf the brightest block above the background, and of all light.",
        default=8.0,
        units="sigma",
        precision=1,
        limits=(3.0, 1000.0),
    )
    area: float = param(
        "Measured area in beam widths\nISO 11146 asks for 3; less is less noisy but cuts tails.",
        default=3.0,
        precision=1,
        limits=(2.0, 5.0),
    )
    saturation: float = param(
        "Level at which pixels saturate\n0: the pixel type's greatest integer, and flat tops.",
        default=0.0,
        units="counts",
        precision=0,
        limits=(0.0, 1e12),
    )
    most_saturated: int = param(
        "Saturated pixels that are tolerated", default=0, limits=(0, 1_000_000)
    )
    fit: bool = param("Fit a Gaussian\nWithout, the moments have no errors.", default=True)
    largest_misfit: float = param(
        "Largest misfit of the Gaussian\nRoot of the squared residuals beyond the noise, in parts"
        " of the squared Gaussian. A flat top has about 0.4.",
        default=0.3,
        limits=(0.0, 1.0),
    )
    pixel_size_x: float = param(
        "Width of a pixel at the beam\n0: not known, then nothing is given in um.",
        default=0.0,
        units="um/px",
        limits=(0.0, 1e6),
    )
    pixel_size_y: float = param(
        "Height of a pixel at the beam\n0: as its width.",
        default=0.0,
        units="um/px",
        limits=(0.0, 1e6),
    )


def _figure(doc: str, units: str = "px", precision: int = 3) -> float:
    """Declare a figure that is NaN where it cannot be measured."""
    figure: float = output(doc, units=units, precision=precision, default=math.nan)
    return figure


class Figures(Outputs):
    """What operators read; NaN where the outcome says that it cannot be known."""

    outcome: Outcome = output(
        "What the frame is good for",
        default=Outcome.NO_BEAM,
        severities={
            Outcome.NO_BEAM: Severity.MAJOR,
            Outcome.SATURATED: Severity.MAJOR,
            Outcome.CLIPPED: Severity.MAJOR,
            Outcome.FIT_FAILED: Severity.MINOR,
            Outcome.UNUSABLE: Severity.MAJOR,
        },
    )
    saturated: int = output("Saturated pixels of the beam", default=0)
    peak_x: float = _figure("Column of the brightest block", precision=0)
    peak_y: float = _figure("Row of the brightest block", precision=0)
    background: float = _figure("Background level", "counts")
    noise: float = _figure("Noise of the background per pixel", "counts")
    total: float = _figure("Light of the beam above the background", "counts", 0)

    centroid_x: float = _figure("Column of the centroid")
    centroid_x_error: float = _figure("Error of CentroidX")
    centroid_y: float = _figure("Row of the centroid")
    centroid_y_error: float = _figure("Error of CentroidY")
    sigma_x: float = _figure("RMS size along the rows")
    sigma_x_error: float = _figure("Error of SigmaX")
    sigma_y: float = _figure("RMS size along the columns")
    sigma_y_error: float = _figure("Error of SigmaY")
    width_x: float = _figure("D4sigma width along the rows")
    width_y: float = _figure("D4sigma width along the columns")
    width_major: float = _figure("D4sigma width along the long axis")
    width_major_error: float = _figure("Error of WidthMajor")
    width_minor: float = _figure("D4sigma width along the short axis")
    width_minor_error: float = _figure("Error of WidthMinor")
    ellipticity: float = _figure("Ellipticity, short by long width", "")
    angle: float = _figure("Angle from the rows to the long axis\nTowards y, down.", "deg", 2)
    angle_error: float = _figure("Error of Angle", "deg", 2)
    sigma_x_um: float = _figure("RMS size along the rows", "um")
    sigma_y_um: float = _figure("RMS size along the columns", "um")
    width_major_um: float = _figure("D4sigma width along the long axis", "um")
    width_minor_um: float = _figure("D4sigma width along the short axis", "um")

    fit_amplitude: float = _figure("Peak of the Gaussian", "counts")
    fit_amplitude_error: float = _figure("Error of FitAmplitude", "counts")
    fit_background: float = _figure("Background below the Gaussian", "counts")
    fit_background_error: float = _figure("Error of FitBackground", "counts")
    fit_x: float = _figure("Column of the Gaussian's centre")
    fit_x_error: float = _figure("Error of FitX")
    fit_y: float = _figure("Row of the Gaussian's centre")
    fit_y_error: float = _figure("Error of FitY")
    fit_sigma_x: float = _figure("Gaussian's sigma along the rows")
    fit_sigma_x_error: float = _figure("Error of FitSigmaX")
    fit_sigma_y: float = _figure("Gaussian's sigma along the columns")
    fit_sigma_y_error: float = _figure("Error of FitSigmaY")
    fit_sigma_major: float = _figure("Gaussian's sigma along the long axis")
    fit_sigma_major_error: float = _figure("Error of FitSigmaMajor")
    fit_sigma_minor: float = _figure("Gaussian's sigma along the short axis")
    fit_sigma_minor_error: float = _figure("Error of FitSigmaMinor")
    fit_angle: float = _figure("Gaussian's angle, as Angle", "deg", 2)
    fit_angle_error: float = _figure("Error of FitAngle", "deg", 2)
    fit_misfit: float = _figure("Misfit of the Gaussian, 0 to 1", "")
    fit_sigma_x_um: float = _figure("Gaussian's sigma along the rows", "um")
    fit_sigma_x_um_error: float = _figure("Error of FitSigmaXUm", "um")
    fit_sigma_y_um: float = _figure("Gaussian's sigma along the columns", "um")
    fit_sigma_y_um_error: float = _figure("Error of FitSigmaYUm", "um")


class BeamProfile(Algorithm[Params, Figures]):
    """Size and shape of one beam spot.

    Second moments (ISO 11146) and a Gaussian fit, with errors, and whether to believe them.
    """

    def process(
        self,
        image: np.ndarray[Any, Any],
        params: Params,
        attributes: Mapping[str, Any],
        metadata: Metadata,
    ) -> Result[Figures]:
        """Measure one frame, mono or colour, of any real number type; colours are averaged."""
        known: dict[str, Any] = {"outcome": Outcome.GOOD}
        message = ""
        try:
            with np.errstate(all="ignore"):
                measure(as_planes(image, metadata.color_mode), params, known)
        except WithheldError as error:
            known["outcome"], message = error.outcome, str(error)
        return Result(
            Figures(**known), status=Status.WARNING if message else Status.OK, message=message
        )


class WithheldError(Exception):
    """Figures that are not known yet stay NaN, for this reason."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


def as_planes(image: Pixels, color_mode: str) -> Pixels:
    """Return a view, (colours, rows, columns), of a frame that is large enough."""
    if image.ndim == 3:
        unnamed = 2 if image.shape[2] == 3 else 0
        image = np.moveaxis(image, COLOUR_AXIS.get(color_mode, unnamed), 0)
    planes = image[np.newaxis] if image.ndim == 2 else image
    if planes.ndim != 3 or min(planes.shape[1:]) < SMALLEST_FRAME or not planes.size:
        size = " x ".join(map(str, image.shape))
        message = f"expected at least {SMALLEST_FRAME} rows and columns, got {size}"
        raise WithheldError(Outcome.UNUSABLE, message)
    return planes


def measure(planes: Pixels, params: Params, known: dict[str, Any]) -> None:
    """Put all figures that can be measured into `known`; raise WithheldError where they end."""
    blocks = average(planes, max(4, math.ceil(max(planes.shape[1:]) / COARSEST)))
    spot = find(blocks, quantum(planes), params, known)
    spot, cells, surround = settle(planes, blocks, spot, params)
    known["background"], known["noise"] = surround.level, surround.noise
    refuse_saturated(planes, spot, surround.level, params, known)
    refuse_clipped(spot, planes.shape[1:])
    light = np.where(cells.inside(spot, params.area), cells.values - surround.level, 0.0)
    refuse_faint(spot, cells, light, surround, params)
    known["total"] = float(light.sum()) * cells.side**2
    scales = params.pixel_size_x, params.pixel_size_y or params.pixel_size_x
    publish_moments(known, spot, np.full((5, 5), math.nan), scales)
    if not params.fit:
        return
    found = fit(cells, spot, surround)
    errors = moments_covariance(cells, spot, params.area, light, found.residuals, surround)
    publish_moments(known, spot, errors, scales)
    publish_fit(known, found, params.largest_misfit, scales)


# Finding the beam ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spot:
    """A centroid and central second moments, in px and px^2."""

    x: float
    y: float
    xx: float
    yy: float
    xy: float

    @property
    def sigmas(self) -> tuple[float, float]:
        """Sizes along the rows and along the columns."""
        return math.sqrt(self.xx), math.sqrt(self.yy)

    def axes(self) -> tuple[float, float, float]:
        """Return the sizes along the long and short axis, and the angle in radians."""
        half_sum, half_difference = (self.xx + self.yy) / 2, (self.xx - self.yy) / 2
        spread = math.hypot(half_difference, self.xy)
        short = math.sqrt(max(half_sum - spread, 0.0))
        return math.sqrt(half_sum + spread), short, 0.5 * math.atan2(self.xy, half_difference)

    def reach(self, area: float) -> tuple[float, float]:
        """Return how far an area of `area` beam widths reaches along the rows and columns."""
        long, short, angle = self.axes()
        cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
        half_long, half_short = 2 * area * long, 2 * area * short  # a width is 4 sigma
        return half_long * cosine + half_short * sine, half_long * sine + half_short * cosine

    def between(self, other: Spot) -> Spot:
        """Return the spot halfway to another."""
        return Spot(*((one + two) / 2 for one, two in zip(astuple(self), astuple(other))))

    def agrees(self, other: Spot, covariance: Floats) -> bool:
        """Whether two spots are the same, to half a percent of their size or to the error."""
        allowed = np.sqrt(np.diag(covariance))
        change = np.abs(np.subtract(astuple(self), astuple(other)))
        sizes = 0.005 * np.array([*self.sigmas, 2 * self.xx, 2 * self.yy, self.xx + self.yy])
        return bool((change < np.maximum(allowed, sizes)).all())


@dataclass(frozen=True)
class Cells:
    """A part of the frame, averaged in cells of `side` x `side` pixels.

    `values` are the means, (rows, columns); `calm` those without each cell's brightest pixel; `x`
    and `y` are the cells' middles in the frame, in px.
    """

    side: int
    values: Floats
    calm: Floats
    x: Floats
    y: Floats

    def inside(self, spot: Spot, area: float) -> NDArray[np.bool_]:
        """Return which cells are in the rectangle of `area` beam widths along the spot's axes."""
        long, short, angle = spot.axes()
        dx, dy = self.x - spot.x, (self.y - spot.y)[:, np.newaxis]
        along = np.abs(dx * math.cos(angle) + dy * math.sin(angle)) <= 2 * area * long
        across = np.abs(dy * math.cos(angle) - dx * math.sin(angle)) <= 2 * area * short
        return np.asarray(along & across)


def average(planes: Pixels, side: int, left: int = 0, top: int = 0) -> Cells:
    """Average whole cells and colours; `left` and `top` are the part's place in the frame."""
    rows, columns = (size // side for size in planes.shape[1:])
    sums, most = np.empty((rows, columns)), np.zeros((rows, columns))
    for row in range(rows):
        band = planes[:, row * side : (row + 1) * side, : columns * side]
        band = band[0] if len(planes) == 1 else band.mean(axis=0)
        sums[row] = band.sum(axis=0, dtype=np.float64).reshape(columns, side).sum(axis=1)
        most[row] = band.max(axis=0).reshape(columns, side).max(axis=1)
    x = left + (np.arange(columns) + 0.5) * side - 0.5
    y = top + (np.arange(rows) + 0.5) * side - 0.5
    calm = (sums - most) / max(side**2 - 1, 1)
    return Cells(side, sums / side**2, calm, x, y)


def quantum(planes: Pixels) -> float:
    """Return the noise that the pixels' type has itself: its step by the root of 12."""
    return 1 / math.sqrt(12 * len(planes)) if planes.dtype.kind in "iu" else 0.0


def find(blocks: Cells, rounding: float, params: Params, known: dict[str, Any]) -> Spot:
    """Return the brightest spot's place and rough size; WithheldError if none stands out."""
    calm = blocks.calm
    bad = int(np.count_nonzero(~np.isfinite(blocks.values)))
    if bad:
        message = f"{bad} of {calm.size} blocks hold pixels that are NaN or infinite"
        raise WithheldError(Outcome.UNUSABLE, message)
    ring = np.concatenate([calm[0], calm[-1], calm[1:-1, 0], calm[1:-1, -1]])
    level, noise = middle_and_scatter(ring, rounding / blocks.side)
    if params.background_from is Background.FIXED:
        level = params.fixed_background
    known["background"], known["noise"] = level, noise * blocks.side
    light = calm - level
    row, column = np.unravel_index(light.argmax(), light.shape)
    height = float(light[row, column])
    if not height > params.threshold * noise:
        message = f"the brightest block is {height / noise if noise else 0:.1f} sigma high"
        raise WithheldError(Outcome.NO_BEAM, message)
    known["peak_x"], known["peak_y"] = float(blocks.x[column]), float(blocks.y[row])
    labels, _ = ndimage.label(light > max(3 * noise, 0.2 * height))
    own = np.where(labels == labels[row, column], light, 0.0)
    spot = moments(blocks, own)
    # At least as wide as a block: one block alone has no width of its own.
    own_width = blocks.side**2 / 12
    return replace(spot, xx=max(spot.xx, own_width), yy=max(spot.yy, own_width))


def middle_and_scatter(sample: Floats, least: float) -> tuple[float, float]:
    """Return the median and the standard deviation from the median absolute deviation."""
    middle = float(np.median(sample))
    return middle, max(1.4826 * float(np.median(np.abs(sample - middle))), least)


def moments(cells: Cells, light: Floats) -> Spot:
    """Return centroid and second moments; the width of a cell is taken out, a pixel's is not."""
    total = float(light.sum())
    along, down = light.sum(axis=0), light.sum(axis=1)
    x, y = float((along * cells.x).sum()) / total, float((down * cells.y).sum()) / total
    dx, dy = cells.x - x, cells.y - y
    own = (cells.side**2 - 1) / 12
    return Spot(
        x,
        y,
        float((along * dx**2).sum()) / total - own,
        float((down * dy**2).sum()) / total - own,
        float((light * dx * dy[:, np.newaxis]).sum()) / total,
    )


# Moments ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Surround:
    """The background around the beam: its level, that level's error, and the noise of a pixel."""

    level: float
    error: float
    noise: float


def surroundings(blocks: Cells, spot: Spot, params: Params, rounding: float) -> Surround:
    """Measure the background outside of the measured area, near it if that is enough."""
    reach_x, reach_y = spot.reach(params.area)
    away_x = np.abs(blocks.x - spot.x) - blocks.side / 2
    away_y = (np.abs(blocks.y - spot.y) - blocks.side / 2)[:, np.newaxis]
    outside = (away_x > reach_x) | (away_y > reach_y)
    near = outside & (away_x < 2 * reach_x) & (away_y < 2 * reach_y)
    sample = blocks.values[near if near.sum() >= 50 else outside]
    if len(sample) < 12:
        values = blocks.values
        sample = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
    middle, scatter = middle_and_scatter(sample, rounding / blocks.side)
    kept = sample[np.abs(sample - middle) <= 4 * scatter]
    noise = max(float(kept.std()), rounding / blocks.side)
    if params.background_from is Background.FIXED:
        return Surround(params.fixed_background, 0.0, noise * blocks.side)
    return Surround(float(kept.mean()), noise / math.sqrt(len(kept)), noise * blocks.side)


def settle(
    planes: Pixels, blocks: Cells, spot: Spot, params: Params
) -> tuple[Spot, Cells, Surround]:
    """Measure in an area that depends on the size, until size and area agree."""
    rounding = quantum(planes)
    for turn in range(MOST_ROUNDS):
        surround = surroundings(blocks, spot, params, rounding)
        cells = without_odd_pixels(cut(planes, spot, params.area), spot, surround)
        light = np.where(cells.inside(spot, params.area), cells.values - surround.level, 0.0)
        found = moments(cells, light)
        if not (light.sum() > 0 and min(found.xx, found.yy) > 0 and found.axes()[1] > 0):
            raise WithheldError(Outcome.NO_BEAM, "the light is not gathered in a spot")
        if found.axes()[1] < SMALLEST_SIGMA:
            message = f"the spot has a sigma of {found.axes()[1]:.2f} px: a hot pixel"
            raise WithheldError(Outcome.NO_BEAM, message)
        if found.agrees(spot, noise_alone(cells, found, params.area, light, surround)):
            return found, cells, surround
        spot = found if turn < MOST_ROUNDS / 3 else found.between(spot)  # ends most cycles
    raise WithheldError(Outcome.UNUSABLE, f"no stable size after {MOST_ROUNDS} rounds")


def cut(planes: Pixels, spot: Spot, area: float) -> Cells:
    """Return the part of the frame that holds the measured area, in cells fine enough."""
    side = max(1, int(spot.axes()[1] / FINENESS))
    parts = []
    for place, reach, size in zip((spot.y, spot.x), spot.reach(area), planes.shape[1:]):
        first = min(max(math.floor(place - reach), 0), size - side)
        parts.append((first, min(max(math.ceil(place + reach) + 1, first + side), size)))
    (top, bottom), (left, right) = parts
    return average(planes[:, top:bottom, left:right], side, left, top)


def without_odd_pixels(cells: Cells, spot: Spot, surround: Surround) -> Cells:
    """Replace hot and dead cells by the median of their neighbours.

    They differ from it by far more than noise, here with one count to an electron, and than a spot
    of this size can.
    """
    local = ndimage.median_filter(cells.values, 3, mode="nearest")
    signal = np.abs(local - surround.level)
    noise = np.sqrt((surround.noise / cells.side) ** 2 + signal / cells.side**2)
    steepest = 0.5 if spot.axes()[1] >= 2 * cells.side else 2.0
    odd = np.abs(cells.values - local) > 8 * noise + steepest * signal
    return Cells(cells.side, np.where(odd, local, cells.values), cells.calm, cells.x, cells.y)


# What must not be published -----------------------------------------------------------------------


def refuse_saturated(
    planes: Pixels, spot: Spot, level: float, params: Params, known: dict[str, Any]
) -> None:
    """Count the beam's saturated pixels; WithheldError if there are too many."""
    part = planes
    for axis, place, sigma in zip((1, 2), (spot.y, spot.x), reversed(spot.sigmas)):
        first, last = math.floor(place - 3 * sigma), math.ceil(place + 3 * sigma) + 1
        part = part[(slice(None),) * axis + (slice(max(first, 0), last),)]
    greatest = np.iinfo(part.dtype).max if part.dtype.kind in "iu" else math.inf
    full = np.asarray((part >= (params.saturation or greatest)).any(axis=0))
    count = sum(in_company(part, row, column, level) for row, column in some_of(full))
    count = max(count, *(flat_top(plane, level) for plane in part))
    known["saturated"] = count
    if count > params.most_saturated:
        raise WithheldError(Outcome.SATURATED, f"{count} pixels of the beam are saturated")


def some_of(full: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the places that are true."""
    yield from zip(*(places.tolist() for places in np.nonzero(full)))


def in_company(planes: Pixels, row: int, column: int, level: float) -> bool:
    """Whether a pixel is the beam's: a quarter of its light is in its neighbourhood, too."""
    around = planes[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].max(axis=0)
    own = float(planes[:, row, column].max()) - level
    return float(np.median(around)) - level >= own / 4


def flat_top(plane: Pixels, level: float) -> int:
    """Count the pixels of a cut-off top: many have the greatest level, few the ones below it.

    A beam with steep sides that is flat by nature has few pixels between, and is let pass.
    """
    top = float(plane.max())
    height = top - level
    _, counts = np.unique(plane[plane > top - 0.1 * height], return_counts=True)
    most = int(counts[-1])
    if most < 10 or most <= 3 * counts[-4:-1].sum() / max(len(counts[-4:-1]), 1):
        return 0
    sides = np.count_nonzero((plane > level + 0.5 * height) & (plane < level + 0.9 * height))
    return most if sides > 0.05 * most else 0


def refuse_clipped(spot: Spot, shape: tuple[int, ...]) -> None:
    """WithheldError if the frame's edge may cut light off."""
    rows, columns = shape
    sigma_x, sigma_y = spot.sigmas
    nearest = min(
        min(spot.x + 0.5, columns - 0.5 - spot.x) / sigma_x,
        min(spot.y + 0.5, rows - 0.5 - spot.y) / sigma_y,
    )
    if nearest < CLEAR:
        message = f"the frame's edge is {nearest:.1f} sigma from the centroid: expected {CLEAR:g}"
        raise WithheldError(Outcome.CLIPPED, message)


def refuse_faint(
    spot: Spot, cells: Cells, light: Floats, surround: Surround, params: Params
) -> None:
    """WithheldError if the background's noise alone makes the size or the light uncertain."""
    covariance = noise_alone(cells, spot, params.area, light, surround)
    part = max(
        math.sqrt(covariance[2, 2]) / (2 * spot.xx), math.sqrt(covariance[3, 3]) / (2 * spot.yy)
    )
    inside = np.count_nonzero(cells.inside(spot, params.area))
    error = math.hypot(math.sqrt(inside) * surround.noise / cells.side, inside * surround.error)
    if part > 0.2 or light.sum() < params.threshold * error:
        message = f"too faint: the noise makes its size uncertain by {100 * part:.0f} %"
        raise WithheldError(Outcome.NO_BEAM, message)


# Errors and axes ----------------------------------------------------------------------------------


def moments_covariance(
    cells: Cells, spot: Spot, area: float, light: Floats, residuals: Floats, surround: Surround
) -> Floats:
    """Return the covariance of (x, y, xx, yy, xy) of the moments.

    Each is, to first order, a sum of cells with weights; each cell's variance is its residual
    squared, and the background's error is common to all.
    """
    dx, dy = np.broadcast_arrays(cells.x - spot.x, (cells.y - spot.y)[:, np.newaxis])
    terms = np.stack([dx, dy, dx * dx - spot.xx, dy * dy - spot.yy, dx * dy - spot.xy])
    weights = np.where(cells.inside(spot, area), terms, 0.0).reshape(5, -1) / light.sum()
    common = weights.sum(axis=1) * surround.error
    spread = weights * residuals.ravel()
    return np.asarray(spread @ spread.T + np.outer(common, common))


def noise_alone(cells: Cells, spot: Spot, area: float, light: Floats, surround: Surround) -> Floats:
    """Return the covariance that the background's noise alone gives the moments."""
    uniform = np.full_like(light, surround.noise / cells.side)
    return moments_covariance(cells, spot, area, light, uniform, surround)


@dataclass(frozen=True)
class Axes:
    """Sizes and angle (degrees) of second moments, and their standard errors in this order.

    The angle is NaN if its error is too large for it to mean anything.
    """

    x: float
    y: float
    long: float
    short: float
    angle: float
    errors: tuple[float, ...]


def axes_of(spot: Spot, covariance: Floats) -> Axes:
    """Return the axes of a spot whose (xx, yy, xy) has this covariance, by its derivatives."""
    long, short, angle = spot.axes()
    half_difference = (spot.xx - spot.yy) / 2
    spread = math.hypot(half_difference, spot.xy)
    sigma_x, sigma_y = spot.sigmas
    toward_x, toward_xy = (
        (half_difference / spread, spot.xy / spread) if spread else (math.nan, math.nan)
    )
    slopes = np.array(
        [
            [1 / (2 * sigma_x), 0, 0],
            [0, 1 / (2 * sigma_y), 0],
            np.array([(1 + toward_x) / 2, (1 - toward_x) / 2, toward_xy]) / (2 * long),
            np.array([(1 - toward_x) / 2, (1 + toward_x) / 2, -toward_xy]) / (2 * short),
            np.degrees(np.array([-toward_xy / 4, toward_xy / 4, toward_x / 2]))
            / (spread or math.nan),
        ]
    )
    errors = np.sqrt(np.einsum("ij,jk,ik->i", slopes, covariance, slopes))
    degrees = math.degrees(angle)
    if errors[4] > WIDEST_ANGLE_ERROR or not spread:
        degrees = errors[4] = math.nan
    return Axes(sigma_x, sigma_y, long, short, degrees, tuple(errors.tolist()))


def scaled(spot: Spot, covariance: Floats, scales: tuple[float, float]) -> Axes | None:
    """Return the axes in um, None if the pixels' size is not known."""
    sx, sy = scales
    if not sx:
        return None
    factors = np.array([sx * sx, sy * sy, sx * sy])
    larger = Spot(spot.x, spot.y, spot.xx * sx * sx, spot.yy * sy * sy, spot.xy * sx * sy)
    return axes_of(larger, covariance * np.outer(factors, factors))


def publish_moments(
    known: dict[str, Any], spot: Spot, covariance: Floats, scales: tuple[float, float]
) -> None:
    """Put the moments' figures into `known`."""
    axes = axes_of(spot, covariance[2:, 2:])
    errors = [*np.sqrt(np.diag(covariance)[:2]).tolist(), *axes.errors]
    put(known, ("centroid_x", "centroid_y"), (spot.x, spot.y), errors)
    put(known, ("sigma_x", "sigma_y"), (axes.x, axes.y), axes.errors)
    widths, width_errors = (4 * axes.long, 4 * axes.short), [4 * e for e in axes.errors[2:]]
    put(known, ("width_major", "width_minor"), widths, width_errors)
    put(known, ("angle",), (axes.angle,), axes.errors[4:])
    known.update(width_x=4 * axes.x, width_y=4 * axes.y, ellipticity=axes.short / axes.long)
    real = scaled(spot, covariance[2:, 2:], scales)
    if real:
        known.update(sigma_x_um=real.x, sigma_y_um=real.y)
        known.update(width_major_um=4 * real.long, width_minor_um=4 * real.short)


# Gaussian fit -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gaussian:
    """A fitted Gaussian: its moments, and the covariance of (x, y, xx, yy, xy, amplitude, level).

    `residuals` are the cells' differences from it.
    """

    spot: Spot
    amplitude: float
    level: float
    covariance: Floats
    residuals: Floats
    misfit: float


def fit(cells: Cells, spot: Spot, surround: Surround) -> Gaussian:
    """Fit by least squares; WithheldError if the iteration finds no minimum.

    In units of the spot's sizes and height, so that all seven parameters are near 1.
    """
    sigma_x, sigma_y = spot.sigmas
    u = np.broadcast_to((cells.x - spot.x) / sigma_x, cells.values.shape).ravel()
    v = np.repeat((cells.y - spot.y) / sigma_y, len(cells.x))
    height = float(cells.values.max()) - surround.level
    data = (cells.values.ravel() - surround.level) / height
    correlation = spot.xy / (sigma_x * sigma_y)
    steepness = 1 / (1 - correlation**2)
    start = [1.0, 0.0, 0.0, steepness, -correlation * steepness, steepness, 0.0]
    try:
        found, _ = optimize.curve_fit(
            lambda at, *p: gaussian(at, p)[0],
            (u, v),
            data,
            start,
            jac=lambda at, *p: gaussian(at, p)[1],
            maxfev=200,
        )
    except (RuntimeError, ValueError) as error:
        raise WithheldError(Outcome.FIT_FAILED, f"the fit finds no Gaussian: {error}") from error
    values, slopes = gaussian((u, v), found)
    residuals = data - values
    try:
        covariance = robust_covariance(slopes, residuals)
        return in_pixels(cells, spot, surround, height, found, covariance, residuals)
    except (np.linalg.LinAlgError, ValueError) as error:
        raise WithheldError(Outcome.FIT_FAILED, f"the fit finds no Gaussian: {error}") from error


def gaussian(at: tuple[Floats, Floats], p: Any) -> tuple[Floats, Floats]:
    """Return the Gaussian and its derivatives by amplitude, centre, inverse moments and level."""
    amplitude, u0, v0, uu, uv, vv, level = p
    u, v = at[0] - u0, at[1] - v0
    shape = np.exp(np.minimum(-0.5 * (uu * u * u + 2 * uv * u * v + vv * v * v), 50.0))
    own = amplitude * shape
    slopes = [
        shape,
        own * (uu * u + uv * v),
        own * (uv * u + vv * v),
        -0.5 * own * u * u,
        -own * u * v,
        -0.5 * own * v * v,
        np.ones_like(u),
    ]
    return own + level, np.stack(slopes, axis=1)


def robust_covariance(slopes: Floats, residuals: Floats) -> Floats:
    """Return the covariance of a least-squares fit whose noise differs from cell to cell.

    White, Econometrica 48 (1980) 817, with MacKinnon and White's correction HC3 for few cells,
    J. Econometrics 29 (1985) 305.
    """
    inverse = np.linalg.inv(slopes.T @ slopes)
    leverage = np.einsum("ij,ij->i", slopes @ inverse, slopes)
    weighted = slopes * (residuals / (1 - leverage))[:, np.newaxis]
    return np.asarray(inverse @ (weighted.T @ weighted) @ inverse)


def in_pixels(
    cells: Cells,
    spot: Spot,
    surround: Surround,
    height: float,
    found: Floats,
    covariance: Floats,
    residuals: Floats,
) -> Gaussian:
    """Turn the fit's parameters into the frame's units; ValueError if it is no peak."""
    amplitude, u0, v0, uu, uv, vv, level = found.tolist()
    if not (amplitude > 0 and uu > 0 and uu * vv > uv * uv and math.hypot(u0, v0) < 3):
        raise ValueError("no peak where the light is")
    sigma_x, sigma_y = spot.sigmas
    inverse = np.linalg.inv(np.array([[uu, uv], [uv, vv]]))
    own = (cells.side**2 - 1) / 12
    wide = inverse * np.outer((sigma_x, sigma_y), (sigma_x, sigma_y))
    (xx, xy), (_, yy) = wide - own * np.eye(2)
    if not (xx > 0 and xx * yy > xy * xy):
        raise ValueError("narrower than a pixel")
    # A cell's mean is lower than the peak: the volume is the same.
    peak = height * math.sqrt(float(np.linalg.det(wide)) / (xx * yy - xy * xy))
    slopes = np.zeros((7, 7))
    slopes[0, 1], slopes[1, 2], slopes[5, 0], slopes[6, 6] = sigma_x, sigma_y, peak, height
    for column, (row, other) in enumerate(((0, 0), (0, 1), (1, 1)), start=3):
        change = np.zeros((2, 2))
        change[row, other] = change[other, row] = 1.0
        moved = -inverse @ change @ inverse
        slopes[2:5, column] = moved[0, 0] * sigma_x**2, moved[1, 1] * sigma_y**2, 0
        slopes[4, column] = moved[0, 1] * sigma_x * sigma_y
    misfit = (residuals**2).sum() - len(residuals) * (surround.noise / cells.side / height) ** 2
    light = amplitude**2 * math.pi * math.sqrt(float(np.linalg.det(wide))) / cells.side**2
    return Gaussian(
        Spot(spot.x + sigma_x * u0, spot.y + sigma_y * v0, xx, yy, xy),
        amplitude * peak,
        surround.level + level * height,
        slopes @ covariance @ slopes.T,
        residuals * height,
        math.sqrt(max(float(misfit), 0.0) / light),
    )


def publish_fit(
    known: dict[str, Any], found: Gaussian, largest_misfit: float, scales: tuple[float, float]
) -> None:
    """Put the fit's figures into `known`; WithheldError, and the misfit alone, if it is none."""
    errors = np.sqrt(np.diag(found.covariance))
    axes = axes_of(found.spot, found.covariance[2:5, 2:5])
    known["fit_misfit"] = found.misfit
    if found.misfit > largest_misfit:
        message = f"the beam is no Gaussian: the misfit is {found.misfit:.2f}"
        raise WithheldError(Outcome.FIT_FAILED, message)
    if not (
        np.isfinite(errors).all() and max(axes.errors[0] / axes.x, axes.errors[1] / axes.y) < 0.3
    ):
        raise WithheldError(Outcome.FIT_FAILED, "the fit's errors are as large as its sizes")
    values: tuple[float, ...] = (found.spot.x, found.spot.y, found.amplitude, found.level)
    names: tuple[str, ...] = ("fit_x", "fit_y", "fit_amplitude", "fit_background")
    put(known, names, values, errors[[0, 1, 5, 6]].tolist())
    names = ("fit_sigma_x", "fit_sigma_y", "fit_sigma_major", "fit_sigma_minor", "fit_angle")
    put(known, names, [axes.x, axes.y, axes.long, axes.short, axes.angle], axes.errors)
    real = scaled(found.spot, found.covariance[2:5, 2:5], scales)
    if real:
        put(known, ("fit_sigma_x_um", "fit_sigma_y_um"), (real.x, real.y), real.errors)


def put(
    known: dict[str, Any], names: Sequence[str], values: Sequence[float], errors: Sequence[float]
) -> None:
    """Put figures and their errors into `known`."""
    for name, value, error in zip(names, values, errors):
        known[name], known[f"{name}_error"] = value, error
