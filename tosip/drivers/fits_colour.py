"""Whether a frame has colours, by its axes and by the keywords that cameras' programs write.

Of three axes, the one of length 3 has the colours: the one that CTYPEn calls RGB, else NAXIS3, as
most programs write it, else NAXIS1 or NAXIS2. One that CTYPEn calls otherwise (a wavelength, a
time) has none. So three planes without a word about them are taken as colours.

A colour filter array is known by BAYERPAT (COLORTYP in some programs), the colours of the first two
rows from the top. XBAYROFF and YBAYROFF move it. ROWORDER = 'BOTTOM-UP' says that the first row
stored is the lowest one; then, and where there is an even number of rows, its rows change places.
"""

from __future__ import annotations

from tosip.drivers.fits_cards import Cards, parse_number
from tosip.drivers.fits_layout import Unit
from tosip.pipeline.port_panel import BAYER_PATTERNS

_COLOURS = 3
_MODES = {2: "RGB3", 0: "RGB1", 1: "RGB2"}  # by the place of the colours, fastest axis first
_COLOUR_TYPES = ("", "RGB", "COLOR", "COLOUR", "CHANNEL")
_PATTERN_KEYWORDS = ("BAYERPAT", "COLORTYP", "CFAPAT")


def color_mode(primary: Cards, unit: Unit) -> tuple[str, int | None]:
    """Return areaDetector's colour mode, and for Bayer the number of the pattern of the array."""
    if len(unit.kept_axes) == _COLOURS:
        return _of_cube(unit), None
    pattern = _pattern(unit.cards, unit.shape) or _pattern(primary, unit.shape)
    return ("Mono", None) if pattern is None else ("Bayer", BAYER_PATTERNS.index(pattern))


def _of_cube(unit: Unit) -> str:
    types = [unit.cards.text(f"CTYPE{number}").upper() for number, _ in unit.kept_axes]
    lengths = [length for _, length in unit.kept_axes]
    colours = [n for n in _MODES if lengths[n] == _COLOURS and types[n] in _COLOUR_TYPES]
    named = [n for n in colours if types[n]]
    return _MODES[(named or colours)[0]] if colours else "Mono"


def _pattern(cards: Cards, shape: tuple[int, ...]) -> str | None:
    """Return the colours of the array's first two rows, None if they are not told."""
    texts = (cards.text(keyword).upper() for keyword in _PATTERN_KEYWORDS)
    pattern = next((text for text in texts if text in BAYER_PATTERNS), None)
    if pattern is None or min(shape) < 2:
        return None
    if _offset(cards, "XBAYROFF") % 2:
        pattern = pattern[1] + pattern[0] + pattern[3] + pattern[2]
    upside_down = cards.text("ROWORDER").upper() == "BOTTOM-UP" and shape[0] % 2 == 0
    if (_offset(cards, "YBAYROFF") + upside_down) % 2:
        pattern = pattern[2:] + pattern[:2]
    return pattern


def _offset(cards: Cards, keyword: str) -> int:
    return int(parse_number(cards.text(keyword)) or 0)
