"""What clients see of an algorithm's records, over PVAccess, in a running IOC."""

from __future__ import annotations

import os
import re
import signal
import time

import numpy as np
import pytest
from p4p.client.thread import RemoteError

from tosip.drivers.sky import fits_bytes

INVALID, MAJOR, MINOR, NONE = 3, 2, 1, 0
UINT64_BIT = 1 << 40


def processed(ioc, uploads, value=100, **upload):
    """Upload a frame and wait until its results are on the records."""
    stamp = uploads.frame(value, **upload)
    ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.timestamp == stamp)
    return stamp


def set_mode(ioc, mode):
    ioc.put("FOCUS01:Mode", mode)
    assert str(ioc.get("FOCUS01:Mode_RBV")) == mode


@pytest.fixture(autouse=True)
def _usual_values(ioc):
    yield
    ioc.put("FOCUS01:Mode", "echo")
    ioc.put("FOCUS01:Gain", 2.0)


def test_outputs_are_invalid_before_the_first_frame(ioc):
    for name in ("Mean", "Total", "Raised", "Seen", "Text", "Profile"):
        assert ioc.get(f"FOCUS02:{name}_RBV").severity == INVALID, name


def test_every_kind_of_output_shows_the_algorithms_value(ioc, uploads):
    processed(ioc, uploads, 100)

    assert ioc.get("FOCUS01:Mean_RBV") == 200.0
    assert ioc.get("FOCUS01:Total_RBV") == 3 + UINT64_BIT
    assert bool(ioc.get("FOCUS01:Raised_RBV"))
    assert str(ioc.get("FOCUS01:Seen_RBV")) == "echo"
    assert ioc.get("FOCUS01:Text_RBV") == "abc|once"
    assert np.array_equal(ioc.get("FOCUS01:Profile_RBV"), np.full(32, 300.0))


def test_outputs_carry_the_frames_own_time(ioc, uploads):
    stamp = processed(ioc, uploads)

    for name in ("Mean", "Total", "Raised", "Seen", "Text", "Profile"):
        assert ioc.get(f"FOCUS01:{name}_RBV").timestamp == stamp, name


def test_declared_units_precision_and_limits_are_on_the_record(ioc):
    shown = ioc.get("FOCUS01:Mean_RBV").raw

    assert shown.display.units == "ADU"
    assert shown.display.precision == 3
    assert (shown.display.limitLow, shown.display.limitHigh) == (0.0, 65535.0)
    assert ioc.get("FOCUS01:Mean_RBV.DESC") == "Mean pixel"
    assert ioc.get("FOCUS01:WasReset_RBV.DESC") == "Whether the button was pressed..."


def test_declared_and_configured_alarm_limits_act(ioc, uploads):
    limits = ioc.get("FOCUS01:Mean_RBV").raw.valueAlarm

    assert (limits.lowWarningLimit, limits.highWarningLimit, limits.highAlarmLimit) == (
        10.0,
        900.0,
        2000.0,
    )
    for value, severity in ((100, NONE), (460, MINOR), (1200, MAJOR), (100, NONE), (2, MINOR)):
        processed(ioc, uploads, value)
        assert ioc.get("FOCUS01:Mean_RBV").severity == severity, value


def test_alarm_limits_changed_by_operators_act_on_the_next_frame(ioc, uploads):
    ioc.put("FOCUS01:Mean_RBV.HIHI", 150.0)

    processed(ioc, uploads, 100)

    assert ioc.get("FOCUS01:Mean_RBV").severity == MAJOR
    ioc.put("FOCUS01:Mean_RBV.HIHI", 2000.0)


def test_alarm_limits_changed_by_operators_act_at_once(ioc, uploads):
    stamp = processed(ioc, uploads, 100)
    shown = ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.severity == NONE)

    ioc.put("FOCUS01:Mean_RBV.HIHI", 150.0)

    worse = ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.severity == MAJOR)
    assert (worse, worse.timestamp) == (shown, stamp)
    ioc.put("FOCUS01:Mean_RBV.HHSV", "MINOR")
    ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.severity == MINOR)
    ioc.put("FOCUS01:Mean_RBV.HHSV", "MAJOR")
    ioc.put("FOCUS01:Mean_RBV.HIHI", 2000.0)
    ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.severity == NONE)


def test_a_changed_limit_does_not_make_believe_what_was_never_known(ioc):
    with ioc.monitor("FOCUS02:Mean_RBV") as updates:
        before = updates.next()
        ioc.put("FOCUS02:Mean_RBV.HIHI", 1500.0)
        ioc.put("FOCUS02:MaxAge", 0.0)  # ends behind it
    assert before.severity == INVALID
    assert ioc.get("FOCUS02:Mean_RBV").severity == INVALID
    ioc.put("FOCUS02:Mean_RBV.HIHI", 2000.0)


def test_severities_of_choices_and_flags_act(ioc, uploads):
    set_mode(ioc, "blank")

    processed(ioc, uploads)

    assert ioc.get("FOCUS01:Seen_RBV").severity == MAJOR
    assert ioc.get("FOCUS01:Raised_RBV").severity == MINOR


def test_a_figure_that_is_not_known_is_invalid(ioc, uploads):
    set_mode(ioc, "blank")

    processed(ioc, uploads)

    assert np.isnan(ioc.get("FOCUS01:Mean_RBV"))
    assert ioc.get("FOCUS01:Mean_RBV").severity == INVALID
    assert ioc.get("FOCUS01:Total_RBV").severity == NONE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Gain", 4.5),
        ("Count", 42),
        ("Big", 1 << 50),
        ("Label", "xyz"),
        ("Story", "a long story " * 30),
        ("Weights", np.array([0.5, 1.5, 2.5])),
    ],
)
def test_a_written_input_is_in_force_when_the_put_completes(ioc, name, value):
    before = ioc.get(f"FOCUS01:{name}")

    ioc.put(f"FOCUS01:{name}", value)

    assert np.all(ioc.get(f"FOCUS01:{name}_RBV") == value)
    ioc.put(f"FOCUS01:{name}", before)


def test_a_flag_can_be_written(ioc):
    ioc.put("FOCUS01:Flag", 0)
    assert not bool(ioc.get("FOCUS01:Flag_RBV"))
    ioc.put("FOCUS01:Flag", 1)
    assert bool(ioc.get("FOCUS01:Flag_RBV"))


def test_the_algorithm_gets_what_was_written(ioc, uploads):
    ioc.put("FOCUS01:Gain", 3.0)

    processed(ioc, uploads, 100)

    assert ioc.get("FOCUS01:Mean_RBV") == 300.0


@pytest.mark.parametrize("value", [1000.0, -0.1, float("nan"), float("inf")])
def test_a_value_that_is_none_or_outside_its_limits_is_refused_and_the_old_one_shown(ioc, value):
    with pytest.raises(RemoteError):
        ioc.put("FOCUS01:Gain", value)

    assert ioc.get("FOCUS01:Gain_RBV") == 2.0
    assert ioc.get("FOCUS01:Gain") == 2.0


def test_a_command_reaches_one_frame(ioc, uploads):
    ioc.put("FOCUS01:Reset", 1)

    processed(ioc, uploads)
    assert bool(ioc.get("FOCUS01:WasReset_RBV"))
    processed(ioc, uploads)
    assert not bool(ioc.get("FOCUS01:WasReset_RBV"))


def test_an_algorithm_that_raises_shows_the_cause_first_and_the_next_frame_is_normal(ioc, uploads):
    processed(ioc, uploads)
    set_mode(ioc, "raise")

    stamp = uploads.frame()
    message = ioc.wait("FOCUS01:Message_RBV", lambda text: "told to raise" in text)

    assert re.fullmatch(r"\w+: .*told to raise.* \(everything\.py:\d+\)", message.splitlines()[0])
    assert "Traceback" in message
    assert "tosip/pipeline" not in message
    assert ioc.wait("FOCUS01:Mean_RBV", lambda v: v.timestamp == stamp).severity == INVALID
    status = ioc.wait("FOCUS01:Status_RBV", lambda s: str(s) == "error")
    assert status.severity == MAJOR
    pid = ioc.get("FOCUS01:WorkerPid_RBV")
    set_mode(ioc, "echo")
    processed(ioc, uploads)
    assert ioc.get("FOCUS01:Mean_RBV").severity == NONE
    assert ioc.get("FOCUS01:WorkerPid_RBV") == pid


def test_a_worker_that_crashes_is_replaced_and_the_cause_is_in_words(ioc, uploads):
    pid = ioc.get("FOCUS01:WorkerPid_RBV")
    set_mode(ioc, "die")

    stamp = uploads.frame()
    ioc.wait("FOCUS01:LastExit_RBV", lambda words: words == "killed by SIGSEGV")

    assert ioc.wait("FOCUS01:Mean_RBV", lambda v: v.timestamp == stamp).severity == INVALID
    set_mode(ioc, "echo")
    processed(ioc, uploads)
    assert ioc.get("FOCUS01:Mean_RBV").severity == NONE
    assert ioc.wait("FOCUS01:WorkerPid_RBV", lambda new: new not in (0, pid))


def test_after_kill_9_of_an_idle_worker_the_next_frame_is_processed_by_a_new_one(ioc, uploads):
    processed(ioc, uploads)
    pid = ioc.get("FOCUS01:WorkerPid_RBV")
    restarts = ioc.get("FOCUS01:RestartCount_RBV")

    os.kill(int(pid), signal.SIGKILL)
    processed(ioc, uploads)

    assert ioc.get("FOCUS01:Mean_RBV").severity == NONE
    assert ioc.wait("FOCUS01:RestartCount_RBV", lambda n: n == restarts + 1)
    assert ioc.wait("FOCUS01:WorkerPid_RBV", lambda new: new not in (0, pid))
    assert ioc.get("FOCUS01:LastExit_RBV") == "killed by SIGKILL"


def test_a_warning_publishes_the_outputs_with_a_minor_alarm_on_the_status(ioc, uploads):
    set_mode(ioc, "warn")

    processed(ioc, uploads)

    assert ioc.get("FOCUS01:Mean_RBV").severity == NONE
    assert ioc.wait("FOCUS01:Status_RBV", lambda s: str(s) == "warning").severity == MINOR
    assert ioc.get("FOCUS01:Message_RBV") == "warned"


def test_the_last_frame_can_be_processed_again(ioc, uploads):
    stamp = processed(ioc, uploads, 100)
    ioc.put("FOCUS01:Gain", 5.0)

    ioc.put("FOCUS01:ProcessPlugin", 1)

    again = ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean == 500.0)
    assert again.timestamp == stamp


def test_the_counts_balance(ioc, uploads):
    processed(ioc, uploads)

    def balances(done):
        ended = done + ioc.get("FOCUS01:FailedArrays_RBV") + ioc.get("FOCUS01:DroppedArrays_RBV")
        return ended == ioc.get("FOCUS01:ReceivedArrays_RBV")

    ioc.wait("FOCUS01:ProcessedArrays_RBV", balances)


def test_a_port_can_be_rewired_and_an_unknown_one_is_refused(ioc, uploads):
    ioc.put("FOCUS01:NDArrayPort", "CAM02")
    stamp = uploads.frame(50, user="cam02")
    ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.timestamp == stamp)
    assert ioc.get("FOCUS01:Mean_RBV") == 100.0

    for wrong in ("NOWHERE", "FOCUS01"):
        with pytest.raises(RemoteError):
            ioc.put("FOCUS01:NDArrayPort", wrong)
        assert ioc.get("FOCUS01:NDArrayPort_RBV") == "CAM02"
    assert ioc.wait("FOCUS01:NDArrayPort", lambda port: port == "CAM02")
    ioc.put("FOCUS01:NDArrayPort", "CAM01")


def test_a_disabled_plugin_takes_no_frames(ioc, uploads):
    ioc.put("FOCUS02:EnableCallbacks", "Disable")
    received = ioc.get("FOCUS02:ReceivedArrays_RBV")
    number = ioc.get("CAM02:UniqueId_RBV") + 1

    uploads.frame(user="cam02")
    ioc.wait("CAM02:UniqueId_RBV", lambda last: last == number)

    assert ioc.get("FOCUS02:ReceivedArrays_RBV") == received
    ioc.put("FOCUS02:EnableCallbacks", "Enable")


def test_an_unreadable_file_is_a_fault_of_that_frame_only(ioc, uploads):
    failed = ioc.get("CAM01:FailedArrays_RBV")

    uploads.file("m31.fits", b"this is no image")
    message = ioc.wait("CAM01:Message_RBV", lambda text: text != "")

    assert message.startswith("m31.fits: expected a FITS file")
    assert ioc.wait("CAM01:Status_RBV", lambda s: str(s) == "unreadable file").severity == MAJOR
    assert ioc.wait("CAM01:FailedArrays_RBV", lambda n: n == failed + 1)
    processed(ioc, uploads)
    assert ioc.wait("CAM01:Status_RBV", lambda s: str(s) == "ok").severity == NONE


def test_a_file_that_is_no_frame_is_counted_apart_without_an_alarm(ioc, uploads):
    processed(ioc, uploads)
    failed, others = ioc.get("CAM01:FailedArrays_RBV"), ioc.get("CAM01:OtherFiles_RBV")

    uploads.file("notes.txt", b"this is no image")

    assert ioc.wait("CAM01:OtherFiles_RBV", lambda n: n == others + 1).severity == NONE
    assert ioc.get("CAM01:FailedArrays_RBV") == failed
    assert (str(ioc.get("CAM01:Status_RBV")), ioc.get("CAM01:Message_RBV")) == ("ok", "")


def test_a_time_that_epics_cannot_hold_is_that_of_reception_and_in_alarm(ioc, uploads):
    processed(ioc, uploads)
    assert ioc.wait("CAM01:TimeSource_RBV", lambda s: str(s) == "header").severity == NONE
    began, pixels = time.time(), np.full((16, 32), 123, np.uint16)

    uploads.file("gps.fits", fits_bytes(pixels, {"DATE-OBS": "1980-01-06T00:00:00"}))
    mean = ioc.wait("FOCUS01:Mean_RBV", lambda mean: mean.timestamp > began - 1)

    assert mean.timestamp < time.time() + 1
    assert mean.severity == NONE
    assert ioc.wait("CAM01:TimeSource_RBV", lambda s: str(s) == "reception").severity == MINOR
    message = ioc.get("CAM01:TimeMessage_RBV")
    assert message == "DATE-OBS = '1980-01-06T00:00:00' is before 1990"


def test_the_pvi_structure_tells_what_the_algorithm_is(ioc):
    structure = ioc.get("FOCUS01:PVI")

    assert structure.getID() == "epics:nt/NTPVI:1.0"
    assert structure.display.description == 'Shows "every" kind of value: \\ä $(P).'
    assert structure.value.gain.todict() == {
        "r": f"{ioc.prefix}FOCUS01:Gain_RBV",
        "w": f"{ioc.prefix}FOCUS01:Gain",
    }
    assert ioc.get("PVI").value.focus01.d == f"{ioc.prefix}FOCUS01:PVI"


@pytest.mark.parametrize(("name", "value"), [("Gain", "much"), ("Mode", "no mode")])
def test_a_value_of_the_wrong_type_is_refused_and_the_old_one_kept(ioc, name, value):
    before = ioc.get(f"FOCUS01:{name}")

    with pytest.raises(Exception, match=r"."):  # the client's, or the server's
        ioc.put(f"FOCUS01:{name}", value)

    assert ioc.get(f"FOCUS01:{name}") == ioc.get(f"FOCUS01:{name}_RBV") == before
