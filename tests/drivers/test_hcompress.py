"""HCOMPRESS_1 is decoded apart: damaged tiles may abort that process, and nothing else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.drivers.fits_files import astropy_image, outcome, ramp, read_bytes_as_file, same, stored
from tosip.drivers import hcompress
from tosip.errors import FrameError


def packed(pixels: np.ndarray, **options: object) -> bytes:
    options = {"tile_shape": (16, 64), **options}
    return stored(pixels, hdu=lambda p: fits.CompImageHDU(p, None, None, "HCOMPRESS_1", **options))


def children() -> set[int]:
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (ramp(64, 64, np.int16), {}),
        (ramp(64, 64) + 40000, {}),
        (ramp(64, 64, np.int16), {"hcomp_scale": 4.0, "hcomp_smooth": 1}),
        (ramp(64, 64, np.float32) / 7, {"quantize_level": 16.0}),
    ],
    ids=["int16", "uint16", "lossy and smoothed", "quantized floats"],
)
def test_pixels_are_astropys(tmp_path, pixels, options):
    frame = read_bytes_as_file(tmp_path, packed(pixels, **options))
    assert same(frame.pixels, astropy_image(tmp_path / "frame.fits"))


def test_damaged_tiles_are_a_fault_of_their_file_and_leave_nothing_behind(tmp_path):
    pixels = np.random.default_rng(0).normal(1000, 60, (64, 64)).astype(np.int16)
    whole = packed(pixels)
    heap = 3 * 2880  # empty primary, header of two blocks
    random = np.random.default_rng(1)
    before = (children(), len(os.listdir("/proc/self/fd")))
    for _ in range(4):
        data = bytearray(whole)
        for place in random.integers(heap + 40, len(data) - 2000, 60):
            data[place] = int(random.integers(256))
        (tmp_path / "frame.fits").write_bytes(data)
        frame = outcome(tmp_path / "frame.fits")
        assert frame is None or frame.pixels.shape == (64, 64)
    assert same(read_bytes_as_file(tmp_path, whole).pixels, pixels)
    assert (children(), len(os.listdir("/proc/self/fd"))) == before


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.abort()", "decoder ended: killed by SIGABRT"),
        ("import os; os._exit(3)", "decoder ended: exit status 3"),
        ("print('MemoryError: no room'); raise SystemExit(1)", "got MemoryError: no room"),
        ("print('x' * 200000)", "expected decoded tiles in 2 s, got none"),
        ("while True: pass", "expected decoded tiles in 2 s, got none"),
    ],
)
def test_whatever_the_decoder_does_is_a_fault_of_the_file(tmp_path, monkeypatch, code, words):
    (tmp_path / "bad_decoder.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(hcompress, "_MODULE", "bad_decoder")
    before = children()
    if "in 2 s" in words:
        monkeypatch.setattr(hcompress, "_SECONDS", 2.0)
    with pytest.raises(FrameError, match=rf"^frame.fits: .*{words}"):
        read_bytes_as_file(tmp_path, packed(ramp(64, 64, np.int16)))
    assert children() == before


def test_a_decoder_that_takes_too_much_memory_is_a_fault(tmp_path, monkeypatch):
    (tmp_path / "greedy.py").write_text(
        "from tosip.drivers.hcompress import limit_memory\n"
        "limit_memory(1 << 26)\n"
        "try:\n    bytearray(1 << 27)\nexcept MemoryError:\n    raise SystemExit(7)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(hcompress, "_MODULE", "greedy")
    with pytest.raises(FrameError, match="decoder ended: exit status 7"):
        read_bytes_as_file(tmp_path, packed(ramp(64, 64, np.int16)))


def test_the_decoder_dies_with_its_parent(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import sys, time\n"
        "from tosip.drivers import hcompress_process as real\n"
        "real._decode = lambda *_: (open(sys.path[0] + '/pid', 'w').write("
        "str(__import__('os').getpid())), time.sleep(60))\n"
        "sys.exit(real.main())\n"
    )
    (tmp_path / "a.fits").write_bytes(packed(ramp(64, 64, np.int16)))
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from pathlib import Path; import numpy as np\n"
            "from tosip.drivers import hcompress; from tosip.drivers.fits import read_fits\n"
            "hcompress._MODULE = 'slow'; read_fits(Path('a.fits'), np.empty)",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    child = int(_until((tmp_path / "pid").read_text))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _until(lambda: "gone" if not _alive(child) else "")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(look: object) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if found := look():  # type: ignore[operator]
                return str(found)
        except FileNotFoundError:
            pass
        time.sleep(0.02)
    raise AssertionError("did not happen in 30 s")
