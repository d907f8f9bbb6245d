"""Who may write what, who has written what, and the list of all PVs."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import sys

import pytest
from p4p.client.thread import RemoteError

from tests.records.conftest import CONFIG, EVERYTHING, PASSWORD
from tosip.gateway.users import hash_password

RULES = """
UAG(experts) {{ {user}x }}
ASG(DEFAULT) {{
    RULE(1, READ)
    RULE(1, WRITE, TRAPWRITE) {{ UAG(experts) }}
}}
ASG(INPUTS) {{
    RULE(1, READ)
    RULE(1, WRITE, TRAPWRITE)
}}
"""

CA_CLIENT = """
import asyncio, sys
from aioca import caput

async def main(prefix):
    await caput(prefix + "FOCUS01:Label", "by CA", wait=True)
    try:
        await caput(prefix + "FOCUS01:QueueSize", 5, wait=True)
    except Exception as error:
        print("refused", error)

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "users").write_text(f"cam01:{hash_password(PASSWORD)}\n")
    config = tmp_path / "neosted.toml"
    config.write_text(CONFIG.format(file=EVERYTHING).partition("[[cameras]]\nnumber = 2")[0])
    return ["tosip.iocs.neosted", "--config", str(config)]


def test_rules_are_kept_and_writes_are_logged_with_who_and_from_where(
    start_ioc, arguments, tmp_path
):
    rules = tmp_path / "rules.acf"
    rules.write_text(RULES.format(user=getpass.getuser()))
    ioc = start_ioc([*arguments, "--acf", str(rules)])

    ioc.put("FOCUS01:Gain", 3.5)
    with pytest.raises(RemoteError):
        ioc.put("FOCUS01:EnableCallbacks", "Disable")
    client = subprocess.run(
        [sys.executable, "-c", CA_CLIENT, ioc.prefix],
        env={**os.environ, **ioc.environment},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert client.stdout.startswith("refused"), client.stderr
    assert str(ioc.get("FOCUS01:EnableCallbacks_RBV")) == "Enable"
    assert ioc.get("FOCUS01:QueueSize_RBV") == 20
    puts = re.findall(r"tosip.puts: (.*)", (ioc.var / "log" / "tosip.log").read_text())
    who = re.escape(getpass.getuser())
    gain, label = puts
    assert re.fullmatch(rf"{who}@\S+ {ioc.prefix}FOCUS01:Gain: 2.00 -> 3.50", gain)
    assert re.fullmatch(rf"{who}@\S+ {ioc.prefix}FOCUS01:Label: abc -> by CA", label)
    ioc.stop()


def test_long_texts_arrays_and_fields_are_logged_in_a_line(start_ioc, arguments):
    ioc = start_ioc(arguments)

    ioc.put("FOCUS01:Story", "a long\nstory" * 30)
    ioc.put("FOCUS01:Weights", [1.0, 2.0, 3.0])
    ioc.put("FOCUS01:Mean_RBV.HIHI", 1234.0)

    puts = re.findall(r"tosip.puts: \S+ (.*)", (ioc.var / "log" / "tosip.log").read_text())
    story, weights, limit = (text.removeprefix(f"{ioc.prefix}FOCUS01:") for text in puts)
    assert story.startswith("Story: 'once' -> 'a long\\nstory")
    assert len(story) < 300
    assert weights == "Weights: an array of DOUBLE -> an array of DOUBLE"
    assert limit == "Mean_RBV.HIHI: 2000.000 -> 1234.000"
    ioc.stop()


@pytest.mark.parametrize("text", ["ASG(DEFAULT) { RULE(1, READ }", "nonsense"])
def test_rules_that_are_none_are_refused_by_name(arguments, tmp_path, text, start_process):
    rules = tmp_path / "rules.acf"
    rules.write_text(text)

    done = start_process([*arguments, "--acf", str(rules)])

    assert done.returncode == 2
    assert f"tosip: --acf: {rules}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_rules_that_is_not_there_is_refused_by_name(arguments, start_process):
    done = start_process([*arguments, "--acf", "nowhere.acf"])

    assert done.returncode == 2
    assert "tosip: --acf: expected a file, got none at nowhere.acf" in done.stderr


@pytest.fixture
def start_process(tmp_path):
    def run(arguments):
        command = [sys.executable, "-m", *arguments, "--var", str(tmp_path / "var")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return run


def test_the_list_of_pvs_has_them_all_and_they_connect(start_ioc, arguments, tmp_path):
    file = tmp_path / "pvs.txt"
    ioc = start_ioc([*arguments, "--pvlist", str(file)])

    listed = file.read_text().splitlines()

    assert listed == sorted(set(listed))
    names = [name.removeprefix(ioc.prefix) for name in listed]
    assert {"PVI", "FOCUS01:PVI", "CAM01:Image", "FIELD:Preview", "ENV:Gain"} < set(names)
    found = ioc.get_all(names)
    assert [name for name, value in found.items() if value is None] == []
    assert any(name.startswith("IOC:") for name in names)  # the statistics
    ioc.stop()
