"""Whatever the bytes: the right pixels, or a fault."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from tests.drivers.fits_files import astropy_image, outcome, ramp, same, squeezed, stored
from tosip.drivers.fits import FitsFrame

_SETTINGS = settings(max_examples=150, deadline=None)
_LIMIT = 1 << 22
_PLAIN = stored(ramp(40, 30))
_FLOAT = stored(ramp(40, 30, np.float32))
_HEADER = _PLAIN.index(b"END     ") + 80


def _outcome(data: bytes) -> FitsFrame | None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frame.fits"
        path.write_bytes(data)
        return outcome(path, max_bytes=_LIMIT)


def _is_right(frame: FitsFrame | None, data: bytes, original: bytes) -> bool:
    """What astropy makes of it; where that is stricter than we, at least the pixels as written."""
    if frame is None:
        return True
    try:
        expected = astropy_image(io.BytesIO(data))
    except Exception:  # noqa: BLE001  astropy raises what it likes
        expected = astropy_image(io.BytesIO(original))
    return same(frame.pixels, expected)


@_SETTINGS
@given(st.binary(max_size=9000))
def test_random_bytes_are_a_fault(data):
    assert _outcome(data) is None


@_SETTINGS
@given(
    st.sampled_from([b"SIMPLE  =                    T".ljust(80), b"\x1f\x8b\x08", b"BZh9"]),
    st.binary(),
)
def test_random_bytes_after_a_right_start_are_a_fault(start, data):
    assert _outcome(start + data) is None


@_SETTINGS
@given(st.integers(0, len(_PLAIN) - 1), st.sampled_from([_PLAIN, _FLOAT]))
def test_a_file_cut_anywhere_is_a_fault_or_whole(length, data):
    frame = _outcome(data[:length])
    assert frame is None or same(frame.pixels, astropy_image(io.BytesIO(data)))


@_SETTINGS
@given(
    st.lists(st.tuples(st.integers(0, _HEADER), st.integers(32, 126)), min_size=1, max_size=6),
    st.sampled_from([_PLAIN, _FLOAT]),
)
def test_a_changed_header_is_a_fault_or_what_astropy_makes_of_it(changes, data):
    changed = bytearray(data)
    for place, byte in changes:
        changed[place] = byte
    assert _is_right(_outcome(bytes(changed)), bytes(changed), data)


@_SETTINGS
@given(
    st.sampled_from(["BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "BSCALE", "BZERO", "EXTEND"]),
    st.sampled_from(["T", "F", "''", "1.5", "-0.0", "1E400", "-32", "8", "32", "32768"])
    | st.integers(-2, 130).map(str)
    | st.integers(-(2**70), 2**70).map(str),
)
def test_a_changed_value_is_a_fault_or_what_astropy_makes_of_it(keyword, value):
    start = _PLAIN.index(f"{keyword:8}=".encode())
    card = f"{keyword:8}= {value:>20}".ljust(80).encode()
    changed = _PLAIN[:start] + card + _PLAIN[start + 80 :]
    assert _is_right(_outcome(changed), changed, _PLAIN)


@_SETTINGS
@given(
    nps.arrays(
        st.one_of(
            nps.unsigned_integer_dtypes(endianness="?"),
            nps.integer_dtypes(endianness="?"),
            nps.floating_dtypes(endianness="?", sizes=(32, 64)),
        ),
        nps.array_shapes(min_dims=2, max_dims=3, max_side=12),
    )
)
def test_every_image_that_astropy_writes_is_read_back(pixels):
    frame = _outcome(stored(pixels))
    assert frame is not None
    assert same(frame.pixels, squeezed(pixels))
