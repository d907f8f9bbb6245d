"""The processor that `pvapy-hpc-consumer` runs for `pvapy_consumer`, loaded there by its file name.

It makes an image of each NTNDArray as pvapy's own examples do, which copies nothing, and publishes
the frame's number and first pixel.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pvaccess
from pvapy.hpc.adImageProcessor import AdImageProcessor


class LooksAtImages(AdImageProcessor):  # pvapy has no types
    """Does nothing but read one pixel."""

    def start(self) -> None:
        """Watch the benchmark, for a consumer outlives a parent that was killed."""
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()

    def getOutputPvObjectType(self, pvObject: Any) -> Any:
        """A small record, so that no image travels back."""
        return _answer(-1, -1)

    def process(self, pvObject: Any) -> Any:
        """Publish the answer for one NTNDArray."""
        number, image, *_ = self.reshapeNtNdArray(pvObject)
        if image is not None:  # the channel's first value has none
            self.updateOutputChannel(_answer(number, int(image[0, 0])))
        return pvObject


def _answer(number: int, pixel: int) -> Any:
    return pvaccess.PvObject(
        {"uniqueId": pvaccess.INT, "pixel": pvaccess.LONG}, {"uniqueId": number, "pixel": pixel}
    )


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
