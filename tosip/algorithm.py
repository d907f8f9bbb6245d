"""What an algorithm is written with.

An algorithm is one class. It names two small classes that declare its inputs and its outputs, and
implements one method::

    import numpy as np
    from tosip import Algorithm, Inputs, Outputs, output, param

    class Params(Inputs):
        threshold: float = param("Brighter pixels count", default=1000.0, units="counts")

    class Figures(Outputs):
        bright: int = output("Number of bright pixels")

    class CountBright(Algorithm[Params, Figures]):
        '''Counts bright pixels.'''

        def process(self, image, params, attributes, metadata):
            return Figures(bright=np.count_nonzero(image > params.threshold))

The annotation gives the type: int, float, bool, str, an `enum.Enum`, or `NDArray[np.float64]` (and
other numbers) for a 1-D array. The first argument is the documentation: its first line stands in
the record's DESC field (shortened at a word if it has more than 40 bytes), all of it in the
screen's tooltip. `Annotated[float, ...]`, `NewType`, `Final[float]` and aliases
(`type Counts = float`) stand for their type. A value is never None: a float that is not known is
NaN.

This module runs in the user's own interpreter: the standard library and NumPy only, Python 3.9.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Generic,
    Literal,
    NoReturn,
    TypeVar,
)

import numpy as np

from tosip.description import Alarm, Severity, same_value

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_options):
        """Mean something to type checkers only."""
        return lambda cls: cls


class Status(str, enum.Enum):
    """What became of a frame.

    OK and WARNING publish the outputs (WARNING with a MINOR alarm on `Status_RBV`); ERROR makes
    them INVALID; SKIP leaves them as they are: the frame was none for this algorithm.
    """

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    SKIP = "skip"


@dataclass(frozen=True)
class Spec:
    """What `param`, `output` or `command` was called with; read by `tosip.reading`."""

    role: str
    doc: str
    default: Any = None
    has_default: bool = False
    units: str = ""
    precision: int | None = None
    limits: tuple[float | None, float | None] | None = None
    length: int | None = None
    bits: int | None = None
    alarm: Alarm | None = None
    severities: Mapping[Any, Severity] = field(default_factory=dict)


T = TypeVar("T")
_MISSING: Any = object()


def param(
    doc: str,
    *,
    default: T,
    units: str = "",
    precision: int | None = None,
    limits: tuple[float | None, float | None] | None = None,
    length: int | None = None,
    bits: int | None = None,
) -> T:
    """Declare an input that operators set.

    `units` (at most 15 bytes), `precision` (decimals shown), `limits` (lowest and highest value
    that operators may set, None for no limit), `length` (greatest number of characters or array
    elements). An int has 64 bits; `bits=32` makes it an EPICS long, which Channel Access knows.
    """
    spec: Any = Spec("param", doc, default, True, units, precision, limits, length, bits)
    return spec  # type: ignore[no-any-return]


def command(doc: str, *, init: Literal[False] = False) -> bool:
    """Declare a button: the value is True for the first frame after it was pressed.

    `init` tells type checkers that it need not be given to the class.
    """
    spec: Any = Spec("command", doc, default=False, has_default=True)
    return spec  # type: ignore[no-any-return]


def output(
    doc: str,
    *,
    default: Any = _MISSING,
    units: str = "",
    precision: int | None = None,
    limits: tuple[float | None, float | None] | None = None,
    length: int | None = None,
    bits: int | None = None,
    alarm: Alarm | None = None,
    severities: Mapping[Any, Severity] | None = None,
) -> Any:
    """Declare an output that operators read; it may be left out if it has a `default`.

    As for `param`, but `limits` are those of a gauge or a plot. `alarm` holds a number's default
    alarm limits; `severities` maps an enum's members (or False and True) to theirs. A float may be
    NaN: "not known", shown INVALID.
    """
    has_default = default is not _MISSING
    return Spec(
        "output",
        doc,
        default if has_default else None,
        has_default,
        units,
        precision,
        limits,
        length,
        bits,
        alarm,
        dict(severities or {}),
    )


class _Values:
    """Typed values by attribute: made with keywords, never changed, misspelt names refused."""

    _what: ClassVar[str] = "value"

    def __init__(self, **values: Any) -> None:
        specs = self._specs()
        for name in values:
            if name not in specs:
                self._refuse(name)
        missing = [n for n, spec in specs.items() if n not in values and not spec.has_default]
        if missing:
            raise TypeError(f"{type(self).__name__}: expected {', '.join(missing)}, got no value")
        for name, spec in specs.items():
            self.__dict__[name] = values.get(name, spec.default)

    @classmethod
    @functools.cache  # for every frame makes one of these
    def _specs(cls) -> dict[str, Spec]:
        return {
            name: value
            for base in reversed(cls.__mro__)
            for name, value in vars(base).items()
            if isinstance(value, Spec)
        }

    def _refuse(self, name: str) -> NoReturn:
        declared = ", ".join(self._specs()) or "none"
        raise AttributeError(
            f"{type(self).__name__}.{name}: expected an {self._what} of {declared}, got {name}"
        )

    if not TYPE_CHECKING:  # or the checker would accept every name

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            self._refuse(name)

        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError(f"{type(self).__name__}.{name}: a frame's values never change")

    def replace(self, **changes: Any) -> Self:
        """Return a copy with `changes`."""
        return type(self)(**{**self.__dict__, **changes})

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(
            same_value(value, vars(other)[name]) for name, value in self.__dict__.items()
        )

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({values})"


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(param, command))
class Inputs(_Values):
    """Base of a class that declares inputs, each with `param` or `command`."""

    _what: ClassVar[str] = "input"


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(output,))
class Outputs(_Values):
    """Base of a class that declares outputs, each with `output`."""

    _what: ClassVar[str] = "output"


InT = TypeVar("InT", bound=Inputs)
OutT = TypeVar("OutT", bound=Outputs)


@dataclass(frozen=True)
class Metadata:
    """A frame's identity and layout."""

    unique_id: int
    """areaDetector's number of the frame, the same through the whole chain."""
    timestamp: float
    """When the frame was taken, in Unix seconds (UTC)."""
    port: str
    """Name of the port that the frame came from."""
    shape: tuple[int, ...]
    """NumPy's shape: rows, columns[, colours]; slowest first."""
    data_type: str
    """areaDetector's name: Int8, UInt8, ... Float64."""
    color_mode: str = "Mono"
    """areaDetector's name: Mono, Bayer, RGB1, ..."""
    pixel_order: str = "C"
    """NumPy's name of the memory layout: C, the last axis fastest; K for colours that the frame has
    in planes (RGB3) or lines (RGB2), so that the image is a view of another order."""

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The frame's sizes in areaDetector's order, the fastest first: columns, rows."""
        if len(self.shape) == 3 and self.color_mode in ("RGB2", "RGB3"):
            rows, columns, colours = self.shape
            return (
                (columns, colours, rows) if self.color_mode == "RGB2" else (columns, rows, colours)
            )
        return self.shape[::-1]


@dataclass(frozen=True)
class Result(Generic[OutT]):
    """All that `process` may return; outputs alone may be returned without it."""

    outputs: OutT | Mapping[str, Any] | None = None
    status: Status = Status.OK
    message: str = ""
    image: np.ndarray[Any, Any] | None = None
    """The image for the plugins behind: numbers in 1 to 3 dimensions. None passes the input on; so
    does the input itself, at no cost. One from `new_image` is handed over without a copy if the
    algorithm keeps no array of it, any other one is copied."""
    params: Inputs | None = None
    """Inputs to change, as `params.replace(name=value)`: what differs reaches the readbacks."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Named attributes to add to the frame or to change, for the plugins behind."""


def _private_memory(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    return np.empty(shape, dtype)


class Algorithm(Generic[InT, OutT]):
    """Base of every algorithm: `class Focus(Algorithm[Params, Figures])`.

    One instance lives as long as its worker process and sees one frame after the other: it may keep
    what it likes between frames. It is made without arguments; `start` comes before the first
    frame.
    """

    stateful: ClassVar[bool] = False
    """True when results depend on the frames before: such a plugin runs one worker only."""

    undefined_as_nan: ClassVar[bool] = False
    """True to see floats, with NaN where the camera has said that a pixel is undefined (BLANK in
    FITS). Every frame is floats then, whether or not it has such pixels: float32 for integers of 8
    and 16 bits, float64 for longer ones, a copy. Frames of floats are not copied. When False,
    undefined pixels have the value that the attribute `UndefinedValue` names."""

    keep_state: ClassVar[bool] = False
    """True to keep what `save` returns on the disk, and to `restore` it when the IOC starts again.

    It needs `stateful = True` and both methods. The state is kept after a frame, at most once a
    second, and at a clean stop. A worker that is started again after a crash gets it, too. One that
    other inputs or outputs were declared with, or that `restore` refuses, is left out with a
    warning: the algorithm starts anew. At most 64 MiB.
    """

    watch: ClassVar[Sequence[str]] = ()
    """Data files that the algorithm reads, as `["cal.json", "flats/*.npy"]`, relative to its file.

    A change of one reloads the algorithm, and their contents count in the code's hash. A name may
    be a pattern (`**` means any folders) or a folder, for all files below it.
    """

    # The worker process puts its own here, which allocates shared memory.
    _allocate: Callable[[tuple[int, ...], Any], np.ndarray[Any, Any]] = staticmethod(
        _private_memory
    )

    def start(self) -> None:
        """Prepare what is slow to make: models, GPU buffers, pools of processes."""

    def stop(self) -> None:
        """Give back what `start` took."""

    def save(self) -> Any:
        """Return what a newer version of this code shall go on with when it takes over.

        Either `bytes`, which the algorithm makes and reads itself, of any size up to the worker's
        memory limit; or a mapping of text, numbers, `bytes` and arrays of numbers by name. An empty
        mapping (the default) saves nothing. It is called between two frames and holds up the next.
        If it raises, or takes longer than 10 s, newer code is not loaded; pressing `Reload` loads
        it all the same, and it starts anew.
        """
        return {}

    def restore(self, state: Any) -> None:
        """Go on with what an older version has saved; called after `start`, if it saved anything.

        `state` is what `save` has returned: `bytes`, or a read-only mapping with read-only arrays.
        An exception refuses the reload: the older version goes on.
        """

    def process(
        self,
        image: np.ndarray[Any, Any],
        params: InT,
        attributes: Mapping[str, Any],
        metadata: Metadata,
    ) -> OutT | Result[OutT] | Mapping[str, Any]:
        """Look at one frame.

        `image` is a read-only view of shared memory, (rows, columns) or (rows, columns, colours),
        in native byte order; colours are last in every colour mode. It is gone after the return:
        copy what must stay. `attributes` are the frame's named attributes (for FITS, the header's
        keywords).
        """
        raise NotImplementedError

    def new_image(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        """Ask for the memory of an output image, so that returning it costs no copy.

        The array is writable and holds anything: old pixels too. Returned as it is, reshaped or cut
        at its end, it changes hands, provided that the algorithm lets go of it. One that keeps it,
        or a view of it, may go on writing to it: the plugins behind get a copy. PyPy finds out too
        late what was let go of, and always copies.
        """
        return self._allocate(shape, dtype)
