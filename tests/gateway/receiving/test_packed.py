"""FITS files inside gzip and bzip2: a cut one is known as a plain one is."""

import bz2
import gzip
import tracemalloc
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tests.gateway.receiving.test_completeness import REFUSE, verdict, written
from tosip.gateway.receiving import packed_walk
from tosip.gateway.receiving.completeness import Completeness
from tosip.gateway.receiving.refusal import Fate, UploadError

NOISE = np.random.default_rng(1).integers(0, 65536, (90, 110), np.uint16)
PLAIN = written(fits.ImageHDU(NOISE, fits.Header({"CAMERA": "A7"}), name="SCI"))
PACKERS: Any = [gzip.compress, bz2.compress]


@pytest.fixture(params=PACKERS, ids=["gzip", "bzip2"])
def pack(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_a_whole_packed_fits_file_is_proven(pack):
    assert verdict(pack(PLAIN), "x.fits.gz") is True
    assert verdict(pack(PLAIN), "x") is True
    assert verdict(pack(PLAIN[:9000]) + pack(PLAIN[9000:])) is True
    assert verdict(pack(PLAIN) + bytes(512)) is True
    assert verdict(pack(PLAIN) + b"written by a camera") is True
    assert verdict(pack(PLAIN), "x.fits.gz", other_files="refuse") is True


@pytest.mark.parametrize("part", [0.0002, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("name", ["x.fits.gz", "x.fz.bz2"])
def test_a_packed_fits_file_cut_anywhere_is_451(pack, part, name):
    data = pack(PLAIN)
    cut = data[: min(int(part * len(data)), len(data) - 1)]
    with pytest.raises(UploadError, match=r"^expected the end of .*, got that of the upload") as e:
        verdict(cut, name)
    assert (e.value.code, e.value.fate) == ("451", Fate.QUARANTINE)


def test_a_fits_file_cut_before_it_was_packed_is_451(pack):
    with pytest.raises(UploadError, match=r"bytes unpacked \(FITS headers\), got 20000 after"):
        verdict(pack(PLAIN[:20000]))
    with pytest.raises(UploadError, match="expected 2880 bytes unpacked"):
        verdict(pack(PLAIN[:5]), "x.fits.gz")
    assert verdict(pack(written()), "x.fits.gz") is True


def test_a_member_missing_at_its_border_is_found_by_the_length(pack):
    with pytest.raises(UploadError, match="bytes unpacked"):
        verdict(pack(PLAIN[:9000]))


def test_what_is_packed_and_no_fits_is_taken_as_any_file(pack):
    data = pack(b"a log of the night " * 1000)
    assert verdict(data, "log.gz") is False
    assert verdict(data[:-10], "log.gz") is False
    assert verdict(data[:1], "log.gz") is False
    assert verdict(data, "log.gz", expected=len(data)) is True
    with pytest.raises(UploadError, match="expected a FITS file"):
        Completeness("log.gz", policy=REFUSE).feed(data)


def test_damage_inside_is_left_to_the_driver(pack):
    data = bytearray(pack(PLAIN))
    data[len(data) // 2] ^= 0xFF
    assert verdict(bytes(data), "x.fits.gz") is False


def test_pieces_of_any_size_give_the_same(pack):
    data = pack(PLAIN)
    for size in (1, 2, 7, 1000):
        completeness = Completeness("x.fits.gz")
        for at in range(0, len(data), size):
            completeness.feed(memoryview(data)[at : at + size])
        assert completeness.verdict() is True
        assert completeness.header["SIMPLE"] == "T"


def test_a_bomb_costs_little_memory_and_is_not_judged(pack, monkeypatch):
    monkeypatch.setattr(packed_walk, "MOST", 20_000_000)
    bomb = pack(written(fits.ImageHDU(np.zeros((9000, 9000), np.uint8))))
    tracemalloc.start()
    assert verdict(bomb, "x.fits.gz") is False
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()
