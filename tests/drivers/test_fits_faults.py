"""Reading files that are not what they should be."""

import bz2
import gzip
import os
import re
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits

from tests.drivers.fits_files import ramp, read_bytes_as_file, stored
from tosip.drivers.fits import read_fits
from tosip.errors import FrameError

WIDTH = b"NAXIS1  =                   50"


def _card(data: bytes, keyword: str, value: str) -> bytes:
    start = data.index(f"{keyword:8}=".encode())
    return data[:start] + f"{keyword:8}= {value:>20}".ljust(80).encode() + data[start + 80 :]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "expected a FITS file, got an empty file"),
        (b"SIMPLE", "expected a FITS file .* got one starting 'SIMPLE'"),
        (b"\x89PNG\r\n\x1a\n" * 100, "expected a FITS file"),
        (gzip.compress(b"", mtime=0), "got a compressed empty file"),
        (gzip.compress(b"hello", mtime=0), "expected a FITS file"),
        (gzip.compress(stored(ramp()), mtime=0)[:-20], "expected the end of a gzip member"),
        (bz2.compress(stored(ramp()))[:-20], "expected the end of a bzip2 stream"),
        (stored(ramp())[:400], "expected a header with an END card, got 400 bytes"),
        (b"SIMPLE  =                    T".ljust(80) * 36 * 1200, "END card, got 2880000 bytes"),
        (stored(None), "expected an image of 2 or 3 axes, got none in 1 header"),
        (stored(np.zeros((2, 2, 2, 2))), "expected an image of 2 or 3 axes"),
        (_card(stored(ramp()), "SIMPLE", "F"), "expected SIMPLE = T, got False"),
        (_card(stored(ramp()), "BITPIX", "17"), "expected BITPIX of .* got 17"),
        (_card(stored(ramp()), "BITPIX", "'x'"), "expected BITPIX .* got x"),
        (_card(stored(ramp()), "NAXIS", "-2"), "expected NAXIS from 0 to 32, got -2"),
        (_card(stored(ramp()), "NAXIS", "3"), "expected NAXIS3 .* got none"),
        (_card(stored(ramp()), "NAXIS1", "-50"), "expected NAXIS1 .* got -50"),
        (_card(stored(ramp()), "NAXIS1", "0"), "expected an image of 2 or 3 axes"),
        (_card(stored(ramp()), "NAXIS1", "50.5"), "expected NAXIS1 .* got 50.5"),
        (_card(stored(ramp()), "NAXIS1", "1073741824"), "expected at most 1073741824 bytes"),
        (_card(stored(ramp()), "NAXIS1", "5000"), "expected at least 302880 bytes .* got 8640"),
        (_card(stored(ramp()), "EXTEND", "T").replace(b"EXTEND", b"NAXIS1"), "NAXIS1 once"),
    ],
)
def test_the_fault_says_what_was_expected_and_what_came(tmp_path, data, fault):
    with pytest.raises(FrameError, match=f"^frame.fits: .*{fault}") as caught:
        read_bytes_as_file(tmp_path, data)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "loop"])
def test_what_is_no_file_is_a_fault_and_not_a_hang(tmp_path, kind):
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    with pytest.raises(FrameError, match=f"^{kind}: expected .*, got "):
        read_fits(path, np.empty)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_a_fault(tmp_path):
    path = tmp_path / "secret.fits"
    path.write_bytes(stored(ramp()))
    path.chmod(0)
    with pytest.raises(FrameError, match="got no permission"):
        read_fits(path, np.empty)


def test_a_name_with_line_breaks_gives_one_line(tmp_path):
    with pytest.raises(FrameError) as caught:
        read_fits(tmp_path / "a\nb\x1b[31m\udcff.fits", np.empty)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_bomb_stops_at_the_limit(tmp_path, pack):
    bomb = pack(stored(ramp()) + bytes(200 << 20))
    tracemalloc.start()
    with pytest.raises(FrameError, match="expected at most 10000000 bytes unpacked"):
        read_bytes_as_file(tmp_path, bomb, max_bytes=10_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000


def test_a_bomb_in_a_tile_stops_at_the_limit(tmp_path):
    def whole(pixels):
        return fits.CompImageHDU(pixels, compression_type="GZIP_1", tile_shape=pixels.shape)

    data = stored(np.zeros((8000, 8000), np.int32), hdu=whole)
    data = re.sub(rb"(Z(?:NAXIS|TILE)1 +=) +8000", rb"\1                    8", data)
    with pytest.raises(FrameError, match="expected tiles of at most"):
        read_bytes_as_file(tmp_path, data)


@pytest.mark.parametrize(
    ("keyword", "value", "fault"),
    [
        ("ZCMPTYPE", "'JPEG_1'", "expected ZCMPTYPE of"),
        ("ZTILE1", str(1 << 40), "expected tiles of at most"),
        ("ZTILE1", "1", "expected 4096 tiles"),
        ("ZBITPIX", "17", "expected ZBITPIX of"),
        ("ZNAXIS1", "1073741824", "expected at most 1073741824 bytes of pixels"),
        ("ZVAL1", "33", "expected BLOCKSIZE of"),
        ("ZVAL2", "100000", "expected BYTEPIX of"),
        ("TFIELDS", "2147483648", "expected TFIELDS from"),
        ("PCOUNT", "100", "expected tiles within 100 bytes"),
    ],
)
def test_wrong_claims_about_tiles_are_found_before_decompression(tmp_path, keyword, value, fault):
    data = stored(ramp(64, 64, np.int16), hdu=fits.CompImageHDU)
    with pytest.raises(FrameError, match=fault):
        read_bytes_as_file(tmp_path, _card(data, keyword, value))


def test_nothing_is_allocated_for_a_refused_frame(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(stored(ramp())[:-2880])

    def refuse(shape, dtype):
        raise AssertionError("asked for memory")

    with pytest.raises(FrameError):
        read_fits(path, refuse)


def test_a_file_that_shrinks_while_it_is_read_is_a_fault(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(stored(ramp(600, 600)))

    def shrink(shape, dtype):
        os.truncate(path, 300_000)
        return np.empty(shape, dtype)

    with pytest.raises(FrameError, match=r"expected at least .* got 300000"):
        read_fits(path, shrink)


def test_the_callers_own_errors_pass_unchanged(tmp_path):
    def exhausted(shape, dtype):
        raise MemoryError("the pool is full")

    path = tmp_path / "a.fits"
    path.write_bytes(stored(ramp()))
    with pytest.raises(MemoryError, match="the pool is full"):
        read_fits(path, exhausted)
    with pytest.raises(TypeError, match="allocate: expected a C-contiguous array"):
        read_fits(path, lambda shape, dtype: np.empty(shape[::-1], dtype).T)
