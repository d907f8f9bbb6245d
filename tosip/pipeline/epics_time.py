"""The times that EPICS can hold: records keep 32 bits of seconds since 1990.

Seconds outside these bounds would wrap to other, plausible years. Clients that count 32 bits of
seconds since 1970 end in 2106, so that is the end here too.
"""

import math

EPICS_EPOCH = 631_152_000  # 1990-01-01T00:00:00Z in Unix seconds
EPICS_END = 2**32 - 1  # 2106-02-07T06:28:15Z


def within_epics(timestamp: float) -> float:
    """Return the nearest Unix time that EPICS can hold.

    The epoch, which EPICS clients show as "undefined", also stands for NaN.
    """
    return EPICS_EPOCH if math.isnan(timestamp) else min(max(timestamp, EPICS_EPOCH), EPICS_END)
