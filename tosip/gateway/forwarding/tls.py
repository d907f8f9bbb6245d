"""TLS to the archive: whom to trust."""

from __future__ import annotations

import ssl

from tosip.errors import ConfigurationError
from tosip.gateway.settings import ArchiveSettings


def tls_context(archive: ArchiveSettings) -> ssl.SSLContext | None:
    """Return what checks the archive's certificate; None when TLS is not wanted.

    All connections must share it: a TLS session can be resumed only where it was begun.
    """
    if archive.tls == "none":
        return None
    try:
        context = ssl.create_default_context(cafile=archive.authorities)
    except OSError as error:
        raise ConfigurationError(
            "ArchiveSettings.authorities: expected a PEM file of certificates,"
            f" got {archive.authorities} ({error.strerror or error})"
        ) from None
    context.check_hostname = archive.check_host
    return context
