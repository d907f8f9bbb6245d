"""One PV: who watches it, and what they are shown.

Each client's channel has a p4p SharedPV of its own. One for all would be simpler, but pvxs 1.5 puts
one common copy of an update into the queues of all subscribers of a SharedPV; for a client whose
queue is full it writes the next update into that copy, which another thread may be sending to
another client. The pixels are shared by all of them in any case. With its own, a channel that has
just come waits for the frame of now instead of getting an old one, and the memory of the last image
goes with the last channel.

A client that reads slowly misses images: pvxs keeps four for each subscription, or as many as the
client has asked for (queueSize), and puts newer ones in the place of the last of them.
"""

import logging
from collections.abc import Callable

from p4p import Value
from p4p.server.raw import SharedPV

from tosip.images.process.frame import Frame
from tosip.images.process.ntndarray import empty_value

log = logging.getLogger(__name__)

Maker = Callable[[Frame], Value]
Say = Callable[[str, str], None]


class Stream:
    """The images that `make` makes; to be called on the event loop.

    `say` tells the IOC when the first client has come and when the last has gone: it sends frames
    in between, and something at once.
    """

    def __init__(self, name: str, make: Maker, say: Say) -> None:
        self.name = name
        self._make = make
        self._say = say
        self._channels: list[SharedPV] = []
        self._value: Value | None = None

    def join(self, channel: SharedPV) -> None:
        """Show a client what the others see, or what comes next if it is the first."""
        if not self._channels:
            self._say("watch", self.name)
        elif self._value is not None:
            channel.open(self._value)
        self._channels.append(channel)

    def leave(self, channel: SharedPV) -> None:
        """Show a client nothing any more."""
        self._channels = [other for other in self._channels if other is not channel]
        if not self._channels:
            self._value = None
            self._say("unwatch", self.name)

    def show(self, frame: Frame | None) -> None:
        """Make the image and send it; without a frame those who wait see that there is none."""
        if not self._channels:
            return  # they have gone meanwhile
        made = frame is not None and self._made(frame)
        if self._value is None:
            self._value = empty_value()
        for channel in self._channels:
            if not channel.isOpen():
                channel.open(self._value)
            elif made:
                channel.post(self._value)

    def _made(self, frame: Frame) -> bool:
        try:
            self._value = self._make(frame)
        except Exception:  # whoever has come must not wait for ever
            log.exception("%s: frame %d", self.name, frame.unique_id)
            return False
        return True
