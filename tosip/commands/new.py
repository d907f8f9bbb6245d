"""A starting point: an algorithm file that runs, with its test; or an IOC's configuration."""

import importlib.util
import keyword
import re
from importlib.resources import files
from pathlib import Path

from tosip.errors import ConfigurationError
from tosip.names import DECLARED, pascal_case

_ALGORITHM = '''"""CLASS: say here what it measures."""

import numpy as np

from tosip import Algorithm, Inputs, Outputs, output, param


class Params(Inputs):
    threshold: float = param("Pixels above this are bright", default=1000.0, units="counts")


class Figures(Outputs):
    bright: int = output("Number of bright pixels")


class CLASS(Algorithm[Params, Figures]):
    """Counts bright pixels."""

    def process(self, image, params: Params, attributes, metadata) -> Figures:
        return Figures(bright=np.count_nonzero(image > params.threshold))
'''

_TEST = """import numpy as np

from NAME import CLASS


def test_bright_pixels_are_counted(run_algorithm):
    image = np.zeros((10, 10), np.uint16)
    image[2:4, 5] = 2000

    assert run_algorithm(CLASS, image).outputs.bright == 2
    assert run_algorithm(CLASS, image, threshold=3000.0).outputs.bright == 0
"""


_START, _START_PREFIX = "beamline", "BL01:"
_TAKEN = ("Algorithm", "Inputs", "Outputs", "Params", "Figures")


def create(name: str, folder: Path) -> list[Path]:
    """Write `name.py` and `test_name.py`; ConfigurationError if the name is none or taken."""
    if not DECLARED.fullmatch(name):
        raise ConfigurationError(f"NAME: expected a name in snake_case, got {name}")
    if keyword.iskeyword(name) or pascal_case(name) in _TAKEN or _is_module(name):
        raise ConfigurationError(f"NAME: expected a name that Python does not use, got {name}")
    texts = {folder / f"{name}.py": _ALGORITHM, folder / f"test_{name}.py": _TEST}
    for path in texts:
        if path.exists():
            raise ConfigurationError(f"{path}: expected no such file, but there is one")
    for path, text in texts.items():
        named = re.sub(r"\bNAME\b", name, text)
        try:
            path.write_text(re.sub(r"\bCLASS\b", pascal_case(name), named))
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from None
    return list(texts)


def create_ioc(name: str, folder: Path) -> Path:
    """Write the configuration `name.toml`: the shipped one of that name, or else a start.

    ConfigurationError if the name cannot be a prefix of PVs, or the file is there already.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ConfigurationError(f"NAME: expected letters, digits, - and _, got {name}")
    shipped = files("tosip.shipped") / "iocs"
    source = shipped / name / f"{name}.toml"
    if source.is_file():
        text = source.read_text("utf-8")
    else:
        text = (shipped / _START / f"{_START}.toml").read_text("utf-8")
        text = text.replace(_START_PREFIX, f"{name.upper()}:").replace(
            f"iocs/{_START}/{_START}.toml", f"{name}.toml"
        )
    path = folder / f"{name}.toml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{path}: expected no such file, but there is one") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    return path


def _is_module(name: str) -> bool:
    found = importlib.util.find_spec(name)
    # One that was made here before is told in other words.
    return found is not None and found.origin != str(Path(f"{name}.py").resolve())
