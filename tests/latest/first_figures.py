"""Runs the NEOSTED IOC with simulated cameras until it has figures, and ends it.

`python -m tests.latest.first_figures FOLDER` keeps the IOC's files below FOLDER. An error, a figure
that does not come and an exit status other than 0 end this program with an exception.
"""

import sys
from pathlib import Path

from tosip.testing.ioc import IocProcess

CAMERAS = 2
CONFIGURATION = """
[gateway]
port = 0
[simulation]
size = 512
period = 2.0
"""
FIGURES = [
    *(f"FOCUS{number:02d}:Hfd_RBV" for number in range(1, CAMERAS + 1)),
    "FIELD:Hfd_RBV",
    "ENV:Seeing_RBV",
]


def main(folder: Path) -> None:
    """Run the IOC once."""
    config = folder / "neosted.toml"
    config.write_text(CONFIGURATION)
    arguments = ["--simulate", "--cameras", str(CAMERAS), "--config", str(config)]
    arguments += ["--screens", str(folder / "screens")]
    ioc = IocProcess(["tosip.iocs.neosted", *arguments], folder / "var", ready_timeout=120)
    try:
        for name in FIGURES:
            value = ioc.wait(name, lambda value: value.severity < 3 and value > 0, timeout=90)
            print(f"{name} = {value}")
    finally:
        status = ioc.stop()
    if status:
        raise SystemExit(f"the IOC: expected exit status 0, got {status}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
