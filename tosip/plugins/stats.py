"""Statistics of a frame's pixels, under the names and by the formulas of areaDetector.

A record with a name of NDPluginStats (ADCore, `NDStats.template`) has the value that NDPluginStats
gives, so its clients and screens read it unchanged. `docs/algorithms.md` has every formula with its
source, the oddities that are kept, and the four differences:

* a figure that cannot be computed, or whose switch is off, is NaN (INVALID) instead of an old value
  or 0; an array is empty;
* colours: positions and the border are those of pixels, and centroid and profiles are of the mean
  of the colours; NDPluginStats computes none;
* profiles do not need the centroid's switch;
* sums are kept in an order that loses no digits: a constant frame has a sigma of exactly 0.

Frames of 1 to 3 dimensions and any real number type are read block by block and never copied
whole. The file is not called statistics.py: Python has a module of that name. Needs NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tosip import Algorithm, Inputs, Metadata, Outputs, Result, Status, output, param

LONGEST = 16384  # columns or rows of a profile, bins of a histogram
BLOCK = 1 << 16  # pixels; as float64 they stay in a CPU's cache
COLOUR_AXIS = {"RGB1": 2, "RGB2": 1, "RGB3": 0}

Pixels = NDArray[Any]
Floats = NDArray[np.float64]


class Params(Inputs):
    """What operators set."""

    compute_statistics: bool = param("Compute min, max, mean, sigma, total", default=True)
    bgd_width: int = param(
        "Width of the border for the background\nThe mean of the border is taken off each pixel in"
        " Net; 0: nothing is taken off.",
        default=0,
        units="px",
        limits=(0, None),
    )
    compute_centroid: bool = param("Compute centroid and widths", default=True)
    centroid_threshold: float = param(
        "Pixels below count as 0 in the centroid\nAlso in the threshold profiles.",
        default=1.0,
        units="counts",
    )
    compute_profiles: bool = param("Compute profiles", default=False)
    cursor_x: int = param("Column of the cursor", default=0, units="px", limits=(0, None))
    cursor_y: int = param("Row of the cursor", default=0, units="px", limits=(0, None))
    compute_histogram: bool = param("Compute the histogram", default=False)
    hist_size: int = param("Bins of the histogram", default=256, limits=(1, LONGEST))
    hist_min: float = param("Middle of the first bin", default=0.0, units="counts")
    hist_max: float = param("Middle of the last bin", default=255.0, units="counts")


def _figure(doc: str, units: str = "counts", precision: int = 3) -> float:
    """Declare a figure that is NaN where it is not computed."""
    figure: float = output(doc, units=units, precision=precision, default=math.nan)
    return figure


def _profile(doc: str, units: str = "counts") -> Floats:
    """Declare an array that is empty where it is not computed."""
    profile: Floats = output(doc, units=units, length=LONGEST, default=())
    return profile


class Figures(Outputs):
    """What operators read; NaN, or empty, if not computed."""

    min_value: float = _figure("Least pixel")
    min_x: float = _figure("Column of the least pixel", "px", 0)
    min_y: float = _figure("Row of the least pixel", "px", 0)
    max_value: float = _figure("Greatest pixel")
    max_x: float = _figure("Column of the greatest pixel", "px", 0)
    max_y: float = _figure("Row of the greatest pixel", "px", 0)
    mean_value: float = _figure("Mean of the pixels")
    sigma: float = _figure("Standard deviation of the pixels")
    total: float = _figure("Sum of the pixels")
    net: float = _figure("Sum of the pixels above the background")
    centroid_total: float = _figure("Sum of the pixels above the threshold")
    centroid_x: float = _figure("Column of the centroid", "px")
    centroid_y: float = _figure("Row of the centroid", "px")
    sigma_x: float = _figure("Width along the rows", "px")
    sigma_y: float = _figure("Width along the columns", "px")
    sigma_x_y: float = _figure("Correlation of x and y", "")
    skew_x: float = _figure("Skewness along the rows", "")
    skew_y: float = _figure("Skewness along the columns", "")
    kurtosis_x: float = _figure("Excess kurtosis along the rows", "")
    kurtosis_y: float = _figure("Excess kurtosis along the columns", "")
    eccentricity: float = _figure(
        "Eccentricity, as in NDPluginStats\nIts formula depends on the orientation and may be"
        " negative: for a beam's shape use beam_profile.",
        "",
    )
    orientation: float = _figure("Angle of the long axis to the rows", "deg")
    profile_size_x: int = output("Columns of the profiles", units="px", default=0)
    profile_size_y: int = output("Rows of the profiles", units="px", default=0)
    cursor_val: float = _figure("Pixel at the cursor")
    profile_average_x: Floats = _profile("Mean of all rows")
    profile_average_y: Floats = _profile("Mean of all columns")
    profile_threshold_x: Floats = _profile("Mean of all rows above the threshold")
    profile_threshold_y: Floats = _profile("Mean of all columns above the threshold")
    profile_centroid_x: Floats = _profile("The row through the centroid")
    profile_centroid_y: Floats = _profile("The column through the centroid")
    profile_cursor_x: Floats = _profile("The row through the cursor")
    profile_cursor_y: Floats = _profile("The column through the cursor")
    hist_below: float = _figure("Pixels below the histogram", "", 0)
    hist_above: float = _figure("Pixels above the histogram", "", 0)
    hist_entropy: float = _figure("Entropy of the histogram", "")
    histogram: Floats = _profile("Pixels in each bin", "")
    histogram_x: Floats = _profile("Levels of the bins, as in NDPluginStats")


class Statistics(Algorithm[Params, Figures]):
    """Statistics of the pixels.

    Min, max, mean, sigma, centroid, profiles and histogram, as areaDetector's NDPluginStats.
    """

    def process(
        self,
        image: np.ndarray[Any, Any],
        params: Params,
        attributes: Mapping[str, Any],
        metadata: Metadata,
    ) -> Result[Figures]:
        """Measure one frame, of 1 to 3 dimensions and of any real number type."""
        if not image.size:
            return Result(Figures(), status=Status.WARNING, message="the frame has no pixels")
        axis = colour_axis(image, metadata.color_mode)
        found: dict[str, Any] = {}
        faults: list[str] = []
        with np.errstate(all="ignore"):
            if params.compute_statistics:
                found.update(statistics(image, axis, params.bgd_width, faults))
            if params.compute_centroid or params.compute_profiles:
                found.update(shape(as_planes(image, axis), params, faults))
            if params.compute_histogram:
                found.update(histogram(image.reshape(-1), params))
        status = Status.WARNING if faults else Status.OK
        return Result(Figures(**found), status=status, message="; ".join(faults))


def colour_axis(image: Pixels, color_mode: str) -> int:
    """Return the axis of the colours of an image in 3 dimensions."""
    unnamed = 2 if image.ndim == 3 and image.shape[2] == 3 else 0
    return COLOUR_AXIS.get(color_mode, unnamed)


def as_planes(image: Pixels, axis: int) -> Pixels:
    """Return a view, (colours, rows, columns), of an image of 1 to 3 dimensions."""
    if image.ndim == 3:
        return np.moveaxis(image, axis, 0)
    return image.reshape(1, -1, image.shape[-1])


def statistics(image: Pixels, axis: int, width: int, faults: list[str]) -> dict[str, float]:
    """Return the basic figures, of the pixels of all colours; none if a pixel is not finite."""
    flat = image.reshape(-1)
    total, sigma = total_and_sigma(flat)
    bad = 0 if math.isfinite(total) else count_not_finite(flat)
    if bad:
        faults.append(f"{bad} pixels are NaN or infinite: no min, max, mean, sigma and total")
        return {}
    found = {
        "mean_value": total / flat.size,
        "sigma": sigma,
        "total": total,
        "net": total - border_mean(image, axis, width) * flat.size,
    }
    for name, place in zip(("min", "max"), extremes(flat)):
        row, column = row_and_column(place, image, axis)
        found[f"{name}_value"] = float(flat[place])
        found[f"{name}_x"], found[f"{name}_y"] = column, row
    return found


def total_and_sigma(flat: Pixels) -> tuple[float, float]:
    """Return the sum and the population's standard deviation: sqrt(sum (v - mean)^2 / n).

    Each block's squares are summed about its own mean, and then joined: Chan, Golub and LeVeque,
    Technical Report STAN-CS-79-773 (1979), eq. 2.1.
    """
    count, total, squares = 0, 0.0, 0.0
    for pixels, _ in blocks(flat):
        added = float(pixels.sum())
        own_mean = added / len(pixels)
        away = own_mean - total / max(count, 1)
        np.subtract(pixels, own_mean, out=pixels)
        squares += float(np.einsum("i,i->", pixels, pixels))
        squares += away * away * count * len(pixels) / (count + len(pixels))
        count += len(pixels)
        total += added
    return total, math.sqrt(squares / count)


def blocks(flat: Pixels) -> Iterator[tuple[Floats, Pixels]]:
    """Yield each block of pixels as floats, in the same memory each time, and as it is."""
    memory = np.empty(min(BLOCK, flat.size))
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        pixels = memory[: len(block)]
        np.copyto(pixels, block)
        yield pixels, block


def count_not_finite(flat: Pixels) -> int:
    """Count the pixels that are NaN or infinite."""
    return sum(len(block) - int(np.isfinite(pixels).sum()) for pixels, block in blocks(flat))


def extremes(flat: Pixels) -> tuple[int, int]:
    """Return the places of the first least and of the first greatest pixel; all must be finite."""
    starts = range(0, flat.size, BLOCK)
    least = [start + int(flat[start : start + BLOCK].argmin()) for start in starts]
    greatest = [start + int(flat[start : start + BLOCK].argmax()) for start in starts]
    return least[int(flat[least].argmin())], greatest[int(flat[greatest].argmax())]


def row_and_column(place: int, image: Pixels, axis: int) -> tuple[float, float]:
    """Return the pixel of the image's `place`, whatever its colour."""
    index = [float(at) for at in np.unravel_index(place, image.shape)]
    if image.ndim == 3:
        del index[axis]
    return (index[0], index[1]) if len(index) > 1 else (0.0, index[0])


def border_mean(image: Pixels, axis: int, width: int) -> float:
    """Return the mean of the border, its four corners counted twice as NDPluginStats does."""
    planes = as_planes(image, axis)
    strips = [planes[..., :width], planes[..., -width:]]
    if image.ndim > 1:
        strips += [planes[:, :width], planes[:, -width:]]
    counts = sum(float(np.sum(strip, dtype=np.float64)) for strip in strips)
    return counts / sum(strip.size for strip in strips) if width else 0.0


@dataclass(frozen=True)
class Projections:
    """Sums over rows (`x`, one per column) and over columns (`y`), of all and of kept pixels.

    Kept pixels are at or above the threshold. `cross` is the sum of their v (x - cx) (y - cy),
    with (cx, cy) the middle of the frame.
    """

    x: Floats
    y: Floats
    kept_x: Floats
    kept_y: Floats
    cross: float


def project(planes: Pixels, threshold: float) -> Projections:
    """Sum the mean of the colours along both axes, tile by tile."""
    rows, columns = planes.shape[1:]
    x, y, kept_x, kept_y = (np.zeros(size) for size in (columns, rows, columns, rows))
    from_middle_x, from_middle_y = from_middle(columns), from_middle(rows)
    cross = 0.0
    memory = np.empty((2, min(BLOCK, rows * columns)))
    for down, along in tiles(rows, columns):
        part = planes[:, down, along]
        pixels, kept = memory[:, : part[0].size].reshape(2, *part.shape[1:])
        grey(part, pixels)
        x[along] += pixels.sum(axis=0)
        y[down] += pixels.sum(axis=1)
        keep(pixels, threshold, kept)
        kept_x[along] += kept.sum(axis=0)
        kept_y[down] += kept.sum(axis=1)
        weighted = np.einsum("ij,j->i", kept, from_middle_x[along])
        cross += float((weighted * from_middle_y[down]).sum())
    return Projections(x, y, kept_x, kept_y, cross)


def from_middle(size: int) -> Floats:
    """Return the pixels' distances from the middle of a row or column."""
    middle = (size - 1) / 2
    return np.linspace(-middle, middle, size)


def tiles(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield the parts of a frame that hold about `BLOCK` pixels, whole rows if they are short."""
    width = min(columns, BLOCK)
    height = max(1, BLOCK // width)
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            yield slice(top, top + height), slice(left, left + width)


def grey(planes: Pixels, pixels: Floats) -> Floats:
    """Write the mean of the colours to `pixels` and return it."""
    np.copyto(pixels, planes[0])
    for plane in planes[1:]:
        pixels += plane
    if len(planes) > 1:
        np.divide(pixels, len(planes), out=pixels)
    return pixels


def keep(pixels: Floats, threshold: float, kept: Floats) -> None:
    """Write the pixels to `kept`, those below the threshold and those that are NaN as 0."""
    above = pixels >= threshold
    np.copyto(kept, above)
    kept *= pixels  # much faster than by index, but 0 times infinity is NaN
    if not math.isfinite(kept.sum()):
        kept[~above] = 0


def shape(planes: Pixels, params: Params, faults: list[str]) -> dict[str, Any]:
    """Return the centroid's figures and the profiles, those that are asked for."""
    found: dict[str, Any] = {}
    projections = project(planes, params.centroid_threshold)
    middle = centroid(projections)
    if not middle:
        faults.append("no light at or above the threshold: no centroid")
    if params.compute_centroid:
        found.update(middle)
    if params.compute_profiles:
        found.update(profiles(planes, projections, middle, params, faults))
    return found


def centroid(projections: Projections) -> dict[str, float]:
    """Return the moments of the kept pixels; nothing if their sum is not above 0."""
    x, y = projections.kept_x, projections.kept_y
    light = float(x.sum())
    if not (light > 0 and math.isfinite(light)):
        return {}
    mean_x, var_x, skew_x, kurtosis_x = moments(x, light)
    mean_y, var_y, skew_y, kurtosis_y = moments(y, light)
    aside, below = mean_x - (len(x) - 1) / 2, mean_y - (len(y) - 1) / 2
    covariance = projections.cross / light - aside * below
    sigma_x, sigma_y = root(var_x), root(var_y)
    return {
        "centroid_total": light,
        "centroid_x": mean_x,
        "centroid_y": mean_y,
        "sigma_x": sigma_x,
        "sigma_y": sigma_y,
        "sigma_x_y": ratio(covariance, sigma_x * sigma_y),
        "skew_x": skew_x,
        "skew_y": skew_y,
        "kurtosis_x": kurtosis_x,
        "kurtosis_y": kurtosis_y,
        # With + it would be that of an ellipse; areaDetector has -.
        "eccentricity": ratio((var_x - var_y) ** 2 - 4 * covariance**2, (var_x + var_y) ** 2),
        "orientation": math.degrees(0.5 * math.atan2(2 * covariance, var_x - var_y)),
    }


def moments(profile: Floats, light: float) -> tuple[float, float, float, float]:
    """Return mean, variance, skewness and excess kurtosis of a profile that sums to `light`."""
    at = np.arange(len(profile))
    mean = float((profile * at).sum()) / light
    second, third, fourth = (
        float((profile * (at - mean) ** power).sum()) / light for power in (2, 3, 4)
    )
    return mean, second, ratio(third, second * root(second)), ratio(fourth, second**2) - 3


def root(value: float) -> float:
    """Return the square root, NaN of a negative number: negative pixels have such moments."""
    return math.sqrt(value) if value >= 0 else math.nan


def ratio(value: float, divisor: float) -> float:
    """Return the quotient, NaN where there is none."""
    return value / divisor if divisor else math.nan


def profiles(
    planes: Pixels,
    projections: Projections,
    middle: Mapping[str, float],
    params: Params,
    faults: list[str],
) -> dict[str, Any]:
    """Return the eight profiles and the pixel at the cursor."""
    rows, columns = planes.shape[1:]
    if max(rows, columns) > LONGEST:
        faults.append(f"no profiles: expected at most {LONGEST} columns and rows")
        return {}
    column, row = min(params.cursor_x, columns - 1), min(params.cursor_y, rows - 1)
    found: dict[str, Any] = {
        "profile_size_x": columns,
        "profile_size_y": rows,
        "cursor_val": float(planes[:, row, column].mean(dtype=np.float64)),
        "profile_average_x": projections.x / rows,
        "profile_average_y": projections.y / columns,
        "profile_threshold_x": projections.kept_x / rows,
        "profile_threshold_y": projections.kept_y / columns,
        "profile_cursor_x": grey(planes[:, row], np.empty(columns)),
        "profile_cursor_y": grey(planes[:, :, column], np.empty(rows)),
    }
    if middle:
        row, column = nearest(middle["centroid_y"], rows), nearest(middle["centroid_x"], columns)
        found["profile_centroid_x"] = grey(planes[:, row], np.empty(columns))
        found["profile_centroid_y"] = grey(planes[:, :, column], np.empty(rows))
    return found


def nearest(place: float, size: int) -> int:
    """Return the pixel at `place`, the last one if it is outside."""
    return min(max(int(place + 0.5), 0), size - 1)


def histogram(flat: Pixels, params: Params) -> dict[str, Any]:
    """Return the histogram of the pixels of all colours, its entropy and its axis.

    Bin i holds the levels that round to low + i (high - low) / (size - 1); entropy is
    -sum n ln n / N, of N pixels.
    """
    size, low = params.hist_size, params.hist_min
    high = params.hist_max if params.hist_max > low else low + 1
    counts = np.zeros(size + 3)
    for levels, pixels in levels_and_counts(flat):
        counts += np.bincount(bins(levels, low, high, size), pixels, minlength=size + 3)
    inside = counts[1:-2]
    logarithms = np.log(np.maximum(inside, 1))
    return {
        "hist_below": float(counts[0]),
        "hist_above": float(counts[-2]),
        "hist_entropy": -float((inside * logarithms).sum()) / flat.size,
        "histogram": inside,
        "histogram_x": low + np.arange(size) * ((high - low) / size),
    }


def levels_and_counts(flat: Pixels) -> Iterator[tuple[Floats, Floats | None]]:
    """Yield levels and how many pixels have each, None for one.

    Integers of 8 and 16 bits have few levels: those are counted, and binned once.
    """
    if flat.dtype.kind not in "iu" or flat.dtype.itemsize > 2:
        yield from ((pixels, None) for pixels, _ in blocks(flat))
        return
    unsigned = np.dtype(f"u{flat.dtype.itemsize}")
    levels = np.arange(256**unsigned.itemsize).astype(unsigned)
    counts = np.zeros(len(levels))
    for start in range(0, flat.size, 4 * BLOCK):
        block = flat[start : start + 4 * BLOCK].view(unsigned)
        counts += np.bincount(block, minlength=len(levels))
    yield levels.view(flat.dtype).astype(np.float64), counts


def bins(levels: Floats, low: float, high: float, size: int) -> NDArray[np.intp]:
    """Return each level's bin plus 1: 0 is below, size + 1 above, size + 2 no number."""
    places = (levels - low) * ((size - 1) / (high - low)) + 0.5
    found = np.clip(np.nan_to_num(places), 0, size - 0.5).astype(np.intp) + 1
    found[levels < low] = 0
    found[levels > high] = size + 1
    found[np.isnan(levels)] = size + 2
    return found
