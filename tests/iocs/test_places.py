"""Mistakes in a configuration that show late, when its parts start, name its file and its key."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tosip.configuration import placed
from tosip.errors import ConfigurationError
from tosip.iocs.ioc_file import neosted_file
from tosip.iocs.serving import PLACES
from tosip.iocs.system import running

CAMERA = "cameras = [{number = 1, user = 'cam01'}]\n"
FOCUS = {
    "file = 'no.py'": "focus.file: expected a file, got none at {folder}/no.py",
    "interpreter = 'no/python'": "focus.interpreter: expected a file, got none at",
    "interpreter = 'bare/bin/python'": "focus.interpreter: expected Python 3.9 or newer with",
    "interpreter = 'mine.toml'": "focus.interpreter: expected Python 3.9 or newer with",
    "file = 'two.py'": "focus.file: two.py: expected one Algorithm, or two.py:CLASS (class_name in",
    "file = 'raises.py'": "focus.file: raises.py: import: ValueError: odd (raises.py:2)",
    "file = 'dies.py'": "focus.file: dies.py: expected a file that loads, got exit status 3",
    "class_name = 'Odd'": "focus.class_name: focus.py: expected class Odd(Algorithm[...])",
    "params.odd = 1": "focus.params.odd: expected an input of ",
    "params.threshold = 'x'": "focus.params.threshold: expected float, got 'x'",
    "alarms.odd.high = 1": "focus.alarms.odd: Focus: expected an output of ",
    "limits.folder = 'no'": "focus.limits.folder: expected a folder, got {folder}/no",
    "limits.cpus = [4000]": "focus.limits.cpus: expected some of ",
}
OTHERS = {
    "[field]\nthreads = 2": "field.threads: expected 1, as Field keeps state, got 2",
    "[gateway.tls]\ncertificate = 'no'": "gateway.tls.certificate: expected a file, got none at",
    "[gateway.tls]\ncertificate = 'mine.toml'": "gateway.tls.certificate: expected a PEM file",
    "[archive]\nhost = 'h'\npassword_file = 'no'": "archive.password_file: expected a file",
    "[gateway]\nusers = 'two.py'": "gateway.users: {folder}/two.py:1: ",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are no good for their purpose."""
    folder = tmp_path_factory.mktemp("mistakes")
    two = "from tosip import Algorithm\nclass A(Algorithm): pass\nclass B(Algorithm): pass\n"
    (folder / "two.py").write_text(two)
    (folder / "raises.py").write_text("\nraise ValueError('odd')")
    (folder / "dies.py").write_text("import os\nos._exit(3)")
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder / "bare")]
    subprocess.run(command, check=True)
    return folder


def fault(folder: Path, text: str) -> str:
    """What is wrong with a configuration that ends in `text`."""
    file = folder / "mine.toml"
    file.write_text(CAMERA + text)

    ioc = neosted_file(file)

    async def start() -> None:
        async with running(ioc, folder / "var", simulate=True) as system:
            assert system.gateway
            await system.gateway.start()

    with pytest.raises(ConfigurationError) as error, placed(PLACES, file):
        asyncio.run(start())
    return str(error.value)


@pytest.mark.parametrize(("text", "words"), FOCUS.items())
def test_a_mistake_about_an_algorithm_names_its_key(folder, text, words):
    told = fault(folder, f"[focus]\n{text}\n")

    assert told.startswith(f"{folder}/mine.toml: {words.format(folder=folder)}")
    assert "\n" not in told


@pytest.mark.parametrize(("text", "words"), OTHERS.items())
def test_a_mistake_about_another_part_names_its_key(folder, text, words):
    told = fault(folder, text)
    assert told.startswith(f"{folder}/mine.toml: {words.format(folder=folder)}")


def test_an_option_is_named_without_the_file():
    with pytest.raises(ConfigurationError) as error, placed(PLACES, Path("mine.toml")):
        raise ConfigurationError(
            "Spool.folder: expected a folder, got /x\nTls.key: expected a file"
        )
    assert str(error.value) == (
        "--var: expected a folder, got /x\nmine.toml: gateway.tls.key: expected a file"
    )
