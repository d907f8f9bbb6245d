"""The sentence that says the advice, with its numbers and since when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from tosip.advice.clouds import THICK
from tosip.advice.exposure import Advice, Environment
from tosip.advice.numbers import finite, middle
from tosip.advice.settings import Settings
from tosip.advice.since import Since

SAME_SEEING = 0.07  # relative: less is no change


@dataclass(frozen=True)
class Told:
    """What the sentence is about."""

    advice: Advice
    began: float
    off: tuple[int, ...]
    missing: Mapping[int, float]
    own: Mapping[int, float]
    gain: tuple[float, float]
    extinction: float
    outcomes: tuple[str, ...]


def sentence(told: Told, since: Since, air: Environment, settings: Settings) -> str:
    """Return the sentence."""
    parts = {
        Advice.NO_DATA: lambda: _no_data(told),
        Advice.CLOUDS: lambda: _clouds(told),
        Advice.UNKNOWN: lambda: _unknown(since),
        Advice.CAMERA: lambda: _cameras(told),
    }
    told_of = parts.get(told.advice, lambda: _common(told, since, air, settings))()
    away = [f"no frame of {names(group)} for {age:.0f} s" for age, group in _by_age(told.missing)]
    began = f" (since {clock(told.began)})" if told.advice is not Advice.GOOD else ""
    whole = [part for part in (told_of, *away) if part]
    return f"{told.advice.value}: {'; '.join(whole)}{began}"


def _common(told: Told, since: Since, air: Environment, settings: Settings) -> str:
    ratio, focus = since.ratio, since.focus
    typical = {n: one for n, one in told.own.items() if finite(one)}
    moved = sum((one - 1) * (ratio - 1) > 0.25 * (ratio - 1) ** 2 for one in typical.values())
    way = "wider" if ratio >= 1 else "narrower"
    times = ratio if ratio >= 1 else 1 / ratio
    if abs(ratio - 1) < 0.01:
        text = f"{len(typical)} cameras as wide as after focus at {clock(focus.time)}"
    else:
        text = (
            f"{moved} of {len(typical)} cameras {times:.2f} times {way}"
            f" than after focus at {clock(focus.time)}"
        )
    warmer = air.temperature - focus.temperature
    text += f", T {round(warmer, 1) + 0.0:+.1f} degC" if finite(warmer) else ""
    text += f", {_seeing(since)}"
    if since.disagree:
        text += "; the seeing monitor and the cameras' offsets disagree"
    if not finite(since.excess):
        return text if ratio < 1.02 else f"{text}; seeing cannot be excluded: {_why(since)}"
    minutes, error = (value / 60 for value in told.gain)
    if not finite(minutes):
        return text
    if minutes >= 0:
        unsure = "" if told.advice is Advice.REFOCUS else ", not sure yet"
        return f"{text}; a rerun gains {minutes:.0f} min tonight (+-{error:.0f}){unsure}"
    return f"{text}; a rerun does not pay: {minutes:.0f} min (+-{error:.0f})"


def _why(since: Since) -> str:
    if since.monitor.readings < 3:
        return "no seeing monitor and no calibration"
    return "the seeing monitor does not follow the stars, and there is no calibration"


def _seeing(since: Since) -> str:
    before, now = since.focus.seeing, middle(since.latest_seeing)
    if not (finite(before) and finite(now)):
        return "seeing not known"
    if abs(now / before - 1) < SAME_SEEING:
        return "seeing unchanged"
    return f"seeing {before:.2f} to {now:.2f} arcsec"


def _cameras(told: Told) -> str:
    off = [n for n in told.off if n not in told.missing]
    if not off:
        return ""
    widths = [told.own.get(n, float("nan")) for n in off]
    typical = middle(widths)
    count = f"{len(off)} cameras ({', '.join(map(str, off))})" if len(off) > 3 else names(off)
    if not finite(typical):
        return f"{count} without a width"
    return f"{count} {typical:.2f} times wider than after focus, unlike the others"


def _clouds(told: Told) -> str:
    thin = "" if told.extinction >= THICK else "thin cloud, "
    lost = sum(outcome in ("few stars", "no stars") for outcome in told.outcomes)
    if lost * 2 >= len(told.outcomes):
        return f"{thin}too few stars in {lost} of {len(told.outcomes)} cameras"
    return f"{thin}{told.extinction:.1f} mag of extinction"


def _no_data(told: Told) -> str:
    outcome, count = Counter(told.outcomes).most_common(1)[0]
    named = {
        "": "without figures",
        "trailed": "trailed (wind shake or tracking)",
        "frozen": "frozen, the same pixels",
    }
    return f"{count} of {len(told.outcomes)} cameras {named.get(outcome, outcome)}"


def _unknown(since: Since) -> str:
    if since.focus.areas:
        return f"exposure {len(since.focus.areas)} of 5 after focus at {clock(since.focus.time)}"
    return "no reference; run focus, or press FocusDone when the cameras are in focus"


def _by_age(missing: Mapping[int, float]) -> list[tuple[float, list[int]]]:
    ages = sorted({round(age) for age in missing.values()})
    return [(age, [n for n, one in missing.items() if round(one) == age]) for age in ages]


def names(cameras: list[int]) -> str:
    """Return "camera 7" or "cameras 2, 9"."""
    return f"camera{'' if len(cameras) == 1 else 's'} {', '.join(map(str, cameras))}"


def clock(time: float) -> str:
    """Return the time of day (UTC) of Unix seconds."""
    return datetime.fromtimestamp(time, timezone.utc).strftime("%H:%M") if finite(time) else "?"
