"""Runs an algorithm in the test's own process, with the same checks as a worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tosip.algorithm import Algorithm, Inputs, Metadata, Outputs, Result, Status
from tosip.pipeline.protocol import PIXEL_TYPES
from tosip.pipeline.worker.values import plain_attributes, plain_outputs
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
    call to call. The image is read-only. What the declaration forbids raises, as it would fail in
    a worker.
    """

    def __call__(
        self,
        algorithm: type[Algorithm[Any, Any]] | Algorithm[Any, Any],
        image: "np.ndarray[Any, Any]",
        attributes: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Ran:
        """Process one image and return what came of it."""
        instance = algorithm() if isinstance(algorithm, type) else algorithm
        if isinstance(algorithm, type):
            instance.start()
        description = describe(type(instance))
        inputs, outputs = declared_classes(type(instance))
        view = image.view()
        view.flags.writeable = False
        returned = instance.process(view, inputs(**params), dict(attributes or {}), _metadata(view))
        result = returned if isinstance(returned, Result) else Result(returned)
        found: Outputs | None = None
        if result.outputs is not None or result.status in (Status.OK, Status.WARNING):
            plain = plain_outputs(description, result.outputs)
            given = result.outputs
            found = given if isinstance(given, Outputs) else outputs(**plain)
        return Ran(
            result.status,
            result.message,
            found,
            result.image,
            result.params,
            plain_attributes(result.attributes),
        )


def _metadata(image: "np.ndarray[Any, Any]") -> Metadata:
    return Metadata(
        unique_id=1,
        timestamp=0.0,
        port="TEST",
        shape=image.shape,
        data_type=PIXEL_TYPES[image.dtype.name][0],
    )
