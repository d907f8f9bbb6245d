"""The worker's loop: one message in, one message out, until told to stop or left alone.

Everything the user's code raises is caught, and a report of it sent to the IOC. The IOC's death
ends this process at once (the kernel kills it), a closed socket as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import functools
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tosip import signals
from tosip.algorithm import Algorithm, Inputs, Metadata, Result, Status
from tosip.description import Description
from tosip.errors import ProtocolError
from tosip.pipeline import protocol, socketpair
from tosip.pipeline.worker.code import OwnModules, Source
from tosip.pipeline.worker.data import data_digests
from tosip.pipeline.worker.image import colours_last, undefined_as_nan
from tosip.pipeline.worker.loader import load_class
from tosip.pipeline.worker.memory import InputBuffers, Offered, OutputImages
from tosip.pipeline.worker.report import LONGEST_REPORT, report, words
from tosip.pipeline.worker.state import pack, unpack
from tosip.pipeline.worker.values import (
    InputsReader,
    changed_inputs,
    plain_outputs,
    result_attributes,
    result_status,
)
from tosip.reading import declared_classes, describe

MOST_PRINTED = 100  # names of attributes
_PR_SET_PDEATHSIG = 1


def main(socket_fd: int, parent: int) -> None:
    """Serve the IOC over an inherited socket."""
    _die_with(parent)
    faulthandler.enable()  # tells the line of a segmentation fault
    for stream in (sys.stdout, sys.stderr):  # or a crash would lose what was printed
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    signals.ignore_terminal()
    with socket.socket(fileno=socket_fd) as sock:
        sock.set_inheritable(False)
        os.register_at_fork(after_in_child=sock.close)  # a forked child must not answer for us
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
        self._params: Inputs | None = None  # of the last frame, and as the IOC knows them:
        self._plain: dict[str, Any] = {}
        self._attributes: dict[str, Any] = {}
        self._printed: set[str] = set()
        self._stage = ""
        self._class: type[Algorithm[Any, Any]] = Algorithm
        self._modules: OwnModules | None = None
        self._requests = {"renew": self._renew, "save": self._save, "restore": self._restore}

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
                self._images.forget(message["images"])
            elif message.type == "code":
                self._learn(message)
            elif message.type == "stop":
                self._stop()
                return
            elif message.type in self._requests:
                self._do(message, descriptors)
                socketpair.close(descriptors)
            else:
                raise ProtocolError(f"message: expected one for a worker, got {message.type}")

    def _send(self, type_: str, *descriptors: int, **fields: Any) -> None:
        socketpair.send(self._sock, descriptors, type_, **fields)

    def _load(self, message: protocol.Message) -> bool:
        protocol.check_version(message)
        stage = "import"
        try:
            send_source = functools.partial(_send_source, self._sock, os.getpid())
            modules = self._modules = OwnModules(
                message["file"], message["code"], send_source, message["module"]
            )
            cls = load_class(message["file"], message["class"], modules)
            modules.read_again(message["again"])
            stage = "declaration"
            self._description = describe(cls)
            names = [*self._description.watch, *message["watch"]]
            data = data_digests(modules.folders[0], names)  # before it reads any of them
            self._read_inputs = InputsReader(declared_classes(cls)[0], self._description)
            self._class = cls
            if message["start"]:
                stage = ""  # those of `_start`
                self._start()
        except BaseException:  # noqa: BLE001 (it is the user's code, sys.exit included)
            self._fail(None, stage or self._stage)
            return False
        self._send("ready", description=self._description.to_plain(), data=data)
        return True

    def _learn(self, message: protocol.Message) -> None:
        if self._modules:
            given = (message[field] for field in ("name", "file", "package", "text"))
            self._modules.give(Source(*given))

    def _start(self) -> None:
        self._stage = "constructor"
        self._algorithm = self._class()
        self._algorithm._allocate = self._images.allocate
        self._stage = "start"
        self._algorithm.start()
        self._started = True

    def _do(self, message: protocol.Message, descriptors: list[int]) -> None:
        self._stage = message.type
        try:
            self._requests[message.type](message, descriptors)
        except BaseException:  # noqa: BLE001 (it is the user's code, sys.exit included)
            self._fail(None, self._stage)

    def _renew(self, _message: protocol.Message, _descriptors: list[int]) -> None:
        if self._algorithm is not None and self._started:
            self._algorithm.stop()
        self._start()
        self._send("renewed")

    def _save(self, _message: protocol.Message, _descriptors: list[int]) -> None:
        saved = None if self._algorithm is None else self._algorithm.save()
        if saved is None or (isinstance(saved, Mapping) and not saved):
            self._send("saved", bytes=0)
            return
        descriptor, size = pack(saved)
        try:
            self._send("saved", descriptor, bytes=size)
        finally:
            os.close(descriptor)

    def _restore(self, message: protocol.Message, descriptors: list[int]) -> None:
        state = unpack(descriptors[0], message["bytes"])
        if self._algorithm is not None:
            frozen = MappingProxyType(state) if isinstance(state, dict) else state
            self._algorithm.restore(frozen)
        self._send("restored")

    def _frame(self, message: protocol.Message, descriptors: list[int]) -> None:
        self._stage = "frame"
        try:
            self._keep_attributes(message)
            if message["params"] is not None:  # else they are those of the frame before
                self._keep_params(message["params"])
            self._images.give_back(message["spare"])
            for descriptor in descriptors:
                self._inputs.add(message["buffer"], descriptor)
            # Nothing here may refer to what the algorithm has returned when its image is sent.
            answer, offered = self._process(message)
            self._answer(answer, offered)
        except BaseException:  # noqa: BLE001 (it is the user's code, sys.exit included)
            self._fail(message["sequence"], self._stage)
        finally:
            self._images.end_frame()

    def _keep_attributes(self, message: protocol.Message) -> None:
        if message["fresh"]:
            self._attributes = message["attributes"]
        elif message["attributes"]:
            self._attributes = {**self._attributes, **message["attributes"]}

    def _keep_params(self, plain: dict[str, Any]) -> None:
        self._params = None  # in case that the new ones cannot be read
        self._plain, self._params = plain, self._read_inputs(plain)

    def _process(self, message: protocol.Message) -> tuple[dict[str, Any], Offered | None]:
        image = self._inputs.view(message["buffer"], message["shape"], message["dtype"])
        image = colours_last(image, message["color_mode"])
        attributes, metadata = MappingProxyType(self._attributes), _metadata(message, image)
        if self._class.undefined_as_nan:
            image = undefined_as_nan(image, attributes)
        if self._algorithm is None:
            raise ProtocolError("frame: expected load first")
        if self._params is None:
            raise ProtocolError("frame.params: expected inputs with the first frame, got none")
        self._stage = "process"
        started = time.monotonic()
        returned = self._algorithm.process(image, self._params, attributes, metadata)
        seconds = time.monotonic() - started
        self._stage = "result"
        result = returned if isinstance(returned, Result) else Result(returned)
        answer = self._plain_result(result)
        return (
            {"sequence": message["sequence"], "seconds": seconds, **answer},
            self._images.offer(image, result.image),
        )

    def _plain_result(self, result: Result[Any]) -> dict[str, Any]:
        status = result_status(result)
        outputs = None
        if status in (Status.OK, Status.WARNING) or result.outputs is not None:
            outputs = plain_outputs(self._description, result.outputs)
        changed: dict[str, Any] = {}
        if result.params is not None and self._params is not None:
            changed = changed_inputs(self._description, self._params, result.params, self._plain)
        return {
            "status": status.value,
            "message": str(result.message),
            "outputs": outputs,
            "params": changed,
            "attributes": self._carried(result.attributes),
        }

    def _carried(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return attributes that can be carried; print, once for each name, what was changed."""
        kept = result_attributes(attributes)
        for name in kept.changed.keys() - self._printed:
            if len(self._printed) < MOST_PRINTED:
                self._printed.add(name)
                print(f"attribute {name}: {kept.changed[name]}", file=sys.stderr)
        return dict(kept)

    def _answer(self, answer: dict[str, Any], offered: Offered | None) -> None:
        plain, params = self._plain, self._params
        if answer["params"]:
            plain = {**plain, **answer["params"]}
            params = self._read_inputs(plain)
        descriptors, layout = self._images.hand_over(offered)
        self._send("result", *descriptors, image=layout, **answer)
        self._images.sent()
        self._plain, self._params = plain, params

    def _fail(self, sequence: int | None, stage: str) -> None:
        error = sys.exc_info()[1] or RuntimeError()
        self._send(
            "failed",
            sequence=sequence,
            stage=stage,
            error=words(error)[:LONGEST_REPORT],
            traceback=report(error, self._modules.files() if self._modules else ()),
        )

    def _stop(self) -> None:
        try:
            if self._algorithm is not None and self._started:
                self._algorithm.stop()
        except BaseException:  # noqa: BLE001 (it is the user's code, sys.exit included)
            self._fail(None, "stop")
            return
        self._send("stopped")


def _send_source(sock: socket.socket, process_id: int, source: Source) -> None:
    """Send a module's text to the IOC, from whatever thread imports it."""
    if os.getpid() == process_id:  # a forked child has no socket
        with contextlib.suppress(OSError):  # an IOC that has gone
            socketpair.send(sock, (), "code", name=source.name, **source.to_plain())


def _metadata(message: protocol.Message, image: np.ndarray[Any, Any]) -> Metadata:
    return Metadata(
        unique_id=message["unique_id"],
        timestamp=message["timestamp"],
        port=message["port"],
        shape=image.shape,
        data_type=protocol.PIXEL_TYPES[message["dtype"]][0],
        color_mode=message["color_mode"],
        pixel_order="C" if image.flags.c_contiguous else "K",
    )
