"""Where frames come from, and how many of them somebody downstream still has."""

from tosip.events import Event


class Origin:
    """One source of frames: counts its arrays, and those made of them, in plugins.

    `queued` is areaDetector's NumQueuedArrays; `on_idle` is called when it becomes 0: the whole
    chain has finished.
    """

    def __init__(self) -> None:
        self.queued = 0
        self.on_idle: Event[[]] = Event("Origin.on_idle")

    def taken(self) -> None:
        """Count an array that a plugin has taken into its queue."""
        self.queued += 1

    def done(self) -> None:
        """Count an array that a plugin has done with, whatever came of it."""
        self.queued -= 1
        if self.queued == 0:
            self.on_idle()
