"""From the IOC being ready to figures of all 16 simulated cameras, against the limit of 20 s.

The IOC runs as `make demo` runs it: frames of 1024 x 1024, through gateway, driver and worker.
"""

import tempfile
import time
from pathlib import Path

from benchmarks.timing import table
from tosip.testing.ioc import IocProcess

CAMERAS = 16
LIMIT = 20.0  # s


def main() -> None:
    """Start the IOC and print how long the figures took."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "neosted.toml"
        config.write_text("[gateway]\nport = 0\n")
        before = time.monotonic()
        ioc = IocProcess(
            ["tosip.iocs.neosted", "--simulate", "--config", str(config)], Path(folder) / "var"
        )
        ready = time.monotonic()
        try:
            for number in range(1, CAMERAS + 1):
                ioc.wait(f"FOCUS{number:02d}:Hfd_RBV", lambda hfd: hfd.severity < 3, timeout=120)
            done = time.monotonic()
        finally:
            ioc.stop()
    table(
        f"First figures of {CAMERAS} simulated cameras",
        ("from, to", "s", "of the limit"),
        [
            ("start, ready", f"{ready - before:.1f}", "-"),
            ("ready, figures of all", f"{done - ready:.1f}", f"{(done - ready) / LIMIT:.0%}"),
        ],
    )


if __name__ == "__main__":
    main()
