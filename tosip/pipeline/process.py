"""One worker process: started by exec, talked to over a socket, stopped by a ladder of means.

The process runs in a session of its own, so that a signal to the group reaches whatever the user's
code has started and a Ctrl-C in the IOC's terminal reaches nothing of it. Its end is seen through
a pidfd on the event loop: no thread waits for it.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tosip.description import Description
from tosip.errors import ProtocolError, WorkerError
from tosip.pipeline import protocol, socketpair
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.output import Output
from tosip.pipeline.pool import Pool
from tosip.pipeline.results import check_result

LONGEST_WORDS = 16 * 1024

log = logging.getLogger(__name__)

_BOOTSTRAP = Path(__file__).with_name("worker") / "bootstrap.py"


@dataclass(frozen=True)
class Program:
    """What a worker runs: a class in a file, in an interpreter. `name` is for people."""

    name: str
    file: Path
    class_name: str | None
    interpreter: Path
    start_timeout: float = 60.0
    stop_timeout: float = 2.0


class AlgorithmFault(WorkerError):
    """The user's code raised; `traceback` is what Python says about it."""

    def __init__(self, stage: str, error: str, traceback: str) -> None:
        super().__init__(error)
        self.stage = stage
        self.traceback = traceback


class WorkerDied(WorkerError):
    """The process ended, or had to be ended, before it answered; the text says how, in words."""


class WorkerProcess:
    """A child process that has loaded an algorithm.

    Usage::

        worker = WorkerProcess(program, pool)
        description = await worker.start()
        reply, image = await worker.process(array, params, timeout=10.0)
        await worker.stop()
    """

    def __init__(self, program: Program, pool: Pool, on_exit: Callable[[], None]) -> None:
        self.program = program
        self.description = Description("", "")
        self.code_hash = ""
        self.output = Output(program.name)
        self.exit_words = ""
        self._pool = pool
        self._on_exit = on_exit
        self._known: set[int] = set()
        self._sequence = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._exited = asyncio.Event()
        self._wake: asyncio.Future[None] | None = None
        self._verdict = ""

    @property
    def pid(self) -> int:
        """The process's number, 0 when there is none."""
        return self._process.pid if self._process and not self._exited.is_set() else 0

    async def start(self, *, run: bool = True) -> Description:
        """Start the process and load the algorithm; with `run` false only read its declaration.

        AlgorithmFault when the user's code raises, WorkerDied when the process ends, ProtocolError
        when it does not say what was agreed.
        """
        try:
            self._spawn()
            async with asyncio.timeout(self.program.start_timeout):
                protocol.check_version(await self._answer("hello"))
                await self._send(
                    (),
                    "load",
                    version=protocol.VERSION,
                    file=str(self.program.file),
                    **{"class": self.program.class_name},
                    start=run,
                )
                ready = await self._answer("ready")
                self.description = Description.from_plain(ready["description"])
        except TimeoutError:
            await self.kill(f"not ready in {self.program.start_timeout:g} s")
            raise WorkerDied(self.exit_words) from None
        except (ProtocolError, AlgorithmFault) as error:
            await self.kill(str(error))
            raise
        except OSError as error:
            await self.kill(f"could not start: {error.strerror or error}")
            raise WorkerDied(self.exit_words) from error
        except WorkerDied as error:
            said = f": {self.output.last_lines[-1]}" if self.output.last_lines else ""
            raise WorkerDied(f"{error}{said}") from None
        self.code_hash = ready["code_hash"][:64]
        return self.description

    async def process(
        self, array: NDArray, params: Mapping[str, Any], port: str, timeout: float
    ) -> tuple[protocol.Message, NDArray | None]:
        """Let the algorithm look at one frame; return its answer and the image it made, if any.

        AlgorithmFault when it raised (the process lives on); WorkerDied when the process ended, did
        not answer in `timeout` seconds, or answered rubbish (it is killed then). ProtocolError when
        the frame cannot be sent: the process has not seen it.
        """
        self._sequence += 1
        sent = False
        try:
            async with asyncio.timeout(timeout):
                await self._send_frame(array, self._frame(array, params, port))
                sent = True
                message, descriptors = await self._receive()
            try:
                self._expect(message, "result", self._sequence)
                message = check_result(self.description, message)
                return message, self._image(array, message["image"], descriptors)
            finally:
                socketpair.close(descriptors)
        except TimeoutError:
            await self.kill(f"no result in {timeout:g} s")
        except ProtocolError as error:
            if not sent:
                raise
            await self.kill(str(error))
        except OSError as error:
            await self.kill(f"lost its connection: {error}")
        raise WorkerDied(self.exit_words)

    async def stop(self) -> None:
        """Ask, then terminate, then kill; each has `stop_timeout` seconds."""
        if self._process is None or self._exited.is_set():
            return
        with contextlib.suppress(OSError, ProtocolError, WorkerDied):
            async with asyncio.timeout(self.program.stop_timeout):
                await self._ask_to_stop()
                await self._exited.wait()
                return
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.program.stop_timeout):
                    await self._exited.wait()
                    return

    async def _ask_to_stop(self) -> None:
        await self._send((), "stop")
        message = None
        while message is None or message.type != "stopped":
            message, descriptors = await self._receive()
            socketpair.close(descriptors)
            if message.type == "failed" and message["stage"] == "stop":
                text = message["traceback"][-LONGEST_WORDS:]
                log.warning("%s: stop: %s", self.program.name, text)
                return
            await asyncio.sleep(0)  # a flood of messages must not keep the time-out from passing

    async def kill(self, verdict: str) -> None:
        """End the process at once; `verdict` tells why, in words."""
        if self._process is None:
            self._exited.set()
        if not self._exited.is_set():
            self._verdict = verdict
            self._signal(signal.SIGKILL)
            await self._exited.wait()
        self.exit_words = self.exit_words or verdict

    def close(self) -> None:
        """Close what belongs to a process that has ended, or was never started."""
        if self._process is None:
            self.output.close()
        if self._socket:
            self._socket.close()

    def _spawn(self) -> None:
        self._socket, theirs = socketpair.pair()
        self._socket.setblocking(False)
        command = [str(self.program.interpreter), str(_BOOTSTRAP), str(theirs.fileno())]
        with theirs:
            process = subprocess.Popen(
                [*command, str(os.getpid()), self.program.name],
                stdin=subprocess.DEVNULL,
                stdout=self.output.write_end,
                stderr=self.output.write_end,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except OSError:
            process.kill()
            process.wait()
            raise
        self._process = process
        self.output.watch()
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def _ended(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._process is None:
            return
        # Before the process is reaped its number, and so its group's, cannot belong to another.
        self._signal(signal.SIGKILL)
        self.exit_words = self._verdict or _exit_words(self._process.wait())
        self._exited.set()
        if self._wake:
            _set(self._wake)
        self.output.close()
        self._on_exit()

    def _signal(self, number: int) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    async def _send_frame(self, array: NDArray, frame: Mapping[str, Any]) -> None:
        gone = self._known - self._pool.numbers()
        if gone:
            await self._send((), "forget", buffers=sorted(gone))
            self._known -= gone
        buffer = array.lease.buffer
        descriptors = () if buffer.number in self._known else (buffer.reader,)
        await self._send(descriptors, "frame", **frame)
        self._known.add(buffer.number)

    def _frame(self, array: NDArray, params: Mapping[str, Any], port: str) -> dict[str, Any]:
        return {
            "sequence": self._sequence,
            "buffer": array.lease.buffer.number,
            "shape": list(array.shape),
            "dtype": array.dtype,
            "color_mode": array.color_mode,
            "unique_id": array.unique_id,
            "timestamp": array.timestamp,
            "port": port,
            "attributes": dict(array.attributes),
            "params": dict(params),
        }

    def _image(
        self, array: NDArray, layout: Mapping[str, Any] | None, descriptors: list[int]
    ) -> NDArray | None:
        if layout is None:
            return None
        shape, dtype = layout.get("shape"), layout.get("dtype")
        size = protocol.check_layout(shape, dtype, self._pool.budget)
        if not descriptors or not isinstance(shape, list) or not isinstance(dtype, str):
            raise ProtocolError("image: expected a descriptor beside its layout")
        lease = self._pool.adopt(descriptors.pop(), size)
        color_mode = array.color_mode if len(shape) == len(array.shape) else "Mono"
        return replace(array, shape=tuple(shape), dtype=dtype, lease=lease, color_mode=color_mode)

    async def _answer(self, type_: str) -> protocol.Message:
        message, descriptors = await self._receive()
        socketpair.close(descriptors)
        self._expect(message, type_, None)
        return message

    def _expect(self, message: protocol.Message, type_: str, sequence: int | None) -> None:
        if message.type not in (type_, "failed"):
            raise ProtocolError(f"message: expected {type_}, got {message.type}")
        if message.fields.get("sequence") != sequence:
            raise ProtocolError(f"{message.type}: expected number {sequence}")
        if message.type == "failed":
            raise AlgorithmFault(
                message["stage"][:40],
                message["error"][:LONGEST_WORDS],
                message["traceback"][-LONGEST_WORDS:],
            )

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise WorkerDied("not started")
        return self._socket

    async def _send(self, descriptors: tuple[int, ...], type_: str, **fields: Any) -> None:
        sock = self._open_socket()
        while not self._exited.is_set():
            try:
                socketpair.send(sock, descriptors, type_, **fields)
                return
            except BlockingIOError:
                await self._wait(asyncio.get_running_loop().add_writer)
            except (BrokenPipeError, ConnectionResetError):
                return  # what it sent before it went, or how it ended, says more
        raise WorkerDied(self.exit_words)

    async def _receive(self) -> tuple[protocol.Message, list[int]]:
        sock = self._open_socket()
        while True:
            # Even of a process that has ended: its last message may tell why.
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                message, descriptors = socketpair.receive(sock)
                if message is not None:
                    return message, descriptors
                await self._closed()
            if self._exited.is_set():
                raise WorkerDied(self.exit_words)
            await self._wait(asyncio.get_running_loop().add_reader)

    async def _closed(self) -> None:
        try:
            async with asyncio.timeout(self.program.stop_timeout):
                await self._exited.wait()
        except TimeoutError:
            await self.kill("closed its connection")

    async def _wait(self, add: Callable[..., Any]) -> None:
        loop, sock = asyncio.get_running_loop(), self._open_socket()
        self._wake = loop.create_future()
        add(sock, _set, self._wake)
        try:
            await self._wake
        finally:
            loop.remove_reader(sock)
            loop.remove_writer(sock)
            self._wake = None


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _exit_words(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
