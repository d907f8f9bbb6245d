"""The start of exposure, in the many ways in which headers give it."""

import socket
import time
import warnings
from datetime import datetime

import pytest
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from tosip.drivers.fits_time import exposure_start
from tosip.pipeline.epics_time import EPICS_EPOCH

WANTED = 1685595898.47  # 2023-06-01T05:04:58.47Z
NOW = 1_700_000_000.0
ISO = "2023-06-01T05:04:58.47"


def start(**header):
    """Keywords are given with _ for -."""
    return exposure_start({key.replace("_", "-"): v for key, v in header.items()}, now=NOW)


@pytest.mark.parametrize(
    "text",
    [
        ISO,
        "2023-06-01 05:04:58.47",
        "2023-06-01t05:04:58.47z",
        "2023-06-01T05:04:58.470000000123",
        "2023-06-01T05:04:58,47",
        "2023-06-01T05:04:58.47+00:00",
        "2023-06-01T07:04:58.47+02:00",
        "2023-06-01T07:04:58.47 +0200",
        "2023-05-31T22:04:58.47-07",
        "2023-06-01T10:34:58.47+05:30",
        "2023-06-01T05:04:58.47 UTC",
        "2023-06-01T05:04:58.47 (UT)",
        "2023-6-1T5:4:58.47",
        "2023-6-1 T 5:4:58.47",
        "2023/06/01 05:04:58.47",
        "2023/6/1, 5:04:58.47",
        "2023.06.01_05:04:58.47",
        "2023:06:01 05:04:58.47",
        "20230601T050458.47",
        "2023-06-01T05h04m58.47s",
        "2023/06/01-05:04:58.47",
        "20230601-050458.47",
        "01.06.2023 05:04:58.47",
        "01-Jun-2023 05:04:58.47",
        "1 June 2023 05:04:58.47",
        "2023-Jun-01T05:04:58.47",
        '"2023-06-01T05:04:58.47"',
        "  2023-06-01T05:04:58.47  ",
    ],
)
def test_dates_are_read_in_every_usual_spelling(text):
    found = start(DATE_OBS=text)
    assert found.seconds == pytest.approx(WANTED, abs=1e-6)
    assert (found.source, found.fault) == ("DATE-OBS", "")


@pytest.mark.parametrize(
    ("header", "source"),
    [
        ({"DATE_BEG": ISO, "DATE_OBS": "2023-06-01T05:05:58.47"}, "DATE-BEG"),
        ({"DATE_OBS": ISO, "MJD_OBS": 60096.5, "DATE": "2023-06-02T00:00:00"}, "DATE-OBS"),
        ({"DATE_OBS": "0001-01-01T00:00:00", "MJD_OBS": 60096.21178784722}, "MJD-OBS"),
        ({"DATE_OBS": "2023-06-01", "MJD_OBS": 60096.21178784722}, "MJD-OBS"),
        ({"MJD_OBS": "60096.21178784722"}, "MJD-OBS"),
        ({"MJD_OBS": "60096,21178784722"}, "MJD-OBS"),
        ({"MJD_BEG": 60096.21178784722}, "MJD-BEG"),
        ({"MJD_OBS": 2460096.71178784722}, "MJD-OBS"),
        ({"JD": 2460096.71178784722}, "JD"),
        ({"JD": "2460096.71178784722"}, "JD"),
        ({"EXPSTART": 60096.21178784722}, "EXPSTART"),
        ({"FRAME": ISO, "DATE": "2023-06-01T05:05:10"}, "FRAME"),
        ({"DATE_AVG": ISO}, "DATE-AVG"),
        ({"DATE_AVG": "2023-06-01T05:05:00.47", "EXPTIME": 4.0}, "DATE-AVG, EXPTIME"),
        ({"DATE_AVG": "2023-06-01T05:05:00.47", "EXPTIME": "4,0"}, "DATE-AVG, EXPTIME"),
        ({"MJD_AVG": 60096.21178784722, "EXPTIME": -1}, "MJD-AVG"),
        ({"DATE_END": "2023-06-01T05:05:02.47", "XPOSURE": 4, "EXPTIME": 9}, "DATE-END, XPOSURE"),
        ({"DATE_OBS": "2023-06-01", "TIME_OBS": "05:04:58.47"}, "DATE-OBS, TIME-OBS"),
        ({"DATE_OBS": "2023-06-01", "TIME_OBS": ISO}, "DATE-OBS, TIME-OBS"),
        ({"DATE_OBS": "2023-06-01", "UT": "5:04:58.47"}, "DATE-OBS, UT"),
        ({"DATE_OBS": "2023-06-01", "UTC": " 5: 4:58.47"}, "DATE-OBS, UTC"),
        ({"DATE_OBS": "2023-06-01", "UTSTART": "05:04:58,47 UT"}, "DATE-OBS, UTSTART"),
        ({"DATE_OBS": "2023/06/01", "UTC_OBS": "05 h 04 m 58.47 s"}, "DATE-OBS, UTC-OBS"),
        ({"DATE_OBS": "2023-06-01", "TIME": "050458.47"}, "DATE-OBS, TIME"),
        ({"DATE_OBS": 20230601, "TIME_OBS": 18298.47}, "DATE-OBS, TIME-OBS"),
        ({"DATE_OBS": "2023-06-01", "TM_START": "18298.47"}, "DATE-OBS, TM-START"),
        ({"MJD_OBS": 60096, "TIME_OBS": "05:04:58.47"}, "MJD-OBS, TIME-OBS"),
        ({"DATE_OBS": "2023-06-01", "UT": "rubbish", "UTC": "05:04:58.47"}, "DATE-OBS, UTC"),
        ({"DATE_OBS": "2023-06-01", "UT": 5.0829, "MJD_OBS": 60096.21178784722}, "MJD-OBS"),
        ({"TIME_OBS": ISO}, "TIME-OBS"),
    ],
)
def test_times_are_read_from_every_usual_keyword(header, source):
    found = start(**header)
    assert found.seconds == pytest.approx(WANTED, abs=1e-4)
    assert found.source == source


@pytest.mark.parametrize(
    ("scale", "name"),
    [
        ("utc", "UTC"),
        ("utc", "UTC(NIST)"),
        ("utc", "ut"),
        ("utc", ""),
        ("tai", "TAI"),
        ("tt", "TT"),
        ("tt", "TT(TAI)"),
        ("tdb", "TDB"),
        ("tcg", "TCG"),
        ("tcb", "TCB"),
    ],
)
@pytest.mark.parametrize("moment", [ISO, "2016-12-31T12:00:00", "1995-12-31T23:59:59"])
def test_times_in_other_scales_become_utc(scale, name, moment):
    utc = Time(moment, scale="utc", precision=9)
    unix = datetime.fromisoformat(f"{moment}Z").timestamp()  # Time.unix spreads leap seconds
    told = getattr(utc, scale).isot
    assert start(DATE_OBS=told, TIMESYS=name).seconds == pytest.approx(unix, abs=2.1e-3)


def test_gps_time_is_19_seconds_behind_tai():
    assert start(DATE_OBS=ISO, TIMESYS="GPS").seconds == pytest.approx(WANTED - 18, abs=1e-6)


def test_a_leap_second_and_seconds_that_were_rounded_up():
    assert start(DATE_OBS="2016-12-31T23:59:60.5").seconds == 1483228800.5
    assert start(DATE_OBS="2023-06-01T05:04:60.0").seconds == 1685595900.0
    assert start(DATE_OBS="2023-06-01T24:00:00").seconds == 1685664000.0
    assert start(DATE_OBS="26/10/92", UT="00:00:01").seconds == 720057601.0


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ({}, "no keyword has the time of exposure"),
        ({"DATE": ISO, "DATE_LOC": ISO, "UT": "05:04:58"}, "no keyword has the time"),
        ({"DATE_OBS": "2023-06-01"}, "DATE-OBS = '2023-06-01' is a date without a time"),
        ({"DATE_OBS": "2023-06-01", "UT": 5.0829}, "is a date without a time"),
        ({"DATE_OBS": "2023-06-01", "TIME_OBS": 50458}, "is a date without a time"),
        ({"DATE_OBS": "05:04:58"}, "is no date"),
        ({"DATE_OBS": "2023-13-01T05:04:58"}, "is no date"),
        ({"DATE_OBS": "0000-00-00T00:00:00"}, "is no date"),
        ({"DATE_OBS": "2023-06-01T25:04:58"}, "is no time"),
        ({"DATE_OBS": "2023-06-01T05:04:61"}, "is no time"),
        ({"DATE_OBS": "6/1/2023 5:04:58 AM"}, "is not understood"),
        ({"DATE_OBS": "06/01/2023 05:04:58"}, "is not understood"),
        ({"DATE_OBS": "01/06/23", "UT": "05:04:58"}, "is before 1990"),
        ({"DATE_OBS": "2023-06-01T05:04:58 PST"}, "is not understood"),
        ({"DATE_OBS": True}, "is not understood"),
        ({"DATE_OBS": 2026}, "is no MJD or JD"),
        ({"DATE_OBS": ISO, "TIMESYS": "LOCAL"}, "is in the scale TIMESYS = 'LOCAL'"),
        ({"DATE_END": ISO}, "is the end of an exposure of unknown length"),
        ({"MJD_OBS": 60096}, "is a date without a time"),
        ({"JD": 2460097}, "is a date without a time"),
        ({"MJD_OBS": 0.0}, "is no MJD or JD"),
        ({"MJD_OBS": float("nan")}, "is not understood"),
        ({"MJD_OBS": float("inf"), "JD": 10**400}, "is not understood; JD"),
        ({"DATE_OBS": "9999-12-31T23:59:59"}, "is in the future"),
        ({"DATE_OBS": "2023-11-15T22:13:21"}, "is in the future"),
        ({"DATE_OBS": "1989-12-31T23:59:59.9"}, "is before 1990"),
        ({"DATE_OBS": "1970-01-01T00:00:00"}, "DATE-OBS = '1970-01-01T00:00:00' is before 1990"),
    ],
)
def test_what_is_no_time_is_reception_and_says_why(header, fault):
    found = start(**header)
    assert (found.seconds, found.source) == (None, "reception")
    assert fault in found.fault


@pytest.mark.parametrize(
    ("text", "year", "now", "seconds"),
    [
        ("1990-01-01T00:00:00", 1990, NOW, EPICS_EPOCH),
        ("1990-01-01T00:00:00", 1970, NOW, EPICS_EPOCH),
        ("1989-12-31T23:59:59", 1970, NOW, None),
        ("2019-12-31T23:59:59", 2020, NOW, None),
        ("2020-01-01T00:00:00", 2020, NOW, 1577836800.0),
        ("2023-11-15T22:13:20", 1990, NOW, NOW + 86400),
        ("2106-02-07T06:28:15", 1990, 4.5e9, 4294967295.0),
        ("2106-02-07T06:28:16", 1990, 4.5e9, None),
        (ISO, 1990, 0.0, WANTED),  # our own clock was never set
    ],
)
def test_the_edges_of_what_epics_can_hold(text, year, now, seconds):
    found = exposure_start({"DATE-OBS": text}, earliest_year=year, now=now)
    assert found.seconds == (None if seconds is None else pytest.approx(seconds))


@settings(deadline=None)
@given(
    st.sampled_from(["DATE-OBS", "MJD-OBS", "JD", "UT"]),
    st.one_of(
        st.text(max_size=40),
        st.text("0123456789-:/. TZ+e,", max_size=40),
        st.integers(),
        st.floats(),
        st.booleans(),
    ),
    st.text(max_size=8) | st.sampled_from(["TAI", "TCB"]),
)
def test_no_value_raises_or_gives_a_time_that_epics_cannot_hold(keyword, value, system):
    header = {keyword: value, "TIMESYS": system, "TIME-OBS": value, "EXPTIME": value}
    seconds = exposure_start(header, now=NOW).seconds
    assert seconds is None or EPICS_EPOCH <= seconds <= NOW + 86400


def test_reading_times_is_quick_quiet_and_asks_no_server(monkeypatch):
    def refuse(*_):
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start(DATE_OBS=ISO, TIMESYS="TT")
        began = time.process_time()
        for _ in range(100):
            start(DATE_OBS=ISO)
    assert time.process_time() - began < 0.1  # 1 ms each


@pytest.mark.parametrize(
    "keyword", ["DATE_BEG", "DATEBEG", "DATE_OBS", "DATEOBS", "UT_DATE", "UTC_OBS", "UTSHUT"]
)
def test_a_keyword_may_have_an_underscore_or_nothing_for_its_hyphen(keyword):
    assert exposure_start({keyword: ISO}, now=NOW).source == keyword
    assert exposure_start({keyword: ISO}, now=NOW).seconds == pytest.approx(WANTED, abs=1e-6)


@pytest.mark.parametrize("keyword", ["MJDOBS", "MJD_OBS", "MJD_BEG", "JD_OBS", "JDOBS", "JD-UTC"])
def test_so_may_keywords_of_numbers(keyword):
    value = WANTED / 86400 + (40587 if keyword.startswith("M") else 2440587.5)
    assert exposure_start({keyword: value}, now=NOW).seconds == pytest.approx(WANTED, abs=1e-4)


@pytest.mark.parametrize("clock", ["UT_START", "UTC-BEG", "UTC_OBS", "UTOBS", "UT_SHUT"])
def test_so_may_those_of_the_time_of_day(clock):
    found = exposure_start({"DATE-OBS": "2023-06-01", clock: "05:04:58.47"}, now=NOW)
    assert found.seconds == pytest.approx(WANTED, abs=1e-6)
    assert found.source == f"DATE-OBS, {clock}"


@pytest.mark.parametrize("system", ["UTC+8", "UT-3", "GMT +02:00", "UTC - 5"])
def test_a_time_scale_with_an_offset_is_some_zones_time(system):
    found = start(DATE_OBS=ISO, TIMESYS=system)
    assert (found.seconds, found.source) == (None, "reception")
    assert "TIMESYS" in found.fault


@pytest.mark.parametrize("keyword", ["DATE-OBS", "MJD-OBS", "TIME-OBS", "EXPTIME", "TIMESYS"])
@pytest.mark.parametrize("piece", ["9", "9:", "1.", "a", " ", "'"])
def test_a_very_long_value_takes_no_time(keyword, piece):
    header = {"DATE-END": ISO, "EXPTIME": 1, keyword: f"1{piece * 20_000}x"}
    began = time.process_time()
    exposure_start(header, now=NOW)
    assert time.process_time() - began < 2


def test_a_zone_of_more_than_59_minutes_is_none():
    assert start(DATE_OBS=f"{ISO}+02:99").fault.endswith("is no time")
