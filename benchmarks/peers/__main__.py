"""What TOSIP and its peers need for a frame of 4096 x 4096: `python -m benchmarks peers`.

Copying the frame once, in the same run, is the scale. All ways take turns, in blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from rich.console import Console

from benchmarks.peers import Peer
from benchmarks.peers.multiprocessing_queue import MultiprocessingPeer
from benchmarks.peers.pvapy_consumer import PvapyPeer, available
from benchmarks.peers.tosip_plugin import TosipPeer
from benchmarks.timing import Block, block, in_turns, medians, table, targets

_SHAPE = (4096, 4096)
_ROUNDS = 5
_SECONDS = 1.0  # about as long as each block

OURS, QUEUE, PVAPY, COPY = "TOSIP", "queue and pickle", "pvapy HPC", "np.copyto"
_TRIPS = 200
_BLOCKS = {QUEUE: 10, PVAPY: 20, COPY: 20}


def main() -> None:
    """Print the tables."""
    array = np.full(_SHAPE, 5, np.uint16)
    missing = available()
    with contextlib.ExitStack() as stack:
        peers: dict[str, Peer] = {}
        if missing is None:  # before TOSIP, which may load what pvapy does not get on with
            peers[PVAPY] = stack.enter_context(PvapyPeer())
        tosip = stack.enter_context(TosipPeer())
        peers[OURS] = tosip
        peers[QUEUE] = stack.enter_context(MultiprocessingPeer())
        trips = medians(_trips(tosip, peers, array))
        rates, counts = _rates(peers, array, trips)
        lost = {name: peer.lost for name, peer in peers.items()}
    rows = []
    for name in (OURS, QUEUE, PVAPY):
        if name not in peers:
            rows.append((name, *[""] * 5, "absent"))
            continue
        figures = (f"{1e3 * trips[name]:.2f}", f"{trips[name] / trips[COPY]:.2f}")
        slower = (f"{trips[name] / trips[OURS]:.0f}", f"{rates[OURS] / rates[name]:.0f}")
        rate = f"{rates[name]:.0f}"
        rows.append((name, *figures, slower[0], rate, slower[1], f"{lost[name]}/{counts[name]}"))
    headings = ("way", "trip ms", "copies", "x TOSIP", "frames/s", "TOSIP x", "lost")
    table(f"Peers, frames of {array.nbytes >> 20} MiB, {_ROUNDS} rounds", headings, rows)
    if missing is not None:
        Console().print(f"{PVAPY} is left out: {missing}", markup=False)
    targets("TOSIP against its peers", _ahead(peers, trips, rates))


def _trips(
    tosip: TosipPeer, peers: Mapping[str, Peer], array: np.ndarray
) -> dict[str, list[float]]:
    ways: dict[str, Callable[[], None]] = {COPY: partial(np.copyto, np.zeros_like(array), array)}
    ways |= {name: partial(peer.round_trip, array) for name, peer in peers.items() if name != OURS}
    blocks = {name: block(way, _BLOCKS[name]) for name, way in ways.items()}
    blocks[OURS] = partial(tosip.round_trips, array, _TRIPS)
    return in_turns(blocks, _ROUNDS, first=1)


def _rates(
    peers: Mapping[str, Peer], array: np.ndarray, trips: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, int]]:
    """Frames per second of each, and how many frames were sent for it."""
    counts = {name: max(10, int(_SECONDS / trips[name])) for name in peers}

    def stream(peer: Peer, count: int) -> Block:
        return lambda: [1 / peer.throughput(array, count)]

    blocks = {name: stream(peer, counts[name]) for name, peer in peers.items()}
    middle = medians(in_turns(blocks, _ROUNDS))
    rates = {name: 1 / seconds for name, seconds in middle.items()}
    return rates, {name: _ROUNDS * count for name, count in counts.items()}


def _ahead(
    peers: Mapping[str, Peer], trips: Mapping[str, float], rates: Mapping[str, float]
) -> list[tuple[str, str, str, bool]]:
    rows = []
    for name in (QUEUE, PVAPY):
        if name in peers:
            trip, rate = trips[name] / trips[OURS], rates[OURS] / rates[name]
            rows.append((f"round trip, {name} / TOSIP", f"{trip:.0f}", "> 1", trip > 1))
            rows.append((f"frames/s, TOSIP / {name}", f"{rate:.0f}", "> 1", rate > 1))
    return rows


if __name__ == "__main__":
    main()
