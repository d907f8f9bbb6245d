"""Finds the spot and settles its size.

Moments depend on the area that they are taken in, and the area, of 3 beam widths, depends on the
moments: ISO 11146-1 has them taken again and again until both agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tosip.beam.background import Plane, border_plane, plane_around
from tosip.beam.cells import Cells, Floats, Pixels, part, rounding
from tosip.beam.outcome import Outcome, WithheldError
from tosip.beam.spot import Spot, moments, offsets

SMALLEST_SIGMA = 0.6  # px; narrower is a hot pixel
FINENESS = 5  # cells per sigma of the short axis: more only take time
COARSENESS = 2  # at least as many, also for an elongated spot
MOST_CELLS = 10_000
MOST_ROUNDS = 30
NO_SPOT = "the light is not gathered in a spot"


@dataclass(frozen=True)
class Scene:
    """What a frame is measured with: its pixels, its blocks and the settings.

    `area` is in beam widths, `threshold` in sigma, `level` a fixed background or None.
    """

    planes: Pixels
    blocks: Cells
    area: float
    threshold: float
    level: float | None

    def fixed(self, plane: Plane) -> Plane:
        """Return the plane, or the fixed background."""
        return plane if self.level is None else plane.fixed_at(self.level)


@dataclass(frozen=True)
class Peak:
    """The brightest block: its place (px), by how many sigma it stands out, and the background.

    `light` is that of all blocks above the background.
    """

    x: float
    y: float
    sigma: float
    light: Floats
    background: Plane


@dataclass(frozen=True)
class Measured:
    """A spot and the cells that it was measured in.

    `every` is the light of every cell above the background, `inside` says which of them count.
    """

    spot: Spot
    cells: Cells
    every: Floats
    inside: NDArray[np.bool_]
    background: Plane

    @property
    def noise(self) -> float:
        """The noise of a cell."""
        return self.background.noise / self.cells.side

    def covariance(self, residuals: Floats | float) -> Floats:
        """Return the covariance of (x, y, xx, yy, xy), from the cells' errors.

        Each is, to first order, a sum of cells with weights; the variance of a cell is its
        residual squared, and the background's errors are common to all.
        """
        dx, dy = offsets(self.cells, self.spot)
        terms = np.stack(
            [dx, dy, dx * dx - self.spot.xx, dy * dy - self.spot.yy, dx * dy - self.spot.xy]
        )
        weights = np.where(self.inside, terms, 0.0) / self.total
        plane = np.stack([np.ones(dx.shape), dx, dy])
        common = np.einsum("iyx,jyx->ij", weights, plane)
        spread = weights * residuals
        own = np.einsum("iyx,jyx->ij", spread, spread)
        return np.asarray(own + common @ self.background.covariance @ common.T)

    @property
    def total(self) -> float:
        """The light of the cells that count, per cell's area."""
        return float(self.every.sum(where=self.inside))


def brightest(scene: Scene) -> Peak:
    """Find the brightest block, hot pixels aside."""
    blocks = scene.blocks
    background = scene.fixed(border_plane(blocks, blocks.calm, rounding(scene.planes)))
    light = blocks.calm - background.under(blocks)
    row, column = np.unravel_index(light.argmax(), light.shape)
    height, noise = float(light[row, column]), background.noise / blocks.side
    sigma = height / noise if noise else math.copysign(math.inf, height)
    return Peak(
        float(blocks.x[column]), float(blocks.y[row]), sigma if height else 0.0, light, background
    )


def spot_around(scene: Scene, peak: Peak) -> Spot:
    """Return the rough size of the light around the brightest block: above a fifth of it."""
    blocks, light = scene.blocks, peak.light
    noise = peak.background.noise / blocks.side
    labels, _ = ndimage.label(light > max(3 * noise, 0.2 * light.max()))
    own = labels == labels.flat[light.argmax()]
    spot = moments(blocks, np.where(own, light, 0.0))
    width = blocks.side**2 / 12  # one block alone has no width of its own
    return replace(spot, xx=max(spot.xx, width), yy=max(spot.yy, width))


def settle(scene: Scene, spot: Spot) -> Measured:
    """Measure until size and area agree; WithheldError if that is no spot."""
    for turn in range(MOST_ROUNDS):
        measured = measure_in(scene, spot)
        found = measured.spot
        if not (measured.total > 0 and found.is_one):
            raise WithheldError(Outcome.NO_BEAM, NO_SPOT)
        if found.axes()[1] < SMALLEST_SIGMA:
            message = f"the spot has a sigma of {found.axes()[1]:.2f} px: a hot pixel"
            raise WithheldError(Outcome.NO_BEAM, message)
        if found.agrees(spot, measured.covariance(measured.noise)):
            return measured
        # The cells at the area's edge may go in and out for ever: halfway ends that.
        spot = found if turn < MOST_ROUNDS / 3 else found.between(spot)
    raise WithheldError(Outcome.UNUSABLE, f"no stable size after {MOST_ROUNDS} rounds")


def measure_in(scene: Scene, spot: Spot) -> Measured:
    """Return the moments in the area that belongs to a spot."""
    background = scene.fixed(plane_around(scene.blocks, spot, scene.area, rounding(scene.planes)))
    side = cell_side(spot, scene.area)
    cells = part(scene.planes, (spot.x, spot.y), spot.reach(scene.area), side)
    light = without_odd_cells(cells, spot, background)
    inside = spot.covers(cells, scene.area)
    light_inside = np.where(inside, light, 0.0)
    if not light_inside.sum():
        raise WithheldError(Outcome.NO_BEAM, NO_SPOT)
    return Measured(moments(cells, light_inside), cells, light, inside, background)


def cell_side(spot: Spot, area: float) -> int:
    """Return a side that resolves the spot in not too many cells."""
    reach_x, reach_y = spot.reach(area)
    short = spot.axes()[1]
    few = math.sqrt(4 * reach_x * reach_y / MOST_CELLS)
    return max(1, int(min(max(short / FINENESS, few), short / COARSENESS)))


def without_odd_cells(cells: Cells, spot: Spot, background: Plane) -> Floats:
    """Return the light above the background, hot and dead cells as the median around them.

    They differ from it by far more than noise, here with one count to an electron, and than a spot
    of this size can.
    """
    light = cells.values - background.under(cells)
    local = ndimage.median_filter(light, 3, mode="nearest")
    noise = np.sqrt(background.noise**2 + np.abs(local)) / cells.side
    steepest = 0.5 if spot.axes()[1] >= 2 * cells.side else 2.0
    odd = np.abs(light - local) > 8 * noise + steepest * np.abs(local)
    return np.where(odd, local, light)
