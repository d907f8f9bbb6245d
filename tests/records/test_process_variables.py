"""Attributes from EPICS PVs: this IOC's own, and those of another IOC that comes and goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tosip.testing.ioc import free_port, own_network
from tosip.testing.process import LinesProcess

OTHER = """
import asyncio, sys
import numpy as np
from softioc import asyncio_dispatcher, builder, softioc

async def main():
    builder.SetDeviceName("OTHER")
    temperature = builder.aOut("TEMP", initial_value=float(sys.argv[1]), PREC=2)
    builder.longOut("COUNT", initial_value=7)
    builder.mbbIn("SHUTTER", "closed", "open", initial_value=1)
    builder.stringIn("NAME", initial_value="M 31")
    builder.longStringIn("TEXT", initial_value="x" * 100)
    builder.WaveformIn("PROFILE", initial_value=np.array([2.5, 3.5]))
    builder.aIn("NEVER", PINI="NO")
    builder.LoadDatabase()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(asyncio.get_running_loop()))
    print("other ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        for value in range(int(line)):
            temperature.set(float(value))
        temperature.set(99.5)

asyncio.run(main())
softioc.safeEpicsExit(0)
"""

# Publishes arrays, and prints their attributes whenever these have changed.
WATCHER = """
import asyncio, json, sys
from softioc import asyncio_dispatcher, builder, softioc
import aioca
import numpy as np
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.port_attributes import PortAttributes
from tosip.pipeline.ports import Port
from tosip.records.process_variables import ProcessVariables

async def publish(port, pool):
    shown = None
    while True:
        port.publish(NDArray(1, 0.0, (2, 2), "uint8", pool.allocate(4), {}))
        found = {name: value for name, value in port.last.attributes.items()}
        if found != shown:
            shown = found
            print("attributes", json.dumps(found, sort_keys=True), flush=True)
        await asyncio.sleep(0.02)

async def main():
    source, port, pool = ProcessVariables(), Port("CAM"), Pool(10**6)
    attributes = PortAttributes({}, source)
    port.attributes = attributes
    attributes.set_file(sys.argv[1])
    second = PortAttributes({}, source)
    await second.load(sys.argv[1])
    builder.SetDeviceName("OWN")
    own = builder.longOut("COUNTER", initial_value=1)
    builder.LoadDatabase()
    loop = asyncio.get_running_loop()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(loop))
    source.start()
    publishing = loop.create_task(publish(port, pool))
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if line == "count":
            own.set(own.get() + 1)
        elif line == "channels":
            print("channels", sorted(i.name for i in aioca.get_channel_infos()), flush=True)
        elif line == "second":
            await second.load("")
        else:
            await attributes.load(line)
            print("message", attributes.message, flush=True)
    publishing.cancel()
    source.close()
    print("left", len(aioca.get_channel_infos()), flush=True)

asyncio.run(main())
softioc.safeEpicsExit(0)
"""

EVERYTHING = (
    ("Temperature", "OTHER:TEMP", "DBR_NATIVE"),
    ("TemperatureLong", "OTHER:TEMP", "DBR_LONG"),
    ("TemperatureText", "OTHER:TEMP", "DBR_STRING"),
    ("Count", "OTHER:COUNT", "DBR_NATIVE"),
    ("CountDouble", "OTHER:COUNT", "DBR_DOUBLE"),
    ("Shutter", "OTHER:SHUTTER", "DBR_NATIVE"),
    ("ShutterText", "OTHER:SHUTTER", "DBR_STRING"),
    ("Name", "OTHER:NAME", "DBR_NATIVE"),
    ("Text", "OTHER:TEXT", "DBR_STRING"),
    ("Field", "OTHER:NAME.DESC$", "DBR_NATIVE"),
    ("Profile", "OTHER:PROFILE", "DBR_NATIVE"),
    ("Never", "OTHER:NEVER", "DBR_NATIVE"),
    ("NotThere", "NOT:THERE", "DBR_NATIVE"),
    ("Own", "OWN:COUNTER", "DBR_NATIVE"),
)
OF_THE_OTHER = {
    "Temperature": 21.75,
    "TemperatureLong": 21,
    "TemperatureText": "21.75",
    "Count": 7,
    "CountDouble": 7.0,
    "Shutter": 1,
    "ShutterText": "open",
    "Name": "M 31",
    "Text": "x" * 100,
    "Field": "",
    "Profile": 2.5,
}


def xml(*attributes: tuple[str, str, str]) -> str:
    lines = (f'<Attribute name="{n}" source="{s}" dbrtype="{t}"/>' for n, s, t in attributes)
    return f"<Attributes>{''.join(lines)}</Attributes>"


class Both:
    """An IOC that follows PVs, and the other that has them."""

    def __init__(self) -> None:
        self.network = own_network()
        self.port = str(free_port())
        self.others: list[LinesProcess] = []
        own = self.network["EPICS_CAS_SERVER_PORT"]
        addresses = f"127.0.0.1:{self.port} 127.0.0.1:{own}"
        self.watcher = LinesProcess(
            [sys.executable, "-c", WATCHER, xml(*EVERYTHING)],
            self.network | {"EPICS_CA_ADDR_LIST": addresses},
        )

    def start_other(self, temperature: float) -> LinesProcess:
        """Start the other IOC and return when its records are served."""
        network = {**own_network(), "EPICS_CAS_SERVER_PORT": self.port}
        self.others.append(LinesProcess([sys.executable, "-c", OTHER, str(temperature)], network))
        self.others[-1].wait_line("other ready", 30.0)
        return self.others[-1]

    def wait(self, attributes: dict[str, Any]) -> None:
        """Wait until arrays have these attributes and no others."""
        self.watcher.wait_line(f"attributes {json.dumps(attributes, sort_keys=True)}", 30.0)

    def stop(self) -> None:
        for process in (self.watcher, *self.others):
            process.stop()


@pytest.fixture
def both() -> Iterator[Both]:
    running = Both()
    yield running
    running.stop()


def test_pvs_of_this_and_other_iocs_become_attributes_while_they_are_there(both):
    both.wait({"Own": 1})

    other = both.start_other(21.75)
    both.wait({"Own": 1} | OF_THE_OTHER)
    both.watcher.say("count")
    both.wait({"Own": 2} | OF_THE_OTHER)

    other.say("5000")  # as fast as it can
    after = {"Temperature": 99.5, "TemperatureLong": 99, "TemperatureText": "99.50"}
    both.wait({"Own": 2} | OF_THE_OTHER | after)

    other.signal(9)
    both.watcher.say("count")
    both.wait({"Own": 3})
    both.start_other(-1.5)
    both.wait(
        {"Own": 3}
        | OF_THE_OTHER
        | {"Temperature": -1.5, "TemperatureLong": -1, "TemperatureText": "-1.50"}
    )

    both.watcher.say("second")
    both.watcher.say(xml(("T", "OTHER:TEMP", "DBR_NATIVE"), ("N", "NOT:THERE", "DBR_LONG")))
    both.watcher.wait_line("message no value: N (NOT:THERE)")
    both.wait({"T": -1.5})
    both.watcher.say("channels")
    both.watcher.wait_line("channels ['NOT:THERE', 'OTHER:TEMP']")
    both.watcher.say("")
    both.watcher.wait_line("left 0")
    assert both.watcher.wait() == 0
    assert not [line for line in both.watcher.lines if "Traceback" in line]
