"""Declared types in each of their spellings, in the Python and the NumPy that run the tests."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
import pytest

from tosip.description import Field, Kind
from tosip.errors import DeclarationError
from tosip.pipeline.worker.values import InputsReader
from tosip.reading import declared_classes, describe
from tosip.type_hints import IMAGES_BELONG

HEAD = """
import enum, typing
from typing import *
import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray
from tosip import Algorithm, Inputs, Outputs, output, param

class Few(enum.Enum):
    RED = "red"

Seconds = NewType("Seconds", float)
Longer = NewType("Longer", Seconds)
Line = NDArray[np.float64]
Size = TypeVar("Size")
"""
DECLARED = """
class Params(Inputs):
    text: str = param("Text", default="")

class Figures(Outputs):
    value: {} = output("Value"{})

class Made(Algorithm[Params, Figures]):
    '''Is made for a test.'''

    def process(self, image, params, attributes, metadata):
        return {{}}
"""
FUTURE = "from __future__ import annotations"


@pytest.fixture(autouse=True)
def no_module_stays():
    yield
    sys.modules.pop("authors_module", None)


def load(source: str) -> Any:
    """Run an author's file, and return its class `Made`."""
    module: Any = type(sys)("authors_module")
    sys.modules["authors_module"] = module  # where text is evaluated
    # The flags of this file's own `from __future__` are not the author's.
    exec(compile(source, "authors_module.py", "exec", dont_inherit=True), module.__dict__)
    return module.Made


def read(source: str) -> Field:
    """Describe the class of `source` as a worker does, and return its only output."""
    return describe(load(source)).outputs[0]


def field(hint: str, before: str = "", first: str = "", options: str = "") -> Field:
    return read(first + HEAD + before + DECLARED.format(hint, options))


def array(hint: str, before: str = "", first: str = "") -> str:
    found = field(hint, before, first, ", length=5")
    assert found.kind is Kind.ARRAY
    return found.dtype


def fault(hint: str, before: str = "", first: str = "") -> str:
    with pytest.raises(DeclarationError) as caught:
        field(hint, before, first)
    (words,) = caught.value.faults
    assert words.startswith("Figures.value: expected ")
    return words.removeprefix("Figures.value: expected ")


SCALARS = {
    "float": Kind.FLOAT,
    "'float'": Kind.FLOAT,
    "Annotated[float, 'in pixels']": Kind.FLOAT,
    "Annotated['float', 'in pixels']": Kind.FLOAT,
    "Annotated[Annotated[int, 1], 2]": Kind.INT,
    "Final[bool]": Kind.BOOL,
    "Annotated[Final[str], 1]": Kind.STR,
    "Seconds": Kind.FLOAT,
    "Longer": Kind.FLOAT,
    "Annotated[Longer, 's']": Kind.FLOAT,
    "Annotated[Few, 1]": Kind.ENUM,
    "Union[float]": Kind.FLOAT,
}
FLOAT64 = [
    "NDArray[np.float64]",
    "'NDArray[np.float64]'",
    # Text within a type: from Python 3.11 on it is evaluated, too.
    *(["NDArray['np.float64']"] if sys.version_info >= (3, 11) else []),
    "npt.NDArray[np.double]",
    "NDArray[float]",
    "Line",
    "Annotated[Line, 1]",
    "NDArray[Annotated[np.float64, 1]]",
    "np.ndarray[Any, np.dtype[np.float64]]",
    "np.ndarray[tuple[int], np.dtype[np.float64]]",
    "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    "np.ndarray[tuple[Any, ...], np.dtype[np.float64]]",
    "np.ndarray[tuple[Any], np.dtype[np.float64]]",
    "np.ndarray[tuple[Literal[5]], np.dtype[np.float64]]",
    "np.ndarray[Tuple[int], np.dtype[np.float64]]",
    "np.ndarray[Tuple[int, ...], np.dtype[np.float64]]",
    "np.ndarray[Size, np.dtype[np.float64]]",
    "np.ndarray[int, np.dtype[np.float64]]",
    "np.ndarray[Annotated[tuple[int], 1], Annotated[np.dtype[np.float64], 1]]",
    "Final[NDArray[np.float64]]",
    "NewType('Rows', NDArray[np.float64])",
]


@pytest.mark.parametrize("first", ["", FUTURE], ids=["evaluated", "text"])
@pytest.mark.parametrize("hint", SCALARS)
def test_scalars_are_read(hint, first):
    assert field(hint, first=first).kind is SCALARS[hint]


@pytest.mark.parametrize("first", ["", FUTURE], ids=["evaluated", "text"])
@pytest.mark.parametrize("hint", FLOAT64)
def test_arrays_are_read(hint, first):
    assert array(hint, first=first) == "float64"


ONE_TYPE = "one type, got "
NO_NONE = "a type without None, as a declared value always has one (a float may be NaN), got "
ANY_OF = "int, float, bool, str, an enum or NDArray of "
ONE_DIMENSION = f"a 1-D array ({IMAGES_BELONG}), got "
REFUSED = {
    "Optional[float]": NO_NONE,
    "Optional[NDArray[np.float64]]": NO_NONE,
    "Annotated[Optional[float], 1]": NO_NONE,
    "Union[int, float]": ONE_TYPE,
    "Union[int, str, None]": NO_NONE,
    "Literal['a', 'b']": "an enum.Enum for a choice, got typing.Literal['a', 'b']",
    "ClassVar[float]": "no ClassVar, as a declared value belongs to one frame, got ",
    "np.float64": "float, got numpy.float64",
    "np.float32": "float, got numpy.float32",
    "np.int32": "int, got numpy.int32",
    "np.uint64": "int, got numpy.uint64",
    "np.bool_": "bool, got numpy.bool",
    "np.str_": "str, got numpy.str_",
    "np.ndarray[tuple[int, int], np.dtype[np.float64]]": ONE_DIMENSION,
    "np.ndarray[Tuple[int, int], np.dtype[np.float64]]": ONE_DIMENSION,
    "np.ndarray[tuple[()], np.dtype[np.float64]]": ONE_DIMENSION,
    "Annotated[np.ndarray[Tuple[int, int, int], np.dtype[np.uint8]], 1]": ONE_DIMENSION,
    "NDArray": ANY_OF,
    "NDArray[Any]": ANY_OF,
    "NDArray[np.floating]": ANY_OF,
    "NDArray[np.floating[Any]]": ANY_OF,
    "NDArray[np.integer]": ANY_OF,
    "NDArray[np.complex128]": ANY_OF,
    "NDArray[np.str_]": ANY_OF,
    "NDArray[np.datetime64]": ANY_OF,
    "NDArray[Few]": ANY_OF,
    "NDArray[Union[np.float32, np.float64]]": ANY_OF,
    "np.ndarray": ANY_OF,
    "np.ndarray[Any, Any]": ANY_OF,
    "np.ndarray[Any, np.dtype[Any]]": ANY_OF,
    "np.dtype[np.float64]": ANY_OF,
    "npt.ArrayLike": "",
    "List[float]": ANY_OF,
    "list[float]": ANY_OF,
    "Tuple[float, ...]": ANY_OF,
    "Sequence[float]": ANY_OF,
    "dict[str, float]": ANY_OF,
    "Any": ANY_OF,
    "None": ANY_OF,
    "object": ANY_OF,
    "Size": ANY_OF,
    "Final": ANY_OF,
    "complex": ANY_OF,
    "NewType('Odd', complex)": ANY_OF,
}


@pytest.mark.parametrize("first", ["", FUTURE], ids=["evaluated", "text"])
@pytest.mark.parametrize("hint", REFUSED)
def test_what_is_no_type_of_a_value_is_refused_in_true_words(hint, first):
    words = fault(hint, first=first)
    assert words.startswith(REFUSED[hint])
    assert ", got " in words


def test_dtype_classes_are_read():
    if not hasattr(np, "dtypes"):
        pytest.skip("np.dtypes came with NumPy 1.25")
    assert array("np.ndarray[Any, np.dtypes.Float32DType]") == "float32"


def test_class_variable_is_no_declaration():
    found = read(HEAD + DECLARED.format("float", ")\n    LIMIT: ClassVar[int] = len('five'"))
    assert found.name == "value"


def test_types_of_the_algorithm_may_come_through_a_generic_base():
    base = """
In = TypeVar("In", bound=Inputs)

class Base(Algorithm[In, Figures], Generic[In]):
    '''Leaves its inputs open.'''

class Made(Base[Annotated[Params, 1]]):"""
    declared = DECLARED.replace("class Made(Algorithm[Params, Figures]):", base)
    assert read(HEAD + declared.format("float", "")).name == "value"


# What follows needs the syntax of Python 3.12, and is text here.
new_syntax = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="`type X = ...` is Python 3.12's"
)
ALIASES = """
type Number = float
type Hidden = Number
type Deep = Annotated[Hidden, "x"]
type Vector = NDArray[np.float64]
type Of[T: np.generic] = NDArray[T]
type Twice[T: np.generic] = Of[T]
type Shaped[S, T: np.generic] = np.ndarray[S, np.dtype[T]]
type Turned[T: np.generic, S] = np.ndarray[S, np.dtype[T]]
type Sized[T: np.generic, *S] = np.ndarray[tuple[*S], np.dtype[T]]
type Self[T] = T
type Later = NDArray[Defined]
type Choice = Few
type Maybe = float | None
type Broken = NDArray[np.flaot64]
type Nowhere = Unknown
type Endless = Endless
type There = Back
type Back = There
Defined = np.float64
"""
NEW_SPELLINGS = {
    "Number": "float",
    "Hidden": "float",
    "Deep": "float",
    "Self[float]": "float",
    "Annotated[Self[Self[float]], 1]": "float",
    "Choice": "enum",
    "Vector": "float64",
    "Of[np.float64]": "float64",
    "Twice[np.float64]": "float64",
    "Self[Twice[np.float64]]": "float64",
    "Shaped[tuple[int], np.float64]": "float64",
    "Turned[np.float64, tuple[int]]": "float64",
    "Sized[np.float64, int]": "float64",
    "np.ndarray[tuple[*tuple[int, ...]], np.dtype[np.float64]]": "float64",
    "np.ndarray[tuple[int, *tuple[int, ...]], np.dtype[np.float64]]": "float64",
    "Later": "float64",
}
NEW_REFUSALS = {
    "Maybe": NO_NONE + "Maybe",
    "float | None": NO_NONE + "float | None",
    "int | float": ONE_TYPE,
    "Shaped[tuple[int, int], np.float64]": ONE_DIMENSION,
    "Turned[np.float64, tuple[int, int]]": ONE_DIMENSION,
    "Sized[np.float64, int, int]": ONE_DIMENSION,
    "np.ndarray[tuple[int, int, *tuple[int, ...]], np.dtype[np.float64]]": ONE_DIMENSION,
    "Of": ANY_OF,
    "Self": ANY_OF,
    "Broken": "a type that can be looked up, got Broken: module 'numpy' has no attribute",
    "Nowhere": "a type that can be looked up, got Nowhere: name 'Unknown' is not defined",
    "NDArray[Nowhere]": "a type that can be looked up, got ",
    "Endless": "a type that can be looked up, got Endless: Endless stands for itself",
    "There": "a type that can be looked up, got There: ",
}


@new_syntax
@pytest.mark.parametrize("first", ["", FUTURE], ids=["evaluated", "text"])
@pytest.mark.parametrize("hint", NEW_SPELLINGS)
def test_aliases_are_read(hint, first):
    options = ", length=5" if NEW_SPELLINGS[hint] == "float64" else ""
    found = field(hint, ALIASES, first, options)
    assert found.dtype or found.kind.value == NEW_SPELLINGS[hint]


@new_syntax
@pytest.mark.parametrize("hint", NEW_REFUSALS)
def test_aliases_are_refused_in_true_words(hint):
    assert fault(hint, ALIASES).startswith(NEW_REFUSALS[hint])


@new_syntax
def test_aliases_of_the_algorithms_own_types_are_read():
    source = "type P = Params\ntype F[T] = T\n\nclass Made(Algorithm[P, F[Figures]])"
    made = DECLARED.format("float", "").replace("class Made(Algorithm[Params, Figures])", source)
    assert read(HEAD + made).name == "value"


@pytest.mark.skipif(sys.version_info < (3, 13), reason="defaults of type parameters")
def test_defaults_of_type_parameters_are_read():
    defaults = "type By[T = np.float64] = NDArray[T]\ntype Plain[T = float] = T\n"
    assert array("By", defaults) == "float64"
    assert array("By[np.int16]", defaults) == "int16"
    assert field("Plain", defaults).kind is Kind.FLOAT


@pytest.mark.skipif(
    importlib.util.find_spec("typing_extensions") is None, reason="no typing_extensions"
)
def test_aliases_of_typing_extensions_are_read():
    before = """
from typing_extensions import TypeAliasType
Number = TypeAliasType("Number", float)
Of = TypeAliasType("Of", NDArray[Size], type_params=(Size,))
"""
    assert field("Number", before).kind is Kind.FLOAT
    assert array("Of[np.int16]", before) == "int16"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated when asked for")
def test_lazy_annotations_are_evaluated_when_the_class_is_read():
    source = HEAD + DECLARED.format("Later", ", length=5") + "\nLater = NDArray[np.float64]\n"
    assert read(source).dtype == "float64"


def test_an_inputs_member_is_found_behind_its_annotation():
    source = DECLARED.replace("(Inputs):", "(Inputs):\n    few: {} = param('Few', default=Few.RED)")
    made = load(HEAD + source.format("Annotated[Few, 1]", "float", ""))
    read_inputs: Any = InputsReader(declared_classes(made)[0], describe(made))
    assert read_inputs({"few": "red", "text": ""}).few is sys.modules[made.__module__].Few.RED
