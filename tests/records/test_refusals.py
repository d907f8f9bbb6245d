"""A write that is refused: the put fails, a record and the log say why, and who it was."""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
import sys

import pytest
from p4p.client.thread import RemoteError

MINOR, NONE = 1, 0

REFUSED = [
    ("FOCUS01:NDArrayPort", "NOWHERE", "expected a port of CAM01, .*, got NOWHERE"),
    ("FOCUS01:NumThreads", 0, "expected at least 1, got 0"),
    ("FIELD:NumThreads", 2, "expected 1, as Field keeps state, got 2"),
    ("FOCUS01:QueueSize", 0, "expected at least 1, got 0"),
    ("FOCUS01:MinCallbackTime", -1.0, "expected at least 0 s, got -1.0"),
    ("FOCUS01:SortMode", 2, "expected one of Unsorted, Sorted, got '2'"),
    ("FOCUS01:EnableCallbacks", 7, "expected one of Disable, Enable, got '7'"),
    ("FOCUS01:Gain", 10.5, "expected at least 0 ADU and at most 10 ADU, got 10.5"),
    ("FOCUS01:Count", -1, "expected at least 0 and at most 100, got -1"),
    ("FOCUS01:Flag", 2, "expected bool, got 2"),
    ("FOCUS01:Mode", 9, "expected one of echo, raise, die, warn, blank, got '9'"),
    ("FOCUS01:Label", "x" * 21, "expected at most 20 bytes, got 21"),
    ("FOCUS01:Story", "x" * 501, "expected at most 500 bytes, got 501"),
    ("FOCUS01:Weights", [1.0] * 9, "expected a 1-D array of at most 8 numbers"),
    ("CAM01:NumPreAllocBuffers", 1001, "expected at least 0 and at most 1000, got 1001"),
    ("GATEWAY:RetryFile", "unknown", "expected the id of a dead letter, got unknown"),
]

CA_CLIENT = """
import asyncio, json, sys
from aioca import caget, caput

async def main(prefix, puts):
    answers = []
    for name, value in puts:
        try:
            await caput(prefix + name, value, wait=True, timeout=10)
            answers.append(None)
        except Exception as error:
            answers.append(str(error))
    print(json.dumps(answers))

asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
"""


def caput(ioc, *puts: tuple[str, object]) -> list[str | None]:
    """Put over Channel Access, each with a wait for the end; return what each put raised."""
    done = subprocess.run(
        [sys.executable, "-c", CA_CLIENT, ioc.prefix, json.dumps(puts)],
        env={**os.environ, **ioc.environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answers: list[str | None] = json.loads(done.stdout.splitlines()[-1])
    return answers


def message(ioc, name):
    return ioc.get(f"{name.partition(':')[0]}:WriteMessage_RBV")


@pytest.mark.parametrize(("name", "value", "words"), REFUSED)
def test_a_refused_write_fails_over_pvaccess_and_says_why(ioc, name, value, words):
    before = ioc.get(name)

    with pytest.raises(RemoteError):
        ioc.put(name, value)

    shown = message(ioc, name)
    assert re.search(words, shown), shown
    assert shown.startswith(name.partition(":")[2])
    assert shown.severity == MINOR
    assert list(ioc.get(name)) == list(before) if name.endswith("Weights") else True
    assert name.endswith("Weights") or ioc.get(name) == before
    line = re.findall(rf"WARNING tosip.puts: (\S+) {ioc.prefix}{name}: refused (.*)", log(ioc))[-1]
    assert line[0].startswith(f"{getpass.getuser()}@")
    assert re.search(words, line[1])


def log(ioc):
    return (ioc.var / "log" / "tosip.log").read_text()


def test_a_refused_write_fails_over_channel_access_and_the_next_good_one_does_not(ioc):
    scalars = [(n, v) for n, v, _ in REFUSED if not isinstance(v, list) and len(str(v)) < 40]

    assert None not in caput(ioc, *scalars)
    assert message(ioc, "FOCUS01:").severity == MINOR
    assert caput(ioc, ("FOCUS01:Gain", 3.0), ("FOCUS01:Gain", 2.0)) == [None, None]

    shown = message(ioc, "FOCUS01:")
    assert (shown, shown.severity) == ("", NONE)
    assert message(ioc, "GATEWAY:").severity == MINOR  # each part has its own


def test_a_refused_command_fails_and_can_be_pressed_again(ioc):
    ioc.put("FOCUS01:Gain", 2.0)
    with pytest.raises(RemoteError):
        ioc.put("FOCUS02:ProcessPlugin", 1)  # it has had no frame
    assert ioc.get("FOCUS02:ProcessPlugin") == 0
    assert message(ioc, "FOCUS01:") == ""


def test_a_put_that_does_not_wait_succeeds_but_the_record_says_that_it_was_refused(ioc):
    with ioc.monitor("FOCUS01:WriteMessage_RBV") as messages:
        ioc._client.put(f"{ioc.prefix}FOCUS01:QueueSize", -3, wait=False)
        while "got -3" not in (shown := messages.next()):
            pass

    assert shown.severity == MINOR
    assert ioc.get("FOCUS01:QueueSize") == 20


def test_ten_clients_that_wait_get_their_own_answers(ioc):
    answers = caput(ioc, *[("FOCUS01:Count", n) for n in (1, -1, 2, 101, 3)])

    assert [answer is None for answer in answers] == [True, False, True, False, True]
    assert ioc.get("FOCUS01:Count") == ioc.get("FOCUS01:Count_RBV") == 3


def test_a_good_put_does_not_fail_for_a_refused_one_of_a_client_that_does_not_wait(ioc):
    for number in range(50):
        ioc._client.put(f"{ioc.prefix}FOCUS01:Count", -1, wait=False)
        ioc.put("FOCUS01:Count", number)
        assert ioc.get("FOCUS01:Count_RBV") == number
