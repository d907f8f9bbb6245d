"""Focus from the stars of one frame: how wide they are, how round, and whether to believe it.

Measuring is the work of `tosip.stars`. Here its figures are judged, named and given units.

A width is published only when the outcome is good. Cloud removes stars and leaves artefacts that
make a width look better than it was, so too few stars give NaN. The exception is a frame taken of a
focus star: a star of very high signal to noise has a width of its own. That is published with an
outcome of its own, which says nothing about the field.

A frame behind a mosaic of colour filters (BAYERPAT) is measured in bins of 2 x 2 pixels, which
see all colours alike; the figures are in pixels of the camera.

The pixel's own width is part of the recorded image and is not taken out of the figures.

Needs NumPy and SciPy; never changes the frame, and copies it only to mark undefined pixels.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

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
from tosip.names import UNDEFINED_PIXELS
from tosip.pipeline.worker.image import undefined_as_nan
from tosip.stars.binning import binned
from tosip.stars.frame import Measurement, UnusableFrameError, measure_frame
from tosip.stars.sample import Stars, trailed, width_and_scatter

SERVED_SLACK = 1.05
# Counts of flux; well above the faintest star found, so that defocus hides none.
COUNT_FLUX = 10_000.0
FOCUS_STARS = 5  # fewer bright stars than this are no survey's frame
LEAST_FOCUS_STAR = 1.8  # px of HFD; clusters of hot pixels are smaller
WIDEST_SCATTER = 0.3  # of log HFD; real stars of one frame agree far better
SCALE_KEYWORDS = ("PIXSCALE", "PIXSCAL1", "SECPIX", "SECPIX1", "SCALE")


class Outcome(str, enum.Enum):
    """What a frame is good for."""

    GOOD = "good"
    FOCUS_STAR = "focus star"
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
    hfd_error: float = output(
        "Standard error of the half-flux diameter",
        units="arcsec",
        precision=3,
        default=math.nan,
    )
    star_count: float = output(
        "Stars of more than 10,000 counts\n"
        "Not limited in number: clouds make it fall. NaN if some could not have been found.",
        precision=0,
        default=math.nan,
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
        if attributes.get(UNDEFINED_PIXELS):  # else integers, which are quicker
            image = undefined_as_nan(image, attributes)
        bins = 2 if mosaic(attributes, metadata) and image.ndim == 2 else 1
        saturation = params.saturation or number(attributes.get("SATURATE"))
        try:
            frame = measure_frame(
                image if bins == 1 else binned(image, saturation),
                threshold=params.threshold,
                enough=params.minimum_stars,
                saturation=saturation,
                largest_aperture=params.largest_aperture / bins,
            )
        except UnusableFrameError as error:
            return withheld(Figures(), Outcome.UNUSABLE, str(error))
        known = Figures(
            stars=len(frame.stars),
            saturated=frame.saturated,
            sky=frame.sky,
            sky_noise=frame.noise,
        )
        if frame.sky >= frame.saturation:
            message = f"the sky itself is saturated, at {frame.sky:.0f} counts"
            return withheld(known, Outcome.SATURATED, message)
        if trailed(frame.objects):
            message = f"most of {len(frame.objects)} objects are elongated the same way: trailed"
            return withheld(known, Outcome.TRAILED, message)
        result = judge(frame.stars, known, params, pixel_scale(params, attributes), bins)
        count = stars_above(COUNT_FLUX / bins**2, frame, params.threshold)
        return replace(result, outputs=found_in(result).replace(star_count=count))


def withheld(known: Figures, outcome: Outcome, message: str) -> Result[Figures]:
    """Return what is known, without widths, and say why."""
    return Result(known.replace(outcome=outcome), status=Status.WARNING, message=message)


def mosaic(attributes: Mapping[str, Any], metadata: Metadata) -> bool:
    """Return whether the frame's pixels see different colours."""
    return metadata.color_mode == "Bayer" or bool(str(attributes.get("BAYERPAT", "")).strip())


def judge(
    stars: Stars, known: Figures, params: Params, scale: float, bins: int = 1
) -> Result[Figures]:
    """Decide whether widths can be believed, and publish them if so."""
    warning = ""
    if len(stars) < params.minimum_stars:
        bright = (stars.snr >= params.focus_star_snr) & (stars.hfd >= LEAST_FOCUS_STAR)
        if not params.focus_star_snr or not bright.any():
            return too_few(known)
        stars = stars.only(bright)
        known = known.replace(stars=len(stars))
        warning = f"few stars: widths of {len(stars)} bright one(s) alone, S/N {stars.snr[0]:.0f}"
    middle, scatter = width_and_scatter(stars.hfd)
    # The aperture was chosen for the median of all stars, before outliers were left out.
    if math.exp(middle) > SERVED_SLACK * stars.widest:
        message = f"stars of {math.exp(middle):.0f} px: wider than the aperture serves"
        return withheld(known, Outcome.UNUSABLE, message)
    if scatter > WIDEST_SCATTER:
        message = f"widths of {len(stars)} objects disagree: these are no stars"
        return withheld(known, Outcome.UNUSABLE, message)
    lone = warning and len(stars) < FOCUS_STARS
    outcome = Outcome.FOCUS_STAR if lone else Outcome.GOOD
    figures = widths(stars, known, scale, bins).replace(outcome=outcome)
    ratio = figures.fwhm / figures.hfd
    if not 0.7 < ratio < 1.4:
        disagree = f"FWHM and half-flux diameter disagree, {ratio:.2f} to 1: far from focus?"
        warning = warning or disagree
    return Result(figures, status=Status.WARNING if warning else Status.OK, message=warning)


def stars_above(flux: float, frame: Measurement, threshold: float) -> float:
    """Return how many stars of a frame are brighter than `flux` counts; NaN if that is not known.

    A star's flux is its peak times its area, which is that of all stars: pi / (4 ln 2) HFD^2.
    """
    if not len(frame.stars):
        return math.nan
    area = math.pi / (4 * math.log(2)) * float(np.median(frame.stars.hfd)) ** 2
    peak = flux / area
    if peak < threshold * frame.noise:
        return math.nan
    return float(np.count_nonzero(frame.peaks >= peak)) + frame.saturated


def found_in(result: Result[Figures]) -> Figures:
    """Return a result's figures."""
    if not isinstance(result.outputs, Figures):
        raise TypeError(f"found_in: expected Figures, got {type(result.outputs).__name__}")
    return result.outputs


def too_few(known: Figures) -> Result[Figures]:
    """Tell why there are too few stars."""
    outcome = Outcome.FEW_STARS if known.stars else Outcome.NO_STARS
    if known.saturated > known.stars:
        outcome = Outcome.SATURATED
    counts = f"{known.stars} stars and {known.saturated} saturated ones"
    return withheld(known, outcome, f"{counts}: too few to measure widths")


def widths(stars: Stars, known: Figures, scale: float, bins: int) -> Figures:
    """Return `known` with the medians of the stars' figures.

    `scale` in arcsec per pixel of the camera; a pixel that was measured is `bins` of them wide.
    """
    hfd, fwhm, ellipticity, e1, e2 = (
        float(np.median(values))
        for values in (stars.hfd, stars.fwhm, stars.ellipticity, stars.e1, stars.e2)
    )
    # Of a median of many; its error is 1.25 times that of a mean.
    error = 1.25 * hfd * width_and_scatter(stars.hfd)[1] / math.sqrt(len(stars))
    return known.replace(
        hfd=hfd * bins * scale,
        hfd_pixels=hfd * bins,
        hfd_error=error * bins * scale if len(stars) > 1 else math.nan,
        fwhm=fwhm * bins * scale,
        ellipticity=ellipticity,
        e1=e1,
        e2=e2,
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
    if isinstance(value, np.ndarray):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
