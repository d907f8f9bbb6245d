"""Every PV that a screen of the running NEOSTED IOC names exists and connects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tosip.screens.bob import links, pv_names, pva_names


def screens_of(ioc) -> Path:
    return Path(ioc.arguments[ioc.arguments.index("--screens") + 1])


def shown(path: Path, r: str, seen: set[tuple[str, str]]) -> Iterator[str]:
    """Go through the PVs, behind the prefix, of a screen and of those that it opens."""
    if (path.name, r) in seen:
        return
    seen.add((path.name, r))
    for name in (*pv_names(path), *pva_names(path)):
        yield name.replace("$(P)", "").replace("$(R)", r)
    for file, macros in links(path):
        yield from shown(path.parent / file, macros.get("R", r), seen)


def test_every_pv_on_a_screen_connects(neosted):
    folder = screens_of(neosted)
    ports = 16 + 16 + 4  # drivers, focus plugins, field, environment, gateway, health
    assert len(links(folder / "index.bob")) == ports
    seen: set[tuple[str, str]] = set()
    pvs = set(shown(folder / "index.bob", "", seen))
    assert {file for file, _ in seen} == {path.name for path in folder.glob("*.bob")}
    assert len(pvs) > 4000
    assert not [name for name in pvs if "$" in name]

    values = neosted.get_all(sorted(pvs), timeout=60.0)

    assert {name for name, value in values.items() if value is None} == set()
