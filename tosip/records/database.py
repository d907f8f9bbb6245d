"""What EPICS's database gets beside softioc's records: templates, and text that is made here."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from softioc import imports, softioc

import tosip

TEMPLATES = Path(__file__).with_name("templates")

# The ADCore whose records ours are, with their types, choices and names.
ADCORE_VERSION = "3.14.0"


def load_port(prefix: str, port: str, model: str) -> None:
    """Make what every port has; `model` is what gives its arrays."""
    macros = {"PORT": port, "MODEL": model, "VERSION": tosip.__version__, "ADCORE": ADCORE_VERSION}
    load("array", prefix, port, macros)
    load("pool", prefix, port, {})


def load_plugin(prefix: str, port: str, model: str, most_threads: int) -> None:
    """Make what every plugin has beside."""
    load("plugin", prefix, port, {"MODEL": model, "THREADS": str(most_threads)})


def load(template: str, prefix: str, port: str, macros: Mapping[str, str]) -> None:
    """Load one template for the port whose records begin with `prefix` and `port:`."""
    given = {"P": prefix, "R": f"{port}:", **macros}
    text = ",".join(f"{name}={value}" for name, value in given.items())
    softioc.dbLoadDatabase(str(TEMPLATES / f"{template}.template"), substitutions=text)


def load_text(text: str) -> None:
    """Load records from text."""
    with tempfile.NamedTemporaryFile("w", suffix=".db") as file:
        file.write(text)
        file.flush()
        softioc.dbLoadDatabase(file.name)


def record_names() -> list[str]:
    """List all records that there are."""
    with tempfile.NamedTemporaryFile("r", suffix=".dbl") as file:
        imports.Com.iocshCmd(f'dbl > "{file.name}"'.encode())
        return file.read().split()
