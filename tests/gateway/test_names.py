"""Names stay inside the virtual namespace."""

import ftplib

import pytest

from tosip.gateway.names import NameRefusedError, resolve_file, resolve_folder


@pytest.mark.parametrize(
    ("folder", "argument", "name"),
    [
        ((), "x.fits", "x.fits"),
        (("a",), "x.fits", "a/x.fits"),
        (("a",), "/b//x.fits", "b/x.fits"),
        (("a",), "./b/x y.fits", "a/b/x y.fits"),
        ((), "n" * 255, "n" * 255),
    ],
)
def test_names_are_resolved_in_the_folder(folder, argument, name):
    assert resolve_file(folder, argument) == name


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "/",
        "..",
        "a/",
        "../x",
        "a/../../x",
        "/../x",
        "n" * 256,
        "é" * 128,
        "a\0b",
        "a\x7fb",
        "a\x85b",
        "a\udcffb",
        "a\\b",
        " x",
        "a /x",
        "/".join(["d" * 100] * 11),
    ],
)
def test_names_that_could_do_harm_are_refused(argument):
    with pytest.raises(NameRefusedError, match=r"expected .* got"):
        resolve_file(("a",), argument)


def test_parent_of_the_root_is_the_root():
    assert resolve_folder(("a",), "../../..") == ()
    assert resolve_folder(("a",), "/b/../c") == ("c",)


@pytest.mark.parametrize("name", ["../x.fits", "/../../etc/x.fits", "a\x01b.fits", "n" * 256])
def test_bad_name_gets_553_before_any_byte_is_taken(running, name):
    with running.ftp() as client:
        with pytest.raises(ftplib.error_perm, match="553"):
            client.transfercmd(f"STOR {name}")
        assert client.pwd() == "/"
    assert running.counters.refused == 1
    assert running.committed() == []


def test_stray_byte_in_a_name_gets_553_and_the_session_goes_on(running):
    with running.ftp() as client:
        client.makepasv()
        client.sock.sendall(b"STOR x\xff.fits\r\n")
        assert client.getline().startswith("553")
        assert client.pwd() == "/"
