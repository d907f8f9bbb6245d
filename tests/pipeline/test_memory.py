"""Frames between processes: nothing is copied, and nobody behind the driver can write."""

import os

import numpy as np
import pytest

from tests.pipeline.rig import descriptors, frame, plugin_rig, probe, run
from tosip.errors import ProtocolError
from tosip.pipeline.pool import Pool

WRITE_ATTEMPTS = [
    "image.flags.writeable = True; image[0, 0] = 9",
    "image.base.flags.writeable = True",
    "np.copyto(image, 9)",
    "ctypes.memset(image.ctypes.data, 9, 1)",
    # The worker owns descriptors of the same memory: it may try to open and map it for writing.
    """
import mmap
for fd in os.listdir('/proc/self/fd'):
    try:
        name = os.readlink(f'/proc/self/fd/{fd}')
    except OSError:
        continue
    if 'tosip-frame' in name:
        again = os.open(f'/proc/self/fd/{fd}', os.O_RDWR)
        mmap.mmap(again, 4096)[0] = 9
""",
    """
for fd in os.listdir('/proc/self/fd'):
    try:
        name = os.readlink(f'/proc/self/fd/{fd}')
    except OSError:
        continue
    if 'tosip-frame' in name:
        os.pwrite(os.open(f'/proc/self/fd/{fd}', os.O_RDWR), b'9', 0)
""",
]


@pytest.mark.parametrize("attempt", WRITE_ATTEMPTS)
def test_worker_cannot_write_into_a_frame(tmp_path, attempt):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process(attempt)
            assert outcome.failed
            assert (outcome.array.pixels == 1).all()
            assert not (await rig.process()).failed

    run(work())


def test_nobody_in_the_ioc_can_make_pixels_writable():
    array = frame(Pool())
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.pixels.flags.writeable = True


def test_worker_sees_the_very_memory_of_the_frame(tmp_path):
    code = """
maps = open('/proc/self/maps').read().splitlines()
frames = [line.split() for line in maps if 'tosip-frame' in line]
result = Result(Figures(), attributes={'inode': int(frames[0][4]), 'access': frames[0][1]})
"""

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process(code)
            inode = os.fstat(outcome.array.lease.buffer.reader).st_ino
            assert outcome.message == ""
            assert rig.published[0].attributes["inode"] == inode
            assert str(rig.published[0].attributes["access"]).startswith("r--")

    run(work())


def test_image_passed_through_is_the_same_memory(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            for code in ("", "result = Result(Figures(), image=image)"):
                outcome = await rig.process(code)
                assert rig.published[-1].lease is outcome.array.lease

    run(work())


IMAGES = {
    "new": "made = np.arange(6, dtype='float32').reshape(2, 3)",
    "asked for": "made = self.new_image((2, 3), 'float32'); made[:] = [[0, 1, 2], [3, 4, 5]]",
    "asked for big endian": "made = self.new_image((2, 3), '>f4'); made.flat = range(6)",
    "not contiguous": "made = np.arange(12, dtype='float32').reshape(2, 6)[:, ::2] / 2",
    "transposed": "made = np.arange(6, dtype='float32').reshape(2, 3).T.copy().T",
    "of other byte order": "made = np.arange(6, dtype='>f4').reshape(2, 3)",
}


@pytest.mark.parametrize("code", IMAGES.values(), ids=IMAGES)
def test_returned_image_goes_on_with_the_frames_identity(tmp_path, code):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process(code + "; result = Result(Figures(), image=made)")
            assert outcome.message == ""
            array = rig.published[0]
            assert array.pixels.tolist() == [[0, 1, 2], [3, 4, 5]]
            assert (array.data_type, array.shape, array.size) == ("Float32", (2, 3), 24)
            assert (array.unique_id, array.timestamp) == (7, 1234.5)

    run(work())


def test_image_asked_for_is_handed_over_without_a_copy(tmp_path):
    code = """
made = self.new_image((2, 3), 'uint8')
inodes = [line.split()[4] for line in open('/proc/self/maps') if 'tosip-image' in line]
result = Result(Figures(), image=made, attributes={'inode': int(inodes[-1])})
"""

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await rig.process(code)
            array = rig.published[0]
            inode = os.fstat(array.lease.buffer.reader).st_ino
            assert array.attributes["inode"] == inode

    run(work())


def test_image_kept_from_an_earlier_frame_is_copied_not_shared(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            keep = "self.kept = self.new_image((2, 2), 'uint8'); self.kept[:] = 1"
            await rig.process(keep + "; result = Result(Figures(), image=self.kept)")
            again = "self.kept[:] = 2; result = Result(Figures(), image=self.kept)"
            await rig.process(again)
            await rig.process("self.kept[:] = 3")
            assert (rig.published[1].pixels == 2).all()

    run(work())


def test_returned_images_give_their_memory_back(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            code = "result = Result(Figures(), image=np.ones((100, 100)))"
            await rig.process(code)
            rig.published.clear()
            before = descriptors()
            for _ in range(20):
                await rig.process(code)
                rig.published.clear()
            assert descriptors() <= before + 2
            assert rig.pool.figures().buffers <= 2

    run(work())


def test_worker_forgets_buffers_that_the_pool_has_dropped(tmp_path):
    count = """
maps = [line for line in open('/proc/self/maps') if 'tosip-frame' in line]
result = Figures(number=len(maps))
"""

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            rig.pool.budget = 200_000
            for side in (100, 200, 300, 200, 100, 300):  # each needs the room of the one before
                rig.plugin.enable(False)
                rig.plugin.enable(True)
                rig.published.clear()
                outcome = await rig.process(count, shape=(side, side))
                assert outcome.outputs is not None
                assert outcome.outputs["number"] <= 2
                del outcome

    run(work())


def test_frames_of_types_without_a_name_in_areadetector_are_refused():
    lease = Pool().allocate(100)
    for dtype in (bool, np.float16, complex, object):
        with pytest.raises(ProtocolError, match="expected a type of int8, uint8"):
            lease.view((2, 2), dtype)
