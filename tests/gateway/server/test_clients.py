"""The clients that cameras use work as they are: with each of them files arrive byte for byte."""

import asyncio
import io
import subprocess
from pathlib import Path

import aioftp
import pytest

from tosip.gateway.receiving.memory import STEP

TIMEOUT = 30


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=TIMEOUT, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def source(tmp_path, image):
    path = tmp_path / "source.fits"
    path.write_bytes(image(800))
    return path


@pytest.fixture
def curl(program, running):
    """Run curl; the password is in no command line."""
    path = program("curl")

    def call(*options):
        login = f'user = "cam01:{running_password}"\n'
        return run(path, "-sS", "-K", "-", *options, input=login)

    running_password = "corr3ct horse"
    return call


@pytest.fixture
def lftp(program, running):
    path = program("lftp")

    def call(*commands):
        login = f"open -u cam01,'corr3ct horse' -p {running.server.port} 127.0.0.1"
        settings = "set net:max-retries 1; set net:timeout 10; set cmd:fail-exit yes"
        script = "; ".join([settings, login, *commands])
        return run(path, "--norc", "-c", script)

    return call


@pytest.mark.parametrize("passive", [True, False])
def test_ftplib_active_and_passive(running, image, passive):
    data = image(300)
    with running.ftp() as client:
        client.set_pasv(passive)
        assert client.storbinary("STOR x.fits", io.BytesIO(data)).startswith("226")
        assert client.nlst() == ["x.fits"]
        assert client.size("x.fits") == len(data)
    assert running.files == {"x.fits": data}


def test_ftplib_gives_a_temporary_name_and_renames(running, image):
    data = image()
    with running.ftp() as client:
        client.mkd("night")
        client.storbinary("STOR night/x.fits.part", io.BytesIO(data))
        assert client.rename("night/x.fits.part", "night/x.fits").startswith("250")
    assert running.files == {"night/x.fits": data}


@pytest.mark.parametrize(
    "options", [(), ("--ftp-port", "-"), ("--disable-epsv",), ("--ftp-port", "-", "--disable-eprt")]
)
def test_curl_active_and_passive(running, curl, source, options):
    curl(*options, "--ftp-create-dirs", "-T", source, running.url("night/cam01/x.fits"))
    assert running.files == {"night/cam01/x.fits": source.read_bytes()}


@pytest.mark.parametrize("method", ["nocwd", "singlecwd", "multicwd"])
def test_curl_finds_that_a_file_is_there_already(running, curl, source, method):
    url = running.url("night/cam01/x.fits")
    curl("--ftp-method", method, "-T", source, url)
    curl("--ftp-method", method, "-C", "-", "-T", source, url)
    assert [entry.file.name for entry, _ in running.stored] == ["night/cam01/x.fits"]


def test_curl_goes_on_where_an_upload_was_interrupted(running, interrupted, curl, source):
    interrupted(running, "x.fits", source.read_bytes()[:STEP])
    curl("-C", "-", "-T", source, running.url("x.fits"))
    assert running.files == {"x.fits": source.read_bytes()}


def test_curl_appends(running, interrupted, curl, source):
    interrupted(running, "x.fits", source.read_bytes()[:STEP])
    rest = source.with_name("rest")
    rest.write_bytes(source.read_bytes()[STEP:])
    curl("--append", "-T", rest, running.url("x.fits"))
    assert running.files == {"x.fits": source.read_bytes()}


def test_curl_gives_a_temporary_name_and_renames(running, curl, source):
    quote = ("-Q", "-RNFR x.part", "-Q", "-RNTO x.fits")
    curl(*quote, "-T", source, running.url("x.part"))
    assert running.files == {"x.fits": source.read_bytes()}


def test_curl_lists(running, curl, source):
    running.upload("a/x.fits", source.read_bytes())
    assert curl("-l", running.url("a/")).split() == ["x.fits"]
    assert str(source.stat().st_size) in curl(running.url("a/"))


def test_lftp_puts_with_a_temporary_name(running, lftp, source):
    temporary = "set xfer:use-temp-file yes; set xfer:temp-file-name *.part"
    lftp(temporary, f"put {source} -o x.fits")
    assert running.files == {"x.fits": source.read_bytes()}


def test_lftp_puts_and_renames(running, lftp, source):
    lftp(f"put {source} -o x.tmp", "mv x.tmp x.fits")
    assert running.files == {"x.fits": source.read_bytes()}


def test_lftp_that_does_not_wait_for_replies(running, lftp, source):
    lftp("set ftp:sync-mode off", f"put {source} -o a.fits", f"put {source} -o b.fits")
    assert set(running.files) == {"a.fits", "b.fits"}


@pytest.mark.parametrize("mode", ["on", "off"])
def test_lftp_mirrors_a_folder_and_then_has_nothing_left_to_do(
    running, lftp, image, tmp_path, mode
):
    night = tmp_path / "night"
    (night / "deep").mkdir(parents=True)
    wanted = {}
    for number, name in enumerate(["a.fits", "b.fits", "deep/c.fits"]):
        (night / name).write_bytes(image(50 + number))
        wanted[f"night/{name}"] = (night / name).read_bytes()
    mirror = f"mirror -R --parallel=2 {night} night"
    lftp(f"set ftp:passive-mode {mode}", mirror)
    assert running.files == wanted
    lftp(f"set ftp:passive-mode {mode}", mirror)
    assert len(running.stored) == 3


def test_lftp_goes_on_where_an_upload_was_interrupted(running, interrupted, lftp, source):
    interrupted(running, "x.fits", source.read_bytes()[:STEP])
    lftp(f"put -c {source} -o x.fits")
    assert running.files == {"x.fits": source.read_bytes()}


def test_busybox_ftpput(running, program, source):
    login = ("-u", "cam01", "-p", "corr3ct horse", "-P", running.server.port)
    run(program("busybox"), "ftpput", *login, "127.0.0.1", "a/x.fits", source)
    assert running.files == {"a/x.fits": source.read_bytes()}


def aioftp_client(desk):
    return aioftp.Client.context("127.0.0.1", desk.server.port, "cam01", "corr3ct horse")


def test_aioftp_uploads_into_folders_and_lists(running, source):
    async def upload():
        async with aioftp_client(running) as client:
            await client.upload(source, "night/deep/x.fits", write_into=True)
            assert await client.exists("night/deep/x.fits")
            listed = [(str(path), facts["type"]) async for path, facts in client.list("night")]
            assert listed == [("night/deep", "dir")]
            assert int((await client.stat("night/deep/x.fits"))["size"]) == source.stat().st_size

    asyncio.run(upload())
    assert running.files == {"night/deep/x.fits": source.read_bytes()}


def test_aioftp_goes_on_where_an_upload_was_interrupted_and_renames(running, interrupted, source):
    data = source.read_bytes()
    interrupted(running, "x.tmp", data[:STEP])

    async def upload():
        async with aioftp_client(running) as client:
            async with client.upload_stream("x.tmp", offset=STEP) as stream:
                await stream.write(data[STEP:])
            await client.rename("x.tmp", "x.fits")

    asyncio.run(upload())
    assert running.files == {"x.fits": data}


def test_each_client_can_send_the_same_name_again(running, curl, lftp, source):
    first, second = source.read_bytes(), source.read_bytes() + bytes(2880)
    curl("-T", source, running.url("x.fits"))
    source.write_bytes(second)
    lftp(f"put {source} -o x.fits")
    sizes = [entry.file.size for entry, _ in running.stored]
    assert sizes == [len(first), len(second)]


def test_a_file_of_the_folder_list_is_seen_by_its_user_only(running, curl, source: Path):
    running.upload("hers.fits", source.read_bytes(), "cam02")
    assert curl("-l", running.url("")) == ""
