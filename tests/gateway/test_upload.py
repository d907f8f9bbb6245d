"""What a camera uploads reaches the archive and the pipeline unchanged."""

import hashlib
import io
import shutil
import subprocess

import pytest


def test_ftplib_upload_arrives_byte_for_byte(running, image):
    data = image(300)
    assert running.upload("x.fits", data).startswith("226")
    running.until_delivered(1)
    assert running.archived() == {"x.fits": data}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_upload_makes_its_folders_and_arrives(running, image, tmp_path):
    source = tmp_path / "source.fits"
    source.write_bytes(image(1000))
    url = f"ftp://127.0.0.1:{running.gateway.port}/night1/cam01/x.fits"
    login = f'user = "cam01:{running.password}"\n'
    command = ["curl", "-sS", "--ftp-create-dirs", "-K", "-", "-T", str(source), url]
    done = subprocess.run(command, input=login, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    running.until_delivered(1)
    assert running.archived() == {"night1/cam01/x.fits": source.read_bytes()}


def test_stored_file_is_announced_with_what_is_known_of_it(running, image):
    data = image()
    with running.ftp() as client:
        client.mkd("cam01")
        client.cwd("cam01")
        client.storbinary("STOR x.fits", io.BytesIO(data))
    running.until(lambda: running.stored)
    (file,) = running.stored
    assert (file.name, file.user, file.size) == ("cam01/x.fits", "cam01", len(data))
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    assert file.path.read_bytes() == data
    assert file.proven


def test_spool_keeps_a_file_until_it_is_delivered_and_released(running, image, until):
    running.upload("x.fits", image())
    running.until_delivered(1)
    assert running.stored[0].path.exists()
    running.release(running.stored[0])
    until(lambda: not list((running.spool / "files").iterdir()))


def test_counters_balance(running, image):
    for number in range(5):
        running.upload(f"{number}.fits", image())
    running.until_delivered(5)
    counters = running.counters
    assert (counters.acknowledged, counters.pending, counters.refused) == (5, 0, 0)
    assert counters.bytes == 5 * len(image())
    assert counters.archive_ok


def test_size_of_a_stored_file_can_be_asked(running, image):
    with running.ftp() as client:
        client.storbinary("STOR x.fits", io.BytesIO(image()))
        assert client.size("x.fits") == len(image())
        assert client.nlst() == []


@pytest.mark.parametrize("name", ["x.fits.gz", "notes.txt", "empty"])
def test_what_is_not_fits_is_accepted_and_marked_unproven(running, name):
    data = b"" if name == "empty" else b"\x1f\x8b not fits"
    assert running.upload(name, data).startswith("226")
    running.until_delivered(1)
    assert running.archived() == {name: data}
    assert not running.stored[0].proven


def test_callback_that_raises_endangers_nothing(site, image):
    site.start_archive()
    site.start_gateway()
    site.gateway.on_stored = lambda file: 1 / 0
    assert site.upload("x.fits", image()).startswith("226")
    site.until_delivered(1)
