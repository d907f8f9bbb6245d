"""The whole measurement of a frame: `measure_frame`.

The direct look takes each peak as one star and measures them in the smaller apertures. If it finds
too few, or stars too wide, a second look takes each patch of light as one star and measures in the
wider ones; the better of both looks counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tosip.stars.arrays import Flags, Floats, Image
from tosip.stars.blobs import find_blobs
from tosip.stars.bright import bright_pixels
from tosip.stars.peaks import Candidates, find_peaks
from tosip.stars.sample import NO_STARS, Stars, round_stars
from tosip.stars.saturation import is_spoilt, learn_saturation, saturated_areas
from tosip.stars.sky import SMALLEST_SIDE, Sky, sample_sky
from tosip.stars.survey import LADDER, survey

DIRECT_RUNGS = 3  # of the ladder; beyond these, a star is broken into many peaks
DONUT = 5.0  # px: patches of a greater radius are donuts
DONUT_HFD = 1.8  # patch radii, at least: apertures that do not serve this would be in vain


class UnusableFrameError(ValueError):
    """The frame cannot be measured; the message says why."""


@dataclass(frozen=True)
class Measurement:
    """What was measured of one frame; levels in counts, widths in pixels.

    `stars` are those of `objects` that agree; `saturated` counts saturated stars; `peaks` are the
    heights above the sky of all that look like stars, uncapped in number.
    """

    sky: float
    noise: float
    saturation: float
    saturated: int = 0
    objects: Stars = NO_STARS
    stars: Stars = NO_STARS
    peaks: Floats = field(default_factory=lambda: np.empty(0))


def measure_frame(
    image: Image, threshold: float, enough: int, saturation: float, largest_aperture: float
) -> Measurement:
    """Measure the stars of a frame, (rows, columns), whose sky is not saturated.

    Peaks stand `threshold` sigmas out of the sky. With `enough` stars there is no second look. The
    `saturation` level is learnt if it is 0 or NaN. `largest_aperture` is a radius in px.
    """
    with np.errstate(all="ignore"):
        sky = _sky_of(image)
        y, x = bright_pixels(image, sky, threshold)
        level = saturation if saturation > 0 else learn_saturation(image, y, x)
        known = Measurement(float(np.median(sky.level)), float(np.median(sky.noise)), level)
        if known.sky >= level:
            return known
        spoilt, saturated = saturated_areas(image, sky, level, y, x)
        ladder = [rung for rung in LADDER if rung[0] <= largest_aperture]
        peaks = _unspoilt(find_peaks(image, sky, y, x), spoilt)
        objects = survey(image, sky, peaks, ladder[:DIRECT_RUNGS])
        stars = round_stars(objects)
        if len(stars) < enough or not stars.served:
            again = _second_look(image, sky, spoilt, ladder)
            looks = [(stars, objects), (round_stars(again), again)]
            stars, objects = max(looks, key=_worth)
        heights = peaks.height[peaks.usable]
        return replace(known, saturated=saturated, objects=objects, stars=stars, peaks=heights)


def _sky_of(image: Image) -> Sky:
    if image.ndim != 2:
        raise UnusableFrameError(f"expected rows and columns, got {image.ndim} dimensions")
    if image.dtype.kind not in "iuf":
        raise UnusableFrameError(f"expected real numbers, got {image.dtype}")
    if min(image.shape) < SMALLEST_SIDE:
        raise UnusableFrameError(
            f"expected at least {SMALLEST_SIDE} pixels a side, got {image.shape}"
        )
    sky = sample_sky(image)
    if sky is None:
        raise UnusableFrameError("no sky noise to judge by")
    return sky


def _second_look(
    image: Image, sky: Sky, spoilt: Flags, ladder: Sequence[tuple[int, float]]
) -> Stars:
    blobs, size = find_blobs(image, sky)
    if size > DONUT:
        ladder = [rung for rung in ladder if rung[1] >= DONUT_HFD * size] or ladder[-1:]
    return survey(image, sky, _unspoilt(blobs, spoilt), ladder)


def _unspoilt(candidates: Candidates, spoilt: Flags) -> Candidates:
    clear = ~is_spoilt(spoilt, candidates.y, candidates.x)
    return replace(candidates, usable=candidates.usable & clear)


def _worth(look: tuple[Stars, Stars]) -> tuple[bool, int, float]:
    stars = look[0]
    return stars.served, len(stars), float(stars.snr.sum())
