"""What has gone wrong in this process beside the frames: one `HEALTH`, for records and tests.

Frames, files and workers have counts of their own. Here are the faults of TOSIP itself that were
contained: a listener that raised, a background task that ended.
"""

from dataclasses import dataclass, field


@dataclass
class Health:
    """Counts since the start; `failing` has a line for each task that does not run well."""

    listener_faults: int = 0
    task_faults: int = 0
    failing: dict[object, str] = field(default_factory=dict)

    def figures(self) -> object:
        """Return something that differs when operators have something else to see."""
        return self.listener_faults, self.task_faults, list(self.failing.values())


HEALTH = Health()
