"""Cameras that upload in all the ways there are, until they are told to stop."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.gateway.faults.camera import Camera, Gone, Refused
from tests.gateway.faults.frames import frame
from tests.gateway.faults.plant import Plant

CAMERAS = 4
SIZES = (2 * 2880, 40_000, 300_000, 3_000_000)
WEIGHTS = (4, 4, 3, 1)
RESENDS = 4
PAUSE = 0.01


Way = Callable[[Camera, str, bytes, random.Random], None]


class Crew:
    """Threads, one a camera; `did` counts what they have tried, by way."""

    def __init__(self, plant: Plant, seed: int) -> None:
        self.did: Counter[str] = Counter()
        self._plant = plant
        self._seed = seed
        self._stop = threading.Event()
        self._names = itertools.count(1)
        self._threads = ThreadPoolExecutor(CAMERAS)
        self._running = [self._threads.submit(self._work, number) for number in range(CAMERAS)]

    def stop(self) -> None:
        """Let them end what they do; raise what they could not expect."""
        self._stop.set()
        for one in self._running:
            one.result()
        self._threads.shutdown()

    def _work(self, number: int) -> None:
        dice = random.Random(f"{self._seed} {number}")
        camera: Camera | None = None
        while not self._stop.is_set():
            try:
                camera = camera or self._plant.camera(number + 1)
                self._one(number + 1, camera, dice)
            except (*Gone, Refused):
                if camera is not None:
                    camera.close()
                camera = None
                self._stop.wait(PAUSE)
        if camera is not None:
            camera.close()

    def _one(self, number: int, camera: Camera, dice: random.Random) -> None:
        way = dice.choices(list(WAYS), [weight for weight, _ in WAYS.values()])[0]
        # Some share a name: the bytes tell them apart.
        name = f"shared{dice.randrange(3)}.fits" if dice.random() < 0.1 else ""
        name = name or f"night{dice.randrange(2)}/f{next(self._names):05}.fits"
        data = frame(dice.choices(SIZES, WEIGHTS)[0])
        self.did[way] += 1
        try:
            WAYS[way][1](camera, name, data, dice)
        except Gone:
            renames = way == "temporary name" and dice.random() < 0.7
            self._send_again(number, name, data, dice, _renamed if renames else _plain)
            raise

    def _send_again(
        self, number: int, name: str, data: bytes, dice: random.Random, way: Way
    ) -> None:
        """Do what a careful camera does: send until there is a 226."""
        for _ in range(RESENDS if dice.random() < 0.7 else 0):
            self._stop.wait(PAUSE * 5)
            try:
                with self._plant.camera(number) as camera:
                    self.did["again"] += 1
                    way(camera, name, data, dice)
                    return
            except (*Gone, Refused):
                continue


def _plain(camera: Camera, name: str, data: bytes, dice: random.Random) -> None:
    camera.upload(name, data)


def _same_again(camera: Camera, name: str, data: bytes, dice: random.Random) -> None:
    camera.upload(name, data)
    camera.upload(name, data)


def _twice_at_once(camera: Camera, name: str, data: bytes, dice: random.Random) -> None:
    with ThreadPoolExecutor(1) as other:
        beside = other.submit(_beside, camera.again, name, data)
        camera.upload(name, data)
        beside.result()


def _beside(again: Callable[[], Camera], name: str, data: bytes) -> None:
    with suppress(*Gone, Refused), again() as camera:
        camera.upload(name, data)


def _renamed(camera: Camera, name: str, data: bytes, dice: random.Random) -> None:
    camera.upload_renamed(name, data, temporary=f"{name}.tmp")


def _in_two(camera: Camera, name: str, data: bytes, dice: random.Random) -> None:
    cut = dice.randrange(1, len(data))
    camera.upload_in_two(name, data, cut=cut, append=dice.random() < 0.5)


def _broken(camera: Camera, name: str, data: bytes, dice: random.Random) -> None:
    ways = (camera.break_off, camera.end_short, camera.abort, camera.leave)
    dice.choice(ways)(name, data, cut=dice.choice((0, 1, 2879, 2880, len(data) - 1)))


WAYS: dict[str, tuple[int, Way]] = {
    "upload": (10, _plain),
    "the same again": (2, _same_again),
    "twice at once": (1, _twice_at_once),
    "temporary name": (4, _renamed),
    "resumed": (3, _in_two),
    "broken": (3, _broken),
}
