"""The length that FITS headers imply."""

import io
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tosip.gateway.fits_length import implied_length, looks_cut


def written(*hdus: Any) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(buffer)
    return buffer.getvalue()


def header(*cards: str, first: str = "SIMPLE  =                    T") -> bytes:
    return "".join(card.ljust(80) for card in (first, *cards, "END")).ljust(2880).encode()


FILES = {
    "no data": written(),
    "image": written(fits.ImageHDU(np.zeros((7, 1001), "f8"))),
    "several": written(*(fits.ImageHDU(np.zeros((n, 999), "i2")) for n in (1, 2, 3))),
    "table": written(fits.BinTableHDU(np.zeros(500, [("x", "f4"), ("y", "i8")]))),
    "compressed": written(fits.CompImageHDU(np.arange(90000, dtype="i4").reshape(300, 300))),
    "long header": written(
        fits.ImageHDU(np.zeros(9), fits.Header([(f"K{n}", n) for n in range(999)]))
    ),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_whole_file_is_exactly_as_long_as_implied(data):
    assert implied_length(io.BytesIO(data)) == len(data)


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
@pytest.mark.parametrize("cut", [1, 79, 2800])
def test_file_cut_inside_its_last_hdu_is_shorter_than_implied(data, cut):
    implied = implied_length(io.BytesIO(data[:-cut]))
    assert implied is not None
    assert len(data) - cut < implied <= len(data)


def test_heap_of_a_table_counts():
    cards = ["BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 8", "NAXIS2  = 10", "PCOUNT  = 5000"]
    table = header(*cards, "GCOUNT  = 1", first="XTENSION= 'BINTABLE'")
    primary = header("BITPIX  = 8", "NAXIS   = 0")
    assert implied_length(io.BytesIO(primary + table)) == 2 * 2880 + 2 * 2880  # 5080 bytes


def test_random_groups_count():
    cards = ["BITPIX  = 16", "NAXIS   = 3", "NAXIS1  = 0", "NAXIS2  = 3", "NAXIS3  = 4"]
    cards += ["GROUPS  = T", "PCOUNT  = 5", "GCOUNT  = 200"]
    assert (
        implied_length(io.BytesIO(header(*cards))) == 2880 + 3 * 2880
    )  # 6800 bytes in whole blocks


def test_what_trails_a_file_is_allowed():
    data = FILES["image"]
    assert implied_length(io.BytesIO(data + b"checksum of the camera")) == len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SIMPLE",
        b"\x1f\x8b" + bytes(3000),
        header("BITPIX  = 17", "NAXIS   = 0"),
        header("BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 5"),
        header("BITPIX  = 16", "NAXIS   = -1"),
        header("BITPIX  = 16", "NAXIS   = 1", "NAXIS1  = many"),
    ],
)
def test_nothing_is_implied_by_what_cannot_be_understood(data):
    assert implied_length(io.BytesIO(data)) is None


@pytest.mark.parametrize(
    ("name", "data", "cut"),
    [
        ("x.fits", b"", True),
        ("x.FIT", b"SIMPLE", True),
        ("x.fits", b"other", False),
        ("x.txt", b"", False),
        ("x.fits", header("BITPIX  = 8", "NAXIS   = 0"), False),
    ],
)
def test_first_card_cut_short_is_seen_by_the_name(name, data, cut):
    assert looks_cut(io.BytesIO(data), name) is cut
