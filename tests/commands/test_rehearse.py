"""`tosip rehearse`: nights of figures, and what would have been advised."""

from __future__ import annotations

from pathlib import Path

import pytest

from tosip.advice.exposure import Advice
from tosip.cli import main
from tosip.commands.rehearse import SHIPPED, play, read_scenario
from tosip.errors import ConfigurationError


def given(name: str) -> set[Advice]:
    return {advised.advice for _, advised in play(read_scenario(Path(name)))}


def test_each_scenario_that_ships_shows_its_rule():
    assert {path.stem for path in SHIPPED.glob("*.toml")} == {"drift", "seeing", "faults"}
    assert Advice.REFOCUS in given("drift")
    assert given("seeing") == {Advice.UNKNOWN, Advice.GOOD, Advice.SEEING}
    assert given("faults") == {Advice.UNKNOWN, Advice.GOOD, Advice.CAMERA, Advice.CLOUDS}


def test_the_command_prints_each_change_of_the_advice(capsys):
    assert main(["rehearse", "faults"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in ("look at a camera", "no frame", "thin cloud", "too few"):
        assert words in printed


def test_what_is_wrong_with_a_file_is_named(tmp_path):
    path = tmp_path / "night.toml"
    path.write_text("hours = 30\nsseing = [[0, 1]]")
    with pytest.raises(ConfigurationError) as fault:
        read_scenario(path)
    assert f"{path}: hours: expected" in str(fault.value)
    assert "sseing: unknown key" in str(fault.value)
