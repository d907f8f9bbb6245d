"""Every PV that a screen of the running NEOSTED IOC names exists and connects."""

from __future__ import annotations

import re
from pathlib import Path

from tosip.screens.bob import pv_names


def screens_of(ioc) -> Path:
    return Path(ioc.arguments[ioc.arguments.index("--screens") + 1])


def opened_with(index: Path) -> list[tuple[str, str]]:
    """Return the screens that the index opens, each with its macro R."""
    opens = re.findall(r"<file>([^<]+)</file>.*?<R>([^<]+)</R>", index.read_text(), re.DOTALL)
    return list(opens)


def test_every_pv_on_a_screen_connects(neosted):
    folder = screens_of(neosted)
    opens = opened_with(folder / "index.bob")
    assert len(opens) == 16 + 16 + 3, "drivers, focus plugins, field, environment, gateway"
    pvs = set()
    for file, r in opens:
        for path in folder.glob(f"{Path(file).stem}*.bob"):
            pvs |= {name.replace("$(P)$(R)", r) for name in pv_names(path)}
    assert len(pvs) > 1000
    assert not [name for name in pvs if "$" in name]

    values = neosted.get_all(sorted(pvs))

    assert {name for name, value in values.items() if value is None} == set()
