"""What a worker makes of the things that an algorithm's author writes."""

import math
import re

import numpy as np
import pytest

from tests.pipeline.rig import SOURCE, descriptors, plugin_rig, probe, run
from tosip.algorithm import Status
from tosip.pipeline import protocol
from tosip.pipeline.jobs import AlgorithmFault, WorkerDied
from tosip.pipeline.ndarray import attribute_type

EVAL = {"nan": math.nan, "array": np.array}
RUBBISH = [
    ("result = 5", "expected the outputs or a Result, got int"),
    ("result = None", "expected the outputs or a Result, got NoneType"),
    ("result = {'totl': 1.0}", "Probe.totl: expected a declared output"),
    ("result = Figures(totl=1.0)", "Figures.totl: expected an output of total"),
    ("result = Figures(number=2.5)", "Figures.number: expected int, got 2.5"),
    ("result = Figures(number=True)", "Figures.number: expected int, got True"),
    ("result = Figures(number=float('nan'))", "Figures.number: expected int, got nan"),
    ("result = Figures(number=2**63)", "Figures.number: expected an int of 64 bits, got 92233720"),
    ("result = Figures(number=np.uint64(2**63))", "Figures.number: expected an int of 64 bits"),
    ("result = Figures(total=2**53 + 1)", "Figures.total: expected an int that a float holds"),
    ("result = Figures(line=image)", "an image belongs in Result(image=...)"),
    ("result = Figures(total='1')", "Figures.total: expected float, got '1'"),
    ("result = Figures(line=np.zeros(2))", "Figures.line: expected numbers of type int16"),
    ("result = Figures(line=[1, 99999])", "Figures.line: expected numbers from -32768"),
    ("result = Figures(line=[1, 2, 3, 4])", "Figures.line: expected a 1-D array of at most 3"),
    ("result = Result(Figures(), status='fine')", "Result.status: expected ok, warning"),
    ("result = Result(Figures(), params={'count': 1})", "Result.params: expected Params, got dict"),
    (
        "result = Result(Figures(), params=params.replace(threshold=200.0))",
        "Params.threshold: expected at least 0 and at most 100, got 200.0",
    ),
    ("result = Result(Figures(), attributes=[1])", "Result.attributes: expected a mapping"),
    ("result = Result(Figures(), image=np.zeros((2, 2), bool))", "image: expected a type of int8"),
    ("result = Result(Figures(), image=np.zeros((2, 2, 2, 2)))", "image: expected 1 to 3 sizes"),
    ("result = Result(Figures(), image=image[:0])", "image: expected sizes of at least 1"),
    ("image[0, 0] = 5", "assignment destination is read-only"),
    ("params.treshold", "Params.treshold: expected an input of threshold"),
    ("params.count = 5", "Params.count: a frame's values never change"),
    ("sys.exit(3)", "SystemExit: 3"),
    ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
    ("class Odd(Exception):\n  def __str__(self): 1/0\nraise Odd", "Odd"),
]


def test_rubbish_fails_its_frame_by_name_and_the_same_worker_goes_on(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            pid = rig.plugin.workers.pid
            for code, words in RUBBISH:
                outcome = await rig.process(code)
                assert (outcome.status, outcome.failed) == (Status.ERROR, True), code
                assert words in outcome.message, code
                assert outcome.outputs is None
            assert not (await rig.process()).failed
            assert rig.plugin.workers.pid == pid
            assert len(rig.published) == 1

    run(work())


def test_exception_gives_its_cause_first_and_then_the_traceback_without_tosip(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process("raise KeyError('FOCUSPOS')")
            cause, trace, *lines = outcome.message.splitlines()
            assert re.fullmatch(r"KeyError: 'FOCUSPOS' \(probe\.py:\d+\)", cause)
            assert trace == "Traceback (most recent call last):"
            assert 'probe.py", line' in lines[0]
            assert lines[-1] == "KeyError: 'FOCUSPOS'"
            assert "tosip/pipeline" not in outcome.message

    run(work())


def test_process_sees_the_frame_and_typed_inputs(tmp_path):
    checks = """
assert image.shape == (4, 5) and image.dtype == np.uint16 and image.dtype.isnative
assert metadata.unique_id == 9 and metadata.timestamp == 1234.5 and metadata.port == 'CAM'
assert metadata.shape == (4, 5) and metadata.dimensions == (5, 4)
assert metadata.data_type == 'UInt16' and metadata.pixel_order == 'C'
assert attributes['EXPTIME'] == 40.0 and attributes['NAN'] != attributes['NAN']
assert params.band is Band.RED and params.count == 3 and params.threshold == 1.0
assert params.weights.tolist() == [1.0, 1.0] and not params.weights.flags.writeable
"""

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process(checks, unique_id=9, EXPTIME=40.0, NAN=math.nan)
            assert outcome.message == ""
            assert outcome.outputs is not None
            assert outcome.outputs["total"] == 20.0
            assert math.isnan(outcome.outputs["unknown"])
            assert outcome.latency >= outcome.seconds > 0

    run(work())


def test_outputs_may_be_a_mapping_and_numpy_scalars(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            code = "result = {'total': np.float32(2.5), 'number': np.int64(4), 'line': [1, 2]}"
            outputs = (await rig.process(code)).outputs
            assert outputs is not None
            assert (outputs["total"], outputs["number"]) == (2.5, 4)
            assert (outputs["line"].tolist(), str(outputs["line"].dtype)) == ([1, 2], "int16")
            assert type(outputs["number"]) is int

    run(work())


def test_changed_inputs_come_back_and_are_seen_by_the_next_frame(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            told: list[tuple[str, object]] = []
            rig.plugin.params.listen(lambda *change: told.append(change))
            code = "result = Result(Figures(), params=params.replace(count=8, band=Band.BLUE))"
            await rig.process(code)
            assert told == [("count", 8), ("band", "blue")]
            assert (await rig.process("assert params.count == 8")).message == ""

    run(work())


def test_change_of_one_input_does_not_undo_the_operators_change_of_another(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            code = "result = Result(Figures(), params=params.replace(count=8))"
            waiting = rig.process(code)
            rig.plugin.params.set("threshold", 5.0)
            await waiting
            assert (rig.plugin.params["threshold"], rig.plugin.params["count"]) == (5.0, 8)

    run(work())


def test_command_is_true_for_one_frame(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            rig.plugin.params.set("press", True)
            assert (await rig.process("assert params.press is True")).message == ""
            assert (await rig.process("assert params.press is False")).message == ""

    run(work())


@pytest.mark.parametrize(
    ("status", "failed", "processed", "published"),
    [("WARNING", False, 1, 1), ("SKIP", False, 1, 1), ("ERROR", True, 0, 0), ("OK", False, 1, 1)],
)
def test_statuses(tmp_path, status, failed, processed, published):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            out = "None" if status in ("SKIP", "ERROR") else "Figures()"
            outcome = await rig.process(f"result = Result({out}, Status.{status}, 'because')")
            assert (outcome.status, outcome.message) == (Status[status], "because")
            assert outcome.failed is failed
            assert (outcome.outputs is None) == (out == "None")
            assert rig.plugin.counters.processed == processed
            assert len(rig.published) == published

    run(work())


def test_attributes_and_outputs_go_on_with_the_array(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            code = (
                "result = Result(Figures(total=2.0), attributes={'EXTRA': np.int16(4), 'DO': 'x'})"
            )
            await rig.process(code, FILTER="R")
            array = rig.published[0]
            assert (array.unique_id, array.timestamp) == (7, 1234.5)
            found = {k: array.attributes[k] for k in ("EXTRA", "DO", "FILTER", "Total", "Status")}
            assert found == {"EXTRA": 4, "DO": "x", "FILTER": "R", "Total": 2.0, "Status": "ok"}
            assert array.attributes["CodeHash"] == rig.plugin.workers.code_hash != ""

    run(work())


def test_start_and_stop_hooks_are_called_in_the_worker(tmp_path):
    trace = tmp_path / "trace"
    hooks = f"""
    def start(self):
        self.kept = "from start"

    def stop(self):
        with open({str(trace)!r}, "w") as file:
            file.write(self.kept)
"""

    async def work():
        async with plugin_rig(probe(tmp_path, SOURCE + hooks)) as rig:
            assert (await rig.process("assert self.kept == 'from start'")).message == ""

    run(work())
    assert trace.read_text() == "from start"


@pytest.mark.parametrize(
    ("stage", "source"),
    [
        ("import", "import nothing_of_this_name\n" + SOURCE),
        ("import", "import sys; sys.exit(0)\n" + SOURCE),
        ("constructor", SOURCE + "\n    def __init__(self): raise OSError('no GPU')\n"),
        ("start", SOURCE + "\n    def start(self): raise OSError('no GPU')\n"),
        ("declaration", SOURCE.replace('"Threshold"', '""')),
    ],
)
def test_fault_at_start_tells_its_stage_and_leaves_nothing(tmp_path, stage, source):
    async def work():
        before = descriptors()
        with pytest.raises(AlgorithmFault) as caught:
            async with plugin_rig(probe(tmp_path, source)):
                pass
        assert caught.value.stage == stage
        assert descriptors() <= before

    run(work())


def test_interpreter_that_cannot_run_the_worker_is_told_with_its_last_words(tmp_path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho No module named numpy >&2\nexit 1\n")

    async def work(words):
        before = descriptors()
        with pytest.raises(WorkerDied, match=words):
            async with plugin_rig(probe(tmp_path, interpreter=fake)):
                pass
        assert descriptors() <= before

    run(work("could not start: Permission denied"))
    fake.chmod(0o755)
    run(work("exit status 1: No module named numpy"))


def test_megabytes_of_print_neither_block_nor_pile_up(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process("sys.stdout.write('a line of text\\n' * 300_000)")
            assert not outcome.failed
            assert "a line of text" in rig.printed()
            assert len(rig.printed()) <= 50

    run(work())


def test_frame_that_no_message_can_hold_fails_alone(tmp_path, monkeypatch):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            pid = rig.plugin.workers.pid
            with monkeypatch.context() as patched:
                patched.setattr(protocol, "LONGEST_JSON", 4000)
                huge = await rig.process(BAD="x" * 5000)
            assert "expected at most" in huge.message
            assert not (await rig.process(BAD="x" * (17 << 20))).failed  # it is cut
            assert not (await rig.process()).failed
            assert rig.plugin.workers.pid == pid

    run(work())


def test_long_header_reaches_the_algorithm(tmp_path):
    cards = {f"KEY{n}": "v" * 60 for n in range(3000)}

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            code = "result = Result(Figures(number=len(attributes)), attributes=dict(attributes))"
            outcome = await rig.process(code, **cards)
            assert outcome.outputs is not None
            assert outcome.outputs["number"] == 3001
            assert rig.published[0].attributes["KEY2999"] == "v" * 60

    run(work())


def test_attributes_are_those_of_the_frame_whatever_the_frames_before_had(tmp_path):
    frames: list[dict[str, object]] = [
        {"A": 1, "B": "text", "C": 0.0, "D": math.nan},
        {"A": True, "B": "text", "C": 0.0, "D": math.nan},
        {"A": 1.0, "B": "other", "E": np.arange(3)},
        {"A": 1.0, "B": "other", "E": np.arange(3) + 1},
        {},
        {"B": "other"},
    ]
    code = "result = Result(Figures(), message=repr({**attributes, 'DO': 0}))"

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            for attributes in frames:
                for _ in range(2):
                    outcome = await rig.process(code, **attributes)
                    given = sorted(({"DO": 0, **attributes}).items())
                    assert sorted(eval(outcome.message, EVAL).items()).__repr__() == repr(given)

    run(work())


def test_arrays_in_attributes_reach_the_algorithm_and_go_on(tmp_path):
    code = """
assert not attributes['FLAT'].flags.writeable
assert attributes['FLAT'].dtype == np.float32
result = Result(Figures(), attributes={'DARK': attributes['FLAT'][::2].astype('>i4')})
"""
    flat = np.arange(300_000, dtype="float32")

    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process(code, FLAT=flat)
            assert outcome.message == ""
            dark = rig.published[0].attributes["DARK"]
            assert np.array_equal(dark, flat[::2])
            assert attribute_type(dark) == "Int32"

    run(work())


def test_worker_refuses_an_ioc_of_another_version(tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "VERSION", 1)
    monkeypatch.setattr(protocol, "check_version", lambda message: None)

    async def work():
        with pytest.raises(RuntimeError, match=r"exit status 1: .*expected version 3, got 1"):
            async with plugin_rig(probe(tmp_path)):
                pass

    run(work())


def test_half_characters_in_texts_are_replaced(tmp_path):
    async def work():
        async with plugin_rig(probe(tmp_path)) as rig:
            outcome = await rig.process("result = Result(Figures(), message='a\\udc80b')")
            assert outcome.message == "a?b"

    run(work())
