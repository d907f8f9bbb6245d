"""FITS headers: read in blocks, cleaned, parsed by astropy, and turned into plain attributes.

A header is read 2880 bytes at a time until its END card. NULs (some cameras pad with them) become
spaces and other bytes that FITS does not allow become question marks, so that a stray byte in a
comment does not cost the frame. Astropy then parses the cards for both ways of reading pixels, so
the attributes of a frame never depend on how it was stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from astropy.io import fits

from tosip.drivers.fits_source import Source, read_bytes
from tosip.errors import FrameError

Attribute = bool | int | float | str

BLOCK = 2880
_CARD = 80
_MAX_BLOCKS = 1000  # 36,000 cards; a file without an END card is not searched to its end
_CLEAN = bytes(b if 32 <= b < 127 else (ord(" ") if b == 0 else ord("?")) for b in range(256))
_COMMENTARY = ("COMMENT", "HISTORY")
_NOT_A_NUMBER = re.compile(r"\s*'?([+-]?(?:nan|inf(?:inity)?))\s*'?\s*(?:/.*)?", re.IGNORECASE)
_TIME_KEYWORDS = ("TIME-OBS", "UTC-OBS", "UT", "UTC")
_DATE = re.compile(
    r"(?:(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)|(?P<d>\d\d)/(?P<m>\d\d)/(?P<y>\d\d))"
    r"(?:[T ]\s*(?P<time>.+))?"
)
_TIME = re.compile(r"(?P<hour>\d\d?):(?P<minute>\d\d):(?P<second>\d\d(?:\.\d*)?)Z?")


def padded(count: int) -> int:
    """Return `count` rounded up to whole blocks of 2880 bytes."""
    return -(-count // BLOCK) * BLOCK


def read_header(source: Source, offset: int) -> bytes:
    """Return the cleaned header that starts at `offset`, whole blocks, END card included."""
    blocks: list[bytes] = []
    while len(blocks) < _MAX_BLOCKS:
        block = read_bytes(source, offset + len(blocks) * BLOCK, BLOCK).translate(_CLEAN)
        blocks.append(block)
        if any(block[card : card + 8] == b"END     " for card in range(0, len(block), _CARD)):
            return b"".join(blocks)
        if len(block) < BLOCK:
            break
    length = sum(map(len, blocks))
    raise FrameError(f"expected a header with an END card, got {length} bytes without one")


def parse_header(raw: bytes) -> fits.Header:
    """Parse a cleaned header; single cards are parsed, and may prove wrong, when they are used."""
    return fits.Header.fromstring(raw.decode("ascii"))


def header_attributes(header: fits.Header) -> dict[str, Attribute]:
    """Return a header's keywords with values of the types that the header gives them.

    Quoted values stay strings even if they look like numbers. Where a keyword is repeated the first
    counts, as in astropy; COMMENT and HISTORY cards are joined with line breaks. Cards without a
    value, and cards whose value cannot be parsed, are left out.
    """
    attributes: dict[str, Attribute] = {}
    commentary: dict[str, list[str]] = {}
    for keyword, value in _values(header):
        if keyword in _COMMENTARY:
            commentary.setdefault(keyword, []).append(str(value))
        else:
            attributes.setdefault(keyword, value)
    return attributes | {keyword: "\n".join(lines) for keyword, lines in commentary.items()}


def _values(header: fits.Header) -> Iterator[tuple[str, Attribute]]:
    for card in header.cards:
        try:
            keyword, value = card.keyword, card.value
        except (fits.VerifyError, ValueError, TypeError, IndexError):
            keyword, value = _not_a_number(str(card))
        if isinstance(value, complex):
            value = str(value)
        if keyword and isinstance(value, (bool, int, float, str)):
            yield keyword, value


def _not_a_number(card: str) -> tuple[str, float | None]:
    """Read an unquoted NaN or infinity, which FITS does not allow but cameras write.

    Astropy, which refused the card, has put quotes around the value by now.
    """
    match = _NOT_A_NUMBER.fullmatch(card[10:]) if card[8:10] == "= " else None
    return card[:8].strip(), float(match[1]) if match else None


def exposure_start(attributes: Mapping[str, Attribute]) -> float | None:
    """Return the start of exposure that DATE-OBS tells, in Unix seconds UTC, or None.

    A date without a time takes it from TIME-OBS, UTC-OBS, UT or UTC. A date alone gives None: it
    would be wrong by up to a day. So does a time scale other than UT or UTC (TIMESYS).
    """
    match = _DATE.fullmatch(str(attributes.get("DATE-OBS", "")).strip())
    scale = str(attributes.get("TIMESYS", "UTC")).strip().upper()
    if match is None or not (scale.startswith("UT") or not scale):
        return None
    times = [match["time"]] if match["time"] else [attributes.get(key) for key in _TIME_KEYWORDS]
    for text in times:
        clock = _TIME.fullmatch(text.strip()) if isinstance(text, str) else None
        if clock is not None:
            return _unix_seconds(match, clock)
    return None


def _unix_seconds(date: re.Match[str], clock: re.Match[str]) -> float | None:
    if date["year"]:
        year, month, day = int(date["year"]), int(date["month"]), int(date["day"])
    else:  # dd/mm/yy, the form that FITS used until 1998, always means 19yy
        year, month, day = 1900 + int(date["y"]), int(date["m"]), int(date["d"])
    hour, minute, second = int(clock["hour"]), int(clock["minute"]), float(clock["second"])
    try:
        start = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    # Seconds are added, not given, so that a leap second (60) passes.
    return (start + timedelta(seconds=second)).timestamp() if second < 61 else None
