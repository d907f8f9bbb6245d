"""Where frames come from, and how many of them somebody downstream still has."""

from collections.abc import Callable


class Origin:
    """One source of frames: counts its arrays, and those made of them, in plugins.

    `queued` is areaDetector's NumQueuedArrays; the functions in `on_idle` are called when it
    becomes 0: the whole chain has finished.
    """

    def __init__(self) -> None:
        self.queued = 0
        self.on_idle: list[Callable[[], None]] = []

    def taken(self) -> None:
        """Count an array that a plugin has taken into its queue."""
        self.queued += 1

    def done(self) -> None:
        """Count an array that a plugin has done with, whatever came of it."""
        self.queued -= 1
        if self.queued == 0:
            for listener in tuple(self.on_idle):
                listener()
