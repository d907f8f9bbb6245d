"""What clients see of workers, their order, staged inputs, limits and memory, in a running IOC."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from p4p.client.thread import RemoteError

from tosip.testing.ioc import IocProcess


def log_of(ioc: IocProcess) -> str:
    return (ioc.var / "log" / "tosip.log").read_text()


def processed(ioc, uploads, value=100):
    """Upload a frame and wait until its results are on the records."""
    stamp = uploads.frame(value)
    ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.timestamp == stamp)
    return stamp


def settled(ioc, uploads):
    """Upload a frame and wait until all plugins hold this one and no other."""
    number = ioc.get("CAM01:UniqueId_RBV") + 1
    uploads.frame()
    for port in ("FOCUS01", "FIELD", "ENV"):
        ioc.wait(f"{port}:UniqueId_RBV", lambda last: last == number)


@contextmanager
def held(ioc: IocProcess) -> Iterator[None]:
    """Stop the first worker of FOCUS01: frames that it is given stay there."""
    pid = int(ioc.get("FOCUS01:WorkerPid_RBV"))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def two_workers(ioc):
    with ioc.monitor("FOCUS01:WorkerState_RBV") as states:
        while str(states.next()) != "Idle":
            pass
        ioc.put("FOCUS01:NumThreads", 2)
        while str(states.next()) == "Idle":
            pass
        while str(states.next()) != "Idle":
            pass
    yield
    ioc.put("FOCUS01:NumThreads", 1)
    ioc.put("FOCUS01:SortMode", "Unsorted")


def test_a_second_worker_goes_on_while_the_first_is_held_and_what_comes_late_is_counted(
    ioc, uploads, two_workers
):
    disordered = ioc.get("FOCUS01:DisorderedArrays_RBV")

    with held(ioc):
        late = uploads.frame()
        processed(ioc, uploads)
    ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.timestamp == late)

    assert ioc.get("FOCUS01:NumThreads_RBV") == 2
    assert ioc.wait("FOCUS01:DisorderedArrays_RBV", lambda n: n == disordered + 1)
    ioc.put("FOCUS01:DisorderedArrays", 0)
    assert ioc.get("FOCUS01:DisorderedArrays_RBV") == 0


def test_sorted_results_wait_for_the_frame_before(ioc, uploads, two_workers):
    disordered = ioc.get("FOCUS01:DisorderedArrays_RBV")
    before = processed(ioc, uploads)
    ioc.put("FOCUS01:SortMode", "Sorted")
    ioc.put("FOCUS01:SortTime", 30.0)
    ioc.put("FOCUS01:SortSize", 5)
    shown = [ioc.get(f"FOCUS01:Sort{name}_RBV") for name in ("Mode", "Time", "Size")]
    assert [str(shown[0]), *shown[1:]] == ["Sorted", 30.0, 5]

    with held(ioc):
        uploads.frame()
        last = uploads.frame()
        ioc.wait("FOCUS01:SortFree", lambda free: free == 4)
        assert ioc.get("FOCUS01:Mean_RBV").timestamp == before

    ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.timestamp == last)
    ioc.wait("FOCUS01:SortFree", lambda free: free == 5)
    assert ioc.get("FOCUS01:DisorderedArrays_RBV") == disordered


def test_after_two_workers_the_first_goes_on_alone(ioc, uploads, two_workers):
    pid = ioc.get("FOCUS01:WorkerPid_RBV")

    ioc.put("FOCUS01:NumThreads", 1)
    processed(ioc, uploads)

    assert ioc.get("FOCUS01:NumThreads_RBV") == 1
    assert ioc.get("FOCUS01:WorkerPid_RBV") == pid
    assert str(ioc.wait("FOCUS01:WorkerState_RBV", lambda s: str(s) == "Idle")) == "Idle"
    assert ioc.get("FOCUS01:RestartCount_RBV") == 0


def test_the_configuration_gives_the_number_of_workers_at_the_start(ioc):
    assert ioc.get("ENV:NumThreads_RBV") == 2
    assert ioc.get("ENV:NumThreads") == 2


@pytest.mark.parametrize(
    ("plugin", "most", "wanted", "words"),
    [
        ("FIELD", 1, 2, "FIELD.NumThreads: expected 1, as Field keeps state, got 2"),
        ("FOCUS01", 16, 17, "FOCUS01.NumThreads: expected 1 to 16, got 17"),
    ],
)
def test_too_many_workers_are_refused_and_the_old_number_shown(ioc, plugin, most, wanted, words):
    with pytest.raises(RemoteError):
        ioc.put(f"{plugin}:NumThreads", wanted)

    assert ioc.get(f"{plugin}:NumThreads") == 1
    assert ioc.get(f"{plugin}:NumThreads_RBV") == 1
    assert ioc.get(f"{plugin}:MaxThreads_RBV") == most
    assert words in log_of(ioc)


@pytest.fixture
def byte_rate(ioc):
    ioc.put("FOCUS01:MaxByteRate", 10.0)  # one frame of 1 KiB, then none for 100 s
    yield
    ioc.put("FOCUS01:MaxByteRate", 0.0)


def test_a_byte_rate_drops_what_exceeds_it_behind_the_plugin(ioc, uploads, byte_rate):
    received = ioc.get("FIELD:ReceivedArrays_RBV")

    processed(ioc, uploads)
    processed(ioc, uploads)

    assert ioc.get("FOCUS01:MaxByteRate_RBV") == 10.0
    assert ioc.wait("FOCUS01:DroppedOutputArrays_RBV", lambda n: n == 1)
    assert ioc.wait("FIELD:ReceivedArrays_RBV", lambda n: n == received + 1)
    ioc.put("FOCUS01:DroppedOutputArrays", 0)
    assert ioc.get("FOCUS01:DroppedOutputArrays_RBV") == 0


@pytest.fixture
def staging(ioc):
    ioc.put("FOCUS01:StageChanges", "Yes")
    yield
    ioc.put("FOCUS01:Apply", 1)
    ioc.put("FOCUS01:StageChanges", "No")
    ioc.put("FOCUS01:Gain", 2.0)
    ioc.put("FOCUS01:Count", 3)


def values(ioc, suffix=""):
    return [float(ioc.get(f"FOCUS01:{name}{suffix}")) for name in ("Gain", "Count")]


def test_staged_inputs_are_in_force_together_when_they_are_applied(ioc, uploads, staging):
    ioc.put("FOCUS01:Gain", 4.0)
    ioc.put("FOCUS01:Count", 7)

    assert values(ioc) == [4.0, 7.0]
    assert values(ioc, "_RBV") == [2.0, 3.0]
    assert ioc.wait("FOCUS01:StagedChanges_RBV", lambda n: n == 2)
    processed(ioc, uploads, 100)
    assert ioc.get("FOCUS01:Mean_RBV") == 200.0

    ioc.put("FOCUS01:Apply", 1)

    assert values(ioc, "_RBV") == values(ioc) == [4.0, 7.0]
    assert ioc.wait("FOCUS01:StagedChanges_RBV", lambda n: n == 0) == 0
    processed(ioc, uploads, 100)
    assert ioc.get("FOCUS01:Mean_RBV") == 400.0


def test_a_staged_value_stays_when_the_next_one_is_refused(ioc, staging):
    ioc.put("FOCUS01:Gain", 4.0)

    with pytest.raises(RemoteError):
        ioc.put("FOCUS01:Gain", float("nan"))

    assert ioc.get("FOCUS01:Gain") == 4.0
    assert ioc.get("FOCUS01:Gain_RBV") == 2.0


def test_a_driver_is_busy_until_the_plugins_are_done_if_a_client_asks_for_it(ioc, uploads):
    def busy(state):
        return ioc.wait("CAM01:AcquireBusy", lambda s: str(s) == state)

    with held(ioc):
        uploads.frame()
        ioc.wait("CAM01:NumQueuedArrays", lambda n: n > 0)
        busy("Done")
        ioc.put("CAM01:WaitForPlugins", "Yes")
        busy("Acquiring")

    busy("Done")
    assert ioc.get("CAM01:NumQueuedArrays") == 0
    assert str(ioc.get("CAM01:WaitForPlugins")) == "Yes"
    ioc.put("CAM01:WaitForPlugins", "No")


def test_the_pools_memory_is_shown_and_given_back(ioc, uploads):
    for _ in range(3):
        settled(ioc, uploads)
    assert ioc.get("FOCUS01:PoolMaxMem") == ioc.get("CAM02:PoolMaxMem") == 2048.0
    assert 0.0 < ioc.get("FOCUS01:PoolUsedMem") < 1.0
    ioc.wait("CAM02:PoolFreeBuffers", lambda n: n > 0, timeout=10.0)  # nobody keeps old frames

    ioc.put("FOCUS01:EmptyFreeList", 1)

    for port in ("FOCUS01", "CAM02"):
        assert ioc.wait(f"{port}:PoolFreeBuffers", lambda n: n == 0) == 0
        used = ioc.get(f"{port}:PoolUsedBuffers")
        assert ioc.wait(f"{port}:PoolAllocBuffers", lambda n, used=used: n == used) > 0


def test_a_frame_in_black_and_white_has_no_size_in_z(ioc, uploads):
    processed(ioc, uploads)

    for port in ("CAM01", "FOCUS01"):
        sizes = [
            ioc.wait(f"{port}:ArraySize{axis}_RBV", lambda n, size=size: n == size)
            for axis, size in zip("XYZ", (32, 16, 0), strict=True)
        ]
        assert sizes == [32, 16, 0]


def test_the_execution_time_is_in_milliseconds(ioc, uploads):
    processed(ioc, uploads)

    shown = ioc.wait("FOCUS01:ExecutionTime_RBV", lambda time: time > 0.0)

    assert ioc.get("FOCUS01:ExecutionTime_RBV.RTYP") == "ai"
    assert shown.raw.display.units == "ms"
    assert shown < 1000 * ioc.wait("FOCUS01:Latency_RBV", lambda latency: latency > 0.0)
