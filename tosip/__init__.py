"""TOSIP runs your own Python image-processing algorithms inside EPICS, in supervised processes.

The names here are all that the author of an algorithm needs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tosip.algorithm import (
        Algorithm,
        Inputs,
        Metadata,
        Outputs,
        Result,
        Status,
        command,
        output,
        param,
    )
    from tosip.description import Alarm, Severity

__version__ = "0.1.0"

__all__ = [
    "Alarm",
    "Algorithm",
    "Inputs",
    "Metadata",
    "Outputs",
    "Result",
    "Severity",
    "Status",
    "command",
    "output",
    "param",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is used: a gateway that runs alone does without NumPy."""
    if name not in __all__:
        raise AttributeError(f"module 'tosip' has no attribute {name!r}")
    from tosip import algorithm, description

    value = getattr(description if name in ("Alarm", "Severity") else algorithm, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
