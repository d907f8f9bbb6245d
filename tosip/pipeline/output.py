"""What workers print: drained always, logged with the port's name, the last lines kept.

A worker that floods fills neither the log nor the event loop's time: of its lines so many a second
are logged and the others counted, and after each read there is a pause, in which the worker
waits as it would for a slow terminal.
"""

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Sequence

from tosip.texts import printable

LINES_KEPT = 50
LONGEST_LINE = 500
LINES_LOGGED = 50  # a second, for one plugin
LOG_WINDOW = 1.0  # s
READ_SIZE = 64 * 1024
PAUSE = 0.01  # s after a read: some 6 MB/s are drained

log = logging.getLogger(__name__)


class Journal:
    """The lines of all workers of one plugin, the ended ones' too; `count` is of all so far."""

    def __init__(self, name: str) -> None:
        self.last_lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.count = 0
        self._name = name
        self._room = LINES_LOGGED
        self._left_out = 0
        self._window: asyncio.TimerHandle | None = None

    def add(self, lines: Sequence[bytes]) -> list[str]:
        """Keep and log lines; return the last of them as texts."""
        if lines and self._window is None:
            loop = asyncio.get_running_loop()
            self._window = loop.call_later(LOG_WINDOW, self._next_window)
        self.count += len(lines)
        logged = lines[: self._room]
        for line in logged:
            log.info("%s: %s", self._name, _text(line))
        self._room -= len(logged)
        self._left_out += len(lines) - len(logged)
        kept = [_text(line) for line in lines[-LINES_KEPT:]]
        self.last_lines.extend(kept)
        return kept

    def _next_window(self) -> None:
        self._window = None
        self._room = LINES_LOGGED
        self.settle()

    def settle(self) -> None:
        """Log how many lines were not."""
        if self._left_out:
            log.info("%s: %d lines more", self._name, self._left_out)
        self._left_out = 0

    def text(self, longest: int) -> str:
        """Return the last lines as a text of at most so many bytes."""
        text = printable("\n".join(self.last_lines), "\n\t")
        return text.encode()[-longest:].decode(errors="ignore")


def _text(line: bytes) -> str:
    return line[:LONGEST_LINE].decode(errors="replace")


class Output:
    """The read end of one worker's stdout and stderr."""

    def __init__(self, journal: Journal) -> None:
        self.last_lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._journal = journal
        self._rest = b""
        self._resume: asyncio.TimerHandle | None = None
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_end, False)
        self._open = True

    def watch(self) -> None:
        """Read from now on; the child has its own copy of the write end."""
        self._close_write_end()
        self._listen()

    def _listen(self) -> None:
        self._resume = None
        asyncio.get_running_loop().add_reader(self._read_end, self._ready)

    def close(self) -> None:
        """Read what is left and stop reading."""
        if not self._open:
            return
        self._open = False
        self._read()
        if self._rest:
            self._keep([self._rest])
        self._journal.settle()
        if self._resume:
            self._resume.cancel()
        with contextlib.suppress(OSError):
            asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)
        self._close_write_end()

    def _close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
        self.write_end = -1

    def _ready(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._read_end)
        more = True
        try:
            more = self._read()
        finally:  # a worker whose output nothing reads would wait for ever
            if more:
                self._resume = loop.call_later(PAUSE, self._listen)

    def _read(self) -> bool:
        """Read once; return whether more may come."""
        try:
            data = os.read(self._read_end, READ_SIZE)
        except BlockingIOError:
            return True
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-LONGEST_LINE:]
        self._keep(lines)
        return bool(data)

    def _keep(self, lines: Sequence[bytes]) -> None:
        self.last_lines.extend(self._journal.add(lines))
