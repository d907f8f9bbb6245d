"""Frames between processes: nothing is copied, and nobody behind the driver can write."""

import asyncio
import os
from dataclasses import replace

import numpy as np
import pytest

from tests.pipeline.rig import descriptors, frame, plugin_rig, probe, run
from tosip.errors import ProtocolError
from tosip.pipeline.pool import Pool
from tosip.pipeline.protocol import PIXEL_TYPES
from tosip.pipeline.states import WorkerState

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


@pytest.mark.parametrize("dtype", PIXEL_TYPES)
def test_all_types_of_pixels_go_in_and_out(tmp_path, dtype):
    code = """
assert (image.dtype.name, image.dtype.isnative, image.flags.writeable) == (KIND, True, False)
result = Result(Figures(total=float(image[0, 0])), image=image * image.dtype.type(2))
""".replace("KIND", repr(dtype))

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process(code, dtype=dtype, fill=3)
            assert outcome.message == ""
            assert (outcome.outputs or {})["total"] == 3
            array = rig.published[0]
            assert (array.dtype, array.data_type) == (dtype, PIXEL_TYPES[dtype][0])
            assert (array.pixels == 6).all()

    run(work())


@pytest.mark.parametrize(
    ("shape", "mode", "sizes"),
    [
        ((7,), "Mono", (7, 0, 0)),
        ((4, 5), "Mono", (5, 4, 0)),
        ((4, 5, 3), "RGB1", (5, 4, 3)),
        ((2, 4, 5), "Mono", (5, 4, 2)),
    ],
)
def test_shape_of_a_new_image_gives_its_colour_mode_and_sizes(tmp_path, shape, mode, sizes):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await rig.process(f"result = Result(Figures(), image=np.ones({shape}))")
            array = rig.published[0]
            assert (array.shape, array.color_mode, array.sizes) == (shape, mode, sizes)

    run(work())


def test_sizes_of_colour_frames_do_not_depend_on_where_the_colours_are():
    pool = Pool()
    for mode, shape in {"RGB1": (4, 5, 3), "RGB2": (4, 3, 5), "RGB3": (3, 4, 5)}.items():
        assert replace(frame(pool, shape=shape), color_mode=mode).sizes == (5, 4, 3)


def test_image_outlives_the_worker_that_made_it(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            await rig.process("result = Result(Figures(), image=np.full((500, 500), 9))")
            await rig.process("os._exit(1)")
            await rig.until(lambda: rig.plugin.workers.state is WorkerState.IDLE)
            await rig.process("result = Result(Figures(), image=np.full((500, 500), 8))")
            assert [int(array.pixels.max()) for array in rig.published] == [9, 8]
            rig.let_go()
            await rig.plugin.stop()
            assert rig.pool.figures().used_buffers == 0

    run(work())


def test_image_without_room_in_the_pool_is_counted_and_the_figures_stay(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            rig.pool.budget = 100_000
            code = "result = Result(Figures(number=5), image=np.ones((200, 200)))"
            outcome = await rig.process(code)
            assert not outcome.failed
            assert (outcome.outputs or {})["number"] == 5
            assert rig.published == []
            assert rig.plugin.dropped_output_arrays == 1
            await rig.process("result = Result(Figures(), image=np.ones((10, 10)))")
            assert len(rig.published) == 1

    run(work())


def test_leases_of_a_killed_reader_end_at_once(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process("os.kill(os.getpid(), 9)")
            assert outcome.failed
            del outcome
            rig.let_go()
            assert rig.pool.figures().used_buffers == 0

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
            assert descriptors() <= before + 4
            assert rig.pool.figures().buffers <= 4  # two frames; the port keeps the last image

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
                rig.let_go()
                rig.plugin.enable(True)
                outcome = await rig.process(count, shape=(side, side))
                assert outcome.outputs is not None
                assert outcome.outputs["number"] <= 3  # the oldest is forgotten meanwhile
                del outcome
            rig.let_go()
            rig.plugin.enable(True)
            rig.pool.shrink()
            await asyncio.sleep(0)  # the worker is told
            outcome = await rig.process(count, shape=(10, 10))
            assert (outcome.outputs or {})["number"] == 1

    run(work())


def test_frames_of_types_without_a_name_in_areadetector_are_refused():
    lease = Pool().allocate(100)
    for dtype in (bool, np.float16, complex, object):
        with pytest.raises(ProtocolError, match="expected a type of int8, uint8"):
            lease.view((2, 2), dtype)
