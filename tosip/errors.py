"""Every error that TOSIP raises on purpose.

A message reads `Owner.name: expected X, got Y`, so that whoever meets it knows where to look.
"""

from __future__ import annotations

from collections.abc import Iterable


class TosipError(Exception):
    """Base of all errors that TOSIP raises on purpose."""


class DeclarationError(TosipError, TypeError):
    """An algorithm class declares something that cannot be served; names every fault at once."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class ConfigurationError(TosipError, ValueError):
    """A configuration file or a command-line option is wrong."""


class FrameError(TosipError, ValueError):
    """One frame cannot be read or measured; the next one may be fine."""


class ProtocolError(TosipError, ValueError):
    """A message between the IOC and a worker process is not what was agreed."""


class WorkerError(TosipError, RuntimeError):
    """A worker process could not start or ended before it gave a result."""


class DeliveryError(TosipError, OSError):
    """A file could not be delivered to the archive; it stays in the spool."""
