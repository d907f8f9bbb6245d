"""How FITS files are read, as a section of the configuration says."""

from typing import Annotated

from pydantic import AfterValidator, Field, StrictInt

from tosip.configuration import Section
from tosip.drivers.fits_options import Checksum, FitsOptions, checked_hdu


class FitsConfig(Section):
    """How FITS files are read; see `FitsOptions`."""

    hdu: Annotated[str | StrictInt, AfterValidator(checked_hdu)] = FitsOptions.hdu
    checksum: Checksum = FitsOptions.checksum
    earliest_year: int = Field(FitsOptions.earliest_year, ge=1990, le=2100)

    @property
    def options(self) -> FitsOptions:
        """The options as the reader takes them."""
        return FitsOptions(str(self.hdu), self.checksum, self.earliest_year)
