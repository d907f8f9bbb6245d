"""What a worker prints: drained always, logged with its port's name, the last lines kept."""

import asyncio
import contextlib
import logging
import os
from collections import deque

LINES_KEPT = 50
LONGEST_LINE = 500
LINES_LOGGED_AT_ONCE = 20

log = logging.getLogger(__name__)


class Output:
    """The read end of a worker's stdout and stderr."""

    def __init__(self, name: str) -> None:
        self.last_lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._name = name
        self._rest = b""
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_end, False)
        self._open = True

    def watch(self) -> None:
        """Read from now on; the child has its own copy of the write end."""
        self._close_write_end()
        asyncio.get_running_loop().add_reader(self._read_end, self._read)

    def close(self) -> None:
        """Read what is left and stop reading."""
        if not self._open:
            return
        self._open = False
        self._read()
        if self._rest:
            self._keep([self._rest])
        with contextlib.suppress(OSError):
            asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)
        self._close_write_end()

    def _close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
        self.write_end = -1

    def _read(self) -> None:
        try:
            data = os.read(self._read_end, 64 * 1024)
        except BlockingIOError:
            return
        if not data and self._open:
            asyncio.get_running_loop().remove_reader(self._read_end)
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-LONGEST_LINE:]
        self._keep(lines)

    def _keep(self, lines: list[bytes]) -> None:
        texts = [line[:LONGEST_LINE].decode(errors="replace") for line in lines]
        self.last_lines.extend(texts)
        # A worker that floods must not fill the log.
        for text in texts[:LINES_LOGGED_AT_ONCE]:
            log.info("%s: %s", self._name, text)
