"""A worker process fed through `multiprocessing.Queue`.

A frame is pickled by the queue's thread, written through a pipe and unpickled in the worker: the
standard library's ready-made way.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from multiprocessing.queues import Queue
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.peers import ATTRIBUTES, IN_FLIGHT, PARAMS, TIMEOUT, PeerError

_END_TIMEOUT = 5.0

Task = tuple[np.ndarray, dict[str, str], dict[str, int]]
Answer = dict[str, Any]


class MultiprocessingPeer:
    """A spawned worker and two queues.

    >>> with MultiprocessingPeer() as peer:
    ...     peer.round_trip(array)
    """

    lost = 0  # a queue loses nothing

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._tasks: Queue[Task | None] = context.Queue(IN_FLIGHT)
        self._answers: Queue[Answer] = context.Queue()
        self._worker = context.Process(
            target=_work, args=(self._tasks, self._answers), name="queue peer", daemon=True
        )

    def __enter__(self) -> Self:
        try:
            self._worker.start()
            self.round_trip(np.zeros((1, 1), np.uint16))
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
        """Put one frame and wait for its answer."""
        self._put(array)
        self._check_answer(array)

    def throughput(self, array: np.ndarray, count: int) -> float:
        """Frames per second; the queue's thread pickles one frame while the worker has another."""
        start = perf_counter()
        for number in range(count):
            if number >= IN_FLIGHT:
                self._check_answer(array)
            self._put(array)
        for _ in range(min(count, IN_FLIGHT)):
            self._check_answer(array)
        return count / (perf_counter() - start)

    def _put(self, array: np.ndarray) -> None:
        try:
            self._tasks.put((array, ATTRIBUTES, PARAMS), timeout=TIMEOUT)
        except queue.Full:
            raise PeerError(f"queue peer: expected room in the queue in {TIMEOUT:g} s") from None

    def _check_answer(self, array: np.ndarray) -> None:
        try:
            answer = self._answers.get(timeout=TIMEOUT)
        except queue.Empty:
            raise PeerError(f"queue peer: expected an answer in {TIMEOUT:g} s, got none") from None
        if answer["pixel"] != array[0, 0]:
            raise PeerError(f"queue peer: expected pixel {array[0, 0]}, got {answer['pixel']}")

    def _end(self) -> None:
        if self._worker.pid is not None:
            try:
                self._tasks.put_nowait(None)
                self._worker.join(_END_TIMEOUT)
            except queue.Full:
                pass  # a worker that takes nothing is killed below
            if self._worker.is_alive():
                self._worker.kill()
                self._worker.join()
        for end in (self._tasks, self._answers):
            end.cancel_join_thread()
            end.close()


def _work(tasks: Queue[Task | None], answers: Queue[Answer]) -> None:
    """Answer frames until there is None, or no parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while (task := tasks.get()) is not None:
        array, attributes, params = task
        answers.put(
            {"pixel": int(array[0, 0]), "attributes": len(attributes), "params": len(params)}
        )


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
