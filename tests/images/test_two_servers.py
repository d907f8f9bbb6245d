"""Images beside the records of a real IOC: two PVAccess servers on one host."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.images.rig import PATIENCE, client
from tosip.testing.ioc import Monitor, free_port
from tosip.testing.process import LinesProcess


class IocWithImages:
    """An IOC in a process of its own; `port` and `images` are its images' TCP port and process."""

    def __init__(self, prefix: str, records_port: int) -> None:
        self.prefix = prefix
        self.records_port = records_port
        self.process = LinesProcess(
            [sys.executable, "-m", "tests.images.ioc", prefix, "record"],
            {
                "EPICS_PVAS_SERVER_PORT": str(records_port),
                "EPICS_CAS_SERVER_PORT": str(free_port()),
            },
        )
        found = re.search(r"ready (\d+) (\d+)", self.process.wait_line("ready"))
        assert found
        self.port, self.images = int(found[1]), int(found[2])


def listening(pid: int) -> set[int]:
    """The TCP ports on which a process listens on loopback."""
    inodes = set()
    for each in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/{pid}/fd/{each}")
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in inodes}


@contextmanager
def iocs(prefixes: Sequence[str]) -> Iterator[list[IocWithImages]]:
    with ExitStack() as stack:
        found = []
        for prefix in prefixes:
            found.append(IocWithImages(prefix, free_port()))
            stack.callback(found[-1].process.stop)
        yield found


def test_records_and_images_of_two_iocs_are_found_by_name():
    with iocs(["ONE", "TWO"]) as running:
        for ioc in running:
            ioc.process.say("5")
            assert ioc.port != ioc.records_port
            assert ioc.records_port in listening(ioc.process.pid)
            assert listening(ioc.images) == {ioc.port}
        for _ in range(3):  # each is a client of its own, which has to search
            with client() as context:
                for ioc in running:
                    assert context.get(f"{ioc.prefix}:Record", timeout=PATIENCE) == 42.0
                    with Monitor(context, f"{ioc.prefix}:CAM:Image") as updates:
                        while not (image := updates.next(PATIENCE)).size:
                            pass
                    assert image.tolist() == [0, 1, 2, 3, 4]
