"""The logs of our programs: a file that takes months of them, and standard error."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from tosip.texts import printable


class Printable(logging.Formatter):
    """A formatter that escapes what a terminal would obey, or an editor not show."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return printable(super().format(record), "\n\t")


FORMAT = Printable("%(asctime)s %(levelname)s %(name)s: %(message)s")
BRIEF = Printable("%(levelname)s:%(name)s:%(message)s")  # for people at a terminal
LARGEST = 10 * 1024**2  # bytes
KEPT = 5


def log_file(path: Path) -> RotatingFileHandler:
    """Return a handler that writes to `path`, 60 MiB at most with older files; OSError if not."""
    # Bytes that are no UTF-8 come from archives and cameras; a line with some must not be lost.
    handler = RotatingFileHandler(
        path, maxBytes=LARGEST, backupCount=KEPT, encoding="utf-8", errors="backslashreplace"
    )
    handler.setFormatter(FORMAT)
    return handler
