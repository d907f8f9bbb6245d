"""The environment that our processes start with."""

import os


def environment(**more: str) -> dict[str, str]:
    """Return a copy of this process's environment, and `more`, to start another process with.

    Without one the new process reads the C library's own list before it execs. Meanwhile another
    thread may change that list (`epicsEnvSet`, `os.environ`), and the start fails: "Bad address".
    """
    return {**os.environ, **more}
