"""What an author writes with: typed values by attribute, seen by Python and by type checkers."""

import copy
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.authors import Band, Everything, Figures, Params
from tosip import Algorithm, Metadata, Result, Status
from tosip.algorithm import Outputs
from tosip.algorithm import output as declare_output

SOURCE = """
import numpy as np
from typing import Any
from collections.abc import Mapping
from tosip import Algorithm, Inputs, Metadata, Outputs, Result, Status, command, output, param

class Params(Inputs):
    threshold: float = param("Threshold", default=1.0, units="counts")
    again: bool = command("Again")

class Figures(Outputs):
    bright: int = output("Bright pixels")
    level: float = output("Level", default=0.0)

class Count(Algorithm[Params, Figures]):
    '''Counts.'''

    def process(self, image: np.ndarray[Any, Any], params: Params,
                attributes: Mapping[str, Any], metadata: Metadata) -> Figures | Result[Figures]:
        count = int(np.count_nonzero(image > params.threshold))
        if metadata.unique_id < 0:
            return Result(status=Status.SKIP)
        if params.again:
            return Result(Figures(bright=count), params=params.replace(threshold=2.0))
        return Figures(bright=count, level=0.5)
"""
MISTAKES = {
    "input": ("params.threshold", "params.treshold", 'no attribute "treshold"'),
    "output": ("level=0.5", "levle=0.5", 'Unexpected keyword argument "levle"'),
    "missing": ("Figures(bright=count, level=0.5)", "Figures()", 'Missing named argument "bright"'),
    "type": ("bright=count, level=0.5", 'bright="many"', 'Argument "bright" to "Figures"'),
    "default": ("default=1.0", 'default="1"', "Incompatible types in assignment"),
    "metadata": ("metadata.unique_id", "metadata.uniqueid", 'no attribute "uniqueid"'),
    "change": ("count = int", "params.threshold = 5.0; count = int", "is read-only"),
}


def test_type_checker_finds_each_mistake_and_none_in_a_correct_file(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    (tmp_path / "correct.py").write_text(SOURCE)
    for name, (right, wrong, _) in MISTAKES.items():
        (tmp_path / f"wrong_{name}.py").write_text(SOURCE.replace(right, wrong, 1))
    files = sorted(str(path) for path in tmp_path.glob("*.py"))
    config = Path(__file__).parents[1] / "pyproject.toml"
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(config), *files]
    told = subprocess.run(command, capture_output=True, text=True, cwd=config.parent).stdout
    lines = [line for line in told.splitlines() if ": error: " in line]
    assert not [line for line in lines if "correct.py" in line]
    for name, (_, _, words) in MISTAKES.items():
        assert [line for line in lines if f"wrong_{name}.py" in line and words in line], told


def test_values_are_typed_and_have_defaults():
    params = Params(threshold=7.0)
    assert (params.threshold, params.band, params.reset) == (7.0, Band.BLUE, False)


def test_misspelt_names_are_refused_with_the_known_ones():
    known = "threshold, count, big, fast, title, band, gain, weights, reset, got treshold"
    with pytest.raises(AttributeError, match=rf"Params\.treshold: expected an input of {known}"):
        Params(treshold=1.0)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match=r"Params\.treshold: expected an input of"):
        Params().treshold  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"Figures\.levle: expected an output of level"):
        Figures(levle=1.0)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="got treshold"):
        Params().replace(treshold=1.0)


def test_outputs_without_default_must_be_given_all_are_named():
    with pytest.raises(TypeError, match="Figures: expected level, good, verdict, profile, got no"):
        Figures()  # type: ignore[call-arg]


def test_values_never_change_but_copies_differ():
    params = Params()
    with pytest.raises(AttributeError, match="a frame's values never change"):
        params.threshold = 1.0  # type: ignore[misc]
    changed = params.replace(threshold=1.0, count=9)
    assert (params.threshold, changed.threshold, changed.count) == (5.0, 1.0, 9)


class Long(Outputs):
    line: Any = declare_output("A line")
    number: float = declare_output("A number", default=math.nan)


def test_equal_values_are_equal_also_arrays_and_nan():
    assert Params() == Params()
    assert Params() != Params(threshold=1.0)
    assert Long(line=np.arange(5000)) == Long(line=np.arange(5000))
    other = np.arange(5000)
    other[2500] = 0
    assert Long(line=np.arange(5000)) != Long(line=other)
    assert Long(line=other, number=1.0) == Long(line=other, number=np.float64(1))
    assert hash(Long(line=other)) == hash(Long(line=other))


def test_values_can_be_copied_and_sent_to_other_processes():
    params = Params(threshold=7.0)
    assert copy.deepcopy(params) == params
    assert pickle.loads(pickle.dumps(params)) == params
    assert repr(params).startswith("Params(threshold=7.0, count=3,")


def test_metadata_gives_dimensions_in_areadetectors_order():
    metadata = Metadata(1, 0.0, "CAM01", (4, 5, 3), "UInt8", "RGB1")
    assert metadata.dimensions == (3, 5, 4)
    assert Metadata(1, 0.0, "A", (4, 5, 3), "UInt8", "RGB2").dimensions == (5, 3, 4)
    assert Metadata(1, 0.0, "A", (4, 5, 3), "UInt8", "RGB3").dimensions == (5, 4, 3)


def test_new_image_works_without_a_worker():
    image = Everything().new_image((2, 3), "uint16")
    image[:] = 5
    assert (image.shape, image.dtype) == ((2, 3), np.dtype("uint16"))


class Lengths(Outputs):
    rows: int = declare_output("Rows")


class Probe(Algorithm[Params, Lengths]):
    """Shows what the fixture gives."""

    def start(self):
        self.frames = 0

    def stop(self):
        stopped.append(self)

    def process(self, image, params: Params, attributes, metadata) -> Result[Lengths]:
        self.frames += 1
        assert image.flags.c_contiguous
        assert not image.flags.writeable
        assert params.weights.dtype == np.float64
        return Result(
            Lengths(rows=metadata.shape[0]),
            status=Status(attributes.get("STATUS", "ok")),
            message=f"{self.frames} {params.band.name}",
            params=params.replace(count=params.count + 1),
            attributes={"SEEN": np.int16(metadata.shape[1])},
        )


stopped: list[Probe] = []
IMAGE = np.zeros((4, 5), ">u2")


def test_fixture_runs_an_algorithm_as_a_worker_does(run_algorithm):
    stopped.clear()
    ran = run_algorithm(Probe, IMAGE.T, band=Band.RED, weights=[1, 2, 3])
    assert (ran.outputs.rows, ran.message, ran.status) == (5, "1 RED", Status.OK)
    assert (ran.params.count, ran.attributes) == (4, {"SEEN": 4})
    assert len(stopped) == 1


class Undefined(Algorithm[Params, Lengths]):
    """Counts undefined pixels."""

    undefined_as_nan = True

    def process(self, image, params, attributes, metadata):
        return {"rows": int(np.isnan(image).sum())}


def test_fixture_shows_undefined_pixels_as_a_worker_does(run_algorithm):
    attributes = {"UndefinedPixels": 20, "UndefinedValue": 0}
    assert run_algorithm(Undefined, IMAGE, attributes).outputs.rows == 20
    assert run_algorithm(Undefined, IMAGE).outputs.rows == 0


def test_fixture_keeps_the_state_of_an_object(run_algorithm):
    probe = Probe()
    probe.start()
    assert [run_algorithm(probe, IMAGE).message[0] for _ in range(3)] == ["1", "2", "3"]


def test_fixture_refuses_what_a_worker_would(run_algorithm):
    with pytest.raises(AttributeError, match=r"Params\.bandd: expected an input of"):
        run_algorithm(Probe, IMAGE, bandd=Band.RED)
    with pytest.raises(ValueError, match=r"Params\.threshold: expected at least 0"):
        run_algorithm(Probe, IMAGE, threshold=-1.0)
    with pytest.raises(ValueError, match="image: expected a type of int8"):
        run_algorithm(Probe, IMAGE.astype(bool))
    with pytest.raises(ValueError, match="'fine' is not a valid Status"):
        run_algorithm(Probe, IMAGE, {"STATUS": "fine"})


class Wrong(Algorithm[Params, Lengths]):
    """Returns what it should not."""

    def process(self, image, params, attributes, metadata):
        made: Result[Lengths] = eval(attributes["RETURN"])
        return made


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("5", "expected the outputs or a Result, got int"),
        ("Lengths(rows=1.5)", r"Lengths\.rows: expected int, got 1\.5"),
        ("{'row': 1}", r"Wrong\.row: expected a declared output; Wrong\.rows: expected int, got n"),
        ("Result(Lengths(rows=1), image=image > 0)", "image: expected a type of int8"),
        ("Result(Lengths(rows=1), params=params.replace(threshold=-1.0))", r"Params\.threshold"),
        ("Result(Lengths(rows=1), attributes=5)", "attributes: expected a mapping, got int"),
    ],
)
def test_fixture_refuses_wrong_results(run_algorithm, code, words):
    with pytest.raises((TypeError, ValueError), match=words):
        run_algorithm(Wrong, IMAGE, {"RETURN": code})
