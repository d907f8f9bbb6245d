"""Reads PVs with pvapy and prints what it made of them: `python -m tests.images.pvapy_client ...`.

In a process of its own: pvapy reads the environment once and brings EPICS libraries of its own.
"""

import json
import sys
from typing import Any

import pvaccess
from pvapy.utility.adImageUtility import AdImageUtility


def read(name: str) -> dict[str, Any]:
    image = pvaccess.NtNdArray(pvaccess.Channel(name).get(""))
    number, pixels, *_, mode, member = AdImageUtility.reshapeNtNdArray(image)
    return {
        "id": number,
        "pixels": pixels.tolist(),
        "mode": mode,
        "member": member,
        "binning": [dimension["binning"] for dimension in image.getDimension()],
        "seconds": image["dataTimeStamp"]["secondsPastEpoch"],
        "attributes": {each["name"]: each["value"][0]["value"] for each in image.getAttribute()},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps([read(name) for name in sys.argv[1:]]))
