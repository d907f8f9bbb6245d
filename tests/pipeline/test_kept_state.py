"""What an algorithm has learnt outlives its worker and the IOC, or costs a warning."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from tests.pipeline.rig import Rig, frame, plugin_rig, probe, run
from tests.pipeline.test_handover import hooks
from tests.pipeline.test_reload import number, save, status, version
from tests.shortages import no_threads
from tosip.pipeline import kept_state, state_file
from tosip.pipeline.kept_state import KeptState
from tosip.pipeline.queues import Policy
from tosip.pipeline.state import State


def keeping(
    save: str = "return str(self.seen).encode()", restore: str = "self.seen = int(state)"
) -> str:
    return version(
        1, hooks(save, restore).replace("stateful = True", "stateful = keep_state = True")
    )


def kept(rig: Rig) -> KeptState:
    assert rig.plugin.kept is not None
    return rig.plugin.kept


async def told(rig: Rig, words: str) -> str:
    await rig.until(lambda: words in kept(rig).status)
    return kept(rig).status


def test_what_was_learnt_is_restored_after_a_clean_stop(tmp_path):
    file = tmp_path / "state" / "PROBE"

    async def work():
        async with plugin_rig(probe(tmp_path, keeping()), state_file=file) as rig:
            assert kept(rig).status == "started anew: no state was kept before"
            assert [await number(rig) for _ in range(3)] == [101, 102, 103]
            code_hash = rig.plugin.workers.code_hash
        header = json.loads(file.read_bytes().split(b"\n")[0])
        assert header["code"] == code_hash
        assert os.listdir(file.parent) == ["PROBE"]
        async with plugin_rig(probe(tmp_path, keeping()), state_file=file) as rig:
            assert kept(rig).status.startswith("restored, as kept at 20")
            assert await number(rig) == 104

    run(work())


def test_state_is_kept_while_frames_flow_and_a_crashed_worker_gets_it(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_state, "INTERVAL", 0.05)
    file = tmp_path / "PROBE"

    async def work():
        async with plugin_rig(probe(tmp_path, keeping()), state_file=file) as rig:
            assert [await number(rig) for _ in range(3)] == [101, 102, 103]
            while not file.exists() or not file.read_bytes().endswith(b"3"):
                await asyncio.sleep(0.01)
            await rig.process("os._exit(3)")
            assert await number(rig) == 104

    run(work())


def test_state_that_the_algorithm_has_forgotten_does_not_come_back(tmp_path):
    forgetful = keeping("return str(self.seen).encode() if self.seen < 3 else {}")
    file = tmp_path / "PROBE"

    async def work():
        async with plugin_rig(probe(tmp_path, forgetful), state_file=file) as rig:
            await number(rig)
            while not file.exists():
                await asyncio.sleep(0.01)
            assert [await number(rig) for _ in range(2)] == [102, 103]
        assert not file.exists()
        async with plugin_rig(probe(tmp_path, forgetful), state_file=file) as rig:
            assert await number(rig) == 101

    run(work())


def test_state_that_makes_the_algorithm_crash_is_left_out_at_the_second_time(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_state, "INTERVAL", 0.05)
    file = tmp_path / "PROBE"
    poisoned = keeping().replace(
        "self.seen += 1;", "self.seen == 2 and os._exit(3); self.seen += 1;"
    )

    async def work():
        async with plugin_rig(probe(tmp_path, poisoned), state_file=file) as rig:
            await number(rig)
            await number(rig)
            while not file.exists() or not file.read_bytes().endswith(b"2"):
                await asyncio.sleep(0.01)
            assert [(await rig.process()).failed for _ in range(2)] == [True, True]
            assert await number(rig) == 101
            assert "two failures in a row" in kept(rig).status
        assert (tmp_path / "PROBE.refused").read_bytes().endswith(b"2")

    run(work())


def body(data: bytes) -> bytes:
    return data[: data.index(b"\n") + 1]


DAMAGED = {
    "empty": lambda data: b"",
    "rubbish": lambda data: b"\xff" * 1000,
    "no header": lambda data: b"{" * 10**6,
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"1",
    "changed": lambda data: data[:-1] + b"9",
    "header alone": body,
    "of another format": lambda data: data.replace(b'"version": 1', b'"version": 2'),
    "huge claim": lambda data: data.replace(b'"bytes": ', b'"bytes": 999999999'),
    "another declaration": lambda data: data.replace(b'"declaration": "', b'"declaration": "0'),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_file_that_cannot_be_restored_costs_a_fresh_start(tmp_path, kind, caplog):
    file = tmp_path / "PROBE"

    async def work():
        async with plugin_rig(probe(tmp_path, keeping()), state_file=file) as rig:
            await number(rig)
        file.write_bytes(DAMAGED[kind](file.read_bytes()))
        async with plugin_rig(probe(tmp_path, keeping()), state_file=file) as rig:
            assert kept(rig).status.startswith("started anew: ")
            assert await number(rig) == 101
        assert file.with_name("PROBE.refused").exists()
        assert "state: started anew" in caplog.text

    run(work())


@pytest.mark.parametrize(
    ("restore", "cause"),
    [
        ("self.seen = 50; 1 / 0", "ZeroDivisionError"),
        ("os._exit(3)", "exit status 3"),
        ("time.sleep(600)", "no answer in 5 s"),
    ],
)
def test_restore_that_fails_costs_a_fresh_start(tmp_path, restore, cause):
    file = tmp_path / "PROBE"

    async def work():
        async with plugin_rig(probe(tmp_path, keeping()), state_file=file) as rig:
            await number(rig)
        failing = probe(tmp_path, keeping(restore=restore), start_timeout=5.0)
        async with plugin_rig(failing, state_file=file) as rig:
            assert cause in kept(rig).status
            assert await number(rig) == 101
            assert rig.plugin.workers.restarts == 0

    run(work())


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


TROUBLE = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero (probe.py:"),
    "too large": ("return bytes(65 << 20)", "expected at most 67108864 bytes"),
    "hangs": ("time.sleep(600)", "no answer in 0.3 s"),
    "dies": ("os._exit(3)", "exit status 3"),
}


@pytest.mark.parametrize("kind", TROUBLE)
def test_state_that_cannot_be_saved_is_told_and_frames_go_on(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(kept_state, "INTERVAL", 0.01)
    failing, cause = TROUBLE[kind]

    async def work():
        program = probe(tmp_path, keeping(failing), save_timeout=0.3 if kind == "hangs" else 10)
        async with plugin_rig(program, state_file=tmp_path / "PROBE") as rig:
            await number(rig)
            assert cause in await told(rig, "not kept")
            await number(rig)
            assert not (tmp_path / "PROBE").exists()

    run(work())


def test_full_disk_is_told_and_forgotten_when_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_state, "INTERVAL", 0.01)

    async def work():
        async with plugin_rig(probe(tmp_path, keeping()), state_file=tmp_path / "PROBE") as rig:
            with monkeypatch.context() as disk:
                disk.setattr(os, "fsync", full)
                await number(rig)
                await told(rig, "not kept: No space left on device")
                assert [each for each in os.listdir(tmp_path) if each.endswith(".new")] == []
            await number(rig)
            await rig.until(lambda: "not kept" not in kept(rig).status)
            assert (tmp_path / "PROBE").exists()

    run(work())


def test_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "state").write_text("no folder")

    async def work():
        file = tmp_path / "state" / "PROBE"
        async with plugin_rig(probe(tmp_path, keeping()), state_file=file) as rig:
            assert "started anew: Not a directory" in kept(rig).status
            await number(rig)
            await told(rig, "not kept")

    run(work())


def test_nothing_is_kept_of_an_algorithm_that_does_not_want_it(tmp_path):
    async def work():
        program = probe(tmp_path, version(1, hooks()))
        async with plugin_rig(program, state_file=tmp_path / "PROBE") as rig:
            await number(rig)
        assert not (tmp_path / "PROBE").exists()
        assert kept(rig).status == ""

    run(work())


def test_saving_happens_once_a_second_at_most_and_writes_only_what_is_new(tmp_path, monkeypatch):
    written: list[float] = []
    write = state_file.write

    def noted(*arguments):
        written.append(time.monotonic())
        write(*arguments)

    monkeypatch.setattr(state_file, "write", noted)

    async def work():
        program = probe(tmp_path, keeping("return str(min(self.seen, 500)).encode()"))
        async with plugin_rig(
            program, state_file=tmp_path / "PROBE", queue_size=4, policy=Policy.BLOCK
        ) as rig:
            began, count = time.monotonic(), 0
            while time.monotonic() < began + 2.5:
                await rig.source.room()
                rig.source.publish(frame(rig.pool, "", unique_id=count))
                count += 1
            await rig.until(lambda: rig.plugin.counters.processed == count)
            assert rig.plugin.counters.dropped == rig.plugin.counters.failed == 0
        assert 1 <= len(written) <= 4
        assert all(later - earlier > 0.9 for earlier, later in pairwise(written[:-1]))

    run(work())


def test_reload_and_saving_do_not_meet(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_state, "INTERVAL", 0.0)
    monkeypatch.setattr(kept_state, "SHARE", 0)
    source = keeping()

    async def work():
        async with plugin_rig(probe(tmp_path, source), state_file=tmp_path / "PROBE") as rig:
            seen = 1
            assert await number(rig) == 101
            for newer in (2, 3, 4):
                save(tmp_path, source.replace("NUMBER = 1", f"NUMBER = {newer}"))
                before = rig.plugin.workers.code_hash
                while rig.plugin.workers.code_hash == before:
                    seen += 1
                    assert (await number(rig) - seen) % 100 == 0
                await status(rig, "loaded")
            assert await number(rig) == 401 + seen

    run(work())


def test_a_lack_of_threads_costs_one_saving(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_state, "INTERVAL", 0.0)
    described: Any = SimpleNamespace(keep_state=True, declaration_hash=lambda: "")

    async def snapshot() -> State:
        return State(os.memfd_create("state"), 0)

    async def until(reached: Callable[[], object]) -> None:
        while not reached():
            await asyncio.sleep(0.01)

    async def work():
        keeping = KeptState("PROBE", tmp_path / "PROBE", snapshot, lambda: "code", lambda: None)
        keeping.start(described)
        with no_threads():
            keeping.changed()
            await until(lambda: "no thread" in keeping.status)
        keeping.changed()
        await until((tmp_path / "PROBE").exists)
        assert keeping.status == ""
        await keeping.stop(5)

    run(work())
