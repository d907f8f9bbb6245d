"""Reading a class: what is right becomes a description, what is wrong is told all at once."""

import enum
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.authors import Everything
from tosip import Alarm, Algorithm, Inputs, Outputs, Severity, command, output, param
from tosip.description import Field, Kind
from tosip.errors import DeclarationError
from tosip.reading import describe


def odd(value: Any) -> Any:
    """Hide a wrong type from the type checker."""
    return value


class Few(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Good(Outputs):
    total: float = output("Sum")


class NoInputs(Inputs):
    pass


def algorithm(inputs: type[Inputs] = NoInputs, outputs: type[Outputs] = Good) -> type[Any]:
    class Made(Algorithm[Any, Any]):
        """Is made for a test."""

        def process(self, image, params, attributes, metadata):
            return {}

    Made.__orig_bases__ = (Algorithm[inputs, outputs],)  # type: ignore[attr-defined,valid-type]
    return Made


def faults(cls: type[Any]) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        describe(cls)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return list(caught.value.faults)


@pytest.mark.parametrize("watch", ["cal.json", [1], [""], ["a\0"], None])
def test_watch_that_names_no_files_is_refused(watch):
    cls = algorithm()
    cls.watch = watch
    assert faults(cls) == [f'Made.watch: expected files as ["cal.json"], got {watch!r}']


def test_state_is_kept_only_of_a_stateful_algorithm_with_both_methods():
    cls = algorithm()
    cls.keep_state = True
    assert faults(cls) == [
        "Made.keep_state: expected stateful = True, a method save, a method restore with it, "
        "got none"
    ]
    cls.stateful, cls.save = True, lambda _: b""
    assert faults(cls) == ["Made.keep_state: expected a method restore with it, got none"]


def test_every_kind_is_read():
    description = describe(Everything)
    assert (description.name, description.doc) == ("Everything", "Declares one of each kind.")
    assert (description.details, description.stateful) == ("With details.", False)
    kinds = {field.name: field.kind for field in description.inputs}
    assert kinds == {
        "threshold": Kind.FLOAT,
        "count": Kind.INT,
        "big": Kind.INT,
        "fast": Kind.BOOL,
        "title": Kind.STR,
        "band": Kind.ENUM,
        "gain": Kind.ENUM,
        "weights": Kind.ARRAY,
        "reset": Kind.COMMAND,
    }


def test_field_has_all_that_was_declared():
    assert describe(Everything).input("threshold") == Field(
        "threshold",
        Kind.FLOAT,
        "Brighter pixels count",
        "More about it.",
        "counts",
        precision=1,
        low=0.0,
        high=100.0,
        default=5.0,
    )
    assert describe(Everything).input("weights") == Field(
        "weights", Kind.ARRAY, "Weights", precision=2, default=[1.0, 1.0], length=4, dtype="float64"
    )


def test_defaults_are_plain_values():
    defaults = describe(Everything).defaults()
    assert defaults.pop("weights").tolist() == [1.0, 1.0]
    assert defaults == {
        "threshold": 5.0,
        "count": 3,
        "big": 2**40,
        "fast": True,
        "title": "none",
        "band": "blue",
        "gain": "LOW",
        "reset": False,
    }


def test_severities_stand_in_the_order_of_the_choices():
    description = describe(Everything)
    assert description.output("good").severities == (Severity.MAJOR, Severity.NO_ALARM)
    assert description.output("verdict").severities == (Severity.MINOR, Severity.NO_ALARM)


def test_declarations_are_inherited():
    class More(Good):
        extra: int = output("One more")

    assert [field.name for field in describe(algorithm(outputs=More)).outputs] == ["total", "extra"]


def test_algorithm_may_be_derived_from_another():
    class Special(Everything):
        """Does the same."""

    assert describe(Special).inputs == describe(Everything).inputs


INPUT_FAULTS = [
    ("float", lambda: param("", default=1.0), "documentation, got none"),
    ("float", lambda: param(odd(None), default=1.0), "documentation, got none"),
    ("float", lambda: param("d", default="1"), "default: expected float, got '1'"),
    ("float", lambda: param("d", default=float("nan")), "default: expected a finite number"),
    ("float", lambda: param("d", default=5.0, limits=(0, 1)), "default: expected at least 0"),
    (
        "float",
        lambda: param("d", default=1.0, limits=(2, 1)),
        r"limits \(low, high\), got \(2, 1\)",
    ),
    (
        "float",
        lambda: param("d", default=1.0, limits=odd(5)),
        r"limits \(low, high\), got 5",
    ),
    ("float", lambda: param("d", default=1.0, limits=odd((1,))), r"got \(1,\)"),
    ("float", lambda: param("d", default=1.0, limits=odd(("a", 2))), r"got \('a', 2\)"),
    ("float", lambda: param("d", default=1.0, limits=(float("nan"), 2)), r"limits \(low, high\)"),
    ("float", lambda: param("d", default=1.0, units="x" * 16), "units of at most 15 bytes, got x"),
    ("float", lambda: param("d", default=1.0, units=odd(None)), "units as text, got None"),
    ("float", lambda: param("d", default=1.0, precision=16), "precision 0 to 15, got 16"),
    ("float", lambda: param("d", default=1.0, precision=odd("2")), "precision as an int"),
    ("float", lambda: param("d", default=1.0, length=3), "length on str and arrays only, got 3"),
    ("float", lambda: param("d", default=1.0, bits=64), "bits on ints only, got 64"),
    ("int", lambda: param("d", default=1, bits=16), "bits=32 or bits=64, got 16"),
    ("int", lambda: param("d", default=1, precision=2), "precision on floats only, got 2"),
    ("int", lambda: param("d", default=True), "default: expected int, got True"),
    ("int", lambda: param("d", default=2**63), "default: expected an int of 64 bits"),
    ("int", lambda: param("d", default=2**31, bits=32), "default: expected an int of 32 bits"),
    ("bool", lambda: param("d", default=1), "default: expected bool, got 1"),
    ("bool", lambda: param("d", default=True, units="s"), "units on numbers only, got s"),
    ("bool", lambda: param("d", default=True, limits=(0, 1)), "limits on numbers only"),
    (
        "str",
        lambda: param("d", default="long", length=2),
        "default: expected at most 2 bytes, got 4",
    ),
    ("str", lambda: param("d", default="", length=0), "a length of at least 1, got 0"),
    ("Few", lambda: param("d", default="green"), "default: expected one of red, blue, got 'green'"),
    ("NDArray[np.uint8]", lambda: param("d", default=()), "length=, the greatest number"),
    (
        "NDArray[np.uint8]",
        lambda: param("d", default=np.zeros((2, 2)), length=9),
        r"default: expected a 1-D array of at most 9 numbers, got shape \(2, 2\)",
    ),
    ("NDArray[np.complex64]", lambda: param("d", default=(), length=2), "NDArray of int8, uint8"),
    (
        "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
        lambda: param("d", default=(), length=2),
        r"expected a 1-D array \(an image belongs in Result\(image=\.\.\.\)",
    ),
    ("NDArray[np.number]", lambda: param("d", default=(), length=2), "NDArray of int8, uint8"),
    ("np.ndarray", lambda: param("d", default=(), length=2), "NDArray of .*, got ndarray"),
    ("list[int]", lambda: param("d", default=[]), r"an enum or NDArray of .*, got list\[int\]"),
    ("float | None", lambda: param("d", default=1.0), r"got float \| None"),
    ("complex", lambda: param("d", default=1j), "got complex"),
    ("int", lambda: command("d"), "expected bool, got int"),
    ("float", lambda: output("d"), r"expected param or command\(...\), got output\(...\)"),
    ("float", lambda: 1.0, r"expected = param\(...\), got 1.0"),
]


@pytest.mark.parametrize(("hint", "make", "words"), INPUT_FAULTS)
def test_fault_of_an_input_is_told_with_its_name(hint, make, words):
    namespace = {"__annotations__": {"value": eval(hint)}, "value": make(), "__module__": __name__}
    (fault,) = faults(algorithm(type("Params", (Inputs,), namespace)))
    assert fault.startswith("Params.value: ")
    assert re.search(words, fault), fault


BIG = 60 * 1024**2
OUTPUT_FAULTS = [
    (
        "NDArray[np.float64]",
        lambda: output("d", length=BIG // 8 + 1),
        rf"a length of at most {BIG // 8} \(TOSIP: {BIG} bytes\), got {BIG // 8 + 1}",
    ),
    ("str", lambda: output("d", length=2**21 + 1), "a length of at most 2097152"),
    ("float", lambda: output("d", alarm=Alarm()), "an alarm with a limit, got none"),
    ("float", lambda: output("d", alarm=Alarm(low=5, high=1)), "lolo <= low <= high <= hihi"),
    ("float", lambda: output("d", alarm=Alarm(high=1, hysteresis=-1)), "hysteresis of at least 0"),
    ("float", lambda: output("d", alarm=Alarm(high=odd("1"))), "an Alarm of numbers"),
    ("float", lambda: output("d", alarm=odd(5)), "an Alarm, got 5"),
    ("str", lambda: output("d", alarm=Alarm(high=1)), "alarm on numbers only"),
    ("float", lambda: output("d", severities={1: Severity.MINOR}), "severities on enums and bools"),
    (
        "bool",
        lambda: output("d", severities={2: Severity.MINOR}),
        r"severity of one of \(False, Tr",
    ),
    ("Few", lambda: output("d", severities={"x": Severity.MINOR}), r"severity of one of \('red'"),
    ("Few", lambda: output("d", severities={"red": odd("BAD")}), "a Severity of red, got"),
    ("float", lambda: output("d", default="1"), "default: expected float, got '1'"),
    ("float", lambda: param("d", default=1.0), r"expected output\(...\), got param\(...\)"),
]


@pytest.mark.parametrize(("hint", "make", "words"), OUTPUT_FAULTS)
def test_fault_of_an_output_is_told_with_its_name(hint, make, words):
    namespace = {"__annotations__": {"value": eval(hint)}, "value": make(), "__module__": __name__}
    (fault,) = faults(algorithm(outputs=type("Figures", (Outputs,), namespace)))
    assert re.match(f"Figures\\.value: .*{words}", fault), fault


def test_outputs_that_are_too_large_together_are_refused_by_the_largest():
    class Large(Outputs):
        small: NDArray[np.int8] = output("d", length=BIG // 2)
        large: NDArray[np.int16] = output("d", length=BIG // 4 + 1)

    (fault,) = faults(algorithm(outputs=Large))
    assert fault.startswith(f"Large.large: expected at most {BIG} bytes in all")


@pytest.mark.parametrize(("given", "most"), [("1000", 125), (None, 2048)])
def test_channel_access_has_no_room_for_longer_arrays_where_its_limit_is_in_force(
    monkeypatch, given, most
):
    class Long(Outputs):
        line: NDArray[np.float64] = output("d", length=most + 1)

    assert describe(algorithm(outputs=Long)).outputs[0].length == most + 1
    monkeypatch.setenv("EPICS_CA_AUTO_ARRAY_BYTES", "no")
    monkeypatch.delenv("EPICS_CA_MAX_ARRAY_BYTES", raising=False)
    if given:
        monkeypatch.setenv("EPICS_CA_MAX_ARRAY_BYTES", given)
    (fault,) = faults(algorithm(outputs=Long))
    assert fault.startswith(f"Long.line: expected a length of at most {most} (EPICS_CA_MAX_ARRAY_B")


def test_a_long_first_line_is_kept_and_shortened_for_epics():
    line = "Half-flux diameter of all the stars that are good"

    class Long(Outputs):
        hfd: float = output(f"{line}\n\nMore about it.")

    (field,) = describe(algorithm(outputs=Long)).outputs
    assert (field.doc, field.details) == (line, "More about it.")
    assert field.short_doc == "Half-flux diameter of all the stars..."


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Threshold", "a name in snake_case, got Threshold"),
        ("two__lines", "a name in snake_case, got two__lines"),
        ("status", "another name, got Status, which every plugin has"),
        ("replace", "another name, got replace, which is a method"),
        ("x" * 29, "a name of at most 28 characters, got 29"),
    ],
)
def test_name_that_makes_no_pv_is_refused(name, words):
    namespace = {"__annotations__": {name: float}, name: param("d", default=1.0)}
    (fault,) = faults(algorithm(type("Params", (Inputs,), namespace)))
    assert fault == f"Params.{name}: expected {words}" or words.endswith("method")
    assert words in fault


def test_input_and_output_of_one_pv_are_refused():
    class Same(Inputs):
        total: float = param("Sum", default=1.0)

    (fault,) = faults(algorithm(Same))
    assert fault == "Good.total: expected a name of its own, got Total, which Same.total has too"


@pytest.mark.parametrize("count", [0, 17])
def test_enum_has_1_to_16_members(count):
    many: Any = enum.Enum("many", {f"M{n}": n for n in range(count)})  # type: ignore[misc]
    namespace = {"__annotations__": {"e": many}, "e": output("d")}
    found = faults(algorithm(outputs=type("Figures", (Outputs,), namespace)))
    assert found == [f"Figures.e: expected 1 to 16 choices, got {count}"]


def test_labels_are_short_and_differ():
    class Bad(enum.Enum):
        EMPTY = ""
        LONG = "x" * 26
        LEFT = 1
        right = "LEFT"

    namespace = {"__annotations__": {"e": Bad}, "e": output("d")}
    found = faults(algorithm(outputs=type("Figures", (Outputs,), namespace)))
    assert [fault.split(", got")[0] for fault in found] == [
        "Figures.e: expected choices that differ",
        "Figures.e: expected labels of 1 to 25 bytes",
        "Figures.e: expected labels of 1 to 25 bytes",
    ]


def test_all_faults_are_told_at_once():
    class Params(Inputs):
        Wrong: float = param("", default=1.0)
        count: int = param("Count", default=1.5)  # type: ignore[assignment]
        untyped = param("No type", default=1)

    class Figures(Outputs):
        bare: float
        message: str = output("Text")

    class Broken(Algorithm[Params, Figures]):
        def process(self, image):  # type: ignore[override]
            return {}

    assert [fault.split(": ")[0] for fault in faults(Broken)] == [
        "Broken",
        "Broken.process",
        "Params.Wrong",
        "Params.count",
        "Params.untyped",
        "Figures.bare",
        "Params.Wrong",
        "Figures.message",
    ]
    for fault in faults(Broken):
        assert ": expected " in fault or "default: expected" in fault
        assert ", got " in fault


def test_process_has_exactly_its_signature():
    class Async(Everything):
        """Is no coroutine."""

        async def process(self, image, params, attributes, metadata):  # type: ignore[override]
            return {}

    class Number(Everything):
        """Is no method."""

        process = 5  # type: ignore[assignment]

    class Missing(Algorithm[NoInputs, Good]):
        """Has none."""

    expected = "expected (self, image, params, attributes, metadata)"
    assert faults(Async) == [
        f"Async.process: {expected}, got async (self, image, params, attributes, metadata)"
    ]
    assert faults(Number) == ["Number.process: expected a method, got 5"]
    assert faults(Missing) == ["Missing.process: expected a method, got none"]


def test_class_says_what_its_inputs_and_outputs_are():
    class Bare(Algorithm):  # type: ignore[type-arg]
        """Says nothing."""

        def process(self, image, params, attributes, metadata):
            return {}

    (fault,) = faults(Bare)
    assert fault.startswith("Bare: expected class Bare(Algorithm[Inputs, Outputs])")
    swapped: Any = (Good, NoInputs)
    assert faults(algorithm(*swapped)) == [
        "Made: expected a subclass of Inputs, got Good",
        "Made: expected a subclass of Outputs, got NoInputs",
    ]


def test_type_that_cannot_be_looked_up_is_told_once():
    namespace = {"__annotations__": {"x": "Nowhere"}, "x": param("d", default=1.0)}
    (fault,) = faults(algorithm(type("Params", (Inputs,), namespace)))
    assert fault.startswith("Params: expected types that can be looked up, got name 'Nowhere'")


def test_arrays_of_every_type_are_taken():
    for dtype in (np.int8, np.uint16, np.int32, np.float32, np.float64):
        hint: Any = NDArray[dtype]  # type: ignore[valid-type]
        namespace = {"__annotations__": {"a": hint}, "a": output("d", length=2)}
        made = describe(algorithm(outputs=type("Figures", (Outputs,), namespace)))
        assert made.output("a").dtype == np.dtype(dtype).name
