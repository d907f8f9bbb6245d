"""For any valid FITS file, in any pieces: the length is found, and so is every cut."""

import io
import itertools

import numpy as np
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tosip.gateway.receiving.fits_walk import FitsWalk

SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

lengths = st.integers(1, 40)
types = st.sampled_from(["u1", "i2", "i4", "i8", "f4", "f8"])
headers = st.integers(0, 80).map(lambda n: fits.Header([(f"K{i}", i) for i in range(n)]))


def zeros(kind, shape):
    return np.zeros(shape, kind)


images = st.builds(zeros, types, st.lists(lengths, min_size=1, max_size=3).map(tuple)).filter(
    lambda array: array.size < 2000
)


def plain(hdu):
    """A primary HDU as astropy writes it."""
    buffer = io.BytesIO()
    hdu.writeto(buffer)
    return buffer.getvalue()


def extension(hdu):
    """An extension as astropy writes it."""
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    return buffer.getvalue()[2880:]


def groups(count, parameters, shape):
    """Random groups, which astropy reads but cannot write into memory."""
    cards = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", len(shape) + 1)])
    cards["NAXIS1"] = 0
    for axis, length in enumerate(shape, 2):
        cards[f"NAXIS{axis}"] = length
    cards.extend([("GROUPS", True), ("PCOUNT", parameters), ("GCOUNT", count)], strip=False)
    data = bytes(4 * count * (parameters + int(np.prod(shape))))
    return cards.tostring().encode() + data.ljust(-(-len(data) // 2880) * 2880, b"\0")


def ragged(rows):
    column = fits.Column("x", "PJ()", array=np.array([np.arange(n) for n in rows], object))
    return fits.BinTableHDU.from_columns([column])


def compressed(side):
    return fits.CompImageHDU(np.arange(side * side, dtype="i2").reshape(side, side))


primaries = st.one_of(
    st.builds(fits.PrimaryHDU, st.none(), headers).map(plain),
    st.builds(fits.PrimaryHDU, images, headers).map(plain),
    st.builds(
        groups, lengths, st.integers(0, 4), st.lists(st.integers(1, 6), min_size=1, max_size=3)
    ),
)
extensions = st.one_of(
    st.builds(fits.ImageHDU, images, headers),
    st.builds(ragged, st.lists(st.integers(0, 300), min_size=2, max_size=9)),
    st.builds(compressed, st.integers(4, 40)),
    st.builds(
        lambda rows: fits.TableHDU.from_columns(
            [fits.Column("a", "I9", array=np.arange(rows)), fits.Column("b", "E15.7")]
        ),
        lengths,
    ),
)


@st.composite
def files(draw):
    """A FITS file, and where its HDUs end."""
    units = [draw(primaries), *map(extension, draw(st.lists(extensions, max_size=3)))]
    return b"".join(units), set(itertools.accumulate(map(len, units)))


@SETTINGS
@given(files(), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_length_is_implied_in_any_pieces(file, cuts):
    data, ends = file
    walk = FitsWalk()
    borders = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(borders):
        walk.feed(memoryview(data)[start:end])
    assert walk.least() == walk.size == len(data) == max(ends)


@SETTINGS
@given(files())
def test_every_cut_is_found_but_those_between_two_hdus(file):
    data, ends = file
    walk = FitsWalk()
    view = memoryview(data)
    unseen = set()
    for size in range(1, len(data) + 1):
        walk.feed(view[size - 1 : size])
        least = walk.least()
        if size >= 9 and (least is None or least <= size):
            unseen.add(size)
    assert unseen == ends
