"""The options of FITS reading, as the configuration's section `[fits]` gives them."""

import re
from dataclasses import dataclass
from typing import Literal

Checksum = Literal["off", "warn", "refuse"]


@dataclass(frozen=True)
class FitsOptions:
    """What the reader of FITS files does where the file leaves a choice.

    `hdu` chooses one image of several: "" is the first that is no mask, error, weight or thumbnail;
    a number counts header-data units from 0; a name is an EXTNAME, "SCI,2" with its EXTVER; "all"
    makes a frame of each image. `checksum` is what CHECKSUM and DATASUM are good for: they are not
    read ("off"), a wrong one is logged and stands in the attribute `Checksum` ("warn"), or refuses
    the frame ("refuse"). Header times before `earliest_year` are those of a clock that was not set.
    """

    hdu: str = ""
    checksum: Checksum = "off"
    earliest_year: int = 1990


def checked_hdu(given: str | int) -> str:
    """Return what `FitsOptions.hdu` takes; ValueError for what can name no unit."""
    text = str(given).strip()
    if not re.fullmatch(r"\d{0,9}|(?!-?\d+$)[^,]+(,\s*\d{1,9})?", text):
        raise ValueError(f"expected 'all', a number, 'NAME' or 'NAME,VERSION', got {text!r}")
    return text
