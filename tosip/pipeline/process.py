"""One worker process that has loaded an algorithm, and the conversation with it.

A frame is submitted and its answer comes by a call on the event loop, with no task in between. A
worker whose frames take next to no time is given one ahead, so that neither side waits for the
other; not so a slow one, whose next frame shall have the newest parameters.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tosip.description import Description
from tosip.errors import ProtocolError
from tosip.pipeline import protocol, socketpair
from tosip.pipeline.channel import Channel
from tosip.pipeline.child import Child
from tosip.pipeline.code import Code
from tosip.pipeline.jobs import AlgorithmFault, Answer, Circumstances, Job, Program, WorkerDied
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.output import Output
from tosip.pipeline.parameters import ParameterSet
from tosip.pipeline.pool import Images, Pool, PoolExhausted
from tosip.pipeline.request import LONGEST_WORDS, Request, check_type
from tosip.pipeline.resources import Household
from tosip.pipeline.results import check_result
from tosip.pipeline.state import State, received
from tosip.shortage import in_words

LARGEST_IMAGE = 1 << 40  # bytes; the pool's budget is for the pool to keep
QUICK = 0.005  # s; a frame is sent ahead to a worker whose last one took less

log = logging.getLogger(__name__)


class WorkerProcess:
    """A child process that has loaded an algorithm.

    `on_exit` is called when it has ended, before its jobs are told so; `on_answer` after each
    answer, when the job has been told.

    Usage::

        worker = WorkerProcess(program, pool, on_exit)
        description = await worker.start()
        worker.submit(Job(array, params, port, timeout, done))
        await worker.stop()
        worker.close()
    """

    def __init__(
        self,
        program: Program,
        pool: Pool,
        on_exit: Callable[[], None],
        on_answer: Callable[[], None] = lambda: None,
        household: Household | None = None,
    ) -> None:
        self.program = program
        household = household or Household(program.name)
        self._child = Child(program, household, self._ended, self._exited)
        self.description = Description("", "")
        self.code = Code(program.file.parent)
        self.python = ""
        self.numpy = ""
        self._pool = pool
        self._images = Images(pool)
        self._on_exit = on_exit
        self._on_answer = on_answer
        self._known: set[int] = set()
        self._params: ParameterSet | None = None
        self._attributes: Mapping[str, Any] = {}
        self._sequence = 0
        self._jobs: deque[Job] = deque()
        self._seconds = QUICK
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._channel: Channel | None = None
        self._request = Request(self._child)
        self._timed_out = False
        self._stopping = False

    @property
    def pid(self) -> int:
        """The process's number, 0 when there is none."""
        return self._child.pid

    @property
    def output(self) -> Output:
        """What the process prints."""
        return self._child.output

    @property
    def exit_words(self) -> str:
        """How the process ended, in words; empty while it runs."""
        return self._child.exit_words

    @property
    def busy(self) -> bool:
        """Whether it has frames to look at."""
        return bool(self._jobs)

    async def start(self, *, run: bool = True, code: Code | None = None) -> Description:
        """Start the process and load the algorithm; with `run` false only read its declaration.

        `code` is shared with other workers: its modules run whatever the files hold by now.
        AlgorithmFault when the user's code raises, WorkerDied when the process ends, ProtocolError
        when it does not say what was agreed.
        """
        self.code = code or self.code
        try:
            channel = self._spawn()
            async with asyncio.timeout(self.program.start_timeout):
                hello = await self._expected(channel, "hello")
                protocol.check_version(hello)
                self.python, self.numpy = hello["python"][:40], hello["numpy"][:40]
                channel.send(
                    "load",
                    version=protocol.VERSION,
                    file=str(self.program.file),
                    **{"class": self.program.class_name},
                    module=self.program.module,
                    start=run,
                    code=dict(self.code.modules),
                    again=self.code.again,
                    watch=dict.fromkeys(self.program.watch, True),
                )
                self.code.on_module.append(self._pass_on)
                ready = await self._expected(channel, "ready")
                self.description = Description.from_plain(ready["description"])
        except TimeoutError:
            await self._child.kill(f"not ready in {self.program.start_timeout:g} s")
            raise self._did_not_start(self.exit_words) from None
        except (ProtocolError, AlgorithmFault) as error:
            await self._child.kill(str(error))
            raise
        except (OSError, MemoryError) as error:
            await self._child.kill(f"could not start: {in_words(error)}")
            raise WorkerDied(self.exit_words) from error
        except WorkerDied as error:
            said = f": {self.output.last_lines[-1]}" if self.output.last_lines else ""
            raise self._did_not_start(f"{error}{said}") from None
        self.code.loaded(ready["data"])
        channel.listen(self._hear, self._hear_lost, self._fault)
        self._pool.watch(self._forget)
        return self.description

    def _did_not_start(self, words: str) -> WorkerDied:
        died = WorkerDied(words)
        died.loading = bool(self.python)
        return died

    async def _expected(self, channel: Channel, type_: str) -> protocol.Message:
        while True:
            message, descriptors = await channel.message()
            socketpair.close(descriptors)
            if message is None or message.type != "code":
                break
            self._found(message)
        if message is None:
            if not await self._child.exits_within(self.program.stop_timeout):
                await self._child.kill("closed its connection")
            raise WorkerDied(self.exit_words)
        check_type(message, type_, None)
        return message

    @property
    def code_hash(self) -> str:
        """The hash of the code that it runs."""
        return self.code.hash

    def _found(self, message: protocol.Message) -> None:
        """Note a module that the worker has imported; it must run what the others run."""
        name, module = message["name"], {k: message[k] for k in ("file", "package", "text")}
        if not self.code.add(name, module, self._pass_on):
            self._child.kill_now(f"{module['file']} changed between two workers' imports")
            self._give_back_jobs()

    def _pass_on(self, name: str) -> None:
        """Give the worker the text of a module that another one has imported."""
        if self._channel and self.pid:
            with contextlib.suppress(OSError):  # without it, the worker reads the file
                self._channel.send("code", name=name, **self.code.modules[name])

    def can_take(self, params: ParameterSet) -> bool:
        """Whether a frame with these parameters may be submitted now."""
        if self._child.verdict or self._stopping or self._request.pending or not self.pid:
            return False
        # What the worker's own answer changes of its parameters must not be undone: it keeps its
        # set from frame to frame, and another is sent only when it has nothing in hand.
        ahead = len(self._jobs) == 1 and self._seconds < QUICK and params is self._params
        return not self._jobs or ahead

    def submit(self, job: Job) -> None:
        """Let the algorithm look at a frame, if `can_take` says so; the answer goes to `job.done`.

        ProtocolError when the frame cannot be sent, OSError or MemoryError when there is nothing
        left to send it with: the process has not seen it.
        """
        if self._channel is None:
            raise WorkerDied("not started")
        buffer = job.array.lease.buffer
        descriptors = () if buffer.number in self._known else (buffer.reader,)
        frame = self._frame(job)
        self._channel.send("frame", *descriptors, **frame)
        self._images.told()
        self._sequence = frame["sequence"]
        self._known.add(buffer.number)
        self._params, self._attributes = job.params, job.array.attributes
        self._jobs.append(job)
        if len(self._jobs) == 1:
            self._begin()
            if self._child.meter:
                self._child.meter.begin()

    def _changed_attributes(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Say what is not as in the frame before: most keywords are the same every time."""
        before = self._attributes
        if attributes is before or _all_same(attributes, before):
            return {"attributes": {}, "fresh": False}
        if not before.keys() <= attributes.keys():
            return {"attributes": dict(attributes), "fresh": True}
        changed = {
            name: value
            for name, value in attributes.items()
            if name not in before or not _same(value, before[name])
        }
        return {"attributes": changed, "fresh": False}

    def _frame(self, job: Job) -> dict[str, Any]:
        array = job.array
        return {
            "sequence": self._sequence + 1,
            "buffer": array.lease.buffer.number,
            "shape": list(array.shape),
            "dtype": array.dtype,
            "color_mode": array.color_mode,
            "unique_id": array.unique_id,
            "timestamp": array.timestamp,
            "port": job.port,
            **self._changed_attributes(array.attributes),
            "params": None if job.params is self._params else dict(job.params),
            "spare": self._images.spare(),
        }

    async def _ask(
        self, type_: str, answer: str, timeout: float, *sent: int, **fields: Any
    ) -> tuple[protocol.Message, list[int]]:
        if self._channel is None or not self.pid:
            raise WorkerDied(self.exit_words or "not started")
        return await self._request.ask(self._channel, type_, answer, timeout, *sent, **fields)

    async def save(self) -> State | None:
        """Ask the algorithm for its state, while the worker has no frame; None if it saves none.

        NoAnswer if that takes longer than the program's `save_timeout`; other errors are those of
        `start`. ProtocolError if the state is too large or not in sealed memory.
        """
        began = time.monotonic()
        message, descriptors = await self._ask("save", "saved", self.program.save_timeout)
        try:
            state = received(descriptors, message["bytes"], self.program.limits.memory_mib)
        finally:
            socketpair.close(descriptors)
        if state:
            state.seconds = time.monotonic() - began
        return state

    async def restore(self, state: State) -> None:
        """Let the algorithm go on with a state, before its first frame; errors as `start`."""
        timeout = self.program.start_timeout
        await self._ask("restore", "restored", timeout, state.descriptor, bytes=state.size)

    async def renew(self) -> None:
        """Start a new instance of the class; errors are those of `start`."""
        await self._ask("renew", "renewed", self.program.start_timeout)

    def _begin(self) -> None:
        """Give the first of the jobs its time."""
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + self._jobs[0].timeout
        # Frames are far more frequent than time-outs: the timer is left to run and looks again.
        if self._timer is None or self._timer.when() > self._deadline:
            self._stop_timer()
            self._timer = loop.call_at(self._deadline, self._look_at_time)

    def _look_at_time(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if not self._jobs:
            return
        if loop.time() < self._deadline:
            self._timer = loop.call_at(self._deadline, self._look_at_time)
        else:
            self._timed_out = not self._child.verdict
            self._child.kill_now(f"no result in {self._jobs[0].timeout:g} s")

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _hear(self, message: protocol.Message, descriptors: list[int], lost: bool = False) -> None:
        try:
            if message.type == "code":
                self._found(message)
                return
            if self._request.answered(message, descriptors) or (
                self._stopping and self._heard_stop(message)
            ):
                return
            answer = self._answer(message, descriptors, lost)
        except ProtocolError as error:
            self._child.kill_now(str(error))
            return
        finally:
            socketpair.close(descriptors)
        self._finish(answer)

    def _hear_lost(self, message: protocol.Message | None) -> None:
        """Go on without what this process has no descriptor or memory for: the worker did well."""
        if message is not None:
            self._hear(message, [], lost=True)
        elif self._request.fail(WorkerDied("no descriptor or memory left for its answer")):
            return
        elif self._jobs:
            self._params = None  # the answer may have changed the worker's set
            self._finish(ProtocolError("result: no descriptor or memory left to take it"))

    def _finish(self, answer: Answer | AlgorithmFault | ProtocolError) -> None:
        job = self._jobs.popleft()
        if self._jobs:
            self._begin()
        elif self._child.meter:
            self._child.meter.end()
        job.done(answer)
        self._on_answer()

    def _answer(
        self, message: protocol.Message, descriptors: list[int], lost: bool
    ) -> Answer | AlgorithmFault:
        if not self._jobs:
            raise ProtocolError(f"{message.type}: expected none without a frame")
        job = self._jobs[0]
        try:
            check_type(message, "result", self._sequence - len(self._jobs) + 1)
        except AlgorithmFault as fault:
            self._params = None
            fault.circumstances = self._circumstances(job)
            return fault.with_traceback(None)  # which would keep the frame's memory
        message = check_result(self.description, message)
        if message["params"]:
            self._params = None  # the worker's set is not the one that it was sent
            if len(self._jobs) > 1:  # sent ahead, for the worker's set
                ahead = self._jobs[1]
                self._jobs[1] = replace(ahead, params={**ahead.params, **message["params"]})
        self._seconds = message["seconds"]
        try:
            return Answer(message, self._image(job.array, message["image"], descriptors, lost))
        except PoolExhausted as error:
            self._forget()
            return Answer(message, None, str(error))

    def _image(
        self, array: NDArray, layout: Mapping[str, Any] | None, descriptors: list[int], lost: bool
    ) -> NDArray | None:
        if layout is None:
            return None
        shape, dtype, number = (layout.get(key) for key in ("shape", "dtype", "number"))
        size = protocol.check_layout(shape, dtype, LARGEST_IMAGE)
        if not isinstance(shape, list) or not isinstance(dtype, str) or type(number) is not int:
            raise ProtocolError("image: expected its number beside its layout")
        if lost:
            self._images.refuse(number)
            raise PoolExhausted("image: no descriptor left to take it")
        if not descriptors:
            raise ProtocolError("image: expected a descriptor beside its layout")
        lease = self._images.lease(number, descriptors.pop(), size)
        return array.with_image(tuple(shape), dtype, lease)

    def _heard_stop(self, message: protocol.Message) -> bool:
        if message.type == "failed" and message["stage"] == "stop":
            text = message["traceback"][:LONGEST_WORDS]
            log.warning("%s: stop: %s", self.program.name, text)
            return True
        return message.type == "stopped"

    def _fault(self, error: ProtocolError | None) -> None:
        if error:
            self._child.kill_now(str(error))
        elif not self._child.ended:
            loop = asyncio.get_running_loop()
            wait = self.program.stop_timeout
            loop.call_later(wait, self._child.kill_now, "closed its connection")

    def _forget(self) -> None:
        """Tell the worker which memory the pool has given up: it is free when both let it go."""
        gone = self._known - self._pool.numbers()
        images = self._images.gone()
        if self._channel and (gone or images):
            try:
                self._channel.send("forget", buffers=sorted(gone), images=images)
            except (OSError, MemoryError):  # it is told the next time
                for number in images:
                    self._images.refuse(number)
                return
        self._known -= gone

    async def stop(self) -> None:
        """Ask, then terminate, then kill; each has the program's `stop_timeout`."""
        if not self.pid:
            return
        self._stopping = True
        if self._channel:
            with contextlib.suppress(OSError, MemoryError):  # then it is ended by force
                self._channel.send("stop")
        await self._child.stop(self.program.stop_timeout)

    async def kill(self, verdict: str) -> None:
        """End the process at once; `verdict` tells why, in words."""
        await self._child.kill(verdict)

    def close(self) -> None:
        """Close what belongs to a process that has ended, or was never started."""
        self._pool.unwatch(self._forget)
        if self._pass_on in self.code.on_module:
            self.code.on_module.remove(self._pass_on)
        self._images.close()
        self._child.close()
        if self._channel:
            self._channel.close()

    def _spawn(self) -> Channel:
        ours, theirs = socketpair.pair()
        self._channel = Channel(ours)
        with theirs:
            self._child.spawn(theirs.fileno())
        return self._channel

    def _ended(self) -> None:
        if self._channel:
            self._channel.end()

    def _exited(self) -> None:
        self._stop_timer()
        self._on_exit()
        self._request.fail(WorkerDied(self.exit_words))
        self._give_up_jobs()

    def _give_back_jobs(self) -> None:
        """Let other workers look at the frames: this one does not run what they run."""
        self._stop_timer()
        while self._jobs:
            self._jobs.popleft().done(None)

    def _give_up_jobs(self) -> None:
        """Fail the frame that the process was looking at; it has not seen those behind."""
        begun = not self._stopping
        while self._jobs:
            job = self._jobs.popleft()
            died = WorkerDied(self.exit_words) if begun else None
            if died:
                died.circumstances = self._circumstances(job)
                died.from_outside = self._child.from_outside
            job.done(died)
            begun = False

    def _circumstances(self, job: Job) -> Circumstances:
        return Circumstances(
            job.port,
            job.params,
            job.timeout,
            self._timed_out,
            dict(self.code.modules),
            self.code.hash,
            self.python,
            self.numpy,
            tuple(self.output.last_lines),
        )


def _all_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether nothing differs, found in a few microseconds; False if that cannot be told so."""
    try:
        return one == other and [*map(type, one.values())] == [*map(type, other.values())]
    except ValueError:  # of arrays
        return False


def _same(one: Any, other: Any) -> bool:
    # Not 1 for True; an array or a NaN is the same if it is the same object.
    if one is other:
        return True
    return type(one) is type(other) is not np.ndarray and bool(one == other)
