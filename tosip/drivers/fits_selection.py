"""Which images of a FITS file become frames.

Without a choice in the configuration it is the first image that looks like the exposure itself. A
name that says mask, error, weight or thumbnail puts an image behind the others, and so does being
much smaller than another one, an 8-bit twin of another one, or a single line. EXTNAME = 'SCI' puts
it before them. A file whose only image is a mask gives the mask, but nothing stands in for a SCI
of too many axes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod

from tosip.drivers.fits_layout import Layout, Unit
from tosip.errors import FrameError

_THUMBNAIL = 16  # times smaller than the largest image
_MOST_NAMED = 20
# Words of EXTNAME in files of HST, JWST, LSST, DES, DESI, Euclid, ESO, Pan-STARRS, SWarp and
# SExtractor.
_WORDS = (
    "DQ|BPM|MSK|MK|FLG|QUAL|ERRS?|UNC|STD|STDDEV|SIGMA|RMS|STAT|VAR|IVAR|"
    "INVVAR|NVAR|WHT|WGT|WT|WTMAP|CON|CTX|CONF|AREA|SAMP|NSAMP|TIME|EXPMAP|BKG|PSF|HEADER"
)
_PARTS = (
    "MASK|WEIGHT|VARIANCE|UNCERT|CONFIDENCE|COVERAGE|BACKGROUND|SEGMENT|THUMB|PREVIEW|BADPIX|"
    "QUALITY|FLAG|ERROR|NOISE"
)
_AUXILIARY = re.compile(rf"(?<![A-Z])(?:{_WORDS})(?![A-Z])|{_PARTS}")
_SCIENCE = re.compile(r"(?<![A-Z])(?:SCI|SCIENCE)(?![A-Z])")


def select(layout: Layout, wanted: str) -> tuple[Unit, ...]:
    """Return the images that `FitsOptions.hdu` asks for, or raise `FrameError`."""
    images = layout.images
    if not images:
        raise layout.fault or _no_image(layout)
    if wants_all(wanted):
        return images
    if wanted:
        return (_named(layout, wanted),)
    best = min(images, key=_ranking(images))
    if layout.fault and is_auxiliary(best):
        raise layout.fault
    if not _is_science(best) and any(map(_is_science, _hypercubes(layout))):
        raise _no_image(layout)
    return (best,)


def _hypercubes(layout: Layout) -> list[Unit]:
    """Return the units whose pixels have more axes than a frame."""
    return [unit for unit in layout.units if unit.holds_pixels and not unit.shape]


def _no_image(layout: Layout) -> FrameError:
    others = ", ".join(str(unit) for unit in _hypercubes(layout)[:_MOST_NAMED])
    got = others or f"none in {len(layout.units)} header(s)"
    return FrameError(f"expected an image of 2 or 3 axes, got {got}")


def wants_all(wanted: str) -> bool:
    """Whether `FitsOptions.hdu` asks for every image."""
    return wanted.lower() == "all"


def described(chosen: Unit, images: tuple[Unit, ...]) -> str:
    """Say in words which of several images was taken; empty if there is just one."""
    others = [str(unit) for unit in images if unit is not chosen]
    if not others:
        return ""
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    return f"{chosen} of {len(images)} images; not read: {', '.join(others[:_MOST_NAMED])}{more}"


def is_auxiliary(unit: Unit) -> bool:
    """Whether a unit's own words say that it is about another image: a mask, errors, weights."""
    if unit.cards.text("HDUCLAS2").upper() in ("ERROR", "QUALITY"):  # ESO's convention
        return True
    name = unit.name or unit.cards.text("EXTTYPE").upper()
    return _AUXILIARY.search(name) is not None


def _is_science(unit: Unit) -> bool:
    return _SCIENCE.search(unit.name) is not None


def _named(layout: Layout, wanted: str) -> Unit:
    """Find the unit of a number, a name, or a name and a version."""
    name, comma, version = (part.strip().upper() for part in wanted.partition(","))
    for unit in layout.units:
        found = unit.index == int(name) if name.isdecimal() else unit.is_named(name)
        if found and (not comma or unit.version == int(version)):
            if unit.shape:
                return unit
            raise FrameError(f"expected an image in HDU {wanted}, got {unit}")
    if layout.fault:
        raise layout.fault
    there = ", ".join(str(unit) for unit in layout.images[:_MOST_NAMED])
    raise FrameError(f"expected an image in HDU {wanted}, got {there}")


def _ranking(
    images: tuple[Unit, ...],
) -> Callable[[Unit], tuple[bool, bool, bool, bool, bool, int]]:
    """Return the key that sorts the best image first."""
    exposures = [unit for unit in images if not is_auxiliary(unit)]
    largest = max((prod(unit.shape) for unit in exposures), default=0)
    deeper = {unit.shape[-2:] for unit in exposures if unit.bitpix != 8}

    def rank(unit: Unit) -> tuple[bool, bool, bool, bool, bool, int]:
        return (
            is_auxiliary(unit),
            not _is_science(unit),
            prod(unit.shape) * _THUMBNAIL <= largest,
            1 in unit.shape,
            unit.bitpix == 8 and unit.shape[-2:] in deeper,
            unit.index,
        )

    return rank
