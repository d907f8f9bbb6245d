"""FITS headers: read in blocks, cleaned, and turned into plain attributes.

A header is read 2880 bytes at a time until its END card. Control characters become blanks there,
for everything that reads the header. Astropy parses the cards for the structure of the file, and
`fits_values` for the attributes, which never depend on how a frame was stored.
"""

from __future__ import annotations

import re

from astropy.io import fits

from tosip.blanks import blank_controls
from tosip.cards import CARD, COMMENTARY
from tosip.drivers.fits_source import Source, read_bytes
from tosip.drivers.fits_values import Attribute, read_cards
from tosip.errors import FrameError

BLOCK = 2880
_MAX_BLOCKS = 1000  # 36,000 cards; a file without an END card is not searched to its end
_ASCII = bytes(b if b < 128 else ord("?") for b in range(256))
# What the header of a compressed image says of the table that holds it (FITS standard 4.0, 10.1),
# and of the image. ZHECKSUM is no misprint.
_OF_TABLE = re.compile(
    r"XTENSION|BITPIX|NAXIS\d*|[PG]COUNT|TFIELDS|THEAP|CHECKSUM|DATASUM"
    r"|T(?:TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM)\d+"
    r"|ZIMAGE|ZCMPTYPE|ZMASKCMP|ZQUANTIZ|ZDITHER0|ZSCALE|ZZERO|Z(?:TILE|NAME|VAL)\d+"
)
_OF_IMAGE = re.compile(
    r"Z(SIMPLE|TENSION|BITPIX|NAXIS\d*|EXTEND|BLOCKED|[PG]COUNT|HECKSUM|DATASUM|BLANK)"
)
_RENAMED = {"TENSION": "XTENSION", "HECKSUM": "CHECKSUM"}


def padded(count: int) -> int:
    """Return `count` rounded up to whole blocks of 2880 bytes."""
    return -(-count // BLOCK) * BLOCK


def read_header(source: Source, offset: int) -> bytes:
    """Return the cleaned header that starts at `offset`, whole blocks, END card included."""
    blocks: list[bytes] = []
    while len(blocks) < _MAX_BLOCKS:
        block = blank_controls(read_bytes(source, offset + len(blocks) * BLOCK, BLOCK))
        blocks.append(block)
        if any(block[card : card + 8] == b"END     " for card in range(0, len(block), CARD)):
            return b"".join(blocks)
        if len(block) < BLOCK:
            break
    length = sum(map(len, blocks))
    raise FrameError(f"expected a header with an END card, got {length} bytes without one")


def parse_header(raw: bytes) -> fits.Header:
    """Parse a cleaned header; single cards are parsed, and may prove wrong, when they are used."""
    return fits.Header.fromstring(raw.translate(_ASCII).decode("ascii"))


def header_attributes(raw: bytes, *, tiled: bool = False) -> dict[str, Attribute]:
    """Return the keywords of a header with values of the types that the header gives them.

    Quoted values stay strings even if they look like numbers. Where a keyword is repeated the first
    counts, as in astropy; COMMENT and HISTORY cards are joined with line breaks. Cards without a
    value are left out. Of a `tiled` image the keywords are those of the image that was compressed.
    """
    attributes: dict[str, Attribute] = {}
    commentary: dict[str, list[str]] = {}
    for keyword, value in read_cards(raw):
        if keyword in COMMENTARY:
            commentary.setdefault(keyword, []).append(str(value))
        else:
            attributes.setdefault(keyword, value)
    attributes |= {keyword: "\n".join(lines) for keyword, lines in commentary.items()}
    return _uncompressed(attributes) if tiled else attributes


def _uncompressed(table: dict[str, Attribute]) -> dict[str, Attribute]:
    image: dict[str, Attribute] = {"XTENSION": "IMAGE"} if "ZSIMPLE" not in table else {}
    for keyword, value in table.items():
        if match := _OF_IMAGE.fullmatch(keyword):
            image[_RENAMED.get(match[1], match[1])] = value
        elif not _OF_TABLE.fullmatch(keyword):
            image[keyword] = value
    if image.get("EXTNAME") == "COMPRESSED_IMAGE":  # the table's
        del image["EXTNAME"]
    return image
