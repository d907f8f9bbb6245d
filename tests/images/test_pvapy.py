"""Frames as pvapy sees them, areaDetector's usual client in Python."""

import asyncio
import json
import subprocess
import sys

import numpy as np
import pytest

from tests.images.rig import PREFIX, ramp, run, serving
from tosip.images.process.binning import bin_pixels

pytest.importorskip("pvaccess", reason="pvapy is not installed: pip install tosip[benchmarks]")


def ask(names):
    command = [sys.executable, "-m", "tests.images.pvapy_client", *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_pvapy_reads_images_and_previews():
    async def work():
        async with serving() as rig:
            pixels = ramp((2, 1024), "int32")
            more = {"EXPTIME": 40.0, "FILTER": "V", "COUNT": 3, "OPEN": True, "ColorMode": 0}
            rig.publish(pixels, 4711, timestamp=1767323045.25, **more)
            names = [f"{PREFIX}Image", f"{PREFIX}Preview"]
            image, preview = await asyncio.to_thread(ask, names)
            assert image["pixels"] == pixels.tolist()
            assert np.array_equal(preview["pixels"], bin_pixels(pixels, "Mono").pixels)
            assert (image["binning"], preview["binning"]) == ([1, 1], [2, 2])
            for each in (image, preview):
                assert (each["member"], each["mode"]) == ("intValue", 0)
                assert (each["id"], each["seconds"]) == (4711, 1767323045)
                assert each["attributes"] == {
                    **more,
                    "OPEN": "\x01",
                }  # a byte, as from areaDetector

    run(work())
