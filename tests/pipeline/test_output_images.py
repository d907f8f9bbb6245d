"""The worker's output images: their memory is used again, and shared with nobody who could write.

The test plays the IOC's part over a real socket; the worker runs in a thread.
"""

import gc
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tosip.pipeline import protocol, socketpair
from tosip.pipeline.worker import memory
from tosip.pipeline.worker.main import Worker

SOURCE = '''
import gc, sys
import numpy as np
from tosip import Algorithm, Inputs, Outputs, Result, command, output, param


class Params(Inputs):
    level: float = param("Level", default=1.0, limits=(0.0, 10.0))
    count: int = param("Count", default=3)


class Figures(Outputs):
    found: float = output("The level", default=0.0)


class Probe(Algorithm[Params, Figures]):
    """Does what the frame tells it."""

    def process(self, image, params, attributes, metadata):
        scope = dict(globals(), self=self, image=image, params=params)
        exec(attributes["DO"], scope)
        # Reference counts tell that nobody keeps an image: nothing may hang on a cycle here.
        made, changed = scope.pop("made", None), scope.pop("changed", None)
        scope.clear()
        return Result(Figures(found=params.level), image=made, params=changed)
'''
ASKED = "made = self.new_image((2, 3), 'uint8'); made[:] = "
PLAIN = {"level": 1.0, "count": 3}


class Ioc:
    """The other end of a worker's socket, and what it knows about the images."""

    def __init__(self, folder: Path) -> None:
        file = folder / "output_probe.py"
        file.write_text(SOURCE)
        self._sock, theirs = socketpair.pair()
        self._sock.settimeout(20)
        self._sequence = 0
        self.worker = Worker(theirs)
        self._thread = threading.Thread(target=self._run, args=[theirs])
        self._thread.start()
        assert self._answer("hello")["version"] == protocol.VERSION
        load: dict[str, Any] = {
            "code": {},
            "again": {},
            "watch": {},
            "file": str(file),
            "class": None,
            "module": "",
            "start": True,
        }
        socketpair.send(self._sock, (), "load", version=protocol.VERSION, **load)
        self._answer("code")
        self._answer("ready")
        self._frames = socketpair.memfd("tosip-frame")
        os.ftruncate(self._frames, 4096)
        os.pwrite(self._frames, bytes(range(6)), 0)

    def _run(self, theirs: Any) -> None:
        with theirs:
            self.worker.run()

    def _answer(self, type_: str) -> protocol.Message:
        message, descriptors = socketpair.receive(self._sock)
        self.descriptors = descriptors
        assert message is not None
        assert message.type == type_, message.fields
        return message

    def send_frame(self, do: str, spare: Iterable[int], params: Any) -> None:
        self._sequence += 1
        socketpair.send(
            self._sock,
            [self._frames] if self._sequence == 1 else [],
            "frame",
            sequence=self._sequence,
            buffer=1,
            shape=[2, 3],
            dtype="uint8",
            color_mode="Mono",
            unique_id=7,
            timestamp=1234.5,
            port="CAM",
            attributes={"DO": do},
            params=params,
            spare=list(spare),
            fresh=True,
        )

    def frame(self, do: str, *, spare: Iterable[int] = (), params: Any = PLAIN) -> "Seen":
        self.send_frame(do, spare, params)
        return Seen(self._answer("result"), self.descriptors)

    def failing(self, do: str, *, params: Any = PLAIN) -> str:
        self.send_frame(do, (), params)
        return str(self._answer("failed")["error"])

    def forget(self, *images: int) -> None:
        socketpair.send(self._sock, (), "forget", buffers=[], images=list(images))

    def close(self) -> None:
        self._sock.close()
        self._thread.join(20)
        assert not self._thread.is_alive()
        os.close(self._frames)
        for buffer in self.worker._images._buffers.values():  # a process's end does that
            buffer.close()
        del self.worker
        gc.collect()


class Seen:
    """A result, and the memory of its image as the IOC sees it."""

    def __init__(self, message: protocol.Message, descriptors: Sequence[int]) -> None:
        self.message = message
        self.inode, self.number = 0, 0
        layout = message["image"]
        assert len(descriptors) == (layout is not None)
        if layout is None:
            return
        [descriptor] = descriptors
        self.inode, self.number = os.fstat(descriptor).st_ino, layout["number"]
        self._pixels = np.memmap(
            os.fdopen(descriptor, "rb"), layout["dtype"], "r", shape=tuple(layout["shape"])
        )

    @property
    def pixels(self) -> Any:
        return self._pixels.tolist()


@pytest.fixture
def ioc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ioc]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    ioc = Ioc(tmp_path)
    yield ioc
    ioc.close()
    del sys.modules["output_probe"]


def image_descriptors() -> int:
    """How many descriptors of image memory this process, and so the worker, has open."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return sum("tosip-image" in link for link in links)


WAYS = {
    "asked for": ASKED + "5",
    "a view of it": ASKED + "5; made = made.reshape(3, 2)[:2]",
    "private": "made = np.full((2, 3), 5, 'uint8')",
    "kept private": "self.kept = made = np.full((2, 3), 5, 'uint8')",
}


@pytest.mark.parametrize("code", WAYS.values(), ids=WAYS)
def test_memory_that_is_given_back_is_used_again(ioc, code):
    first = ioc.frame(code)
    for _ in range(5):
        again = ioc.frame(code, spare=[first.number])
        assert (again.inode, again.number) == (first.inode, first.number)
        assert np.all(np.array(again.pixels) == 5)


def test_memory_that_is_still_read_is_not_used_again(ioc):
    seen = [ioc.frame(ASKED + str(n)) for n in range(4)]
    assert len({image.inode for image in seen}) == 4
    assert [image.pixels[0][0] for image in seen] == [0, 1, 2, 3]


SAME_MEMORY = {
    "itself": "made = asked",
    "reshaped": "made = asked.reshape(6, 4)",
    "its first rows": "made = asked[:2]",
    "of another type": "made = asked.view('uint16')",
    "a matrix": "made = asked.view(np.matrix)",
    "by way of another library": "made = np.asarray(memoryview(asked))",
}
COPIED = {
    "its last rows": "made = asked[1:]",
    "a column": "made = asked[:, 0]",
    "transposed": "made = asked.T",
    "of other byte order": "made = asked.view('>u2')",
}
ADDRESS = """
asked = self.new_image((4, 6), 'uint8'); asked.flat = range(24)
changed = params.replace(count=asked.ctypes.data // 4096 % 2**31)
"""


@pytest.mark.parametrize("code", [*SAME_MEMORY.values(), *COPIED.values()])
def test_image_asked_for_is_handed_over_without_a_copy_if_it_is_the_start_of_it(ioc, code):
    ioc.frame("pass")
    seen = ioc.frame(ADDRESS + code + "; self.told = made.tolist(); del asked")
    known = {b.number: b.address // 4096 % 2**31 for b in ioc.worker._images._buffers.values()}
    moved = known[seen.number] != seen.message["params"]["count"]
    assert moved == (code in COPIED.values())
    assert seen.pixels == ioc.worker._algorithm.told


KEPT = {
    "array": "self.kept = made",
    "view": "self.kept = made[1:]; view = self.kept",
    "base": "self.kept = made.base",
    "memoryview": "self.kept = np.asarray(memoryview(made).cast('B'))",
    "cycle": "self.kept = [made]; self.kept.append(self.kept); self.kept = made",
    "closure": "self.write = lambda kept=made: kept.fill(9); self.kept = made[:1]",
}


@pytest.mark.parametrize("keep", KEPT.values(), ids=KEPT)
def test_image_that_is_kept_is_copied_and_never_changes(ioc, keep):
    seen = ioc.frame(f"{ASKED} 5; {keep}")
    for spare in ([], [seen.number + 1], []):
        ioc.frame("self.kept.flat = 9", spare=spare)
        assert seen.pixels == [[5, 5, 5], [5, 5, 5]]


def test_image_kept_and_returned_again_is_copied_each_time(ioc):
    first = ioc.frame(ASKED + "5; self.kept = made")
    second = ioc.frame("made = self.kept; made[:] = 6")
    ioc.frame("self.kept[:] = 7")
    assert (first.pixels[0][0], second.pixels[0][0]) == (5, 6)
    last = ioc.frame("made = self.kept; del self.kept")
    assert last.pixels[0][0] == 7
    assert last.number not in (first.number, second.number)


def test_image_that_is_kept_no_longer_is_used_again(ioc):
    ioc.frame(ASKED + "5; self.kept = made")
    before = len(ioc.worker._images._buffers)
    seen = ioc.frame("del self.kept; " + ASKED + "6")
    assert len(ioc.worker._images._buffers) == before
    assert seen.pixels == [[6, 6, 6], [6, 6, 6]]


def test_garbage_in_cycles_is_found_before_much_memory_is_made(ioc):
    for _ in range(150):
        seen = ioc.frame(ASKED + "5; gc.disable(); cycle = [made]; cycle.append(cycle)")
        ioc.frame("gc.enable()", spare=[seen.number])
    assert image_descriptors() <= 2 * memory.MOST_KEPT + 10  # each has two


def test_image_of_a_frame_that_fails_is_used_again(ioc):
    assert ioc.failing(ASKED + "5; 1 / 0") == "ZeroDivisionError: division by zero"
    assert ioc.failing(ASKED + "5; changed = 1").startswith("TypeError: Result.params")
    assert ioc.frame(ASKED + "5").number == 1


def test_memory_of_up_to_twice_the_size_is_used_again(ioc):
    new = "made = self.new_image(({}, 4096), 'uint8')"
    large = ioc.frame(new.format(8))
    assert ioc.frame(new.format(4), spare=[large.number]).number == large.number
    assert ioc.frame(new.format(3), spare=[large.number]).number != large.number
    assert ioc.frame(new.format(9)).number != large.number
    small = ioc.frame("made = self.new_image((1, 1), 'uint8')")
    assert ioc.frame(ASKED + "1", spare=[small.number]).number == small.number


def test_smallest_memory_that_fits_is_taken(ioc):
    new = "made = self.new_image(({}, 4096), 'uint8')"
    seen = [ioc.frame(new.format(rows)) for rows in (6, 4, 5)]
    again = ioc.frame(new.format(4), spare=[image.number for image in seen])
    assert again.number == seen[1].number


def test_memory_that_the_ioc_gives_up_is_closed(ioc):
    seen = [ioc.frame(ASKED + str(n)) for n in range(3)]
    before = image_descriptors()
    ioc.frame("pass", spare=[seen[0].number])
    ioc.forget(*(image.number for image in seen), 99)  # even those that it has not given back
    ioc.frame("pass")
    assert image_descriptors() == before - 6  # each has its own and its mapping's
    assert [image.pixels[0][0] for image in seen] == [0, 1, 2]


def test_memory_that_the_algorithm_has_survives_that_the_ioc_gives_it_up(ioc):
    first = ioc.frame(ASKED + "5")
    ioc.frame("self.kept = self.new_image((2, 3), 'uint8')", spare=[first.number])
    ioc.forget(first.number)
    again = ioc.frame("made = self.kept; made[:] = 6; del self.kept")
    assert (again.number, again.pixels[0][0]) == (first.number, 6)


def test_numbers_that_are_not_known_do_no_harm(ioc):
    ioc.forget(5, -1)
    assert ioc.frame(ASKED + "5", spare=[17, -1]).pixels == [[5, 5, 5], [5, 5, 5]]


def test_few_images_that_were_not_returned_are_hoarded(ioc):
    ioc.frame("[self.new_image((2, 3), 'uint8') for _ in range(20)]")
    before = image_descriptors()
    ioc.frame("many = [self.new_image((2, 3), 'uint8') for _ in range(20)]")
    ioc.frame("pass")
    assert len(ioc.worker._images._buffers) == memory.MOST_UNKNOWN
    assert image_descriptors() <= before


def test_images_of_another_size_are_not_hoarded_for_ever(ioc):
    ioc.frame("self.new_image((100, 100), 'uint8')")
    for _ in range(memory.LONGEST_UNUSED - 1):
        ioc.frame(ASKED + "1; del made")
    assert len(ioc.worker._images._buffers) == 2
    for _ in range(2):  # the worker tidies up after it has answered
        ioc.frame(ASKED + "1; del made")
    assert len(ioc.worker._images._buffers) == 1


def test_many_images_that_are_kept_stay_the_algorithms_own(ioc):
    for _ in range(10):
        ioc.frame(
            "self.__dict__.setdefault('all', []).extend("
            "self.new_image((2, 3), 'uint8') for _ in range(20))"
        )
    ioc.frame("[image.fill(n) for n, image in enumerate(self.all)]")
    assert len(ioc.worker._images._buffers) <= memory.MOST_KEPT + 20
    assert image_descriptors() <= 200 + memory.MOST_KEPT + 20  # every mapping has one
    assert ioc.frame("made = self.all[0]").pixels == [[0, 0, 0], [0, 0, 0]]
    assert ioc.frame("made = self.all[199]").pixels == [[199] * 3] * 2


THE_INPUT = {
    "itself": "made = image",
    "none": "made = None",
    "a view": "made = image[:]",
    "asarray": "made = np.asarray(image, 'uint8')",
    "there and back": "made = image.T.T",
    "a matrix": "made = image.view(np.matrix)",
}


@pytest.mark.parametrize("code", THE_INPUT.values(), ids=THE_INPUT)
def test_input_that_is_passed_on_costs_nothing(ioc, code):
    assert ioc.frame(code).message["image"] is None
    assert not ioc.worker._images._buffers


NOT_THE_INPUT = {
    "a part": "image[:1]",
    "transposed": "image.T",
    "reshaped": "image.reshape(3, 2)",
    "of another type": "image.view('int8')",
}
OTHERS = {
    "list": "[[1, 2], [3, 4]]",
    "big endian": "np.arange(6, dtype='>i2').reshape(2, 3)",
    "Fortran": "np.asfortranarray(np.arange(6.0).reshape(2, 3))",
    "not contiguous": "np.arange(12)[::2]",
    "matrix": "np.arange(4).reshape(2, 2).view(np.matrix)",
    "broadcast": "np.broadcast_to(np.float32(3), (2, 2))",
    "one pixel": "np.ones((1, 1, 1))",
    "colour": "np.arange(24, dtype='uint16').reshape(2, 4, 3)",
    "larger than the input": "np.ones((50, 100), 'uint32')",
}


@pytest.mark.parametrize("made", [*NOT_THE_INPUT.values(), *OTHERS.values()])
def test_any_other_image_is_copied(ioc, made):
    seen = ioc.frame(f"made = {made}")
    image = np.arange(6, dtype="uint8").reshape(2, 3)
    expected = np.asarray(eval(made, {"np": np, "image": image}))
    assert seen.pixels == expected.tolist()
    assert seen.message["image"]["dtype"] == expected.dtype.name
    assert ioc.frame(f"made = {made}", spare=[seen.number]).inode == seen.inode


REFUSED = [
    ("image > 2", r"type of int8, .*, got 'bool': use \.astype\(np\.uint8\)"),
    ("image.astype('float16')", r"got 'float16': use \.astype\(np\.float32\)"),
    ("image + 1j", r"got 'complex128': use np\.abs"),
    ("image.astype(object)", "got 'object'"),
    ("np.zeros((2, 2), [('a', int)])", "got 'void64'"),
    ("'text'", "expected a type of int8, .*, got 'str"),
    ("np.uint8(5)", r"expected 1 to 3 sizes, got \[\]"),
    ("np.zeros((2, 2, 2, 2))", r"expected 1 to 3 sizes, got \[2, 2, 2, 2\]"),
    ("image[:0]", r"expected sizes of at least 1, got \[0, 3\]"),
    ("np.ma.masked_less(image, 2)", r"expected an array without a mask, .*: use \.filled\(0\)"),
    ("self.new_image((2, 2), bool)", "expected a type of int8, .*, got 'bool'"),
    ("self.new_image((2, 2.5), 'uint8')", "'float' object"),
]


@pytest.mark.parametrize(("made", "words"), REFUSED)
def test_image_that_cannot_be_one_is_refused_by_name(ioc, made, words):
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(ioc.failing(f"made = {made}"))
    assert ioc.frame(ASKED + "5").pixels[0][0] == 5


def test_params_none_means_those_of_the_frame_before(ioc):
    ioc.frame("pass", params={"level": 2.0, "count": 3})
    assert ioc.frame("self.old = params", params=None).message["outputs"] == {"found": 2.0}
    ioc.frame("assert params is self.old", params=None)
    ioc.frame("pass", params=PLAIN)
    assert ioc.frame("pass", params=None).message["outputs"] == {"found": 1.0}


def test_params_none_means_the_changed_ones_after_a_change(ioc):
    change = "changed = params.replace(level=5)"
    assert ioc.frame(change).message["params"] == {"level": 5.0}
    seen = ioc.frame(change, params=None)
    assert (seen.message["params"], seen.message["outputs"]) == ({}, {"found": 5.0})
    assert "at most 10" in ioc.failing("changed = params.replace(level=11.0)", params=None)
    assert ioc.frame("pass", params=None).message["outputs"] == {"found": 5.0}


def test_change_of_a_frame_that_fails_is_not_kept(ioc):
    failing = "changed = params.replace(level=5.0); made = np.zeros((1, 1), bool)"
    assert "bool" in ioc.failing(failing)
    assert ioc.frame("pass", params=None).message["outputs"] == {"found": 1.0}


def test_first_frame_without_params_fails(ioc):
    assert "frame.params: expected inputs with the first" in ioc.failing("pass", params=None)
    assert ioc.frame("pass").message["outputs"] == {"found": 1.0}
