"""Which candidates are measured, and in what aperture.

A star must be alone in its aperture and off the frame's edges. Of the stars that are, the brightest
of each of 4 x 4 zones are taken, so that a rich corner does not outvote the field. The aperture is
the first of a ladder of sizes that is wide enough for the median star: wider ones would add noise
and neighbours, narrower ones would cut the stars' light off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import spatial

from tosip.stars.arrays import Image, Places
from tosip.stars.cutouts import margin_of, measure
from tosip.stars.peaks import Candidates
from tosip.stars.sample import NO_STARS, Stars
from tosip.stars.sky import Sky

# Aperture radius and the widest median HFD (px) that it serves: at least twice the HFD where
# seeing's wings count, less for donuts, which end sharply.
LADDER = ((10, 5.0), (16, 8.0), (24, 13.0), (36, 22.0), (56, 36.0), (80, 56.0), (120, 84.0))
ZONES = 4  # along each side
STARS_PER_ZONE = 16
CUT_PIXELS = 400_000  # pixels cut out in all
NEIGHBOUR = 0.05  # of a star's height: a peak this high is too close inside the aperture


def survey(
    image: Image, sky: Sky, candidates: Candidates, ladder: Sequence[tuple[int, float]]
) -> Stars:
    """Measure the chosen stars in the first aperture of `ladder` that is wide enough for them."""
    stars, hfd = NO_STARS, 0.0
    for radius, widest in ladder:
        if 1.3 * widest < hfd:  # already in a smaller aperture, which reads too narrow
            continue
        chosen = choose(candidates, image.shape, radius)
        if not len(chosen):
            continue
        y, x = candidates.y[chosen], candidates.x[chosen]
        measured = measure(image, y, x, radius, sky.noise[sky.cells(y, x)])
        if len(measured):
            stars = replace(measured, widest=widest)
            if stars.served:
                break
            hfd = float(np.median(stars.hfd))
    return stars


def choose(candidates: Candidates, shape: tuple[int, ...], radius: int) -> Places:
    """Return which candidates to measure: isolated, inside the frame, the brightest by zones."""
    y, x, height = candidates.y, candidates.x, candidates.height
    margin = margin_of(radius)
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
