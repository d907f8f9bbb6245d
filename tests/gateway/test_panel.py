"""What operators see of the gateway are its counters, in their units and with their alarms."""

import math
import time
from pathlib import Path

import pytest

from tosip.description import Alarm, Kind, Severity
from tosip.gateway import ArchiveSettings, Gateway, GatewayCounters, GatewaySettings, Users
from tosip.gateway.counters import Last
from tosip.gateway.forwarding.forwarder import ArchiveState
from tosip.gateway.panel import gateway_items

MIB, GIB = 1 << 20, 1 << 30
MAX_AGE = 900.0
ITEMS = {item.pv: item for item in gateway_items(["CAM01", "CAM02"], MAX_AGE)}
SETTINGS = GatewaySettings(
    users=Users({}),
    spool=Path("spool"),
    archive=ArchiveSettings(host="archive", user="gateway", password=""),
)


def shown(pv, **counters):
    """Return what a gateway that has counted this shows."""
    gateway = Gateway(SETTINGS)
    gateway.counters = GatewayCounters(**counters)
    read = ITEMS[pv].read
    assert read is not None
    return read(gateway)


# Each count is one that nothing else has: what shows another one is found out.
VALUES = [
    ("Port", {}, 2121),
    ("Connections", {"connections": 3}, 3),
    ("Cameras", {"cameras": frozenset({"cam02", "cam01"})}, "cam01 cam02"),
    ("Received", {"acknowledged": 5, "delivered": 4}, 5),
    ("ReceivedSize", {"bytes_acknowledged": 6 * GIB}, 6.0),
    ("ReceiveRate", {"receive_rate": 7.0 * MIB, "forward_rate": 1.0}, 7.0),
    ("Duplicates", {"duplicates": 8}, 8),
    ("Quarantined", {"quarantined": 9}, 9),
    ("Refused", {"refused": 10}, 10),
    ("LastRefusal", {"last_refusal": "552 too long", "last_error": "no"}, "552 too long"),
    ("ArchiveState", {}, "Not tried"),
    ("ArchiveState", {"archive": ArchiveState.OK}, "OK"),
    ("ArchiveState", {"archive": ArchiveState.UNREACHABLE}, "Unreachable"),
    ("ArchiveState", {"archive": ArchiveState.REFUSING}, "Refusing"),
    ("ArchiveState", {"archive": ArchiveState.PAUSED}, "Paused"),
    ("LastError", {"last_error": "disk: full", "last_refusal": "no"}, "disk: full"),
    ("Delivered", {"delivered": 11, "acknowledged": 12}, 11),
    ("ForwardRate", {"forward_rate": 13.0 * MIB, "receive_rate": 1.0}, 13.0),
    ("Pending", {"pending": 14}, 14),
    ("PendingSize", {"bytes_pending": 15 * MIB}, 15.0),
    ("PendingAge", {}, 0.0),
    ("PauseForwarding", {}, "No"),
    ("PauseForwarding", {"paused": True}, "Yes"),
    ("DeadLetters", {"dead": 16}, 16),
    ("DeadLetterList", {"dead_letters": ("1 a", "2 b")}, "1 a\n2 b"),
    ("Discarded", {"discarded": 17}, 17),
    ("RetryFile", {}, ""),
    ("DiscardFile", {}, ""),
    ("FreeSpace", {"free_space": 18 * GIB}, 18.0),
    ("Watermark", {"watermark": 19 * GIB}, 19.0),
    ("DiskState", {}, "OK"),
    ("DiskState", {"free_space": 20 * GIB, "watermark": 10 * GIB}, "OK"),
    ("DiskState", {"free_space": 20 * GIB - 1, "watermark": 10 * GIB}, "Low"),
    ("DiskState", {"free_space": 10 * GIB, "watermark": 10 * GIB}, "Low"),
    ("DiskState", {"free_space": 10 * GIB - 1, "watermark": 10 * GIB}, "Full"),
    ("Unseen", {"unseen": 21}, 21),
    ("CAM01LastFile", {"last": {"CAM01": Last("x.fits"), "CAM02": Last("y.fits")}}, "x.fits"),
    ("CAM02LastFile", {"last": {"CAM01": Last("x.fits")}}, ""),
]
AGES = [
    ("PendingAge", "pending_since", lambda since: since),
    ("CAM01Age", "last", lambda since: {"CAM01": Last("x.fits", since)}),
]


@pytest.mark.parametrize(("pv", "counters", "value"), VALUES)
def test_a_record_shows_what_is_counted(pv, counters, value):
    assert shown(pv, **counters) == value


@pytest.mark.parametrize(("pv", "counter", "since"), AGES, ids=[pv for pv, _, _ in AGES])
def test_an_age_is_the_time_since_then_and_never_below_nothing(pv, counter, since):
    now = time.time()
    assert 100.0 <= shown(pv, **{counter: since(now - 100.0)}) < 200.0
    assert shown(pv, **{counter: since(now + 100.0)}) == 0.0


def test_what_is_not_known_yet_is_no_number():
    assert math.isnan(shown("FreeSpace"))
    assert math.isnan(shown("CAM02Age", last={"CAM01": Last("x.fits", 1.0)}))


def test_every_record_that_shows_something_is_tested_here():
    tested = {pv for pv, _, _ in VALUES + AGES} | {"CAM02Age"}
    assert {pv for pv, item in ITEMS.items() if item.read} == tested


def test_a_text_is_cut_to_the_length_of_its_record():
    long = "x" * 10_000
    counters = {
        "cameras": frozenset({long}),
        "last_refusal": long,
        "last_error": long,
        "dead_letters": (long,),
        "last": {"CAM01": Last(long), "CAM02": Last(long)},
    }
    texts = [
        pv
        for pv, item in ITEMS.items()
        if item.field.kind is Kind.STR and item.read and not item.write
    ]
    assert len(texts) == 6
    for pv in texts:
        assert shown(pv, **counters) == long[: ITEMS[pv].field.length]


def test_numbers_have_the_alarm_limits_that_are_documented():
    assert {pv: item.field.alarm for pv, item in ITEMS.items() if item.field.alarm} == {
        "Pending": Alarm(high=100, hihi=1000),
        "PendingAge": Alarm(high=600, hihi=3600),
        "DeadLetters": Alarm(hihi=1),
        "CAM01Age": Alarm(hihi=MAX_AGE),
        "CAM02Age": Alarm(hihi=MAX_AGE),
    }


def test_without_an_age_no_camera_is_in_alarm():
    ages = [item for item in gateway_items(["CAM01"]) if item.pv == "CAM01Age"]
    assert [item.field.alarm for item in ages] == [None]


def test_states_have_the_severities_that_are_documented():
    minor, major = Severity.MINOR, Severity.MAJOR
    assert {
        (pv, choice): severity
        for pv, item in ITEMS.items()
        for choice, severity in zip(item.field.choices, item.field.severities, strict=True)
        if severity is not Severity.NO_ALARM
    } == {
        ("ArchiveState", "Unreachable"): major,
        ("ArchiveState", "Refusing"): major,
        ("ArchiveState", "Paused"): minor,
        ("PauseForwarding", "Yes"): minor,
        ("DiskState", "Low"): minor,
        ("DiskState", "Full"): major,
    }


def test_each_state_of_the_archive_has_a_choice():
    assert set(ITEMS["ArchiveState"].field.choices) == {state.value for state in ArchiveState}
