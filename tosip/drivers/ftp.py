"""The kind `ftp`: the files that one camera uploads to the IOC's gateway become NDArrays."""

from __future__ import annotations

from pydantic import Field

from tosip.drivers.driver import FitsDriver
from tosip.drivers.fits_config import FitsConfig
from tosip.drivers.kinds import DriverConfig, DriverContext, DriverKind
from tosip.drivers.panel import DRIVER_ITEMS


class FtpConfig(DriverConfig, FitsConfig):
    """One camera, by the FTP user that it logs in as.

    `identity` identifies its files where the user does not: a folder, a part of their names, or a
    header's value, as `gateway.camera` says.
    """

    user: str = Field(min_length=1)
    identity: str = ""

    @property
    def told_by(self) -> str:
        """The text by which the gateway recognises a file of this camera."""
        return self.identity or self.user


def make(name: str, config: FtpConfig, context: DriverContext) -> FitsDriver:
    """Make the driver; the IOC submits to it what the gateway stores for its camera."""
    return FitsDriver(name, context.pool, context.ports, config.options)


KIND = DriverKind(FtpConfig, make, DRIVER_ITEMS, "fits_driver", "FITS driver", "FITS files")
