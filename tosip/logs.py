"""The log file of a program that runs for months."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
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
