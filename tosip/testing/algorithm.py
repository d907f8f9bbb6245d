"""Runs an algorithm in the test's own process, with the same checks as a worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from tosip.algorithm import Algorithm, Inputs, Metadata, Outputs, Result, Status
from tosip.description import Description
from tosip.pipeline.protocol import PIXEL_TYPES, check_layout
from tosip.pipeline.worker.image import undefined_as_nan
from tosip.pipeline.worker.values import (
    InputsReader,
    changed_inputs,
    plain_outputs,
    result_attributes,
    result_status,
)
from tosip.reading import declared_classes, describe


@dataclass(frozen=True)
class Ran:
    """What an algorithm made of an image. `outputs` is an object of its declared class."""

    status: Status
    message: str
    outputs: Any
    image: "np.ndarray[Any, Any] | None"
    params: Inputs | None
    attributes: Mapping[str, Any]


class AlgorithmRunner:
    """Calls `process` as a worker would: `run(Focus, image, {"EXPTIME": 1.0}, threshold=5.0)`.

    An algorithm that is given as a class is made and started anew; an object keeps its state from
    call to call. The image is read-only, and has colours last if it has three axes. What the
    declaration forbids raises, as it would fail in a worker.
    """

    def __call__(
        self,
        algorithm: type[Algorithm[Any, Any]] | Algorithm[Any, Any],
        image: "np.ndarray[Any, Any]",
        attributes: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Ran:
        """Process one image and return what came of it."""
        if not isinstance(algorithm, type):
            return _run(algorithm, image, attributes or {}, params)
        instance = algorithm()
        instance.start()
        try:
            return _run(instance, image, attributes or {}, params)
        finally:
            instance.stop()


def _run(
    algorithm: Algorithm[Any, Any],
    image: "np.ndarray[Any, Any]",
    attributes: Mapping[str, Any],
    values: Mapping[str, Any],
) -> Ran:
    description = describe(type(algorithm))
    inputs, outputs = declared_classes(type(algorithm))
    plain = _plain_inputs(inputs, description, values)
    params = InputsReader(inputs, description)(plain)
    pixels = np.array(image, image.dtype.newbyteorder("="), order="C")
    check_layout(list(pixels.shape), pixels.dtype.name, pixels.nbytes)
    pixels.flags.writeable = False
    seen = MappingProxyType({name: _read_only(value) for name, value in attributes.items()})
    metadata = _metadata(pixels)
    if algorithm.undefined_as_nan:
        pixels = undefined_as_nan(pixels, seen)
    returned = algorithm.process(pixels, params, seen, metadata)
    result = returned if isinstance(returned, Result) else Result(returned)
    status = result_status(result)
    found: Outputs | None = None
    if result.outputs is not None or status in (Status.OK, Status.WARNING):
        checked = plain_outputs(description, result.outputs)
        found = result.outputs if isinstance(result.outputs, Outputs) else outputs(**checked)
    changed_inputs(description, params, result.params, plain)
    if result.image is not None:
        made = np.asarray(result.image)
        check_layout(list(made.shape), made.dtype.name, made.nbytes)
    return Ran(
        status,
        result.message,
        found,
        result.image,
        result.params,
        result_attributes(result.attributes),
    )


def _plain_inputs(
    inputs: type[Inputs], description: Description, values: Mapping[str, Any]
) -> dict[str, Any]:
    inputs(**values)  # refuses names that are not declared
    plain = description.defaults()
    for name, value in values.items():
        try:
            plain[name] = description.input(name).within_limits(value)
        except ValueError as error:
            raise ValueError(f"{inputs.__name__}.{name}: {error}") from None
    return plain


def _read_only(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
    return value


def _metadata(image: "np.ndarray[Any, Any]") -> Metadata:
    return Metadata(
        unique_id=1,
        timestamp=0.0,
        port="TEST",
        shape=image.shape,
        data_type=PIXEL_TYPES[image.dtype.name][0],
        color_mode="RGB1" if image.ndim == 3 and image.shape[2] == 3 else "Mono",
    )
