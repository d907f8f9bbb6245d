"""What operators see of the FTP gateway, and what they can tell it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable

from tosip.description import Alarm, Field, Kind, Severity
from tosip.gateway.counters import Last
from tosip.gateway.gateway import Gateway
from tosip.gateway.spool.stored import StoredFile
from tosip.housekeeping import WRITE_MESSAGE, Item, button, choice, integer, text
from tosip.names import pascal_case

MIB, GIB = 1024.0**2, 1024.0**3
LONGEST_ERROR = 512
LONGEST_LIST = 8192

_BACKLOG = Alarm(high=100, hihi=1000)
_AGE = Alarm(high=600, hihi=3600)
_ANY = Alarm(hihi=1)


def gateway_items(cameras: Iterable[str], max_age: float = 0.0) -> tuple[Item[Gateway], ...]:
    """List all items of a gateway; `cameras` are as `StoredFile.camera` names them.

    A camera without a file for `max_age` seconds is in alarm; never if that is 0.
    """
    alarm = Alarm(hihi=max_age) if max_age > 0 else None
    each = (item for camera in cameras for item in _camera_items(camera, alarm))
    return (*_UPLOADS, *_ARCHIVE, *_DEAD_LETTERS, *_DISK, WRITE_MESSAGE, *each)


def _count(
    pv: str, doc: str, read: Callable[[Gateway], int], group: str, alarm: Alarm | None = None
) -> Item[Gateway]:
    return Item(pv, integer(doc, alarm=alarm), read, group=group)


def _figure(
    pv: str,
    doc: str,
    units: str,
    read: Callable[[Gateway], float],
    group: str,
    alarm: Alarm | None = None,
) -> Item[Gateway]:
    field = Field("", Kind.FLOAT, doc, units=units, precision=3, alarm=alarm)
    return Item(pv, field, read, group=group)


async def _do(act: Callable[[Collection[str]], Awaitable[list[StoredFile]]], ids: str) -> None:
    done = {file.id for file in await act(ids.split())}
    if unknown := set(ids.split()) - done:
        raise ValueError(f"expected the id of a dead letter, got {' '.join(sorted(unknown))}")


def _camera_items(camera: str, alarm: Alarm | None) -> tuple[Item[Gateway], ...]:
    pv = pascal_case(camera)
    return (
        Item(
            f"{pv}LastFile",
            text(f"Newest file of {camera}", LONGEST_ERROR),
            lambda g: _last(g, camera).name[:LONGEST_ERROR],
            group="Cameras",
        ),
        _figure(
            f"{pv}Age",
            f"Time since a file of {camera}",
            "s",
            lambda g: _age(g, camera),
            "Cameras",
            alarm,
        ),
    )


def _last(gateway: Gateway, camera: str) -> Last:
    return gateway.counters.last.get(camera, Last())


def _age(gateway: Gateway, camera: str) -> float:
    received = _last(gateway, camera).received
    return max(time.time() - received, 0.0) if received else float("nan")


def _pending_age(gateway: Gateway) -> float:
    since = gateway.counters.pending_since
    return 0.0 if since is None else max(time.time() - since, 0.0)


def _disk_state(gateway: Gateway) -> str:
    free, watermark = gateway.counters.free_space, gateway.counters.watermark
    if free is None or free >= 2 * watermark:
        return "OK"
    return "Low" if free >= watermark else "Full"


def _free_space(gateway: Gateway) -> float:
    free = gateway.counters.free_space
    return float("nan") if free is None else free / GIB


_UPLOADS: tuple[Item[Gateway], ...] = (
    _count("Port", "FTP port that is listened to", lambda g: g.port, "Uploads"),
    _count("Connections", "FTP clients logged in", lambda g: g.counters.connections, "Uploads"),
    Item(
        "Cameras",
        text("FTP users logged in", LONGEST_ERROR),
        lambda g: " ".join(sorted(g.counters.cameras))[:LONGEST_ERROR],
        group="Uploads",
    ),
    _count(
        "Received", "Files accepted, and safe on disk", lambda g: g.counters.acknowledged, "Uploads"
    ),
    _figure(
        "ReceivedSize",
        "Volume accepted",
        "GiB",
        lambda g: g.counters.bytes_acknowledged / GIB,
        "Uploads",
    ),
    _figure(
        "ReceiveRate", "Upload rate", "MiB/s", lambda g: g.counters.receive_rate / MIB, "Uploads"
    ),
    _count(
        "Duplicates", "Files that came again unchanged", lambda g: g.counters.duplicates, "Uploads"
    ),
    _count("Quarantined", "Short files put aside", lambda g: g.counters.quarantined, "Uploads"),
    _count("Refused", "Uploads refused or broken", lambda g: g.counters.refused, "Uploads"),
    Item(
        "LastRefusal",
        text("Why an upload was refused last", LONGEST_ERROR),
        lambda g: g.counters.last_refusal[:LONGEST_ERROR],
        group="Uploads",
    ),
)

_ARCHIVE: tuple[Item[Gateway], ...] = (
    Item(
        "ArchiveState",
        choice(
            "How the archive answers",
            "Not tried",
            "OK",
            "Unreachable",
            "Refusing",
            "Paused",
            Unreachable=Severity.MAJOR,
            Refusing=Severity.MAJOR,
            Paused=Severity.MINOR,
        ),
        lambda g: g.counters.archive.value,
        group="Archive",
    ),
    Item(
        "LastError",
        text("What went wrong last", LONGEST_ERROR),
        lambda g: g.counters.last_error[:LONGEST_ERROR],
        group="Archive",
    ),
    _count("Delivered", "Files verified on the archive", lambda g: g.counters.delivered, "Archive"),
    _figure(
        "ForwardRate",
        "Rate to the archive",
        "MiB/s",
        lambda g: g.counters.forward_rate / MIB,
        "Archive",
    ),
    _count(
        "Pending",
        "Files that wait for the archive",
        lambda g: g.counters.pending,
        "Archive",
        _BACKLOG,
    ),
    _figure(
        "PendingSize",
        "Volume that waits",
        "MiB",
        lambda g: g.counters.bytes_pending / MIB,
        "Archive",
    ),
    _figure(
        "PendingAge",
        "Age of the oldest that waits",
        "s",
        _pending_age,
        "Archive",
        _AGE,
    ),
    Item(
        "PauseForwarding",
        choice("Whether files only gather here", "No", "Yes", Yes=Severity.MINOR),
        lambda g: "Yes" if g.counters.paused else "No",
        lambda g, value: g.pause(value == "Yes"),
        group="Archive",
    ),
)

_DEAD_LETTERS: tuple[Item[Gateway], ...] = (
    _count(
        "DeadLetters",
        "Files that were given up: see to them",
        lambda g: g.counters.dead,
        "Dead letters",
        _ANY,
    ),
    Item(
        "DeadLetterList",
        text("id, camera, name and reason of each", LONGEST_LIST),
        lambda g: "\n".join(g.counters.dead_letters)[:LONGEST_LIST],
        group="Dead letters",
    ),
    _count(
        "Discarded",
        "Dead letters discarded by people",
        lambda g: g.counters.discarded,
        "Dead letters",
    ),
    Item(
        "Retry",
        button("Try archive and dead letters again now"),
        write=lambda g, _: g.retry(),
        group="Dead letters",
    ),
    Item(
        "RetryFile",
        text("Id of a dead letter to try again", 39),
        lambda g: "",
        lambda g, ids: _do(g.retry, ids),
        group="Dead letters",
        echo=True,
    ),
    Item(
        "DiscardFile",
        text("Id of a dead letter to discard for good", 39),
        lambda g: "",
        lambda g, ids: _do(g.discard, ids),
        group="Dead letters",
        echo=True,
    ),
)

_DISK: tuple[Item[Gateway], ...] = (
    _figure(
        "FreeSpace",
        "Free space of the spool's disk",
        "GiB",
        _free_space,
        "Disk",
    ),
    _figure(
        "Watermark",
        "Uploads are refused below",
        "GiB",
        lambda g: g.counters.watermark / GIB,
        "Disk",
    ),
    Item(
        "DiskState",
        choice(
            "Room on the spool's disk",
            "OK",
            "Low",
            "Full",
            Low=Severity.MINOR,
            Full=Severity.MAJOR,
        ),
        _disk_state,
        group="Disk",
    ),
    _count("Unseen", "Frames let go unprocessed: disk full", lambda g: g.counters.unseen, "Disk"),
)
