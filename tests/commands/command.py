"""The `tosip` command, and small files for it."""

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from tosip.cli import main

ALGORITHM = '''
import os
import numpy as np
from numpy.typing import NDArray
from tosip import Algorithm, Inputs, Outputs, Result, Status, command, output, param


class Params(Inputs):
    threshold: float = param("Threshold [counts]", default=5.0, limits=(0.0, 100.0))
    count: int = param("Count", default=1)
    fast: bool = param("Fast", default=True)
    weights: NDArray[np.float64] = param("Weights", default=np.ones(1), length=3)
    again: bool = command("Again")


class Figures(Outputs):
    bright: int = output("Bright pixels", units="px", default=0)
    level: float = output("Level", units="counts", default=float("nan"))
    line: NDArray[np.int16] = output("A line", default=(), length=3)


class Bright(Algorithm[Params, Figures]):
    """Counts bright pixels."""

    def process(self, image, params, attributes, metadata):
        exec(attributes.get("DO", ""))
        bright = np.count_nonzero(image > params.threshold)
        return Figures(bright=bright, level=params.weights.sum() * params.count, line=[1, 2])
'''


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


def tosip(folder: Path, *arguments: object) -> Ran:
    """Run `tosip` in a folder: in this process, which is faster, with real worker processes."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = int(error.code or 0)
    return Ran(status, out.getvalue(), err.getvalue().lstrip("\n"))


def python(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run this Python in a process of its own."""
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


def refused(result: Ran) -> str:
    """The one line that a user gets for a mistake."""
    assert result.returncode == 2, result
    assert "Traceback" not in result.stderr
    *_, line = result.stderr.splitlines()
    assert result.stderr == f"{line}\n"
    assert line.startswith("tosip: ")
    return line.removeprefix("tosip: ")


def algorithm(folder: Path, source: str = ALGORITHM, name: str = "bright.py") -> Path:
    file = folder / name
    file.write_text(source)
    return file


def image(folder: Path, name: str, bright: int = 3, **header: object) -> Path:
    pixels = np.zeros((10, 12), np.int16)
    pixels.flat[:bright] = 50
    unit = fits.PrimaryHDU(pixels)
    unit.header.update(header)
    unit.writeto(folder / name)
    return folder / name
