"""What an algorithm has learnt, from one version to the next: bytes of any size, and failures."""

import pytest

from tests.pipeline.rig import descriptors, plugin_rig, probe, run
from tests.pipeline.test_reload import NUMBER, STATEFUL, number, save, status, version
from tosip.pipeline.limits import Limits

SAVES = """
    def save(self):
        {save}

    def restore(self, state):
        {restore}
"""
SEEN = "return {'seen': self.seen}"


def hooks(save: str = SEEN, restore: str = "self.seen = state['seen']") -> str:
    return STATEFUL + SAVES.format(save=save, restore=restore)


CARRIED = {
    "bytes": ("return str(self.seen).encode()", "self.seen = int(state)"),
    "no bytes at all": ("return b''", "self.seen = 2 if state == b'' else 0"),
    "bytearray": ("return bytearray(str(self.seen).encode())", "self.seen = int(state)"),
    "mapping with bytes and large arrays": (
        "return {'a': b'xy', 'seen': self.seen, 'big': np.ones((2000, 3000), '>f4'), "
        "'none': np.zeros((0, 3)), 'mask': np.array([True]), 'nan': float('nan'), 'text': 'Ö'}",
        "big = state['big']; assert big.shape == (2000, 3000) and big.sum() == 6e6; "
        "assert not big.flags.writeable and big.dtype == np.float32; "
        "assert state['none'].shape == (0, 3) and state['mask'].dtype == bool; "
        "assert state['nan'] != state['nan'] and state['text'] == 'Ö' and state['a'] == b'xy'; "
        "self.seen = state['seen']",
    ),
    "300 MB": (
        "return bytes(300_000_000) + str(self.seen).encode()",
        "self.seen = int(state[300_000_000:])",
    ),
}


@pytest.mark.parametrize("kind", CARRIED)
def test_state_is_carried_as_it_was_saved(tmp_path, kind):
    async def work():
        async with plugin_rig(probe(tmp_path, version(1, hooks(*CARRIED[kind])))) as rig:
            assert [await number(rig), await number(rig)] == [101, 102]
            files = descriptors()
            save(tmp_path, version(2, hooks(*CARRIED[kind])))
            await status(rig, "loaded")
            assert await number(rig) == 203
        assert descriptors() <= files

    run(work())


FAILING = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "exits": ("sys.exit(3)", "SystemExit: 3"),
    "no state": ("return 5", "TypeError: save: expected bytes, or a mapping"),
    "no values": ("return {'a': [1]}", "got 'a': list"),
    "objects": ("return {'a': np.array([None])}", "an array of object, shape (1,)"),
    "too much": ("return bytes(70 << 20)", "expected at most 67108864 bytes, got 73400"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_reload_is_refused_if_what_was_learnt_cannot_be_saved_unless_it_is_asked_for(
    tmp_path, kind
):
    failing, cause = FAILING[kind]

    async def work():
        limits = Limits(memory_mib=64 if kind == "too much" else None)
        async with plugin_rig(probe(tmp_path, version(1, hooks(failing)))) as rig:
            object.__setattr__(rig.plugin.program, "limits", limits)
            assert await number(rig) == 101
            save(tmp_path, version(2, hooks()))
            said = await status(rig, "not loaded")
            assert cause in said
            assert "(in save)" in said
            assert await number(rig) == 102
            rig.plugin.reloader.request()
            await rig.until(lambda: rig.plugin.reloader.status.startswith("loaded"))
            loaded, _, why = rig.plugin.reloader.status.partition(", started anew: ")
            assert loaded == f"loaded {rig.plugin.workers.code_hash}"
            assert cause in why
            assert await number(rig) == 201

    run(work())


@pytest.mark.parametrize("end", ["time.sleep(600)", "os._exit(3)"])
def test_save_that_ends_its_worker_is_told(tmp_path, end):
    async def work():
        program = probe(tmp_path, version(1, hooks(end)), save_timeout=0.5)
        async with plugin_rig(program) as rig:
            assert await number(rig) == 101
            save(tmp_path, version(2, hooks()))
            assert "started anew: " in await status(rig, "loaded")
            assert await number(rig) == 201

    run(work())


def test_restore_that_hangs_refuses_the_reload(tmp_path):
    async def work():
        program = probe(tmp_path, version(1, hooks()), start_timeout=5.0)
        async with plugin_rig(program) as rig:
            assert await number(rig) == 101
            save(tmp_path, version(2, hooks(restore="time.sleep(600)")))
            assert "restore: no answer in 5 s" in await status(rig, "not loaded")
            assert await number(rig) == 102

    run(work())


def test_worker_cannot_pass_off_a_file_as_its_state(tmp_path):
    sends = (
        "import tosip.pipeline.worker.main as main; file = os.open('/etc/passwd', os.O_RDONLY); "
        "main.pack = lambda state: (file, os.fstat(file).st_size); " + SEEN
    )

    async def work():
        async with plugin_rig(probe(tmp_path, version(1, hooks(sends)))) as rig:
            await number(rig)
            save(tmp_path, version(2, hooks()))
            assert "expected sealed memory" in await status(rig, "not loaded")

    run(work())


def test_algorithm_that_saves_nothing_is_loaded_without_a_word(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path, version(1, NUMBER))) as rig:
            save(tmp_path, version(2, NUMBER))
            assert "anew" not in await status(rig, "loaded")

    run(work())
