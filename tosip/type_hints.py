"""Resolves the spellings of a declared type, in all supported versions of Python and NumPy.

One type has many spellings: `NDArray[np.float64]` is an `np.ndarray[...]`, or from NumPy 2.5 on an
alias as `type X = ...` makes them; `Annotated[X, ...]`, `Final[X]` and `NewType("Name", X)` stand
for X. Readers of declarations see what remains when these are removed. Runs where the algorithm
runs: standard library and NumPy only.
"""

from __future__ import annotations

import types
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

IMAGES_BELONG = "an image belongs in Result(image=...), which clients get as an NTNDArray"

_MOST_STEPS = 100
_UNIONS = (Union, getattr(types, "UnionType", Union))  # X | Y: Python 3.10
_PYTHONS = {np.bool_: bool, np.integer: int, np.floating: float, np.str_: str}


def annotated_types(cls: type) -> dict[str, Any]:
    """Return the type of each annotated name of `cls` and its bases, as the author spelt it.

    Text is evaluated. Raises TypeError where that fails, for whatever reason.
    """
    try:
        return get_type_hints(cls, include_extras=True)
    except Exception as error:  # annotations are the author's code
        raise TypeError(str(error)) from error


def resolve(hint: Any) -> Any:
    """Return the type that `hint` stands for: a class, or a generic type such as np.ndarray[...].

    Raises TypeError for an alias that cannot be evaluated.
    """
    for _ in range(_MOST_STEPS):
        inner = _without_outermost(hint)
        if inner is hint and not _is_alias(hint):
            return _resolved_array(hint)
        hint = inner
    raise TypeError(f"{hint} stands for itself")


def _resolved_array(hint: Any) -> Any:
    origin = get_origin(hint)
    if origin not in (np.ndarray, np.dtype):
        return hint
    return origin[tuple(map(resolve, get_args(hint)))]


def _without_outermost(hint: Any) -> Any:
    if _is_alias(get_origin(hint) or hint):
        return _alias_value(hint)
    if get_origin(hint) in (Annotated, Final):
        return get_args(hint)[0]
    return hint if is_class(hint) else getattr(hint, "__supertype__", hint)  # of a NewType


def _is_alias(hint: Any) -> bool:
    # By name: there is typing's (Python 3.12) and that of typing_extensions.
    return type(hint).__name__ == "TypeAliasType"


def _alias_value(hint: Any) -> Any:
    """Evaluate `Alias` or `Alias[arguments]`; a parameter without an argument stays as it is."""
    alias = get_origin(hint) or hint
    try:
        value = alias.__value__
    except Exception as error:  # a lazy alias is the author's code
        raise TypeError(str(error)) from error
    given = _bound(alias.__type_params__, get_args(hint))
    if value in alias.__type_params__:
        return given.get(value, (value,))[0]
    parameters = getattr(value, "__parameters__", ())
    if not given or not parameters:
        return value
    return value[tuple(a for parameter in parameters for a in given.get(parameter, (parameter,)))]


def _bound(parameters: tuple[Any, ...], arguments: tuple[Any, ...]) -> dict[Any, tuple[Any, ...]]:
    """Give each type parameter its arguments: a TypeVarTuple takes those that the others leave."""
    rest, bound = list(arguments), {}
    for left, parameter in zip(range(len(parameters) - 1, -1, -1), parameters):
        several = type(parameter).__name__ == "TypeVarTuple"
        taken = rest[: max(0, len(rest) - left) if several else 1]
        del rest[: len(taken)]
        if not taken and getattr(parameter, "has_default", bool)():  # Python 3.13
            taken = [parameter.__default__]
        if taken:
            bound[parameter] = tuple(taken)
    return bound


def is_class(hint: Any) -> bool:
    """Whether `hint` is a class proper: Python 3.9 and 3.10 call list[int] a type, too."""
    return isinstance(hint, type) and get_origin(hint) is None


def spelling(hint: Any) -> str:
    """Return how the author's error names `hint`."""
    if not is_class(hint):
        return str(hint)
    return f"numpy.{hint.__name__}" if issubclass(hint, np.generic) else str(hint.__name__)


def array_type(hint: Any) -> tuple[str, int | None] | None:
    """Return the dtype's name and the number of dimensions of a resolved np.ndarray[...].

    The name is "" if it is not one type of numbers (NDArray[np.floating], NDArray[Any]), the number
    None if it is left open. None if `hint` is no np.ndarray[...].
    """
    if get_origin(hint) is not np.ndarray:
        return None
    shape, dtype = (*get_args(hint), None)[:2]
    return _dtype_name(dtype), _dimensions(shape)


def _dtype_name(dtype: Any) -> str:
    if get_origin(dtype) is np.dtype:
        (scalar,) = get_args(dtype)
    else:  # np.dtypes.Float64DType
        scalar = dtype.type if is_class(dtype) and issubclass(dtype, np.dtype) else None
    if not is_class(scalar) or (
        # NumPy 1 takes np.floating as float64, NumPy 2 not at all.
        issubclass(scalar, np.generic) and scalar not in np.sctypeDict.values()
    ):
        return ""
    try:
        return str(np.dtype(scalar).name)
    except (TypeError, ValueError):
        return ""


def _dimensions(shape: Any) -> int | None:
    sizes = get_args(shape)
    if get_origin(shape) is not tuple or Ellipsis in sizes:
        return None
    if sizes == ((),):  # tuple[()] until Python 3.10
        return 0
    # *tuple[int, ...] and Unpack[...]: any number.
    known = [size for size in sizes if not str(size).startswith(("*", "typing.Unpack"))]
    return len(known) if len(known) in (len(sizes), *range(2, len(sizes))) else None


def remedy(hint: Any) -> str:
    """Say what to declare instead of the resolved `hint`; "" where the list of types says it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in _UNIONS and type(None) in arguments:
        return "a type without None, as a declared value always has one (a float may be NaN)"
    if origin in _UNIONS:
        return "one type"
    if origin is Literal:
        return "an enum.Enum for a choice"
    if origin is ClassVar or hint is ClassVar:
        return "no ClassVar, as a declared value belongs to one frame"
    if is_class(hint):
        return _python_type(hint)
    dimensions = (array_type(hint) or ("", None))[1]
    if dimensions not in (None, 1):
        return f"a 1-D array ({IMAGES_BELONG})"
    return ""


def _python_type(cls: type) -> str:
    """Name the declarable type whose values `cls` holds, for np.float64 and other subclasses."""
    for base, python in _PYTHONS.items():
        if issubclass(cls, (base, python)):
            return python.__name__
    return ""
