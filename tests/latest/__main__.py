"""`python -m tests.latest`: see the package."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.interpreters import find_interpreter

ROOT = Path(__file__).parents[2]
CONTRACT = [
    "tests/test_algorithm.py",
    "tests/test_description.py",
    "tests/test_names.py",
    "tests/test_reading.py",
    "tests/test_type_hints.py",
]
SUPPORT = ["tests/__init__.py", "tests/authors.py", "tests/latest/__init__.py"]
SUPPORT += ["tests/latest/first_figures.py"]
PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
VERSIONS = "import numpy, platform; print(platform.python_version(), 'NumPy', numpy.__version__)"
ALGORITHMS = """
import pathlib, tosip.plugins
print(*sorted(pathlib.Path(tosip.plugins.__file__).parent.glob('[!_]*.py')), sep='\\n')
"""
AT_ONCE = 2
LONGEST = 1200.0  # seconds of one step


class StepError(Exception):
    """A step that failed, with what it printed."""


@dataclass
class Trial:
    """One Python's trial; `fault` is empty when all went well."""

    version: str
    words: str = ""
    fault: str = ""
    skipped: bool = False
    times: dict[str, float] = field(default_factory=dict)


def main() -> int:
    """Try every Python, print the outcome of each, and return the exit status."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tosip-latest-") as name:
        scratch = Path(name)
        wheel = _build(scratch)
        _copy_tests(scratch)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            trials = []
            for trial in pool.map(lambda version: _try(version, wheel, scratch), _versions()):
                _report(trial)
                trials.append(trial)
    failed = sum(bool(trial.fault) for trial in trials)
    skipped = sum(trial.skipped for trial in trials)
    print(f"test-latest took {time.monotonic() - begun:.0f} s")
    print(f"{len(trials) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or skipped == len(trials) else 0


def _versions() -> list[str]:
    if sys.argv[1:]:
        return sys.argv[1:]
    text = (ROOT / "pyproject.toml").read_text()
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)


def _build(scratch: Path) -> Path:
    """Build from a copy, as building leaves files behind."""
    source = scratch / "source"
    shutil.copytree(ROOT / "tosip", source / "tosip", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _run([sys.executable, *PIP, "wheel", "--no-deps", "-w", str(scratch), str(source)], scratch)
    shutil.rmtree(source)  # or Python would find it from here
    (wheel,) = scratch.glob("*.whl")
    return wheel


def _copy_tests(scratch: Path) -> None:
    for name in (*CONTRACT, *SUPPORT):
        target = scratch / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)


def _try(version: str, wheel: Path, scratch: Path) -> Trial:
    trial = Trial(version)
    interpreter = find_interpreter(f"python{version}")
    if interpreter is None:
        trial.skipped = True
        trial.words = "not on this machine"
        return trial
    folder = scratch / version
    try:
        trial.words = _install(interpreter, folder, wheel)
        for name, commands in _steps(folder):
            begun = time.monotonic()
            for command in commands:
                _run(command, scratch)
            trial.times[name] = time.monotonic() - begun
    except StepError as error:
        trial.fault = str(error)
    return trial


def _install(interpreter: str, folder: Path, wheel: Path) -> str:
    """Make the environment, and name the versions that it got."""
    python = str(folder / "bin" / "python")
    _run([interpreter, "-m", "venv", str(folder)], wheel.parent)
    _run([python, *PIP, "install", str(wheel), "pytest", "hypothesis"], wheel.parent)
    return _run([python, "-c", VERSIONS], wheel.parent)


def _steps(folder: Path) -> Iterator[tuple[str, list[list[str]]]]:
    python = str(folder / "bin" / "python")
    yield "contract", [[python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CONTRACT]]
    algorithms = _run([python, "-c", ALGORITHMS], folder).split()
    yield "check", [[str(folder / "bin" / "tosip"), "check", name] for name in algorithms]
    ioc = folder / "ioc"
    ioc.mkdir()
    yield "IOC", [[python, "-m", "tests.latest.first_figures", str(ioc)]]


def _run(command: list[str], folder: Path) -> str:
    """Run a command outside the repository and return what it printed; StepError if it failed."""
    kept = ("PYTHONPATH", "PIP_CONSTRAINT", "PYTEST_ADDOPTS", "VIRTUAL_ENV")
    environment = {name: text for name, text in os.environ.items() if name not in kept}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired as error:
        raise StepError(f"{' '.join(command)}: not done after {LONGEST:.0f} s") from error
    if done.returncode:
        raise StepError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout.strip()


def _report(trial: Trial) -> None:
    outcome = "skipped" if trial.skipped else "FAILED" if trial.fault else "passed"
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in trial.times.items())
    parts = [part for part in (trial.words, times) if part]
    print(f"python{trial.version}: {outcome}: {'; '.join(parts)}", flush=True)
    if trial.fault:
        print(trial.fault, flush=True)


if __name__ == "__main__":
    sys.exit(main())
