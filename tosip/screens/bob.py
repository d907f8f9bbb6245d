"""Writes Phoebus screens. pvi's formatter has no public import path: this is the only place."""

import re
from pathlib import Path

from pvi._format import DLSFormatter
from pvi.device import Device

# pvi 0.14 leaves its template's PV in a button beside the one that the button writes.
_LEFT_OVER = re.compile(
    r"(<action type=\"write_pv\">(?:(?!</actions>).)*?<pv_name>([^<]+)</pv_name>"
    r"(?:(?!<pv_name>).)*?</actions>\s*)<pv_name>SignalX</pv_name>",
    re.DOTALL,
)
_PV_NAME = re.compile(r"<(?:pv_name|y_pv|x_pv)>(?:pva://|ca://)?([^<]+)</")


def write_bob(device: Device, path: Path) -> None:
    """Write the screen of `device` to `path`, which ends in .bob."""
    DLSFormatter().format(device, path)
    path.write_text(_LEFT_OVER.sub(r"\1<pv_name>\2</pv_name>", path.read_text()))


def pv_names(path: Path) -> list[str]:
    """List the PVs that a screen names, with their macros."""
    return sorted(set(_PV_NAME.findall(path.read_text())))
