"""One PV on the IOC's side: which frame its process has in hand, and which comes next."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from tosip.errors import ProtocolError
from tosip.images import words
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.ports import Port
from tosip.shortage import is_shortage

log = logging.getLogger(__name__)

AGAIN = 0.5  # s until another try when no memory or descriptor is left
LONGEST_IN_HAND = 60.0  # s; no image takes so long

Send = Callable[[bytes, Sequence[int]], bool]


class Slot:
    """Listens to a port while the PV is watched, and sends one frame at a time.

    The next frame goes when the process is done with the one before, and no sooner than `period`
    seconds after it. Of those that come meanwhile the newest is kept. `sent` counts frames.
    """

    def __init__(self, name: str, port: Port, period: float = 0.0) -> None:
        self.name = name
        self.port = port
        self.period = period
        self.sent = 0
        self._send: Send | None = None
        self._stuck: Callable[[], None] | None = None
        self._pending = False  # whether there is something to tell
        self._newest: NDArray | None = None
        self._busy = False
        self._in_hand: NDArray | None = None
        self._since = self._due = 0.0  # time.monotonic
        self._timer: asyncio.TimerHandle | None = None
        self._fault = ""

    @property
    def watched(self) -> bool:
        """Whether a client watches."""
        return self._send is not None

    @property
    def busy(self) -> bool:
        """Whether the process has a frame in hand."""
        return self._busy

    def watch(self, send: Send, stuck: Callable[[], None]) -> None:
        """Send the port's last frame, or that there is none, and those that come.

        `stuck` is called when the process has had a frame in hand for too long.
        """
        if not self.watched:
            self._send, self._stuck = send, stuck
            self._due = 0.0
            self.port.listen(self._tell)
            self._tell(self.port.last)

    def unwatch(self) -> None:
        """Send nothing any more; what is in hand is held until the process is done with it."""
        if self.watched:
            self.port.unlisten(self._tell)
            self._send = None
            self._pending, self._newest = False, None
            self._cancel()

    def done(self) -> None:
        """Let go of the frame in hand, with which the process is done."""
        self._busy, self._in_hand = False, None
        self.push()

    def reset(self) -> None:
        """Let go of everything: the process has ended."""
        self.unwatch()
        self._busy, self._in_hand = False, None

    def push(self) -> None:
        """Send what there is to tell, if the process may be told now."""
        if not self._pending or self._timer:
            return
        if self._busy:
            if self._stuck and time.monotonic() > self._since + LONGEST_IN_HAND:
                self._stuck()
            return
        wait = self._due - time.monotonic()
        if wait > 0:
            self._timer = asyncio.get_running_loop().call_later(wait, self._on_time)
        else:
            self._deliver()

    def _on_time(self) -> None:
        self._timer = None
        self.push()

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None

    def _tell(self, array: NDArray | None) -> None:
        self._pending, self._newest = True, array
        self.push()

    def _deliver(self) -> None:
        try:
            self._busy = self._sent()
        except (OSError, MemoryError) as error:
            self._complain(str(error))
            if is_shortage(error):  # the newest of then is sent
                self._timer = asyncio.get_running_loop().call_later(AGAIN, self._on_time)
                return
        else:
            if not self._busy:
                return  # the newest of then is sent when there is room
            self._in_hand = self._newest
            self._since = time.monotonic()
            self._due = self._since + self.period
        self._pending, self._newest = False, None

    def _sent(self) -> bool:
        if self._send is None:
            return False
        array = self._newest
        try:
            data = words.frame(self.name, array)
        except ProtocolError as error:
            self._complain(str(error))
            self._newest = array = None  # clients that have just come must not wait for ever
            data = words.frame(self.name, None)
        sent = self._send(data, () if array is None else (array.lease.buffer.reader,))
        self.sent += sent and array is not None
        return sent

    def _complain(self, fault: str) -> None:
        """Log why a frame is not shown, unless that was said of the one before."""
        number = self._newest.unique_id if self._newest else 0
        if fault != self._fault:
            log.warning("%s: frame %d and those like it: %s", self.name, number, fault)
        self._fault = fault
