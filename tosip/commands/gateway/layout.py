"""The tables of `tosip gateway status`."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from tosip.commands.gateway.words import age, size
from tosip.texts import printable

COUNTS = ("acknowledged", "delivered", "pending", "dead", "duplicates", "discarded")
VOLUMES = ("acknowledged", "delivered", "pending")


def laid_out(facts: dict[str, Any], first: int) -> list[Table]:
    """Lay out what `status` has collected; empty tables are left out."""
    pending, dead, short = facts["pending"], facts["dead"], facts["quarantined"]
    shown = [_totals(facts), _archive(facts)]
    if pending:
        shown.append(files(_title("Pending", pending, first), pending[:first], "state"))
    if dead:
        shown.append(files("Dead letters", dead, "refusals", "reason"))
    if short:
        shown.append(files(_title("Quarantined", short, first), short[-first:], "reason"))
    return shown


def files(title: str, rows: Sequence[dict[str, Any]], *more: str) -> Table:
    """Lay out files, one a row, with some columns of their own."""
    table = Table(title=title, title_justify="left")
    table.add_column("id", no_wrap=True)
    for heading in ("name", "camera"):
        table.add_column(heading, overflow="fold")
    for heading in ("size", "age"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in more:
        table.add_column(heading, overflow="fold")
    for row in rows:
        whose = row["camera"] or row["user"]
        others = (str(row[heading]) for heading in more)
        shown = (row["name"], whose, size(row["size"]), age(row["age"]), *others)
        table.add_row(row["id"], *map(printable, shown))
    return table


def _title(title: str, rows: Sequence[object], first: int) -> str:
    return title if len(rows) <= first else f"{title} ({first} of {len(rows)})"


def _totals(facts: dict[str, Any]) -> Table:
    totals = facts["totals"]
    balance = "balanced" if facts["balanced"] else "NOT BALANCED: tell the authors"
    table = Table(title=f"{facts['spool']}: {balance}", title_justify="left")
    for heading in ("", *COUNTS, "quarantined"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("files", *(str(totals[name]) for name in (*COUNTS, "quarantined")))
    volumes = (size(totals[f"bytes_{name}"]) if name in VOLUMES else "" for name in COUNTS)
    table.add_row("volume", *volumes, "")
    return table


def _archive(facts: dict[str, Any]) -> Table:
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    oldest = facts["oldest_pending_age"]
    table.add_row("gateway", "running" if facts["running"] else "not running")
    table.add_row("archive", facts["archive"]["state"] or "not tried")
    table.add_row("last error", printable(facts["archive"]["last_error"]) or "-")
    table.add_row("last refusal", printable(facts["notes"].get("last_refusal", "")) or "-")
    table.add_row("oldest pending", "-" if oldest is None else age(oldest))
    return table
