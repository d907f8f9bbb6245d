"""The worker's loop: one message in, one message out, until told to stop or left alone.

Everything the user's code raises is caught, and its traceback sent to the IOC. The IOC's death ends
this process at once (the kernel kills it), a closed socket as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import platform
import signal
import socket
import sys
import time
import traceback
from types import MappingProxyType
from typing import Any

import numpy as np

from tosip.algorithm import Algorithm, Inputs, Metadata, Result, Status
from tosip.description import Description
from tosip.errors import ProtocolError
from tosip.pipeline import protocol, socketpair
from tosip.pipeline.worker.loader import code_hash, load_class
from tosip.pipeline.worker.memory import InputBuffers, OutputImages
from tosip.pipeline.worker.values import (
    InputsReader,
    changed_inputs,
    plain_attributes,
    plain_outputs,
    result_status,
)
from tosip.reading import declared_classes, describe

LONGEST_TRACEBACK = 16 * 1024
_PR_SET_PDEATHSIG = 1


def main(socket_fd: int, parent: int) -> None:
    """Serve the IOC over an inherited socket."""
    _die_with(parent)
    faulthandler.enable()  # tells the line of a segmentation fault
    for stream in (sys.stdout, sys.stderr):  # or a crash would lose what was printed
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the IOC's to handle
    with socket.socket(fileno=socket_fd) as sock:
        sock.set_inheritable(False)
        # A peer that went away has nothing more to be told.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            Worker(sock).run()


def _die_with(parent: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above, or something stands between
        os.write(2, b"tosip: expected to be the IOC's own child, got another parent\n")
        os._exit(1)


class Worker:
    """One algorithm behind one socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._inputs = InputBuffers()
        self._images = OutputImages()
        self._algorithm: Algorithm[Any, Any] | None = None
        self._description = Description("", "")
        self._read_inputs = InputsReader(Inputs, self._description)
        self._started = False

    def run(self) -> None:
        """Talk until the IOC says stop or closes the socket."""
        self._send(
            "hello",
            version=protocol.VERSION,
            python=platform.python_version(),
            numpy=np.__version__,
        )
        while True:
            message, descriptors = socketpair.receive(self._sock)
            if message is None:
                return
            if message.type == "frame":
                self._frame(message, descriptors)
            elif message.type == "load":
                if not self._load(message):
                    return
            elif message.type == "forget":
                self._inputs.forget(message["buffers"])
            elif message.type == "stop":
                self._stop()
                return
            else:
                raise ProtocolError(f"message: expected one for a worker, got {message.type}")

    def _send(self, type_: str, *descriptors: int, **fields: Any) -> None:
        socketpair.send(self._sock, descriptors, type_, **fields)

    def _load(self, message: protocol.Message) -> bool:
        protocol.check_version(message)
        stage = "import"
        try:
            hash_ = code_hash(message["file"])
            cls = load_class(message["file"], message["class"])
            stage = "declaration"
            self._description = describe(cls)
            self._read_inputs = InputsReader(declared_classes(cls)[0], self._description)
            if message["start"]:
                stage = "constructor"
                self._algorithm = cls()
                self._algorithm._allocate = self._images.allocate
                stage = "start"
                self._algorithm.start()
                self._started = True
        except BaseException:  # noqa: BLE001 (it is the user's code, sys.exit included)
            self._fail(None, stage)
            return False
        self._send("ready", description=self._description.to_plain(), code_hash=hash_)
        return True

    def _frame(self, message: protocol.Message, descriptors: list[int]) -> None:
        stage = "frame"
        try:
            for descriptor in descriptors:
                self._inputs.add(message["buffer"], descriptor)
            image = self._inputs.view(message["buffer"], message["shape"], message["dtype"])
            params = self._read_inputs(message["params"])
            started = time.monotonic()
            stage = "process"
            if self._algorithm is None:
                raise ProtocolError("frame: expected load first")
            returned = self._algorithm.process(
                image, params, MappingProxyType(message["attributes"]), _metadata(message)
            )
            stage = "result"
            self._answer(message, image, params, returned, time.monotonic() - started)
        except BaseException:  # noqa: BLE001 (it is the user's code, sys.exit included)
            self._fail(message["sequence"], stage)
        finally:
            self._images.clear()

    def _answer(
        self,
        message: protocol.Message,
        image: np.ndarray[Any, Any],
        params: Inputs,
        returned: Any,
        seconds: float,
    ) -> None:
        result = returned if isinstance(returned, Result) else Result(returned)
        status = result_status(result)
        outputs = None
        if status in (Status.OK, Status.WARNING) or result.outputs is not None:
            outputs = plain_outputs(self._description, result.outputs)
        descriptors, layout = self._image(image, result.image)
        try:
            self._send(
                "result",
                *descriptors,
                sequence=message["sequence"],
                status=status.value,
                message=str(result.message),
                outputs=outputs,
                params=changed_inputs(self._description, params, result.params, message["params"]),
                attributes=plain_attributes(result.attributes),
                image=layout,
                seconds=seconds,
            )
        finally:
            socketpair.close(descriptors)

    def _image(
        self, given: np.ndarray[Any, Any], returned: Any
    ) -> tuple[list[int], dict[str, Any] | None]:
        if returned is None or returned is given:
            return [], None
        image = np.asarray(returned)
        protocol.check_layout(list(image.shape), image.dtype.name, 1 << 40)
        descriptor = self._images.take(image)
        return [descriptor], {"shape": list(image.shape), "dtype": image.dtype.name}

    def _fail(self, sequence: int | None, stage: str) -> None:
        text = traceback.format_exc()
        self._send(
            "failed",
            sequence=sequence,
            stage=stage,
            error=_words(sys.exc_info()[1])[:LONGEST_TRACEBACK],
            traceback=text[-LONGEST_TRACEBACK:],
        )

    def _stop(self) -> None:
        try:
            if self._algorithm is not None and self._started:
                self._algorithm.stop()
        except BaseException:  # noqa: BLE001 (it is the user's code, sys.exit included)
            self._fail(None, "stop")
            return
        self._send("stopped")


def _words(error: BaseException | None) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 (an error whose text raises)
        return type(error).__name__


def _metadata(message: protocol.Message) -> Metadata:
    return Metadata(
        unique_id=message["unique_id"],
        timestamp=message["timestamp"],
        port=message["port"],
        shape=tuple(message["shape"]),
        data_type=protocol.PIXEL_TYPES[message["dtype"]][0],
        color_mode=message["color_mode"],
    )
