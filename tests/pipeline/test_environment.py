"""Processes start although a thread of EPICS or a library changes the environment just then."""

import ast
import subprocess
import sys
from pathlib import Path

import tosip
from tosip.pipeline.environment import environment

STARTERS = {"Popen", "create_subprocess_exec"}
# Changes the C library's list all the time, without Python's lock, as EPICS does.
RACE = """
import ctypes, subprocess, sys, threading
from tosip.pipeline.environment import environment

def change():
    libc = ctypes.CDLL(None)
    while True:
        for change in (lambda name: libc.setenv(name, b"x" * 50, 1), libc.unsetenv):
            for number in range(2000):
                change(b"V%d" % number)

threading.Thread(target=change, daemon=True).start()
for _ in range(60):
    subprocess.run(["true"], env=environment(WORD="a b"), check=True)
"""


def test_a_process_starts_while_the_environment_changes():
    """Without an environment of its own a quarter of them does not."""
    subprocess.run([sys.executable, "-c", RACE], check=True, env=environment(), timeout=60)


def test_all_that_we_start_gets_an_environment_of_its_own():
    calls = [
        call
        for file in Path(tosip.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in STARTERS
    ]
    assert len(calls) >= 4
    assert [ast.unparse(call) for call in calls if not _has_environment(call)] == []


def _has_environment(call: ast.Call) -> bool:
    return any(keyword.arg == "env" for keyword in call.keywords)
