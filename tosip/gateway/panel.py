"""What operators see of the FTP gateway."""

from tosip.description import Alarm, Field, Kind, Severity
from tosip.gateway.gateway import Gateway
from tosip.housekeeping import Item, choice, integer, text

_BACKLOG = Alarm(high=100, hihi=1000)

GATEWAY_ITEMS: tuple[Item[Gateway], ...] = (
    Item("Port", integer("FTP port that is listened to"), lambda g: g.port, group="Uploads"),
    Item(
        "Connections",
        integer("FTP clients connected"),
        lambda g: g.counters.connections,
        group="Uploads",
    ),
    Item(
        "Acknowledged",
        integer("Files accepted, and safe on disk"),
        lambda g: g.counters.acknowledged,
        group="Uploads",
    ),
    Item(
        "Refused",
        integer("Uploads refused or broken"),
        lambda g: g.counters.refused,
        group="Uploads",
    ),
    Item(
        "Volume",
        Field("", Kind.FLOAT, "Volume accepted", units="GiB", precision=3),
        lambda g: g.counters.bytes / 1024**3,
        group="Uploads",
    ),
    Item(
        "Delivered",
        integer("Files verified on the archive"),
        lambda g: g.counters.delivered,
        group="Archive",
    ),
    Item(
        "Pending",
        integer("Files that wait for the archive", alarm=_BACKLOG),
        lambda g: g.counters.pending,
        group="Archive",
    ),
    Item(
        "ArchiveState",
        choice("How the archive answers", "Unreachable", "OK", Unreachable=Severity.MAJOR),
        lambda g: "OK" if g.counters.archive_ok else "Unreachable",
        group="Archive",
    ),
    Item(
        "LastError",
        text("What went wrong last", 512),
        lambda g: g.counters.last_error[:512],
        group="Archive",
    ),
)
