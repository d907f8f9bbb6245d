"""Names stay inside the virtual namespace."""

import ftplib
import io

import pytest

from tosip.gateway.server.names import NameRefusedError, resolve_file, resolve_folder


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
def test_bad_name_gets_553_before_any_byte_is_taken(standing, name):
    before = len(standing.refused)
    with standing.ftp() as client:
        client.voidcmd("TYPE I")
        with pytest.raises(ftplib.error_perm, match="553"):
            client.transfercmd(f"STOR {name}")
        assert client.pwd() == "/"
    assert [reason[:3] for reason in standing.refused[before:]] == ["553"]


@pytest.mark.parametrize("line", [b"STOR x\xff.fits", b"STOR a\0b", b"STOR \xff\xfe", b"STOR "])
def test_stray_bytes_in_a_name_get_553_and_the_session_goes_on(standing, line):
    with standing.ftp() as client:
        client.voidcmd("TYPE I")
        client.makepasv()
        client.sock.sendall(line + b"\r\n")
        assert client.getline().startswith("553")
        assert client.pwd() == "/"


def test_unusual_names_are_kept_as_they_are(running, image):
    names = ["-la", "a&b;c$(d).fits", "nächte/bild é.fits", "with blanks.fits"]
    with running.ftp() as client:
        for number, name in enumerate(names):
            client.storbinary(f"STOR {name}", io.BytesIO(image(100 + number)))
    assert sorted(running.files) == names
