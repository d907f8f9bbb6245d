"""Files packed as a whole, and what may stand behind them."""

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest

from tests.drivers.fits_files import ramp, read_bytes_as_file, same, stored
from tosip.errors import FrameError
from tosip.unpacking import Unpacker

NOISE = np.random.default_rng(0).integers(0, 65536, (301, 203), np.uint16)
DATA = stored(NOISE)
PACK = pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gzip", "bzip2"])


@PACK
@pytest.mark.parametrize("behind", [b"\0" * 2000, b"a camera's note", b"\x1f", b"\0\1\0", b"BZ"])
def test_bytes_behind_a_packed_file_are_ignored(tmp_path, pack, behind):
    assert same(read_bytes_as_file(tmp_path, pack(DATA) + behind).pixels, NOISE)


@PACK
@pytest.mark.parametrize("padding", [b"", b"\0" * 10])
def test_the_contents_of_several_members_follow_one_another(tmp_path, pack, padding):
    parts = [DATA[:7], DATA[7:5000], b"", DATA[5000:]]
    packed = padding.join(pack(part) for part in parts)
    assert same(read_bytes_as_file(tmp_path, packed).pixels, NOISE)


@PACK
@pytest.mark.parametrize("cut", [1, 5, 5000])
def test_a_packed_file_that_ends_too_soon_says_so(tmp_path, pack, cut):
    for data in (pack(DATA)[:-cut], pack(DATA[:9000]) + pack(DATA[9000:])[:-cut]):
        with pytest.raises(FrameError, match=r"expected the end of a .*, got that of the file"):
            read_bytes_as_file(tmp_path, data)


@PACK
def test_a_damaged_packed_file_says_so(tmp_path, pack):
    data = bytearray(pack(DATA))
    data[len(data) // 2] ^= 0x55
    with pytest.raises(FrameError, match=r"expected a (gzip member|bzip2 stream), got a damaged"):
        read_bytes_as_file(tmp_path, bytes(data))


@PACK
def test_pieces_are_small_however_much_a_block_unpacks_to(pack):
    data = pack(bytes(50 << 20))
    assert max(map(len, Unpacker(data).feed(data))) <= 1 << 20


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.fits", DATA)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x1f\x9d\x90" + bytes(99), r"a file of Unix compress \(\.Z\)"),
        (zipped(), "a ZIP archive"),
        (lzma.compress(DATA), "an xz file"),
        (b"\x28\xb5\x2f\xfd" + bytes(99), "a Zstandard file"),
        (gzip.compress(gzip.compress(DATA, mtime=0), mtime=0), "gzip within another compression"),
        (gzip.compress(ramp().tobytes(), mtime=0), "one starting"),
    ],
)
def test_other_packings_are_named(tmp_path, data, name):
    with pytest.raises(FrameError, match=rf"expected a FITS file \(.*\), got {name}"):
        read_bytes_as_file(tmp_path, data)
