"""Where the data connection goes: to the archive's own address, over IPv4 and IPv6."""

import socket

import pytest


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_archive_is_reached_over_ipv6(depot):
    archive = depot.archive("::1")
    depot.start(archive, host="::1", verify="read-back")
    depot.commit("x")
    depot.until_delivered(1)
    assert archive.files == {"x": b"data"}


def test_archive_without_epsv_is_asked_for_pasv_once_and_for_all(depot):
    archive = depot.archive(features=("SIZE",))
    depot.start(archive, workers=1)
    for number in range(3):
        depot.commit(f"{number}")
        depot.until_delivered(number + 1)
    assert archive.verbs().count("EPSV") == 1
    assert archive.verbs().count("PASV") == 3


def test_host_in_the_reply_to_pasv_is_ignored(depot):
    archive = depot.archive(features=("SIZE",), data_host="192.0.2.1")
    depot.start(archive, timeout=1)
    depot.commit("x")
    depot.until_delivered(1)
    assert archive.files == {"x": b"data"}
