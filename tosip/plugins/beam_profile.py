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

Measuring is the work of `tosip.beam`; here its figures are declared, named and judged.

Needs NumPy and SciPy; never changes the frame, never holds a copy of it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tosip import Algorithm, Inputs, Metadata, Outputs, Result, Severity, Status, output, param
from tosip.beam.background import border_plane
from tosip.beam.cells import Floats, Pixels, as_planes, blocks_of, rounding
from tosip.beam.checks import refuse_clipped, refuse_faint, saturated_pixels
from tosip.beam.gaussian import Gaussian, fit
from tosip.beam.outcome import Outcome, WithheldError
from tosip.beam.search import Measured, Scene, brightest, settle, spot_around
from tosip.beam.spot import axes_of, scaled


class Background(str, enum.Enum):
    """Where the background comes from."""

    MEASURED = "measured"
    FIXED = "fixed"


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
        status = Status.WARNING if message else Status.OK
        return Result(Figures(**known), status=status, message=message)


def measure(planes: Pixels, params: Params, known: dict[str, Any]) -> None:
    """Put all figures that can be measured into `known`; WithheldError says why they end."""
    level = params.fixed_background if params.background_from is Background.FIXED else None
    scene = Scene(planes, blocks_of(planes), params.area, params.threshold, level)
    border = scene.fixed(border_plane(scene.blocks, scene.blocks.values, rounding(planes)))
    known.update(background=border.level, noise=border.noise)
    peak = brightest(scene)
    if not peak.sigma > params.threshold:
        raise WithheldError(Outcome.NO_BEAM, f"the brightest block is {peak.sigma:.1f} sigma high")
    known.update(peak_x=peak.x, peak_y=peak.y)
    found = settle(scene, spot_around(scene, peak))
    background = found.background
    known.update(background=background.level, noise=background.noise)
    count = saturated_pixels(planes, found.spot, background.level, params.saturation)
    known["saturated"] = count
    if count > params.most_saturated:
        raise WithheldError(Outcome.SATURATED, f"{count} pixels of the beam are saturated")
    refuse_clipped(found.spot, planes.shape[1:])
    refuse_faint(found, params.threshold)
    publish_moments(known, found, np.full((5, 5), math.nan), params)
    if params.fit:
        gaussian = fit(found)
        publish_moments(known, found, found.covariance(gaussian.residuals), params)
        publish_fit(known, gaussian, params)


def publish_moments(
    known: dict[str, Any], found: Measured, covariance: Floats, params: Params
) -> None:
    """Put the moments' figures into `known`."""
    spot, axes = found.spot, axes_of(found.spot, covariance[2:, 2:])
    known["total"] = found.total * found.cells.side**2
    errors = np.sqrt(np.diag(covariance)[:2]).tolist()
    put(known, ("centroid_x", "centroid_y"), (spot.x, spot.y), errors)
    put(known, ("sigma_x", "sigma_y"), (axes.x, axes.y), axes.errors)
    widths, width_errors = (4 * axes.long, 4 * axes.short), [4 * e for e in axes.errors[2:]]
    put(known, ("width_major", "width_minor"), widths, width_errors)
    put(known, ("angle",), (axes.angle,), axes.errors[4:])
    known.update(width_x=4 * axes.x, width_y=4 * axes.y, ellipticity=axes.short / axes.long)
    if params.pixel_size_x:
        real = scaled(spot, covariance[2:, 2:], scales(params))
        known.update(sigma_x_um=real.x, sigma_y_um=real.y)
        known.update(width_major_um=4 * real.long, width_minor_um=4 * real.short)


def publish_fit(known: dict[str, Any], found: Gaussian, params: Params) -> None:
    """Put the fit's figures into `known`; the misfit alone, and WithheldError, if it is none."""
    spot, covariance = found.spot, found.covariance[2:5, 2:5]
    axes, errors = axes_of(spot, covariance), np.sqrt(np.diag(found.covariance)).tolist()
    known["fit_misfit"] = found.misfit
    if found.misfit > params.largest_misfit:
        message = f"the beam is no Gaussian: the misfit is {found.misfit:.2f}"
        raise WithheldError(Outcome.FIT_FAILED, message)
    if not (axes.errors[0] < axes.x / 3 and axes.errors[1] < axes.y / 3):
        raise WithheldError(Outcome.FIT_FAILED, "the fit's errors are as large as its sizes")
    put(known, ("fit_x", "fit_y"), (spot.x, spot.y), errors)
    put(known, ("fit_amplitude", "fit_background"), (found.amplitude, found.level), errors[5:])
    names = ("fit_sigma_x", "fit_sigma_y", "fit_sigma_major", "fit_sigma_minor", "fit_angle")
    put(known, names, (axes.x, axes.y, axes.long, axes.short, axes.angle), axes.errors)
    if params.pixel_size_x:
        real = scaled(spot, covariance, scales(params))
        put(known, ("fit_sigma_x_um", "fit_sigma_y_um"), (real.x, real.y), real.errors)


def scales(params: Params) -> tuple[float, float]:
    """Return a pixel's size along the rows and columns; it is square if one is given."""
    return params.pixel_size_x, params.pixel_size_y or params.pixel_size_x


def put(
    known: dict[str, Any], names: Sequence[str], values: Sequence[float], errors: Sequence[float]
) -> None:
    """Put figures and their errors into `known`."""
    for name, value, error in zip(names, values, errors):
        known[name], known[f"{name}_error"] = value, error
