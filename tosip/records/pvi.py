"""The PVI structures: what a port has, for clients that build themselves from it.

Each is a PV `...PVI` over PVAccess, an NTPVI whose `value` names the PVs of a port, or the PVI PVs
of the parts of the IOC. ophyd-async makes a device from it, given the prefix alone. The names are
fixed: QSRV, softioc's PVAccess server, gets them as constants with the record that carries them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tosip import names
from tosip.description import Description, Kind
from tosip.housekeeping import Item

Entries = dict[str, dict[str, str]]

# What a device of ophyd-async has already: an entry of that name would take its place.
_TAKEN = frozenset(("name", "parent", "children", "log", "connect", "set_name"))


def declared_entries(prefix: str, description: Description) -> Entries:
    """List the inputs and outputs of an algorithm."""
    entries: Entries = {}
    for field in description.inputs:
        pv = names.demand(prefix, field.name)
        if field.kind is Kind.COMMAND:
            entries[_entry(field.name)] = {"x": pv}
        else:
            entries[_entry(field.name)] = {"r": names.readback(prefix, field.name), "w": pv}
    for field in description.outputs:
        entries[_entry(field.name)] = {"r": names.readback(prefix, field.name)}
    return entries


def item_entries(prefix: str, items: Sequence[Item[Any]]) -> Entries:
    """List the records of a table of items."""
    entries: Entries = {}
    for item in items:
        name = _entry(names.snake_case(item.pv))
        if name in entries:  # its readback has other choices: Acquire_RBV
            name = f"{name}_rbv"
        entry = entries.setdefault(name, {})
        if item.field.kind is Kind.COMMAND:
            entry["x"] = prefix + item.demand
        elif item.demand and not item.readback:
            entry["w"] = prefix + item.demand
        else:
            entry |= {"r": prefix + item.readback} if item.readback else {}
            entry |= {"w": prefix + item.demand} if item.demand else {}
    return {name: _readable(entry) for name, entry in entries.items()}


def part_entries(prefix: str, parts: Iterable[str]) -> Entries:
    """List the parts of an IOC, each with a PVI of its own."""
    return {_entry(part.lower()): {"d": f"{prefix}{part}:PVI"} for part in parts}


def structure(pv: str, doc: str, entries: Mapping[str, Mapping[str, str]]) -> str:
    """Compose the database text that makes the PVI PV `pv`, with the record that carries it."""
    group: dict[str, Any] = {
        "+id": "epics:nt/NTPVI:1.0",
        "": {"+type": "meta", "+channel": "VAL", "+trigger": "*"},
        "display.description": {"+type": "const", "+const": doc},
    }
    for name, entry in entries.items():
        for access, target in entry.items():
            group[f"value.{name}.{access}"] = {"+type": "const", "+const": target}
    text = json.dumps({pv: group}).replace("$", "\\u0024")  # or EPICS sees a macro
    fields = 'field(VAL, "0")\n field(PINI, "YES")'  # or the structure would be in alarm
    return f'record(bi, "{pv}Carrier") {{\n {fields}\n info(Q:group, {text})\n}}\n'


def _entry(name: str) -> str:
    return f"{name}_" if name in _TAKEN else name


def _readable(entry: dict[str, str]) -> dict[str, str]:
    """Let a record that is its own readback be one entry, for reading and writing."""
    return {"rw": entry["w"]} if set(entry) == {"w"} else entry
