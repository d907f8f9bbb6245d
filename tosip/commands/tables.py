"""Tables on a terminal."""

import json
import math
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import numpy as np
from rich.console import Console
from rich.table import Table

from tosip import names
from tosip.commands.replay import Row
from tosip.description import Description, Field, Kind
from tosip.texts import printable

WIDTH_OF_A_FILE = 1000


class _Console(Console):
    """rich's console, whose reader may go: what that means is for the command to say."""

    def on_broken_pipe(self) -> None:
        """Raise instead of ending the program."""
        raise BrokenPipeError


def console(file: TextIO | None = None) -> Console:
    """Return standard output: as wide as the terminal, wide enough for all if it is none."""
    file = file or sys.stdout
    # What stands in brackets or colons is an algorithm's text, not rich's markup.
    width = None if file.isatty() else WIDTH_OF_A_FILE
    return _Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def results(description: Description, rows: Sequence[Row], attributes: Sequence[str]) -> Table:
    """Lay out what came of each image."""
    shown = [field for field in description.outputs if field.kind is not Kind.ARRAY]
    table = Table(title=printable(f"{description.name}: {description.doc}"))
    table.add_column("image", overflow="fold")
    for name in attributes:
        table.add_column(name, justify="right")
    for field in shown:
        unit = f"\n[{field.units}]" if field.units else ""
        table.add_column(f"{field.name}{unit}", justify="right")
    table.add_column("status")
    table.add_column("message", overflow="fold")
    for row in rows:
        table.add_row(
            printable(row.image.rsplit("/", 1)[-1]),
            *(_attribute(row.attributes.get(name, "-")) for name in attributes),
            *(_cell(field, row.outputs.get(field.name)) for field in shown),
            row.status,
            printable(row.message.strip().partition("\n")[0]),
        )
    return table


def declaration(description: Description) -> Table:
    """Lay out the records that a declaration makes."""
    table = Table(title=printable(f"{description.name}: {description.doc}"))
    for heading in ("name", "type", "PVs behind $(P)$(R)", "default", "limits", "documentation"):
        table.add_column(heading, overflow="fold")
    for field in description.inputs:
        pvs = [names.demand("", field.name)]
        if field.kind is not Kind.COMMAND:
            pvs.append(names.readback("", field.name))
        table.add_row(field.name, _type(field), "\n".join(pvs), *_about(field))
    table.add_section()
    for field in description.outputs:
        table.add_row(field.name, _type(field), names.readback("", field.name), *_about(field))
    return table


def _attribute(value: Any) -> str:
    return json.dumps(value.tolist()) if isinstance(value, np.ndarray) else printable(str(value))


def _cell(field: Field, value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return f"{value:.{field.precision}f}" if field.kind is Kind.FLOAT else printable(str(value))


def _type(field: Field) -> str:
    if field.kind is Kind.ENUM:
        return printable(" | ".join(field.choices))
    if field.kind is Kind.ARRAY:
        return f"{field.dtype} x {field.length}"
    return "int32" if field.kind is Kind.INT and field.bits == 32 else field.kind.value


def _about(field: Field) -> tuple[str, str, str]:
    default = "" if field.default is None or field.kind is Kind.COMMAND else str(field.default)
    return printable(default), printable(field.range()), printable(field.doc)
