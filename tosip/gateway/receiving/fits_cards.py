"""The cards of a FITS header: those that tell how much data follows, and the values of all.

What makes cameras' headers odd is taken as the drivers take it: control characters count as blanks,
the first of two equal keywords counts, and a number may be written as a float or a text.
"""

from __future__ import annotations

import math
import re

from tosip.blanks import blank_controls
from tosip.cards import CARD, split_card

BLOCK = 2880
LONGEST = 1 << 63  # of data; what claims more is as impossible

_END = "END     "
_AXES = (f"NAXIS{n}" for n in range(1, 1000))
_SIZES = {"BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "GROUPS", *_AXES}
_BITS = {"8": 8, "16": 16, "32": 32, "64": 64, "-32": 32, "-64": 64}
_NO_DECIMALS = re.compile(r"(?<=\d)\.0*$")
_STRING = re.compile(r"'((?:[^']|'')*)'?")


class UnreadableError(Exception):
    """The header follows no rule that would give a length."""


def collect_sizes(block: bytes, sizes: dict[str, str]) -> bool:
    """Add the cards of a header block that tell a length; return whether the header ends here."""
    text = blank_controls(block).decode("latin-1")
    for at in range(0, BLOCK, CARD):
        card = text[at : at + CARD]
        if card[:8] == _END:
            return True
        found = split_card(card)
        if found and found[0] in _SIZES:
            sizes.setdefault(found[0], _value(found[1]).strip())
    return False


def data_length(sizes: dict[str, str], *, primary: bool) -> int:
    """Return the bytes of data after a header, without padding; `UnreadableError` if it is odd."""
    axes = [_integer(sizes, f"NAXIS{n}") for n in range(1, _integer(sizes, "NAXIS", 999) + 1)]
    is_groups = primary and sizes.get("GROUPS") == "T" and axes[:1] == [0]
    groups, parameters = 1, 0
    if not primary or is_groups:
        sizes = {"GCOUNT": "1", "PCOUNT": "0"} | sizes
        groups, parameters = _integer(sizes, "GCOUNT"), _integer(sizes, "PCOUNT")
    if is_groups:
        axes = axes[1:]
    bits = _BITS.get(_whole(sizes.get("BITPIX", "")))
    if bits is None:
        raise UnreadableError
    elements = math.prod(axes) if axes else 0
    return min(bits // 8 * groups * (parameters + elements), LONGEST)


def header_values(header: bytes | bytearray) -> dict[str, str]:
    """Return the keywords of a header with their values as written, strings without quotes."""
    text = blank_controls(header).decode("latin-1")
    values: dict[str, str] = {}
    for at in range(0, len(text), CARD):
        card = text[at : at + CARD]
        if card[:8] == _END:
            break
        if card.startswith("HIERARCH ") and "=" in card:
            keyword, _, value = card[9:].partition("=")
            values.setdefault(keyword.strip(), _value(value))
        elif found := split_card(card):
            values.setdefault(found[0], _value(found[1]))
    return values


def _value(text: str) -> str:
    text = text.strip()
    if (string := _STRING.match(text)) is not None:
        return string[1].replace("''", "'").rstrip()
    return text.partition("/")[0].rstrip()


def _whole(value: str) -> str:
    """Take the decimals off a number that has none to speak of: `16.0`."""
    return _NO_DECIMALS.sub("", value)


def _integer(sizes: dict[str, str], keyword: str, largest: int = 1 << 62) -> int:
    value = _whole(sizes.get(keyword, "")).removeprefix("+")
    if not (value.isascii() and value.isdecimal()) or len(value) > 19 or int(value) > largest:
        raise UnreadableError
    return int(value)
