"""ophyd-async's own areaDetector classes, over Channel Access and from the PVI structures."""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from ophyd_async.core import EnableDisable, SignalR
from ophyd_async.epics.adcore import NDArrayBaseIO, NDPluginBaseIO

TIMEOUT = 20.0


async def values(device: Any) -> dict[str, Any]:
    """Read the signals of a device that hold one value."""
    signals = [(name, child) for name, child in device.children() if isinstance(child, SignalR)]
    found = {name: await signal.get_value() for name, signal in signals}
    return {name: value for name, value in found.items() if not isinstance(value, np.ndarray)}


async def plugin(prefix: str, with_pvi: bool) -> dict[str, Any]:
    """Connect to a plugin, read it all, write and read back."""
    device = NDPluginBaseIO(f"{prefix}FOCUS01:", with_pvi=with_pvi, name="plugin")
    await device.connect(timeout=TIMEOUT)
    seen = await values(device)
    await device.nd_array_address.set(0, timeout=TIMEOUT)
    await device.queue_size.set(17, timeout=TIMEOUT)
    await device.enable_callbacks.set(EnableDisable.DISABLE, timeout=TIMEOUT)
    await device.nd_array_port.set("CAM02", timeout=TIMEOUT)
    written = await values(device)
    await device.queue_size.set(20, timeout=TIMEOUT)
    await device.enable_callbacks.set(EnableDisable.ENABLE, timeout=TIMEOUT)
    await device.nd_array_port.set("CAM01", timeout=TIMEOUT)
    return {"read": seen, "written": written}


async def driver(prefix: str, with_pvi: bool) -> dict[str, Any]:
    """Connect to a driver's port and read it all."""
    device = NDArrayBaseIO(f"{prefix}CAM01:", with_pvi=with_pvi, name="driver")
    await device.connect(timeout=TIMEOUT)
    return await values(device)


async def main(prefix: str, with_pvi: bool) -> dict[str, Any]:
    """Do all and tell what came of it."""
    return {"plugin": await plugin(prefix, with_pvi), "driver": await driver(prefix, with_pvi)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], with_pvi=False))))
