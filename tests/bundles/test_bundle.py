"""One bundle: what goes in comes out, and what is damaged is told in one line."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.bundles.failures import CODE, FILE, failure
from tosip.bundles import bundle
from tosip.bundles.bundle import BundleError
from tosip.pipeline.attributes import carried
from tosip.pipeline.pool import Pool
from tosip.pipeline.protocol import PIXEL_TYPES

SHAPES = [(5,), (30, 50), (2, 7, 3), (1, 1)]


def kept(folder: Path, *arguments, **more) -> bundle.Bundle:
    bundle.write(folder / "b", failure(*arguments, **more))
    return bundle.read(folder / "b")


def odd_bits(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Pixels of every bit pattern that there is: NaNs of all kinds, and both ends."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    bits = np.random.default_rng(1).integers(0, 256, count, np.uint8)
    bits[: min(8, count)] = 255
    return bits.view(dtype).reshape(shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", PIXEL_TYPES)
def test_pixels_of_every_type_come_back_bit_for_bit(tmp_path, dtype, shape):
    pixels = odd_bits(shape, dtype)
    array = kept(tmp_path, pixels).read_frame(Pool())
    assert (array.dtype, array.shape) == (dtype, shape)
    assert array.pixels.tobytes() == pixels.tobytes()


@pytest.mark.parametrize("dtype", PIXEL_TYPES)
def test_other_programs_read_the_frame(tmp_path, dtype):
    pixels = odd_bits((30, 50), dtype)
    kept(tmp_path, pixels)
    with fits.open(tmp_path / "b" / "frame.fits", memmap=False) as units:
        units.verify("exception")
        seen = units[0].data
    assert seen.dtype.newbyteorder("=") == dtype
    np.testing.assert_array_equal(seen, pixels)


def test_a_frame_longer_than_a_piece_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr("tosip.bundles.pixels._CHUNK", 64)
    pixels = odd_bits((41, 13), "uint64")
    assert kept(tmp_path, pixels).read_frame(Pool()).pixels.tobytes() == pixels.tobytes()


VALUES = {
    "bool": True,
    "small": -(2**63),
    "large": 2**64 - 1,
    "whole float": 1.0,
    "minus": -0.0,
    "tiny": 5e-324,
    "inf": float("-inf"),
    "text": "é\n\x00 \ud800",
    "long text": "x" * 100_000,
    "a name that no FITS keyword holds, with 'quotes' = /": 1,
    "": "empty",
    "ints": np.array([2**64 - 1], np.uint64),
    "floats": np.array([np.nan, -np.inf, 0.1], np.float32),
    "none": np.empty(0, np.int16),
}


def test_values_come_back_with_their_types(tmp_path):
    read = kept(tmp_path, None, VALUES, params=VALUES)
    for values, given in ((read.attributes, carried(VALUES)), (read.params, VALUES)):
        assert list(values) == list(VALUES)
        for name, value in given.items():
            assert type(values[name]) is type(value), name
            assert getattr(values[name], "dtype", None) == getattr(value, "dtype", None)
            np.testing.assert_array_equal(values[name], value)
            assert str(values[name]) == str(value)
    assert not np.asarray(read.attributes["ints"]).flags.writeable


def test_nan_comes_back_as_a_float(tmp_path):
    value = kept(tmp_path, None, {"nan": float("nan")}).attributes["nan"]
    assert isinstance(value, float)
    assert value != value


def test_everything_else_comes_back(tmp_path):
    read = kept(tmp_path, np.zeros((2, 2, 3), np.uint8), color_mode="RGB1", unique_id=2**40)
    array = read.read_frame(Pool())
    assert (array.color_mode, array.unique_id, array.timestamp) == ("RGB1", 2**40, 1234.5)
    assert (read.port, read.source, read.timeout) == ("PROBE", "CAM", 10.0)
    assert (read.error, read.stage, read.kind) == ("ValueError: odd", "process", "exception")
    assert read.traceback == "Traceback\nValueError: odd"
    assert read.printed == ("before\x1b[2J", "last")
    assert (read.file, read.class_name, read.code_hash) == (Path(FILE), None, "0123456789ab")
    assert (read.interpreter, read.python, read.numpy) == (Path(sys.executable), "3.11.2", "2.0.0")
    assert read.read_code() == CODE
    assert read.likeness == failure().likeness


def change(folder: Path, *keys: str, to: object) -> None:
    file = folder / "b" / "bundle.json"
    plain = part = json.loads(file.read_text())
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = to
    file.write_text(json.dumps(plain))


@pytest.mark.parametrize(
    ("keys", "to", "words"),
    [
        (["format", "version"], 2, "expected format.version 1, got 2"),
        (["format", "name"], "x", "expected format.name 'tosip bundle', got 'x'"),
        (["format"], [], "expected a TOSIP bundle, got something else"),
        (["more"], 1, "expected format, failure, plugin, code, frame, attributes, params, got"),
        (["frame", "dtype"], "object", "expected a type of int8"),
        (["frame", "shape"], [0, 3], "expected sizes of at least 1"),
        (["frame", "shape"], [2**30, 2**30], "frame: image: expected at most"),
        (["frame", "unique_id"], 10**30, "an id of 64 bits"),
        (["frame", "unique_id"], True, "frame.unique_id: expected int, got bool"),
        (["frame", "timestamp"], float("nan"), "expected a time stamp"),
        (["plugin", "timeout"], -1, "plugin.timeout: expected a time, got -1"),
        (["failure", "kind"], "magic", "'magic' is not a valid FailureKind"),
        (["failure", "printed"], [1], "failure.printed: expected lines of text"),
        (["code", "file"], "probe.py", "code.file: expected the whole path of a file ending in"),
        (["code", "file"], "/etc/passwd", "code.file: expected the whole path"),
        (["code", "interpreter"], "python3", "code.interpreter: expected the whole path of a f"),
        (["code", "modules"], {"../x": {}}, "expected names of modules, got '../x'"),
        (["code", "modules"], {"x": {}}, "code.modules.x: expected file, package, sha256"),
        (["attributes", "A"], [1], "expected text, a number or a 1-D array of numbers, got 'A'"),
        (["attributes", "A"], None, "got 'A'"),
        (["attributes", "A"], 2**64, "got 'A'"),
        (["params", "p"], {"dtype": "object", "base64": ""}, "got 'p'"),
        (["params", "p"], {"dtype": "int16", "base64": "AAAA"}, "got 'p'"),
        (["params", "p"], {"dtype": [], "base64": 3}, "got 'p'"),
        (["params", "p"], {"float": "1"}, "got 'p'"),
        (["params"], [], "params: expected values by name"),
    ],
)
def test_a_damaged_description_is_told_in_one_line(tmp_path, keys, to, words):
    kept(tmp_path)
    change(tmp_path, *keys, to=to)
    with pytest.raises(BundleError) as error:
        bundle.read(tmp_path / "b")
    assert words in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/b/bundle.json: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00", "null", '"text"'])
def test_what_is_no_json_is_told(tmp_path, text):
    kept(tmp_path)
    (tmp_path / "b" / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match="expected"):
        bundle.read(tmp_path / "b")


@pytest.mark.parametrize("inside", ["b/evil.py", "b/../b/evil.py"])
def test_code_inside_the_bundle_is_not_run_as_the_sites(tmp_path, inside):
    kept(tmp_path)
    change(tmp_path, "code", "file", to=str(tmp_path / inside))
    with pytest.raises(BundleError, match="expected a path outside the bundle"):
        bundle.read(tmp_path / "b")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-1], "expected 5760 bytes"),
        (lambda data: data + b"x", "expected 5760 bytes"),
        (lambda data: data.replace(b"NAXIS ", b"NAXIX "), "expected uint16 of shape"),
        (lambda data: data[:2880] + b"\x01" + data[2881:], "expected the pixels as kept"),
    ],
)
def test_a_damaged_frame_is_told(tmp_path, damage, words):
    read = kept(tmp_path)
    file = tmp_path / "b" / "frame.fits"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(BundleError, match=words):
        read.read_frame(Pool())


def test_links_and_pipes_are_not_followed(tmp_path):
    read = kept(tmp_path)
    (tmp_path / "b" / "frame.fits").unlink()
    (tmp_path / "b" / "frame.fits").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="expected a bundle's file"):
        read.read_frame(Pool())
    (tmp_path / "b" / "code" / "probe.py").unlink()
    os.mkfifo(tmp_path / "b" / "code" / "probe.py")
    with pytest.raises(BundleError, match="got another kind"):
        read.read_code()


def test_changed_code_is_told(tmp_path):
    read = kept(tmp_path)
    (tmp_path / "b" / "code" / "probe.py").write_text("import os")
    with pytest.raises(BundleError, match="expected the code as kept"):
        read.read_code()


@pytest.mark.parametrize(
    "code",
    [
        {"../../x": {"file": "x", "package": False, "text": ""}},
        {"x": {"file": "x", "package": False, "text": 1}},
        {"x": []},
    ],
)
def test_code_that_a_worker_has_made_up_is_not_kept(tmp_path, code):
    with pytest.raises(ValueError, match="code: expected"):
        bundle.size_of(failure(code=code))


def test_the_size_is_known_before(tmp_path):
    one = failure(np.zeros((100, 100), np.int32), {"A": "x" * 1000})
    bundle.write(tmp_path / "b", one)
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert abs(bundle.size_of(one) - size) < 100
