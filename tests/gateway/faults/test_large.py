"""Sizes and offsets of more than 31 bits."""

import shutil

import pytest

from tests.gateway.faults.large import ROOM, send_large


@pytest.mark.timeout(600)
def test_file_of_more_than_two_gib_arrives_whole(tmp_path):
    if shutil.disk_usage(tmp_path).free < ROOM:
        pytest.skip(f"needs {ROOM >> 30} GiB of free disk space")
    assert send_large(tmp_path) == []
