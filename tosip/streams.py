"""Standard streams as users leave them: closed, full, broken, or of an encoding for ASCII only."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from tosip.texts import printable

BROKEN_PIPE = 128 + signal.SIGPIPE  # as a shell shows a program that SIGPIPE has ended


def prepare() -> None:
    """Make the standard streams take any text; a closed one leads to nowhere.

    Otherwise the first file that the program opens would become its standard output.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            mode = "w" if number else "r"
            opened = open(number, mode, errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, opened)
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Print a line at once; a service does not end because nobody reads it any more."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        _give_up_output()


def complain(line: str) -> None:
    """Print a line on standard error, with what is not printable escaped."""
    with suppress(OSError):
        sys.stderr.write(f"{printable(line, chr(10))}\n")
        sys.stderr.flush()


def flushed(command: Callable[[], int], name: str) -> int:
    """Return the command's exit status when all that it has printed is out.

    141 if the reader has gone (`| head`), 1 if standard output fails otherwise.
    """
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        status = BROKEN_PIPE
    except OSError as error:
        if error.filename is not None:  # not of a stream
            raise
        complain(f"{name}: standard output: {error.strerror or error}")
        status = 1
    _give_up_output()
    return status


def _give_up_output() -> None:
    """Let Python flush its buffer to nowhere when it ends, instead of failing there."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
