"""The length that FITS headers imply, found while the bytes stream by, and what it proves."""

import io
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tosip.gateway.receiving.completeness import Completeness
from tosip.gateway.receiving.fits_walk import FitsWalk, Kind
from tosip.gateway.receiving.refusal import Fate, UploadError
from tosip.gateway.settings import Policy

REFUSE = Policy(other_files="refuse")


def written(*hdus: Any) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(buffer)
    return buffer.getvalue()


def header(*cards: str, first: str = "SIMPLE  =                    T", end: str = "END") -> bytes:
    text = "".join(card.ljust(80) for card in (first, *cards, end))
    return text.ljust(-(-len(text) // 2880) * 2880).encode()


def walk(data: bytes) -> FitsWalk:
    walk = FitsWalk()
    walk.feed(memoryview(data))
    return walk


def implied(data: bytes) -> int | None:
    return walk(data).least()


def verdict(data: bytes, name: str = "x.fits", expected: int | None = None, **policy: Any) -> bool:
    completeness = Completeness(name, expected, Policy(**policy))
    completeness.feed(data)
    return completeness.verdict()


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
IMAGE = FILES["image"]
UNPADDED = 3 * 2880 + 7 * 1001 * 8 - 2880


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_whole_file_is_exactly_as_long_as_implied(data):
    assert implied(data) == len(data)
    assert verdict(data) is True


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
@pytest.mark.parametrize("cut", [1, 79, 2800])
def test_file_cut_inside_its_last_hdu_is_451_with_both_lengths(data, cut):
    least = implied(data[:-cut])
    assert least is not None
    assert len(data) - cut < least <= len(data)
    message = rf"^expected {least} bytes \(FITS headers\), got {len(data) - cut}$"
    with pytest.raises(UploadError, match=message) as caught:
        verdict(data[:-cut])
    assert (caught.value.code, caught.value.fate) == ("451", Fate.QUARANTINE)


@pytest.mark.parametrize(
    "cards",
    [
        ["bitpix  = 16", "Naxis   = 1", "naxis1  = 99"],
        ["BITPIX  =16", "NAXIS = 1", "NAXIS1\t=\t99"],
        ["BITPIX  = '16'", "NAXIS   =1.", "NAXIS1=99"],
    ],
)
def test_sizes_count_however_their_cards_are_spelled(cards):
    data = header(*cards)
    assert implied(data) == len(data) + 2880
    with pytest.raises(UploadError, match=f"expected {len(data) + 2880} bytes"):
        verdict(data + bytes(100))


def test_heap_of_a_table_counts():
    cards = ["BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 8", "NAXIS2  = 10", "PCOUNT  = 5000"]
    table = header(*cards, "GCOUNT  = 1", first="XTENSION= 'BINTABLE'")
    primary = header("BITPIX  = 8", "NAXIS   = 0")
    assert implied(primary + table) == 2 * 2880 + 2 * 2880  # 5080 bytes


def test_random_groups_count():
    cards = ["BITPIX  = 16", "NAXIS   = 3", "NAXIS1  = 0", "NAXIS2  = 3", "NAXIS3  = 4"]
    cards += ["GROUPS  = T", "PCOUNT  = 5", "GCOUNT  = 200"]
    assert implied(header(*cards)) == 2880 + 3 * 2880  # 6800 bytes in whole blocks


def test_axis_of_no_length_is_no_data_without_groups():
    cards = ["BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 0", "NAXIS2  = 3"]
    assert implied(header(*cards)) == 2880


def test_first_of_two_equal_keywords_counts():
    cards = ["BITPIX  = 8", "NAXIS   = 1", "NAXIS1  = 2881", "NAXIS1  = 5"]
    assert implied(header(*cards)) == 3 * 2880


def test_header_padded_with_nuls_is_understood():
    data = header("BITPIX  = 8", "NAXIS   = 0").rstrip(b" ").ljust(2880, b"\0")
    assert implied(data) == 2880


def test_what_comes_after_end_does_not_count():
    head = header("BITPIX  = 8", "NAXIS   = 0", "END", "NAXIS1  = 9")
    assert implied(head) == 2880


@pytest.mark.parametrize("trailing", [b"checksum of the camera", bytes(2880), b"XTENT"])
def test_what_trails_a_file_is_allowed(trailing):
    assert implied(IMAGE + trailing) == len(IMAGE)
    assert verdict(IMAGE + trailing) is True


def test_extension_cut_in_its_first_word_is_found():
    assert implied(IMAGE + b"XTENSI") == len(IMAGE) + 2880


def test_file_of_more_bytes_than_anybody_has_is_short_of_them():
    cards = ["BITPIX  = 64", "NAXIS   = 999", *(f"NAXIS{n:<3d}= {1 << 62}" for n in range(1, 1000))]
    with pytest.raises(UploadError, match=r"^expected 92233720368\d+ bytes"):
        verdict(header(*cards))


def test_several_gigabytes_are_counted_without_being_kept():
    cards = ["BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 60000", "NAXIS2  = 60000"]
    completeness = Completeness("x.fits")
    completeness.feed(header(*cards))
    whole = 2880 + 60000 * 60000 * 2
    block = memoryview(bytes(64 << 20))
    while completeness.size < whole - 1:
        completeness.feed(block[: whole - 1 - completeness.size])
    with pytest.raises(UploadError, match=rf"expected {whole} bytes .*, got {whole - 1}"):
        completeness.verdict()
    completeness.feed(b"\0")
    assert completeness.verdict() is True


UNREADABLE = [
    header("BITPIX  = 17", "NAXIS   = 0"),
    header("BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 5"),
    header("BITPIX  = 16", "NAXIS   = -1"),
    header("BITPIX  = 16", "NAXIS   = 1", "NAXIS1  = many"),
    header("BITPIX  = 16", "NAXIS   = 1", "NAXIS1  = 5").replace(b"= 5", b"= \xb2"),
]


@pytest.mark.parametrize("data", UNREADABLE)
def test_header_that_cannot_be_understood_implies_and_proves_nothing(data):
    assert walk(data).kind is Kind.UNREADABLE
    assert implied(data) is None
    assert verdict(data) is False
    assert verdict(data, other_files="refuse") is False


def test_header_without_end_is_given_up_and_not_kept():
    endless = FitsWalk()
    endless.feed(header("BITPIX  = 8", end=""))
    cards = b"".join(f"K{n:<7d}= 'x'".ljust(80).encode() for n in range(36 * 364))
    for _ in range(12):
        endless.feed(cards)
    assert endless.kind is Kind.UNREADABLE
    assert endless.least() is None
    assert len(endless.primary) <= 1000 * 2880


@pytest.mark.parametrize("name", ["x.fits", "a.b/y.FIT", "x.fits.part", "x.fits.fz"])
@pytest.mark.parametrize("data", [b"", b"S", b"SIMPLE  "])
def test_file_named_as_fits_but_cut_in_its_first_card_is_451(name, data):
    with pytest.raises(UploadError, match=rf"expected 2880 bytes .*, got {len(data)}") as caught:
        verdict(data, name)
    assert caught.value.code == "451"


@pytest.mark.parametrize("data", [b"", b"S", b"other", b"\x1f\x8b" + bytes(3000)])
def test_other_file_is_accepted_and_marked(data):
    assert verdict(data, "x.txt") is False


def test_other_content_under_a_fits_name_is_another_file():
    assert verdict(b"other content", "x.fits") is False


@pytest.mark.parametrize("data", [b"", b"S", b"other", bytes(3000)])
def test_other_file_is_refused_if_so_wanted(data):
    with pytest.raises(UploadError, match="expected a FITS file") as caught:
        verdict(data, "x.txt", other_files="refuse")
    assert (caught.value.code, caught.value.fate) == ("550", Fate.DISCARD)


def test_other_file_is_refused_as_soon_as_it_shows():
    completeness = Completeness("x.fits", None, REFUSE)
    completeness.feed(b"SIMP")
    with pytest.raises(UploadError, match="FITS"):
        completeness.feed(b"o")


def test_fits_file_of_any_name_is_taken_where_others_are_refused():
    assert verdict(IMAGE, "frame-17", other_files="refuse") is True


def test_unpadded_last_block_is_accepted_only_by_policy():
    assert len(IMAGE) > UNPADDED
    with pytest.raises(UploadError, match=f"expected {len(IMAGE)} bytes"):
        verdict(IMAGE[:UNPADDED])
    assert verdict(IMAGE[:UNPADDED], unpadded=True) is True
    assert verdict(IMAGE, unpadded=True) is True
    with pytest.raises(UploadError, match=f"expected {UNPADDED} bytes"):
        verdict(IMAGE[: UNPADDED - 1], unpadded=True)


@pytest.mark.parametrize("expected", [4, 3, 2, None])
def test_allo_is_a_least_length_and_proves_only_itself(expected):
    if expected == 4:
        with pytest.raises(UploadError, match=r"expected 4 bytes \(ALLO\), got 3") as caught:
            verdict(b"abc", "x.raw", expected)
        assert (caught.value.code, caught.value.fate) == ("451", Fate.QUARANTINE)
    else:
        assert verdict(b"abc", "x.raw", expected) is (expected == 3)


def test_allo_finds_a_cut_between_two_hdus():
    whole = FILES["several"]
    first_two = len(written(*(fits.ImageHDU(np.zeros((n, 999), "i2")) for n in (1, 2))))
    assert verdict(whole[:first_two]) is True
    with pytest.raises(UploadError, match=rf"expected {len(whole)} bytes \(ALLO\)"):
        verdict(whole[:first_two], expected=len(whole))


def test_empty_file_with_allo_zero_is_proven():
    assert verdict(b"", "x.txt", 0) is True


def test_header_of_the_primary_hdu_is_told():
    cards = fits.Header(
        [("CAMERA", "it's 7/8"), ("EXPTIME", 2.5), ("HIERARCH ESO DET NAME", "ccd"), ("FLAG", True)]
    )
    completeness = Completeness("x.fits")
    completeness.feed(written(fits.ImageHDU(np.zeros(3), fits.Header([("CAMERA", "other")]))))
    assert "CAMERA" not in completeness.header
    completeness = Completeness("x.fits")
    buffer = io.BytesIO()
    fits.PrimaryHDU(None, cards).writeto(buffer)
    completeness.feed(buffer.getvalue())
    assert completeness.header["CAMERA"] == "it's 7/8"
    assert completeness.header["EXPTIME"] == "2.5"
    assert completeness.header["ESO DET NAME"] == "ccd"
    assert completeness.header["FLAG"] == "T"


def test_other_file_has_no_header():
    completeness = Completeness("x.raw")
    completeness.feed(bytes(9000))
    assert completeness.header == {}


def test_tabs_in_cards_are_blanks():
    plain = header(
        "BITPIX  =\t8\t/ bits", "NAXIS   =\t1", "NAXIS1  =\t2881", "CAMERA  =\t'cam01'\t"
    )
    completeness = Completeness("x.fits")
    completeness.feed(plain + bytes(5760))
    assert completeness.header["CAMERA"] == "cam01"
    assert completeness.verdict()
