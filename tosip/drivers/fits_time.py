"""When an exposure began, from the many ways in which headers give its time.

The start of exposure is the first of these that is a time the clock can have shown:

    DATE-BEG, MJD-BEG                 the start, by definition
    DATE-OBS, MJD-OBS                 the start, by custom; also UT-DATE
    TIME-OBS, UTC-OBS, UT, ...        if one of `_CLOCKS` holds date and time
    DATE-AVG, MJD-AVG                 minus half the exposure, where its length is known
    DATE-END, MJD-END                 minus the exposure, if its length is known
    JD, JD-OBS, JD-UTC, MJD, EXPSTART, FRAME    the start, by custom of some programs

A keyword is the same with `_` or nothing in place of its `-`: DATE_OBS, JD_OBS, MJDOBS.

A date alone, which may be wrong by a day, takes the time of day from the first of `_CLOCKS` that
has one: as hh:mm:ss, or as seconds since midnight (from 24 on: a smaller number may be hours).
A whole MJD is a date alone. DATE, DATE-LOC and the like are other times, and are never used. The
length of the exposure is XPOSURE, EXPTIME or EXPOSURE in seconds.

Times are in the scale of TIMESYS (FITS standard 4.0, section 9.2.1), UTC without one. UT1 counts as
UTC (0.9 s) and TDB as TT (2 ms). Times in LOCAL and unknown scales are not used. A zone behind a
time (+02:00, Z, UT) is applied. Leap seconds come from ERFA's own table, which never asks a server;
23:59:60 is the next day's first second, as everywhere in Unix time. (Astropy's `Time` may load
tables from a server, and its Unix time spreads a leap second over the day.)

Dates are year-month-day with -, /, . or : between; day.month.year; day-month-year with the month's
name; yyyymmdd; or FITS's old dd/mm/yy, which always means 19yy. 01/02/2023 is not used: some write
the month first. Numbers, also as text, are MJD or JD, which their size tells apart.
"""

from __future__ import annotations

import math
import re
import time
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

import erfa

from tosip.pipeline.epics_time import EPICS_END, EPICS_EPOCH

RECEPTION = "reception"
TIME_SOURCE, TIME_FAULT = "TimeSource", "TimeFault"  # attributes of each frame

DAY = 86400
_MJD_OF_UNIX = 40587  # 1970-01-01
_JD_OF_MJD = 2_400_000.5
_MJD_RANGE = range(15_020, 100_000)  # 1900 to 2132
_MJD_OF_1977 = 43_144.0003725  # where TCB and TCG agree with TT
_LONGEST_VALUE = 60


def _spelled(*keywords: str) -> tuple[str, ...]:
    """Return keywords, each also with `_` and with nothing in place of its `-`."""
    return tuple(
        dict.fromkeys(word.replace("-", between) for word in keywords for between in ("-", "_", ""))
    )


_CLOCKS = _spelled(
    "TIME-OBS", "TIME-BEG", "UTC-OBS", "UT-OBS", "UT", "UTC", "UT-START", "UTC-START", "UT-BEG",
    "UTC-BEG", "UT-TIME", "UT-OPEN", "UT-SHUT", "OBS-TIME", "TM-START", "TIME",
)  # fmt: skip
# The keyword, and which part of the exposure had passed then.
_MOMENTS = (
    *((keyword, 0.0) for keyword in _spelled("DATE-BEG", "MJD-BEG", "DATE-OBS", "MJD-OBS")),
    *((keyword, 0.0) for keyword in (*_spelled("UT-DATE"), *_CLOCKS)),
    *((keyword, 0.5) for keyword in _spelled("DATE-AVG", "MJD-AVG")),
    *((keyword, 1.0) for keyword in _spelled("DATE-END", "MJD-END")),
    *((keyword, 0.0) for keyword in _spelled("JD", "JD-OBS", "JD-UTC", "MJD", "EXPSTART")),
    ("FRAME", 0.0),
)
_DAY_SECONDS = _spelled("TM-START")
_SOMETIMES = ("FRAME", *_CLOCKS)  # used alone only if they hold a date and a time
_EXPOSURES = ("XPOSURE", "EXPTIME", "EXPOSURE")
# Seconds by which a scale is ahead of TAI, and its rate against it (IAU 2000 B1.9, 2006 B3).
_SCALES = {
    "TAI": (0.0, 0.0),
    "IAT": (0.0, 0.0),
    "GPS": (-19.0, 0.0),
    "TT": (32.184, 0.0),
    "TDT": (32.184, 0.0),
    "ET": (32.184, 0.0),
    "TDB": (32.184, 0.0),
    "TCG": (32.184, 6.969290134e-10),
    "TCB": (32.184, 1.550519768e-8),
}
_UTC = ("", "UTC", "UT", "UT1", "GMT", "Z")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_DATE = r"""
    (?: (?P<year>\d{4})(?P<sep>[-/.:])(?P<month>\d{1,2}|[a-z]{3,9})(?P=sep)(?P<day>\d{1,2})
      | (?P<d1>\d{1,2})(?P<sep1>[-. /])(?P<m1>[a-z]{3,9})(?P=sep1)(?P<y1>\d{4})
      | (?P<d2>\d{1,2})\.(?P<m2>\d{1,2})\.(?P<y2>\d{4})
      | (?P<d3>\d{2})/(?P<m3>\d{2})/(?P<y3>\d{2})(?!\d)
      | (?P<compact>\d{8}) )"""
_CLOCK = r"""
    (?: (?P<hour>\d{1,2})\s?[:h]\s?(?P<minute>\d{1,2})
        (?: \s?[:m]\s?(?P<second>\d{1,2}(?:[.,]\d*)?)\s?s? )?
      | (?P<compact_time>\d{6})(?P<fraction>[.,]\d*)? )
    \s?(?P<zone>\(?(?:z|utc?|gmt)\)?)?
    (?: \s?(?P<sign>[+-])(?P<zone_hours>\d{1,2})(?: :?(?P<zone_minutes>\d{2}) )? )?"""
_BETWEEN = r"(?: \s*t\s* | [,_]?\s+ | _ | -(?=\d{1,2}:|\d{6}) )"
_FLAGS = re.VERBOSE | re.IGNORECASE | re.ASCII
_TIME = re.compile(_CLOCK, _FLAGS)
_DATE_TIME = re.compile(rf"{_DATE}(?: {_BETWEEN}{_CLOCK} )?", _FLAGS)
_SCALE = re.compile(r"(\w*)(\s*[+-]\s*\d)?")
_WHOLE = re.compile(r"\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+[.,]?\d*(?:[ed][+-]?\d+)?", _FLAGS)


@dataclass(frozen=True)
class Start:
    """The start of an exposure in Unix seconds (UTC), and the keywords that gave it.

    Where no keyword gives a usable one, `seconds` is None, `source` is "reception", and `fault`
    says why in one line.
    """

    seconds: float | None
    source: str
    fault: str = ""

    @property
    def attributes(self) -> dict[str, bool | int | float | str]:
        """What a frame says of its time: TimeSource, and TimeFault where there is one."""
        said = {TIME_SOURCE: self.source, TIME_FAULT: self.fault}
        return {name: text for name, text in said.items() if text}


@dataclass(frozen=True)
class _Moment:
    """Unix seconds of a midnight and seconds since then; None for the part that is missing."""

    midnight: float | None
    clock: float | None


class _Unusable(ValueError):
    """Why a value is no time."""


def exposure_start(
    attributes: Mapping[str, object], *, earliest_year: int = 1990, now: float | None = None
) -> Start:
    """Return the first usable start of exposure in a header's `attributes`.

    Times are usable that EPICS can hold, from `earliest_year` to a day after `now` (Unix seconds;
    the clock's by default).
    """
    limits = _limits(earliest_year, time.time() if now is None else now)
    faults: list[str] = []
    for keyword, passed in _MOMENTS:
        value = attributes.get(keyword)
        if value is None or (keyword in _SOMETIMES and not _is_full(value)):
            continue
        try:
            return _start(attributes, keyword, passed, limits)
        except _Unusable as fault:
            shown = str(value)[:_LONGEST_VALUE]
            faults.append(f"{keyword} = {shown!a} {fault}")
    return Start(None, RECEPTION, "; ".join(faults) or "no keyword has the time of exposure")


def _limits(earliest_year: int, now: float) -> tuple[float, float]:
    earliest = max(EPICS_EPOCH, _midnight(earliest_year, 1, 1))
    # A clock that was never set is no measure for others.
    latest = min(now + DAY, EPICS_END) if now >= EPICS_EPOCH else EPICS_END
    return earliest, latest


def _start(
    attributes: Mapping[str, object], keyword: str, passed: float, limits: tuple[float, float]
) -> Start:
    moment, used = _parse(attributes[keyword]), [keyword]
    if moment.clock is None:
        clock, moment = _with_clock(attributes, moment)
        used.append(clock)
    if moment.midnight is None or moment.clock is None:
        raise _Unusable("is no date")
    seconds = _to_utc(moment.midnight + moment.clock, str(attributes.get("TIMESYS", "")))
    if passed:
        length = _exposure(attributes)
        if length is not None:
            seconds -= passed * length[1]
            used.append(length[0])
        elif passed == 1:
            raise _Unusable("is the end of an exposure of unknown length")
    _check_limits(seconds, *limits)
    return Start(seconds, ", ".join(used))


def _check_limits(seconds: float, earliest: float, latest: float) -> None:
    if seconds < earliest:
        raise _Unusable(f"is before {time.gmtime(earliest).tm_year}")
    if seconds > latest:
        raise _Unusable("is in the future")


def _with_clock(attributes: Mapping[str, object], day: _Moment) -> tuple[str, _Moment]:
    """Return the keyword of the time of day and both together; a full time replaces the date."""
    for keyword in _CLOCKS:
        try:
            clock = _parse_clock(keyword, attributes.get(keyword))
        except _Unusable:
            continue
        if clock.clock is not None:
            midnight = day.midnight if clock.midnight is None else clock.midnight
            return keyword, _Moment(midnight, clock.clock)
    raise _Unusable("is a date without a time")


def _exposure(attributes: Mapping[str, object]) -> tuple[str, float] | None:
    for keyword in _EXPOSURES:
        length = _number(attributes.get(keyword))
        if length is not None and 0 <= length <= DAY:
            return keyword, length
    return None


def _is_full(value: object) -> bool:
    match = _DATE_TIME.fullmatch(_text(value))
    return bool(match and (match["hour"] or match["compact_time"]))


def _parse_clock(keyword: str, value: object) -> _Moment:
    seconds = _number(value)
    if seconds is None or (isinstance(value, str) and _TIME.fullmatch(_text(value))):
        return _parse(value)
    # A whole number may be hhmmss, a small one hours.
    if not 24 <= seconds < DAY + 1 or (
        _WHOLE.fullmatch(_text(value)) and keyword not in _DAY_SECONDS
    ):
        raise _Unusable("is no number of seconds of a day")
    return _Moment(None, seconds)


def _parse(value: object) -> _Moment:
    text = _text(value)
    if match := _DATE_TIME.fullmatch(text):
        return _Moment(_date(match), _clock(match))
    if match := _TIME.fullmatch(text):
        return _Moment(None, _clock(match))
    number = _number(value)
    if number is not None:
        return _parse_number(number)
    raise _Unusable("is not understood")


def _parse_number(number: float) -> _Moment:
    is_jd = number > _JD_OF_MJD
    mjd = number - _JD_OF_MJD if is_jd else number
    if not math.isfinite(mjd) or int(mjd) not in _MJD_RANGE:
        raise _Unusable("is no MJD or JD")
    if is_jd and number == int(number):
        raise _Unusable("is a date without a time")
    day, fraction = divmod(mjd, 1)
    return _Moment((day - _MJD_OF_UNIX) * DAY, fraction * DAY or None)


def _text(value: object) -> str:
    """Return a value as text without quotes; empty if it is too long, which costs time to match."""
    text = str(value).strip().strip("\"'").strip()
    return text if len(text) <= _LONGEST_VALUE else ""


def _number(value: object) -> float | None:
    if isinstance(value, (bool, float)):
        return value if isinstance(value, float) and math.isfinite(value) else None
    text = _text(value)
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text.replace(",", ".").lower().replace("d", "e"))
    return number if math.isfinite(number) else None


def _date(match: re.Match[str]) -> float:
    found = match.groupdict()
    if compact := found["compact"]:
        year, month, day = compact[:4], compact[4:6], compact[6:]
    else:
        year = found["year"] or found["y1"] or found["y2"] or f"19{found['y3']}"
        month = found["month"] or found["m1"] or found["m2"] or found["m3"]
        day = found["day"] or found["d1"] or found["d2"] or found["d3"]
    return _midnight(int(year), _month(month), int(day))


def _month(text: str) -> int:
    if text.isdecimal():
        return int(text)
    if (name := text[:3].lower()) not in _MONTHS:
        raise _Unusable("is no date")
    return _MONTHS.index(name) + 1


def _midnight(year: int, month: int, day: int) -> float:
    try:
        return (date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()) * float(DAY)
    except ValueError:
        raise _Unusable("is no date") from None


def _clock(match: re.Match[str]) -> float | None:
    """Return the seconds since midnight UTC, or None where there is no time; zones count."""
    found = match.groupdict()
    if compact := found["compact_time"]:
        hour, minute = int(compact[:2]), int(compact[2:4])
        second = float(compact[4:] + (found["fraction"] or "").replace(",", "."))
    elif found["hour"]:
        hour, minute = int(found["hour"]), int(found["minute"])
        second = float((found["second"] or "0").replace(",", "."))
    else:
        return None
    # 60 seconds are a leap second or were rounded up, and 24:00 is the end of a day.
    if not (hour < 24 or (hour, minute, second) == (24, 0, 0)) or minute > 59 or second >= 61:
        raise _Unusable("is no time")
    zone_minutes = int(found["zone_minutes"] or 0)
    zone = int(found["zone_hours"] or 0) * 3600 + zone_minutes * 60
    if zone > 14 * 3600 or zone_minutes > 59:
        raise _Unusable("is no time")
    return hour * 3600 + minute * 60 + second - (-zone if found["sign"] == "-" else zone)


def _to_utc(seconds: float, system: str) -> float:
    """Return Unix seconds of a time in the scale that TIMESYS names."""
    match = _SCALE.match(system.strip().upper())
    scale = match[1] if match and not match[2] else "LOCAL"  # UTC+8 is some zone's time
    if scale in _UTC:
        return seconds
    if scale not in _SCALES:
        raise _Unusable(f"is in the scale TIMESYS = {system[:_LONGEST_VALUE]!a}")
    ahead, rate = _SCALES[scale]
    since = seconds - (_MJD_OF_1977 - _MJD_OF_UNIX) * DAY
    tai = seconds - ahead - rate * since
    starts, offsets = _leap_seconds()
    return tai - offsets[max(0, bisect_right(starts, tai) - 1)]


@cache
def _leap_seconds() -> tuple[list[float], list[float]]:
    """Return from which TAI on UTC is how many seconds behind it, both in seconds."""
    table = erfa.leap_seconds.get()
    offsets = [float(offset) for offset in table["tai_utc"]]
    starts = [_midnight(int(row["year"]), int(row["month"]), 1) + row["tai_utc"] for row in table]
    return starts, offsets
