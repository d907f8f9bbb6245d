"""What is on a page, before it is drawn: columns of boxes, plots and images.

A box is one of pvi's groups. Each of its rows is either a pvi row with one component for each of
the box's columns (`BLANK` leaves one empty) or one component that takes their whole width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pvi.device import DeviceRef, Group, SignalR

SPACING = 5
ROW_HEIGHT = 20

BLANK = SignalR(name="Blank", read_pv="", read_widget=None)


@dataclass(frozen=True)
class Box:
    """A group of rows; `widths` are those of its columns beside the labels, in pixels."""

    group: Group
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """A plot or an image."""

    title: str
    signal: SignalR


@dataclass(frozen=True)
class Page:
    """One screen: `name` is its file without .bob, `links` are the buttons at its top."""

    name: str
    title: str
    columns: tuple[tuple[Box | Picture, ...], ...]
    links: tuple[DeviceRef, ...] = ()
    macros: Mapping[str, str] = field(default_factory=dict)  # where nobody gives any
