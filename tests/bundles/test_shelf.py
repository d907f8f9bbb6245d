"""A plugin's bundles: so many, so large, whole or not at all."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bundles.failures import failure
from tosip.bundles import bundle
from tosip.bundles.bundle import BundleError
from tosip.bundles.shelf import Limits, Shelf

ROOT = Path(__file__).parents[2]


def large(**more):
    return failure(np.zeros((256, 1024), np.uint32), **more)  # 1 MiB


def test_the_oldest_go_first(tmp_path):
    shelf = Shelf(tmp_path, Limits(number=3))
    names = [shelf.put(failure(unique_id=number)) for number in range(5)]
    assert shelf.names() == names[2:]
    assert sorted(os.listdir(tmp_path)) == names[2:]
    assert names[4].endswith("-frame4")


def test_their_bytes_are_bounded(tmp_path):
    shelf = Shelf(tmp_path, Limits(size=3 << 20))
    names = [shelf.put(large()) for _ in range(4)]
    assert shelf.names() == names[2:]


def test_one_that_is_too_large_alone_is_refused_and_none_goes_for_it(tmp_path):
    shelf = Shelf(tmp_path, Limits(size=1 << 20))
    small = shelf.put(failure())
    with pytest.raises(BundleError, match="expected at most 1048576 bytes, got"):
        shelf.put(large())
    assert shelf.names() == [small]


def test_the_last_of_the_disk_is_left_to_others(tmp_path):
    shelf = Shelf(tmp_path, Limits(least_free=1 << 60))
    with pytest.raises(BundleError, match="to stay free on the disk"):
        shelf.put(failure())
    assert shelf.names() == []


def test_folders_of_other_names_are_nobodys_to_remove(tmp_path):
    shelf = Shelf(tmp_path, Limits(number=1))
    os.rename(tmp_path / shelf.put(failure()), tmp_path / "keep this one")
    shelf.put(failure())
    shelf.put(failure())
    shelf.tidy()
    assert len(shelf.names()) == 1
    assert bundle.read(tmp_path / "keep this one").error == "ValueError: odd"


def test_failures_are_told_apart_by_code_kind_and_cause(tmp_path):
    shelf = Shelf(tmp_path, Limits())
    for error in ("ValueError: 1", "ValueError: 2", "KeyError: 1"):
        shelf.put(failure(error=error))
    shelf.put(failure(code_hash="other"))
    (tmp_path / shelf.names()[0] / "bundle.json").write_text("damaged")
    assert sorted(shelf.kinds().values()) == [1, 1, 1]


def test_a_full_disk_leaves_nothing(tmp_path):
    shelf = Shelf(tmp_path, Limits())
    first = shelf.put(failure())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            shelf.put(large())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == [first]


WRITER = """
import os, signal, sys
from pathlib import Path
from tests.bundles.failures import failure
from tosip.bundles import bundle
from tosip.bundles.shelf import Limits, Shelf

shelf, last = Shelf(Path(sys.argv[1]), Limits(number=1)), int(sys.argv[2])
shelf.put(failure())
calls = 0
def counting(function):
    def call(*arguments):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call
os.fsync, os.rename = counting(os.fsync), counting(os.rename)
shelf.put(failure(unique_id=8))
sys.exit(calls)
"""


def write_and_die(folder: Path, call: int) -> int:
    command = [sys.executable, "-c", WRITER, str(folder), str(call)]
    return subprocess.run(command, cwd=ROOT, timeout=60).returncode


@pytest.mark.parametrize("call", [1, 2, 3, 5, 7])
def test_a_crash_in_the_middle_leaves_whole_bundles_alone(tmp_path, call):
    assert write_and_die(tmp_path, call) == -signal.SIGKILL
    shelf = Shelf(tmp_path, Limits())
    for name in shelf.names():
        read = bundle.read(tmp_path / name)
        assert read.read_code()
        assert read.unique_id in (7, 8)
    shelf.tidy()
    assert sorted(os.listdir(tmp_path)) == shelf.names()


def test_the_crashes_above_are_in_the_middle(tmp_path):
    assert write_and_die(tmp_path, 0) == 8


def test_tidying_follows_no_links(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / ".new-x").symlink_to(tmp_path / "elsewhere")
    Shelf(tmp_path / "shelf", Limits()).tidy()
    assert (tmp_path / "elsewhere").is_dir()
