"""TOSIP runs your own Python image-processing algorithms inside EPICS, in supervised processes.

The names here are all that the author of an algorithm needs.
"""

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
