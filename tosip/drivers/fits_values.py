"""The cards of a FITS header as keywords and values, in every spelling that cameras write.

A card has 80 bytes: a keyword, `=` in column 9, a value, and a comment behind `/` (FITS standard
4.0, section 4). Where a card breaks these rules its value is the number that was clearly meant, or
else the text as written: no keyword that has a value is lost. Astropy, which reads the structure of
a file, is not asked here: it drops such cards, and takes `'CAM: 3'` for a record-valued card.

Control characters are blanks. Bytes outside ASCII are UTF-8, or else Windows-1252 (Latin-1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

from tosip.blanks import blank_controls
from tosip.cards import CARD, COMMENTARY, split_card

Attribute = bool | int | float | str

_HIERARCH = re.compile(r"HIERARCH +(?P<keyword>[^=']*[^=' ]) *=(?P<value>.*)", re.IGNORECASE)
_WORD = re.compile(r"[\w-]*[A-Z0-9][\w-]*", re.ASCII)  # no line of dashes
_QUOTED = re.compile(r"'(?P<text>(?:[^']|'')*)' *(?:/.*)?")
_STRAY_QUOTE = re.compile(r"'(?P<text>.*)' *(?:/[^']*)?")  # 'O'Brien'
_DOUBLY_QUOTED = re.compile(r'"[^"]*"')
_FRACTION = re.compile(r"[+-]?[\d.]+/\d", re.ASCII)  # 1/250, 26/10/92
_COMMENT = re.compile(r" /|^/")

_REAL = r"[+-]? *(?:\d+[.,]?\d*|[.,]\d+)(?:[ED][+-]?\d+)?"
_FLAGS = re.IGNORECASE | re.ASCII
_INTEGER = re.compile(r"(?P<number>[+-]? *\d+) *[,;]?", _FLAGS)
_FLOAT = re.compile(rf"(?P<number>{_REAL}) *[,;]?", _FLAGS)
# As C libraries print them, Microsoft's too: -nan(ind), 1.#INF.
_NAN = re.compile(r"[+-]?(?:nan(?:\(\w*\))?|1\.#(?:Q?NAN|SNAN|IND)\d*)", _FLAGS)
_INFINITY = re.compile(r"(?P<sign>[+-]?)(?:inf(?:inity)?|1\.#INF\d*)", _FLAGS)
_COMPLEX = re.compile(rf"\( *(?P<real>{_REAL}) *, *(?P<imaginary>{_REAL}) *\)", _FLAGS)
_LOGICAL = {"T": True, "F": False}
_LOGICAL_WORDS = {"TRUE": True, ".TRUE.": True, ".T.": True}
_LOGICAL_WORDS |= {"FALSE": False, ".FALSE.": False, ".F.": False}


def read_cards(header: bytes) -> Iterator[tuple[str, Attribute]]:
    """Yield the keyword and value of each card up to END, long strings joined.

    Cards without a value are left out. Commentary cards give their text, one by one; so do cards
    without `=`, unless a number or a string follows the keyword.
    """
    keyword, parts = "", list[Attribute]()
    text = blank_controls(header).decode("latin-1")
    for start in range(0, len(text), CARD):
        card = text[start : start + CARD]
        if card[:8] == "END     ":
            break
        if card.startswith("CONTINUE") and parts and str(parts[-1]).endswith("&"):
            more = parse_value(card[8:])
            parts[-1:] = [str(parts[-1])[:-1], "" if more is None else more]
            continue
        if parts:
            yield keyword, _joined(parts)
        found = _read_card(card)
        keyword, parts = (found[0], [found[1]]) if found else ("", [])
    if parts:
        yield keyword, _joined(parts)


def _read_card(card: str) -> tuple[str, Attribute] | None:
    keyword, text = card[:8].strip(" ").upper(), card[8:].rstrip(" ")
    parse: Callable[[str], Attribute | None] = parse_value
    if not keyword:  # a comment
        return None
    if keyword in COMMENTARY:
        return keyword, text
    if match := _HIERARCH.fullmatch(card):
        keyword, text = match["keyword"], match["value"]
    elif found := split_card(card):
        keyword, text = found
    elif _WORD.fullmatch(keyword):
        parse = _parse_commentary
    else:
        return None
    value = parse(text)
    name = " ".join(keyword.upper().encode("ascii", "replace").decode("ascii").split())
    return None if value is None else (name, value)


def parse_value(text: str) -> Attribute | None:
    """Return the value in `text`, which may have a comment behind it; None if there is none."""
    text = text.strip(" ")
    if text.startswith("'"):
        return _parse_string(text)
    if match := _DOUBLY_QUOTED.match(text):
        return match[0]
    if not _FRACTION.match(text):
        plain = _parse_plain(text.partition("/")[0].strip(" "))
        if plain is not None:
            return plain
    written = text[: match.start()] if (match := _COMMENT.search(text)) else text
    return written.rstrip(" ") or None


def _parse_commentary(text: str) -> Attribute | None:
    """Return the number or string of a card that lacks its `=`, or else all its text."""
    text = text.strip(" ")
    value = parse_value(text)
    return value if text.startswith("'") or not isinstance(value, str) else text


def _parse_string(text: str) -> str:
    match = _QUOTED.fullmatch(text)
    if match is None and (stray := _STRAY_QUOTE.fullmatch(text)):
        return stray["text"].rstrip(" ")
    written = match["text"] if match else text[1:]  # it has no end: all the card
    return written.replace("''", "'").rstrip(" ")


def _parse_plain(text: str) -> Attribute | None:
    """Return a number or a logical value, None for anything else."""
    if text in _LOGICAL:
        return _LOGICAL[text]
    if match := _INTEGER.fullmatch(text):
        return int(match["number"].replace(" ", ""))
    if match := _FLOAT.fullmatch(text):
        number = _real(match["number"])
        return number if math.isfinite(number) else None
    if _NAN.fullmatch(text):
        return math.nan
    if match := _INFINITY.fullmatch(text):
        return float(f"{match['sign']}inf")
    if match := _COMPLEX.fullmatch(text):
        return str(complex(_real(match["real"]), _real(match["imaginary"])))
    return _LOGICAL_WORDS.get(text.upper())


def _real(text: str) -> float:
    """Return a number as C and Fortran write it, with a decimal point or comma."""
    return float(re.sub("[dD]", "e", text).replace(",", ".").replace(" ", ""))


def _joined(parts: list[Attribute]) -> Attribute:
    """Return the value of a card and those that continue it, with its text decoded."""
    value = parts[0] if len(parts) == 1 else "".join(map(str, parts))
    if not isinstance(value, str) or value.isascii():
        return value
    raw = value.encode("latin-1")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
