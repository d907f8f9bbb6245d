"""The options of FITS reading, as the configuration's section `[fits]` gives them."""

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
    the frame ("refuse").
    """

    hdu: str = ""
    checksum: Checksum = "off"
