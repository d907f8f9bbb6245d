"""What stops a program, with real signals."""

import signal
import subprocess
import sys

import pytest

from tosip.signals import STOPPING

SERVICE = """
import asyncio, signal, sys
from tosip import stopping

async def main():
    stop = asyncio.Event()
    stopping.on_stop(lambda number: (print(signal.Signals(number).name), stop.set()))
    print("ready", flush=True)
    await stop.wait()

asyncio.run(main())
"""
COMMAND = """
import asyncio
from tosip import stopping

async def work():
    print("ready", flush=True)
    await asyncio.sleep(60)

try:
    stopping.run(work())
except stopping.Stopped as stopped:
    print(stopped, stopped.status)
"""


def stopped(script: str, number: signal.Signals) -> tuple[int, str]:
    """Run a script, send it a signal when it is ready; return its status and what it printed."""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    return process.returncode, out


@pytest.mark.parametrize("number", STOPPING)
def test_each_stopping_signal_ends_a_service_cleanly(number):
    assert stopped(SERVICE, number) == (0, f"{number.name}\n")


def test_a_service_that_nohup_has_started_ignores_a_hangup():
    script = SERVICE.replace("await stop.wait()", "await asyncio.sleep(0.5)")
    process = subprocess.Popen(
        ["nohup", sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 0
    assert process.stdout.read() == b""


@pytest.mark.parametrize("number", STOPPING)
def test_a_command_knows_what_has_stopped_it(number):
    assert stopped(COMMAND, number) == (0, f"{number.name} {128 + number}\n")
