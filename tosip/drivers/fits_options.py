"""How FITS files are read, as the section `[fits]` of a configuration says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FitsOptions:
    """Options of reading FITS files.

    `earliest_year`: header times before it are those of a clock that was not set.
    """

    earliest_year: int = 1990
