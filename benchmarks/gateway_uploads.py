"""How fast uploads are taken, by our gateway, which makes them durable, and by servers that do not.

The servers take turns, and the disk itself with them; what came is removed after each turn and the
disk is let come to rest, so that nobody waits for what another has written.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.gateway_disk import write_durably
from benchmarks.gateway_servers import OURS, VSFTPD, Server, running, servers
from benchmarks.peers import ftp
from benchmarks.records_process import Told
from benchmarks.timing import table

ROUNDS = 4
ONE_AFTER_THE_OTHER = 3
CAMERAS = 16
DISK = "the disk alone"
_PACED_RATE = 20e6  # B/s, of each camera
_PACED_FILES = 3
_PACED_ROUNDS = 2

Row = tuple[str, str, str, bool]
Times = dict[str, float]


@dataclass
class Found:
    """MB/s of each file or batch, and CPU seconds a file."""

    one: list[float] = field(default_factory=list)
    many: list[float] = field(default_factory=list)
    cpu_one: list[float] = field(default_factory=list)
    cpu_many: list[float] = field(default_factory=list)


def uploads(cameras: Told, folder: Path, size: int) -> list[Row]:
    """Measure the speeds, print them, and return the rows for the targets."""
    found = {name: Found() for name in (*servers(), DISK)}
    with contextlib.ExitStack() as stack:
        started = {name: stack.enter_context(running(name, folder)) for name in servers()}
        for number in range(ROUNDS + 1):
            for name, server in started.items():
                result = _turn(cameras, server, size)
                if number:  # the first warms up
                    _add(found[name], result)
            if number:
                _add(found[DISK], _disk(folder, size))
    _show(found, size)
    return _judge(found)


def _turn(cameras: Told, server: Server, size: int) -> Found:
    login = server.begin()
    who = {"port": login.port, "password": login.password}
    start = server.cpu()
    users = list(login.users)
    times = cameras("upload", users=users[:1], files=ONE_AFTER_THE_OTHER, prefix="one", **who)
    middle = server.cpu()
    batch = cameras("upload", users=users[:CAMERAS], prefix="many", **who)
    end = server.cpu()
    server.end()
    os.sync()
    whole = max(each["acknowledged"] for each in batch) - min(each["begun"] for each in batch)
    return Found(
        [1e-6 * size / (each["acknowledged"] - each["begun"]) for each in times],
        [1e-6 * size * CAMERAS / whole],
        [(middle - start) / ONE_AFTER_THE_OTHER],
        [(end - middle) / CAMERAS],
    )


def _disk(folder: Path, size: int) -> Found:
    result = Found(
        [1e-6 * size / write_durably(folder, size, 1)[0] for _ in range(ONE_AFTER_THE_OTHER)],
        [1e-6 * size * CAMERAS / write_durably(folder, size, CAMERAS)[0]],
    )
    os.sync()
    return result


def _add(all_: Found, more: Found) -> None:
    for name, values in vars(more).items():
        getattr(all_, name).extend(values)


def _show(found: Mapping[str, Found], size: int) -> None:
    table(
        f"Uploads of {size / 2**20:.0f} MiB, {ROUNDS} rounds, medians; gateway and disk sync",
        ("server", "MB/s: one", "(range)", "16", "(range)", "CPU ms: one", "16"),
        [
            (name, *_ranged(each.one), *_ranged(each.many), _ms(each.cpu_one), _ms(each.cpu_many))
            for name, each in found.items()
        ],
    )


def _ranged(values: Sequence[float]) -> tuple[str, str]:
    return f"{median(values):.0f}", f"{min(values):.0f}-{max(values):.0f}"


def _ms(seconds: Sequence[float]) -> str:
    return f"{1e3 * median(seconds):.0f}" if seconds else "-"


def _judge(found: Mapping[str, Found]) -> list[Row]:
    rows = [_ratio("one upload", found, ftp.STOCK, 2.0, lambda each: each.one)]
    rows.append(_ratio("16 at once", found, ftp.LARGE, 1.5, lambda each: each.many))
    if VSFTPD in found:
        rows.insert(1, _ratio("one upload", found, VSFTPD, 0.8, lambda each: each.one))
        rows.append(_ratio("16 at once", found, VSFTPD, 0.8, lambda each: each.many))
    disk = median(found[OURS].many) / median(found[DISK].many)
    rows.append(("16 at once, ours / the disk alone", f"{disk:.2f}", "stated", True))
    cpu = 1e3 * median(found[OURS].cpu_many)
    alone = 1e3 * median(found[OURS].cpu_one)
    return [
        *rows,
        ("CPU of the gateway a file, 16 at once", f"{cpu:.0f} ms", "< 30 ms", cpu < 30),
        ("CPU of the gateway a file, one camera", f"{alone:.0f} ms", "< 30 ms", alone < 30),
    ]


def _ratio(
    what: str,
    found: Mapping[str, Found],
    peer: str,
    least: float,
    values: Callable[[Found], list[float]],
) -> Row:
    ratio = median(values(found[OURS])) / median(values(found[peer]))
    return f"{what}, ours / {peer}", f"{ratio:.2f}", f">= {least:g}", ratio >= least


def latency(cameras: Told, folder: Path, size: int) -> list[Row]:
    """Measure the time from the last byte to 226 with 16 cameras that all end at once."""
    waits: list[float] = []
    with running(OURS, folder) as server:
        for _ in range(_PACED_ROUNDS):
            login = server.begin()
            times = cameras(
                "upload",
                port=login.port,
                password=login.password,
                users=list(login.users),
                files=_PACED_FILES,
                rate=_PACED_RATE,
                prefix="paced",
            )
            waits += [each["acknowledged"] - each["last"] for each in times]
            server.end()
            os.sync()
    middle, late, most = 1e3 * np.percentile(waits, (50, 95, 100))
    table(
        f"Last byte to 226, {CAMERAS} cameras at {1e-6 * _PACED_RATE:g} MB/s each, in step",
        ("files", "p50 ms", "p95", "most"),
        [(str(len(waits)), f"{middle:.0f}", f"{late:.0f}", f"{most:.0f}")],
    )
    return [("last byte to 226, 16 at 20 MB/s, p95", f"{late:.0f} ms", "< 200 ms", late < 200)]
