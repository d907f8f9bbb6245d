"""Naming an algorithm on the command line: `FILE.py` or `FILE.py:CLASS`, and an interpreter."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tosip.description import Description, Field, Kind
from tosip.errors import ConfigurationError, ProtocolError, WorkerError
from tosip.pipeline.jobs import Program
from tosip.pipeline.parameters import Parameters
from tosip.pipeline.pool import Pool
from tosip.pipeline.process import WorkerProcess
from tosip.pipeline.start_faults import start_fault
from tosip.texts import is_utf8


def program(text: str, interpreter: Path | None) -> Program:
    """Turn `FILE.py[:CLASS]` into what a worker runs; ConfigurationError if there is no file."""
    # A file's own name may have a colon.
    name, _, class_name = (text, "", "") if os.path.isfile(text) else text.partition(":")
    file, python = Path(name), interpreter or Path(sys.executable)
    expect_file(file)
    if file.suffix != ".py":
        raise ConfigurationError(f"{file}: expected an algorithm's file, FILE.py")
    if not os.path.isfile(python):
        raise ConfigurationError(f"--python: expected a file, got none at {python}")
    if not is_utf8(file.resolve()):  # as messages to workers are
        raise ConfigurationError(f"{file}: expected a path in UTF-8, got {file.resolve()}")
    # Not resolved: the Python of an environment is a link, and knows it by its own name.
    return Program(file.stem, Path(os.path.abspath(file)), class_name or None, python.absolute())


def expect_file(path: Path) -> None:
    """Raise ConfigurationError if there is no file; `os.path` takes names of any length."""
    if not os.path.isfile(path):
        raise ConfigurationError(f"{path}: expected a file, got none")


def fault_of(program: Program, error: Exception) -> ConfigurationError:
    """Say in a user's words why a worker did not start."""
    return start_fault(program, error, interpreter="--python")


async def read_description(program: Program) -> Description:
    """Read what the algorithm declares, in its own interpreter, without running it."""
    pool = Pool()
    worker = WorkerProcess(program, pool, on_exit=lambda: None)
    try:
        return await worker.start(run=False)
    except (WorkerError, ProtocolError) as error:
        raise fault_of(program, error) from None
    finally:
        await worker.stop()
        worker.close()
        pool.close()


def apply_settings(
    settings: Sequence[str], parameters: Parameters, description: Description
) -> None:
    """Set inputs by the texts `name=value` of `--set`; ConfigurationError if one is wrong."""
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigurationError(f"--set: expected name=value, got {setting}")
        try:
            field = description.input(name)
            parameters.set(name, field.within_limits(parse_value(field, text)))
        except KeyError as error:
            raise ConfigurationError(f"--set: {error.args[0]}") from None
        except ValueError as error:
            raise ConfigurationError(f"--set {name}: {error}") from None


def parse_value(field: Field, text: str) -> Any:
    """Turn the text of `--set name=text` into a plain value; ValueError if it is none."""
    if field.kind is Kind.INT:
        return _int(text)
    if field.kind is Kind.FLOAT:
        return _float(text)
    if field.kind in (Kind.BOOL, Kind.COMMAND):
        return _bool(text)
    if field.kind is Kind.ARRAY:
        number = _int if "int" in field.dtype else _float
        return [number(part) for part in text.split(",") if part]
    return text


def _int(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"expected a whole number, got {text!r}") from None


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a number, got {text!r}") from None


def _bool(text: str) -> bool:
    values = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in values:
        raise ValueError(f"expected yes or no, got {text!r}")
    return values[text.lower()]
