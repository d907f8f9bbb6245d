"""What operators have set is as it was after a restart of the IOC."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.records.conftest import configured
from tosip.records.autosaving import PERIOD
from tosip.testing.ioc import IocProcess

PREFIX = "AGAIN:"

SETTINGS = {
    "FOCUS01:Gain": 4.25,
    "FOCUS01:Count": 7,
    "FOCUS01:Big": 1 << 45,
    "FOCUS01:Flag": 0,
    "FOCUS01:Mode": "warn",
    "FOCUS01:Label": "kept",
    "FOCUS01:Story": "a longer story that was kept",
    "FOCUS01:Weights": [0.5, 0.25],
    "FOCUS01:EnableCallbacks": "Disable",
    "FOCUS01:NDArrayPort": "CAM02",
    "FOCUS01:MinCallbackTime": 0.125,
    "FOCUS01:QueueSize": 33,
    "FOCUS01:SortTime": 0.375,
    "FOCUS01:BlockingCallbacks": "Yes",
    "FOCUS01:ArrayCallbacks": "Disable",
    "FOCUS01:ProcessTimeout": 17.0,
    "CAM01:WaitForPlugins": "Yes",
    "ENV:NumThreads": 1,
}

LIMITS = {
    "HIHI": 3000.000125,
    "HIGH": 0.0004,
    "LOW": -1e-7,
    "LOLO": -5.0,
    "HYST": 0.5,
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return configured(tmp_path_factory.mktemp("config"))


@pytest.fixture
def start(start_ioc: Callable[..., IocProcess], config: Path) -> Callable[..., IocProcess]:
    def start_again(var: Path, **options: Any) -> IocProcess:
        arguments = ["tosip.iocs.neosted", "--config", str(config)]
        return start_ioc(arguments, var=var, prefix=PREFIX, **options)

    return start_again


def shown(ioc, name):
    """Return the value as it was written: the label of a choice."""
    value = ioc.get(name)
    if isinstance(value, str | float | int) and not hasattr(value, "choice"):
        return value
    return value.choice if hasattr(value, "choice") else [float(number) for number in value]


def test_inputs_settings_and_alarm_limits_are_as_they_were(start, tmp_path):
    first = start(tmp_path)
    for name, value in SETTINGS.items():
        first.put(name, value)
    for field, limit in LIMITS.items():
        first.put(f"FOCUS01:Mean_RBV.{field}", limit)
    first.put("FOCUS01:Mean_RBV.LLSV", "INVALID")
    first.put("FOCUS01:Mean_RBV.HSV", "NO_ALARM")
    assert first.stop() == 0

    again = start(tmp_path)

    for name, value in SETTINGS.items():
        readback = name if name == "CAM01:WaitForPlugins" else f"{name}_RBV"
        wanted = bool(value) if name.endswith("Flag") else value
        for record in (name, readback):
            found = shown(again, record)
            assert (found != "No" if name.endswith("Flag") else found) == wanted, record
    for field, limit in LIMITS.items():
        assert again.get(f"FOCUS01:Mean_RBV.{field}") == limit, field
    assert str(again.get("FOCUS01:Mean_RBV.LLSV")) == "INVALID"
    assert str(again.get("FOCUS01:Mean_RBV.HSV")) == "NO_ALARM"
    again.stop()


def test_what_was_set_is_kept_even_if_the_ioc_is_killed(start, tmp_path):
    first = start(tmp_path)
    first.put("FOCUS01:Gain", 3.5)
    saved = tmp_path / "autosave" / "tosip.softsav"
    end = time.monotonic() + 20 * PERIOD
    while "FOCUS01:Gain: 3.5" not in saved.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
    first.process.signal(signal.SIGKILL)
    first.stop()

    again = start(tmp_path)

    assert again.get("FOCUS01:Gain_RBV") == 3.5
    again.stop()


@pytest.mark.parametrize("text", ["", "not: [closed", "x: !!python/object:os.system {}"])
def test_a_file_that_cannot_be_read_costs_a_warning_not_the_start(start, tmp_path, text):
    saved = tmp_path / "autosave" / "tosip.softsav"
    saved.parent.mkdir()
    saved.write_text(text)

    ioc = start(tmp_path)

    assert ioc.get("FOCUS01:Gain_RBV") == 2.0
    log = (tmp_path / "log" / "tosip.log").read_text()
    assert "WARNING tosip.records.autosaving" in log
    assert str(saved) in log
    assert saved.with_suffix(".unreadable").read_text() == text
    ioc.stop()


def test_values_that_are_none_any_more_are_told_and_the_configured_ones_hold(start, tmp_path):
    saved = tmp_path / "autosave" / "tosip.softsav"
    saved.parent.mkdir()
    saved.write_text(
        f"{PREFIX}FOCUS01:Gain: 99.0\n"
        f"{PREFIX}FOCUS01:Count: 5\n"
        f"{PREFIX}FOCUS01:NDArrayPort: CAM77\n"
        f"{PREFIX}FOCUS01:QueueSize: text\n"
        f"{PREFIX}FOCUS01:Gone: 1\n"
    )

    ioc = start(tmp_path)

    assert ioc.get("FOCUS01:Gain_RBV") == ioc.get("FOCUS01:Gain") == 2.0
    assert ioc.get("FOCUS01:Count_RBV") == 5
    assert ioc.get("FOCUS01:NDArrayPort") == ioc.get("FOCUS01:NDArrayPort_RBV") == "CAM01"
    assert ioc.get("FOCUS01:QueueSize_RBV") == 20
    log = (tmp_path / "log" / "tosip.log").read_text()
    assert "CAM77" in log
    ioc.stop()
