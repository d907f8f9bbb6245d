"""Plugins in chains and fans: the same memory for all, and nobody waits for anybody else."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tests.pipeline.rig import Rig, frame, plugin_rig, probe, run
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.plugin import Plugin

INODE = """
frames = [line.split()[4] for line in open('/proc/self/maps') if NAME in line]
result = Result(Figures(), attributes={metadata.port: int(frames[-1])})
"""
FRAMES = INODE.replace("NAME", "'tosip-frame'")


@asynccontextmanager
async def further(rig: Rig, folder: Path, wiring: dict[str, str]) -> AsyncIterator[list[Plugin]]:
    """More plugins beside the rig's own, named and wired as `wiring` says."""
    async with AsyncExitStack() as stack:
        plugins = []
        for name, source in wiring.items():
            program = replace(probe(folder, stop_timeout=0.3), name=name)
            plugins.append(Plugin(program, rig.pool, rig.ports, queue_size=100))
            stack.push_async_callback(plugins[-1].stop)
            await plugins[-1].start()
            plugins[-1].connect(source)
        yield plugins


def inode(array: NDArray) -> int:
    return os.fstat(array.lease.buffer.reader).st_ino


def test_all_plugins_of_a_chain_and_a_fan_read_the_same_memory(tmp_path):
    async def work():
        async with (
            plugin_rig(probe(tmp_path)) as rig,
            further(rig, tmp_path, {"A": "PROBE", "B": "A", "FAN": "CAM"}) as plugins,
        ):
            last: list[NDArray] = []
            for plugin in plugins[1:]:
                plugin.port.listen(last.append)
            array = frame(rig.pool, FRAMES)
            rig.source.publish(array)
            for plugin in plugins[1:]:
                await until(rig, plugin, 1)
            behind, fan = sorted(last, key=lambda each: len(each.attributes), reverse=True)
            assert {behind.attributes[port] for port in ("CAM", "PROBE", "A")} == {inode(array)}
            assert fan.attributes["CAM"] == inode(array)
            assert behind.lease is fan.lease is array.lease
            assert rig.pool.figures().buffers == 1

    run(work())


async def until(rig: Rig, plugin: Plugin, processed: int) -> None:
    other = Rig.__new__(Rig)
    other.plugin = plugin
    await other.until(lambda: plugin.counters.processed >= processed)


def test_image_of_one_plugin_is_read_in_place_by_those_behind(tmp_path):
    image = "result = Result(Figures(), image=np.ones((50, 50)), attributes={'DO': BEHIND})"
    code = image.replace("BEHIND", repr(INODE.replace("NAME", "'tosip-image'")))

    async def work():
        async with (
            plugin_rig(probe(tmp_path)) as rig,
            further(rig, tmp_path, {"A": "PROBE", "B": "A"}) as plugins,
        ):
            rig.source.publish(frame(rig.pool, code))
            await until(rig, plugins[1], 1)
            outcome = plugins[1].last_outcome
            assert outcome is not None
            assert outcome.array.attributes["PROBE"] == inode(rig.published[0])
            assert outcome.array.lease is rig.published[0].lease

    run(work())


def test_slow_hung_and_dying_plugins_do_not_delay_their_sibling(tmp_path):
    async def work():
        wiring = {"SLOW": "CAM", "HUNG": "CAM", "DYING": "CAM"}
        code = """
if 'SLOW' in sys.argv: time.sleep(0.05)
if 'HUNG' in sys.argv: time.sleep(600)
if 'DYING' in sys.argv: os._exit(1)
"""
        async with (
            plugin_rig(probe(tmp_path), queue_size=100) as rig,
            further(rig, tmp_path, wiring) as plugins,
        ):
            slow, hung, _ = plugins
            for number in range(60):
                rig.source.publish(frame(rig.pool, code, unique_id=number))
            await until(rig, rig.plugin, 60)
            assert slow.counters.processed < 60
            assert hung.counters.processed == 0
            assert [array.unique_id for array in rig.published] == list(range(60))

    run(work())


def test_rewiring_while_frames_flow_loses_none_and_gives_none_twice(tmp_path):
    async def work():
        async with (
            plugin_rig(probe(tmp_path)) as rig,
            further(rig, tmp_path, {"A": "CAM"}) as (plugin,),
        ):
            other = rig.ports.add("CAM2")
            seen: list[int] = []
            plugin.on_outcome.connect(lambda outcome: seen.append(outcome.array.unique_id))
            for number in range(100):
                source = other if number % 20 >= 10 else rig.source
                plugin.connect(source.name)
                source.publish(frame(rig.pool, unique_id=number))
            await until(rig, plugin, 100)
            assert seen == list(range(100))

    run(work())
