"""Checks what a worker answers, field by field, before anything of it is believed."""

from collections.abc import Mapping
from typing import Any

from tosip.algorithm import Status
from tosip.description import Description
from tosip.errors import ProtocolError
from tosip.pipeline.protocol import Message

LONGEST_NAME = 256
LONGEST_TIME = 1e9  # s


def check_result(description: Description, message: Message) -> Message:
    """Return a result whose values are plain and as declared, or raise ProtocolError."""
    status = _status(message["status"])
    seconds = message["seconds"]
    if not 0 <= seconds < LONGEST_TIME:
        raise ProtocolError(f"result.seconds: expected a time, got {seconds}"[:200])
    outputs = message["outputs"]
    if outputs is None and status in (Status.OK, Status.WARNING):
        raise ProtocolError(f"result.outputs: expected outputs of a frame that is {status.value}")
    checked = {
        "outputs": None if outputs is None else _outputs(description, outputs),
        "params": _params(description, message["params"]),
        "attributes": _attributes(message["attributes"]),
        "seconds": float(seconds),
    }
    return Message(message.type, {**message.fields, **checked})


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise ProtocolError(f"result.status: expected a status, got {text[:40]!r}") from None


def _outputs(description: Description, outputs: Mapping[str, Any]) -> dict[str, Any]:
    if outputs.keys() != {field.name for field in description.outputs}:
        raise ProtocolError(f"result.outputs: expected those of {description.name}")
    plain = {}
    for field in description.outputs:
        try:
            plain[field.name] = field.plain(outputs[field.name])
        except ValueError as error:
            raise ProtocolError(f"result.outputs.{field.name}: {error}"[:200]) from error
    return plain


def _params(description: Description, params: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {name: description.input(name).within_limits(params[name]) for name in params}
    except (KeyError, ValueError) as error:
        raise ProtocolError(f"result.params: {error}"[:200]) from error


def _attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in attributes:  # what they hold is the protocol's to check
        if len(name) > LONGEST_NAME:
            raise ProtocolError(f"result.attributes: expected shorter names, got {name[:40]!r}")
    return attributes
