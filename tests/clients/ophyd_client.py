"""ophyd's areaDetector plugin classes, of each ADCore version, on a plugin of this IOC."""

import json
import sys
from typing import Any

from ophyd import Component, EpicsSignalRO
from ophyd.areadetector import ADBase, DetectorBase, EpicsSignalWithRBV, plugins
from ophyd.device import create_device_from_components
from ophyd.signal import EpicsSignalBase

VERSIONS = ("V33", "V34", "V35")
# ADCore had it before 3.3: the classes for older ones ask for it.
GONE = {"pool_max_buffers": None}
OLDER = ("PluginBase", *(f"PluginBase_{v}" for v in ("V20", "V22", "V25", "V26", "V31")))
TIMEOUT = 20.0
EpicsSignalBase.set_defaults(timeout=TIMEOUT, connection_timeout=TIMEOUT)

# As much of a driver as the plugin classes ask for.
Camera = create_device_from_components(
    "Camera",
    base_class=ADBase,
    port_name=Component(EpicsSignalRO, "PortName_RBV", string=True),
    array_callbacks=Component(EpicsSignalWithRBV, "ArrayCallbacks"),
)
Detector = create_device_from_components(
    "Detector",
    base_class=DetectorBase,
    cam=Component(Camera, "CAM01:"),
    focus=Component(plugins.PluginBase_V35, "FOCUS01:"),
)


def connected(kind: type[Any], prefix: str) -> int:
    """Connect all signals of a plugin class; return how many there are."""
    plugin = kind(f"{prefix}FOCUS01:", name=kind.__name__)
    plugin.wait_for_connection(all_signals=True, timeout=TIMEOUT)
    return sum(1 for _ in plugin.walk_signals(include_lazy=True))


def staging(detector: Any) -> dict[str, Any]:
    """Stage and unstage, with the plugin disabled before."""

    def shown() -> list[str]:
        signals = (detector.focus.enable, detector.focus.blocking_callbacks)
        return [str(signal.get(use_monitor=False)) for signal in signals]

    detector.focus.enable.set("Disable").wait(TIMEOUT)
    before = shown()
    detector.stage()
    staged = shown()
    detector.unstage()
    after = shown()
    detector.focus.enable.set("Enable").wait(TIMEOUT)
    return {"before": before, "staged": staged, "after": after}


def main(prefix: str) -> dict[str, Any]:
    """Do all and tell what came of it."""
    detector = Detector(prefix, name="detector")
    detector.wait_for_connection(all_signals=True, timeout=TIMEOUT)
    detector.focus.queue_size.set(13).wait(TIMEOUT)
    seen = {
        "signals": {v: connected(getattr(plugins, f"PluginBase_{v}"), prefix) for v in VERSIONS},
        "older": {
            name: connected(type(name, (getattr(plugins, name),), GONE), prefix) for name in OLDER
        },
        "staging": staging(detector),
        "source": detector.focus.source_plugin.name,
        "ports": sorted(detector.get_asyn_port_dictionary()),
        "sizes": list(detector.focus.array_size.get()),
        "type": detector.focus.plugin_type.get(),
        "queue_size": int(detector.focus.queue_size.get(use_monitor=False)),
        "configuration": sorted(detector.focus.read_configuration()),
    }
    detector.focus.queue_size.set(20).wait(TIMEOUT)
    return seen


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
