"""Devices that ophyd-async makes from the PVI structures alone."""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from ophyd_async.core import Device, SignalR, SignalRW, SignalW, TriggerableCommand
from ophyd_async.epics.core import PviDeviceConnector

TIMEOUT = 20.0
INVALID = 3

KINDS: dict[type[Any], str] = {
    SignalRW: "rw",
    SignalR: "r",
    SignalW: "w",
    TriggerableCommand: "x",
    Device: "d",
}


def kind(child: Any) -> str:
    """Tell what an entry has become."""
    return next(letters for cls, letters in KINDS.items() if isinstance(child, cls))


def kinds(device: Any) -> dict[str, str]:
    """Tell what all entries have become."""
    return {name: kind(child) for name, child in device.children()}


async def connect(prefix: str) -> Any:
    """Make a device; every PV of every entry has connected, or this raises."""
    device = Device(name="device", connector=PviDeviceConnector(prefix))
    await device.connect(timeout=TIMEOUT)
    return device


async def alarms(part: Any) -> list[str]:
    """Name the signals of a part that are INVALID."""
    found = []
    for name, signal in part.children():
        if isinstance(signal, SignalR):
            (reading,) = (await signal.read()).values()
            if reading["alarm_severity"] == INVALID:
                found.append(name)
    return found


async def written(plugin: Any) -> dict[str, list[Any]]:
    """Set signals of each type, read them back, and set them to what they were."""
    values = {
        "gain": 4.5,
        "count": 42,
        "big": 1 << 50,
        "flag": "No",
        "mode": "warn",
        "label": "xyz",
        "story": "long " * 60,
        "queue_size": 13,
        "max_array_rate": 4.0,
        "enable_callbacks": "Disable",
    }
    found: dict[str, list[Any]] = {}
    for name, value in values.items():
        signal = getattr(plugin, name)
        before = await signal.get_value()
        await signal.set(value, timeout=TIMEOUT)
        found[name] = [value, await signal.get_value()]
        await signal.set(before, timeout=TIMEOUT)
    before = await plugin.weights.get_value()
    await plugin.weights.set(np.array([0.5, 1.5]), timeout=TIMEOUT)
    found["weights"] = [[0.5, 1.5], (await plugin.weights.get_value()).tolist()]
    await plugin.weights.set(before, timeout=TIMEOUT)
    return found


async def commanded(plugin: Any) -> list[bool]:
    """Press the algorithm's button and process the last frame, twice; it tells of the button."""
    found = []
    await plugin.reset.trigger()
    for _ in range(2):
        counted = await plugin.array_counter.get_value()
        await plugin.process_plugin.trigger()
        async with asyncio.timeout(TIMEOUT):
            while await plugin.array_counter.get_value() == counted:
                await asyncio.sleep(0.05)
        found.append(await plugin.was_reset.get_value() == "Yes")
    return found


async def main(prefix: str) -> dict[str, Any]:
    """Do all and tell what came of it."""
    whole = await connect(prefix)
    parts = dict(whole.children())
    alone = await connect(f"{prefix}FOCUS01:")
    return {
        "whole": kinds(whole),
        "parts": {name: kinds(part) for name, part in parts.items()},
        "alone": kinds(alone),
        "alarms": {name: await alarms(parts[name]) for name in ("cam01", "focus01", "gateway")},
        "commanded": await commanded(whole.focus01),
        "written": await written(alone),  # that disables it for a moment: no frame is kept
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
