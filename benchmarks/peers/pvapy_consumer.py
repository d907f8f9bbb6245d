"""pvapy's streaming framework: NTNDArrays over PVAccess to a `pvapy-hpc-consumer`.

A PvaServer in this process serves the frames. The consumer, a process with one processor, monitors
them and publishes a small record for each, which this process monitors in turn. All of it stays on
the loopback interface: each side listens for searches on a UDP port of its own that only the other
side is told.

The choices are in pvapy's favour. An NTNDArray is built once per array and not for each frame, as
areaDetector's NDPluginPva wraps its frames without a copy. Updates are not checked against the
record's type. The consumer processes in its monitor's callback (no receiver queue, its default):
its queue costs up to two thirds of the frames per second at 32 MiB. The server's queue is larger
than what is under way, so nothing need be lost.

PVAccess sends only the fields that were set anew. To publish one NTNDArray again with another
uniqueId would leave the pixels at home and look 40 times faster: two NTNDArrays with different
first pixels take turns, and the answers are checked for them.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import queue
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.peers import ATTRIBUTES, IN_FLIGHT, TIMEOUT, MissingPeer, PeerError

_INPUT, _OUTPUT = "TOSIP:BENCH:FRAME", "TOSIP:BENCH:ANSWER"
_QUEUE_SIZE = 4 * IN_FLIGHT
_LIFETIME = 600.0  # s, after which a consumer whose benchmark was killed ends by itself
_END_TIMEOUT = 5.0
_PROCESSOR = Path(__file__).with_name("pvapy_processor.py")
_CLASHES = ("softioc", "aioca")


def available() -> str | None:
    """Why this peer cannot run here, or None if it can."""
    if importlib.util.find_spec("pvapy") is None or importlib.util.find_spec("pvaccess") is None:
        return "pvapy is not installed: pip install '.[benchmarks]'"
    for module in _CLASHES:
        if module in sys.modules:
            return f"{module} is loaded, and with it pvapy crashes the process at its end"
    return None


class PvapyPeer:
    """A server of NTNDArrays, a consumer process and a monitor of its answers.

    `lost` counts the frames that were sent and never answered.

    >>> with PvapyPeer() as peer:
    ...     peer.round_trip(array)
    """

    def __init__(self) -> None:
        reason = available()
        if reason is not None:
            raise MissingPeer(reason)
        self.lost = 0
        self._sent = self._heard = 0
        self._array: np.ndarray | None = None
        self._frames: list[Any] = []
        self._answers: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._environment: dict[str, str | None] = {}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by _end
        self._server: Any = None
        self._channel: Any = None
        self._consumer: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
            self._wait_for_answers()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def round_trip(self, array: np.ndarray) -> None:
        """Update the served NTNDArray and wait for the answer to it.

        The first call with an array builds its NTNDArrays; changes to its pixels after that do not
        show.
        """
        self._use(array)
        self._send()
        self._hear_to(self._sent)

    def throughput(self, array: np.ndarray, count: int) -> float:
        """Answered frames per second."""
        self._use(array)
        lost = self.lost
        start = perf_counter()
        for _ in range(count):
            self._hear_to(self._sent + 1 - IN_FLIGHT)
            self._send()
        self._hear_to(self._sent)
        return (count - (self.lost - lost)) / (perf_counter() - start)

    def _start(self) -> None:
        here, there = _ports()
        self._environment = {name: os.environ.get(name) for name in _environment(here, there)}
        os.environ.update(_environment(here, there))
        import pvaccess  # reads the environment

        self._server = pvaccess.PvaServer()
        self._server.addRecord(_INPUT, pvaccess.NtNdArray(), None)
        self._server.start()
        self._consumer = subprocess.Popen(
            _consumer_command(),
            env={**os.environ, **_environment(there, here)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._channel = pvaccess.Channel(_OUTPUT)
        self._channel.monitor(self._on_answer, f"record[queueSize={_QUEUE_SIZE}]field()")

    def _wait_for_answers(self) -> None:
        """Send small frames until both channels have found their monitors."""
        self._use(np.zeros((2, 2), np.uint16))
        deadline = monotonic() + TIMEOUT
        while True:
            self._send()
            try:
                self._hear(0.5)
            except queue.Empty:
                if monotonic() > deadline or self._ended():
                    raise self._silent() from None
            else:
                break
        self._hear_to(self._sent)
        self.lost = 0

    def _on_answer(self, answer: Any) -> None:
        self._answers.put((answer["uniqueId"], answer["pixel"]))

    def _use(self, array: np.ndarray) -> None:
        """Build two NTNDArrays of an array, with first pixels 0 and 1."""
        if array is self._array:
            return
        from pvapy.utility.adImageUtility import AdImageUtility

        self._frames = []
        for flip in (0, 1):
            pixels = array.copy()
            pixels[0, 0] = flip
            self._frames.append(_with_attributes(AdImageUtility.generateNtNdArray2D(0, pixels)))
        self._array = array

    def _send(self) -> None:
        self._sent += 1
        frame = self._frames[self._sent % 2]
        frame["uniqueId"] = self._sent
        self._server.updateUnchecked(_INPUT, frame)

    def _hear_to(self, number: int) -> None:
        """Wait until the frame of this number, or a later one, was answered."""
        while self._heard < number:
            try:
                self._hear(TIMEOUT)
            except queue.Empty:
                raise self._silent() from None

    def _hear(self, timeout: float) -> None:
        number, pixel = self._answers.get(timeout=timeout)
        if number <= self._heard:  # what the output channel held when the monitor began
            return
        expected = number % 2
        if pixel != expected:
            raise PeerError(f"pvapy peer: expected pixel {expected} of frame {number}, got {pixel}")
        self.lost += number - self._heard - 1
        self._heard = number

    def _ended(self) -> bool:
        return self._consumer is None or self._consumer.poll() is not None

    def _silent(self) -> PeerError:
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip()[-2000:]
        state = "ended" if self._ended() else "silent"
        return PeerError(
            f"pvapy peer: expected an answer to frame {self._sent}, the consumer is {state}"
            + (f":\n{said}" if said else "")
        )

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.stopMonitor()
        if self._consumer is not None:
            self._consumer.terminate()
            try:
                self._consumer.wait(_END_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._consumer.kill()
                self._consumer.wait()
        if self._server is not None:
            self._server.stop()
        self._channel = self._consumer = self._server = None
        self._frames, self._array = [], None
        for name, value in self._environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        self._log.close()


def _with_attributes(frame: Any) -> Any:
    import pvaccess

    more = [
        pvaccess.NtAttribute(name, pvaccess.PvString(value)) for name, value in ATTRIBUTES.items()
    ]
    frame["attribute"] = [pvaccess.NtAttribute("ColorMode", pvaccess.PvInt(0)), *more]
    return frame


def _consumer_command() -> list[str]:
    options = {
        "--input-channel": _INPUT,
        "--output-channel": _OUTPUT,
        "--processor-file": str(_PROCESSOR),
        "--processor-class": "LooksAtImages",
        "--server-queue-size": str(_QUEUE_SIZE),
        "--skip-initial-updates": "0",
        "--runtime": f"{_LIFETIME:g}",
    }
    words = [word for option in options.items() for word in option]
    return [sys.executable, "-m", "pvapy.cli.hpcConsumer", "--disable-curses", *words]


def _environment(mine: tuple[int, int, int], other: tuple[int, int, int]) -> dict[str, str]:
    """EPICS variables of one side: its ports, and the one that the other side is searched at."""
    server_udp, client_udp, server_tcp = mine
    return {
        "EPICS_PVA_ADDR_LIST": f"127.0.0.1:{other[0]}",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_BROADCAST_PORT": str(client_udp),
        "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_PVAS_BROADCAST_PORT": str(server_udp),
        "EPICS_PVAS_SERVER_PORT": str(server_tcp),
    }


@functools.cache  # pvaccess's client reads its variables once per process
def _ports() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Free ports of this side and of the consumer: server UDP, client UDP, server TCP."""
    kinds = (socket.SOCK_DGRAM, socket.SOCK_DGRAM, socket.SOCK_STREAM) * 2
    sockets = [socket.socket(socket.AF_INET, kind) for kind in kinds]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        first, second, third, *rest = (one.getsockname()[1] for one in sockets)
    finally:
        for one in sockets:
            one.close()
    return (first, second, third), (rest[0], rest[1], rest[2])
