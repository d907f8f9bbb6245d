"""How fast files go to the archive, against curl; and the memory of a gateway full of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.gateway_ours import CAMERAS, PASSWORD
from benchmarks.gateway_servers import VSFTPD, Ours, Peer, running, vsftpd
from benchmarks.peers import ftp
from benchmarks.records_process import Told, memory
from benchmarks.timing import table
from tosip.gateway import GatewaySettings
from tosip.testing.ioc import free_port

_FILES = 16
_ROUNDS = 3
_PENDING = 1000
_MIB = 1 << 20
_SHARED_MEMORY = Path("/dev/shm")
_LIMIT = 128.0  # MiB, beside what is kept for the pipeline

Row = tuple[str, str, str, bool]


def forwarding(cameras: Told, folder: Path, size: int) -> list[Row]:
    """Forward to an archive on the spool's disk, then to one that keeps its files in memory.

    The first waits for its disk and lets the gateway, which syncs, wait for it; the second is as
    good as on another machine.
    """
    rows = _forwarding(cameras, folder, folder, size, "same disk")
    if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free > 2 * _FILES * size:
        with tempfile.TemporaryDirectory(dir=_SHARED_MEMORY) as memory:
            rows += _forwarding(cameras, folder, Path(memory), size, "in memory")
    return rows


def _forwarding(cameras: Told, folder: Path, place: Path, size: int, where: str) -> list[Row]:
    """Forward a backlog, and let curl upload as many files to the same server, in turns."""
    archive = VSFTPD if vsftpd() else ftp.PYFTPDLIB
    rates: dict[str, list[float]] = {"gateway": []}
    if shutil.which("curl"):
        rates |= {"curl": [], "curl, 3 at once": []}
    with running(archive, place) as peer, _gateway(folder) as ours:
        if not isinstance(peer, Peer):
            raise TypeError(f"expected a peer, got {peer}")
        for number in range(_ROUNDS + 1):
            taken = {"gateway": _forward(cameras, ours, peer)}
            if "curl" in rates:
                taken["curl"] = _curl(folder, peer, size)
                taken["curl, 3 at once"] = _curl(folder, peer, size, "--parallel", parallel=3)
            for way, seconds in taken.items():
                if number:
                    rates[way].append(1e-6 * size * _FILES / seconds)
    middle = {way: median(values) for way, values in rates.items()}
    table(
        f"Forwarding {_FILES} files of {size / _MIB:.0f} MiB to {archive}, {where}, MB/s",
        ("way", "median", "least", "most"),
        [
            (way, f"{middle[way]:.0f}", f"{min(values):.0f}", f"{max(values):.0f}")
            for way, values in rates.items()
        ],
    )
    return _judge(middle, f"forwarding, archive {where}")


def _judge(middle: dict[str, float], what: str) -> list[Row]:
    ours = middle["gateway"]
    if "curl" not in middle:
        return [(f"{what}, MB/s", f"{ours:.0f}", "curl is not installed", True)]
    ratio, three = ours / middle["curl"], ours / middle["curl, 3 at once"]
    return [
        (f"{what}, ours / curl", f"{ratio:.2f}", ">= 0.8", ratio >= 0.8),
        (f"{what}, ours / 3 curls", f"{three:.2f}", "stated", True),
    ]


def _forward(cameras: Told, ours: Ours, peer: Peer) -> float:
    archive = peer.begin()
    port = ours.told(
        "start",
        archive_port=archive.port,
        user=archive.users[0],
        password=archive.password,
        paused=True,
    )
    cameras("upload", port=port, users=list(CAMERAS[:_FILES]), password=PASSWORD, prefix="backlog")
    os.sync()
    seconds: float = ours.told("forward")
    _expect_all(peer)
    ours.told("stop")
    peer.end()
    return seconds


def _curl(folder: Path, peer: Peer, size: int, *options: str, parallel: int = 1) -> float:
    """Upload as many files of the same size; they are in the page cache, as the spool's are."""
    source = folder / "curl.fits"
    if not source.exists():
        source.write_bytes(os.urandom(size))
    os.sync()
    login = peer.begin()
    words = ["curl", "--silent", "--no-progress-meter", "--fail", *options]
    if options:
        words += ["--parallel-max", str(parallel)]
    for number in range(_FILES):
        url = f"ftp://127.0.0.1:{login.port}/backlog-{number}.fits"
        words += ["--user", f"{login.users[0]}:{login.password}", "--upload-file", str(source), url]
        words += ["--next"] if number < _FILES - 1 else []
    begun = time.monotonic()
    subprocess.run(words, check=True, timeout=60, capture_output=True)
    taken = time.monotonic() - begun
    _expect_all(peer)
    peer.end()
    return taken


def _expect_all(peer: Peer) -> None:
    there = len(list(peer.root.iterdir()))
    if there != _FILES:
        raise RuntimeError(f"expected {_FILES} files on the archive, got {there}")


def pending_memory(cameras: Told, folder: Path, size: int) -> list[Row]:
    """Measure the gateway's memory with a backlog of small files, and while 16 frames come."""
    with _gateway(folder) as ours:
        port = ours.told(
            "start", archive_port=free_port(), user="nobody", password="", paused=False
        )
        found = {"started": memory(ours.told.process.pid)}
        who = {"port": port, "users": list(CAMERAS), "password": PASSWORD}
        cameras("prepare", side=100)
        cameras("upload", files=-(-_PENDING // len(CAMERAS)), prefix="small", **who)
        waiting = ours.told("pending")
        found[f"{waiting} files pending"] = memory(ours.told.process.pid)
        cameras("prepare", side=round((size / 2) ** 0.5))
        cameras("upload", prefix="large", **who)
        found["then 16 frames at once"] = memory(ours.told.process.pid)
        peak = _peak(ours.told.process.pid)
        ours.told("stop")
        who["port"] = ours.told(
            "start", archive_port=free_port(), user="nobody", password="", paused=True, hung=True
        )
        cameras("upload", files=2, prefix="hung", **who)
        found["32 frames, and the pipeline hangs"] = memory(ours.told.process.pid)
        most = _peak(ours.told.process.pid)
        ours.told("stop")
    names = ("Rss", "Pss", "Pss_Anon", "Pss_Shmem")
    table(
        "Memory of the gateway's process, MiB",
        ("when", *(name.replace("_", " ") for name in names)),
        [(when, *(f"{sizes[name]:.0f}" for name in names)) for when, sizes in found.items()],
    )
    what = f"most RSS: {waiting} files pending, 16 frames"
    bound = _LIMIT + GatewaySettings.memory / _MIB
    return [
        (what, f"{peak:.0f} MiB", f"< {_LIMIT:.0f} MiB", peak < _LIMIT),
        ("the same, pipeline hangs", f"{most:.0f} MiB", f"< {bound:.0f} MiB", most < bound),
    ]


def _peak(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@contextmanager
def _gateway(folder: Path) -> Iterator[Ours]:
    root = folder / "forwarding"
    root.mkdir(exist_ok=True)
    ours = Ours(root)
    try:
        yield ours
    finally:
        ours.told.stop()
