"""FTPS, explicit and implicit, with the clients that cameras use; what is refused in the clear."""

import asyncio
import contextlib
import ftplib
import io
import socket
import ssl
import subprocess
import time

import aioftp
import pytest

from tests.gateway.server.conftest import PASSWORD, PATIENCE, end_of
from tosip.errors import ConfigurationError
from tosip.gateway.receiving.memory import STEP
from tosip.gateway.server.protection import load_context
from tosip.gateway.settings import TlsSettings


@pytest.fixture
def secure(desk, authority):
    """A desk with a certificate, on both ports."""
    desk.start(tls=authority.settings(implicit_port=0))
    return desk


@pytest.fixture
def strict(desk, authority):
    """A desk where nothing may go in the clear."""
    desk.start(tls=authority.settings(required=True, implicit_port=0))
    return desk


@pytest.fixture
def connect(authority):
    """Return a client that has not said AUTH yet."""
    clients = []

    def call(desk):
        client = ftplib.FTP_TLS(context=authority.context, timeout=PATIENCE)
        client.connect("127.0.0.1", desk.server.port)
        clients.append(client)
        return client

    yield call
    for client in clients:
        client.close()


@pytest.fixture
def source(tmp_path, image):
    path = tmp_path / "source.fits"
    path.write_bytes(image(300))
    return path


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=20, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("passive", [True, False])
@pytest.mark.parametrize("protected", [True, False])
def test_ftplib_explicit(secure, connect, image, passive, protected):
    data = image(300)
    client = connect(secure)
    client.login("cam01", PASSWORD)
    client.set_pasv(passive)
    if protected:
        client.prot_p()
    assert client.storbinary("STOR x.fits", io.BytesIO(data)).startswith("226")
    assert client.nlst() == ["x.fits"]
    client.quit()
    assert secure.files == {"x.fits": data}


@pytest.mark.parametrize("options", [(), ("--tls-max", "1.2")])
@pytest.mark.parametrize("implicit", [False, True])
def test_curl(strict, program, authority, source, implicit, options):
    if implicit:
        url = strict.url("a/x.fits", "ftps", port=strict.server.implicit_port)
    else:
        url = strict.url("a/x.fits")
    tls = ("--ssl-reqd", "--cacert", authority.root)
    command = (program("curl"), "-sS", "-K", "-", *tls, *options, "-T", source, url)
    run(*command, input=f'user = "cam01:{PASSWORD}"\n')
    assert strict.files == {"a/x.fits": source.read_bytes()}


@pytest.mark.parametrize("implicit", [False, True])
def test_lftp(strict, program, authority, source, implicit):
    port = strict.server.implicit_port if implicit else strict.server.port
    trust = f"set ssl:ca-file {authority.root}; set ftp:ssl-force yes; set net:max-retries 1"
    scheme = "ftps" if implicit else "ftp"
    login = f"open -u cam01,'{PASSWORD}' -p {port} {scheme}://127.0.0.1"
    run(
        program("lftp"), "--norc", "-c", f"{trust}; {login}; put {source} -o x.tmp; mv x.tmp x.fits"
    )
    assert strict.files == {"x.fits": source.read_bytes()}


@pytest.mark.parametrize("implicit", [False, True])
def test_aioftp(strict, authority, source, implicit):
    async def upload():
        client = aioftp.Client(ssl=authority.context if implicit else None)
        await client.connect(
            "127.0.0.1", strict.server.implicit_port if implicit else strict.server.port
        )
        if not implicit:
            await client.upgrade_to_tls(authority.context)
        await client.login("cam01", PASSWORD)
        await client.upload(source, "x.fits", write_into=True)
        await client.quit()

    asyncio.run(upload())
    assert strict.files == {"x.fits": source.read_bytes()}


def test_features_name_tls_where_there_is_a_certificate(secure, connect):
    client = connect(secure)
    assert {" AUTH TLS", " PBSZ", " PROT"} <= set(client.sendcmd("FEAT").splitlines())


# What must be protected


@pytest.mark.parametrize("command", ["USER cam01", "STOR x"])
def test_nothing_goes_in_the_clear_where_tls_is_required(strict, command):
    client = strict.control()
    with pytest.raises(ftplib.error_perm, match="530"):
        client.sendcmd(command)
    client.close()


@pytest.mark.parametrize("command", ["STOR x.fits", "LIST", "APPE x.fits", "STOU"])
def test_data_must_be_protected_where_tls_is_required(strict, connect, command):
    client = connect(strict)
    client.login("cam01", PASSWORD)
    client.sendcmd("PBSZ 0")
    with pytest.raises(ftplib.error_perm, match="534"):
        client.sendcmd("PROT C")
    client.makepasv()
    client.voidcmd("TYPE I")
    with pytest.raises(ftplib.error_perm, match="522"):
        client.sendcmd(command)
    assert strict.files == {}


@pytest.mark.parametrize(
    ("command", "code"),
    [("PROT P", "503"), ("PBSZ 0", "503"), ("AUTH SSL", "504"), ("AUTH GSSAPI", "504")],
)
def test_order_of_protection_before_auth(secure, command, code):
    client = secure.control()
    with pytest.raises(ftplib.error_perm, match=code):
        client.sendcmd(command)
    client.close()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("PROT P", "503"),
        ("PBSZ 0;PROT S", "536"),
        ("PBSZ 0;PROT X", "504"),
        ("AUTH TLS", "503"),
        ("PBSZ x", "501"),
        ("PBSZ", "501"),
    ],
)
def test_order_of_protection_after_auth(secure, connect, command, code):
    client = connect(secure)
    client.auth()
    *before, last = command.split(";")
    for one in before:
        client.sendcmd(one)
    with pytest.raises(ftplib.error_perm, match=code):
        client.sendcmd(last)


def test_plain_text_behind_auth_is_never_acted_on(secure):
    client = secure.control()
    client.sock.sendall(b"AUTH TLS\r\nUSER cam01\r\n")
    assert client.getline().startswith("421")
    with pytest.raises(EOFError):
        client.getline()
    client.close()


def test_plain_text_in_place_of_the_handshake_is_never_acted_on(secure):
    client = secure.control()
    assert client.sendcmd("AUTH TLS").startswith("234")
    client.sock.sendall(b"USER cam01\r\nPASS corr3ct horse\r\n" * 10)
    assert "331" not in end_of(client.sock)
    client.close()


def test_auth_after_the_log_in_begins_anew(secure, authority):
    with secure.ftp() as client:
        client.cwd("night")
        assert client.sendcmd("AUTH TLS").startswith("234")
        client.sock = authority.context.wrap_socket(client.sock, server_hostname="127.0.0.1")
        client.file = client.sock.makefile(encoding="utf-8")
        with pytest.raises(ftplib.error_perm, match="530"):
            client.pwd()
        assert secure.server.connections == 0
        client.login("cam01", PASSWORD)
        assert client.pwd() == "/"


def test_handshake_that_does_not_come_is_given_up(desk, authority):
    desk.start({"login_timeout": 0.3}, tls=authority.settings(implicit_port=0))
    with socket.create_connection(("127.0.0.1", desk.server.implicit_port), 30) as silent:
        start = time.monotonic()
        assert silent.recv(1) == b""
        assert time.monotonic() - start > 0.2


@pytest.mark.parametrize("implicit", [True, False])
def test_handshakes_that_are_sent_away_end_quietly(desk, authority, caplog, implicit):
    desk.start({"strangers": 2}, tls=authority.settings(implicit_port=0))
    port = desk.server.implicit_port if implicit else desk.server.port
    with contextlib.ExitStack() as stack:
        silent = []
        for _ in range(6):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            if not implicit:
                one.sendall(b"AUTH TLS\r\n")
                replies = one.makefile("rb")
                assert [replies.readline()[:3] for _ in range(2)] == [b"220", b"234"]
            silent.append(one)
        for one in silent[:4]:
            assert end_of(one) == ""
        camera = stack.enter_context(ftplib.FTP_TLS(context=authority.context, timeout=PATIENCE))
        camera.connect("127.0.0.1", desk.server.port)
        camera.login("cam01", PASSWORD)
    desk.stop_server()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_tls_older_than_1_2_is_refused(secure, authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    client = secure.control()
    client.sendcmd("AUTH TLS")
    with pytest.raises(OSError):  # noqa: PT011, which alert depends on OpenSSL
        context.wrap_socket(client.sock)
    client.close()


def test_data_cut_without_notice_is_not_acknowledged(secure, connect, image):
    data = image(800)
    client = connect(secure)
    client.login("cam01", PASSWORD)
    client.prot_p()
    client.voidcmd("TYPE I")
    connection = client.transfercmd("STOR x.fits")
    connection.sendall(data)
    # The socket under the SSLSocket ends, TLS does not.
    socket.socket.shutdown(connection, socket.SHUT_WR)
    with pytest.raises(ftplib.error_temp, match="426"):
        client.voidresp()
    connection.close()
    assert secure.files == {}


def test_abor_and_resume_with_tls(secure, connect, image):
    data = image(800)
    client = connect(secure)
    client.login("cam01", PASSWORD)
    client.prot_p()
    client.voidcmd("TYPE I")
    with client.transfercmd("STOR x.fits") as connection:
        connection.sendall(data[:STEP])
        secure.until_receiving(client, STEP)
        client.putline("ABOR")
        assert [client.getline()[:3] for _ in range(2)] == ["426", "226"]
    assert client.size("x.fits") == STEP
    client.storbinary("STOR x.fits", io.BytesIO(data[STEP:]), rest=STEP)
    assert secure.files == {"x.fits": data}


# The certificate


@pytest.mark.parametrize(
    ("certificate", "key", "named"),
    [
        ("nothing.pem", None, r"Tls.certificate: .*nothing.pem .No such file"),
        ("server.pem", "nothing.key", r"Tls.key: .*nothing.key .No such file"),
        ("empty.pem", None, r"Tls.certificate: .*empty.pem"),
        ("server.pem", None, r"Tls.certificate: .*server.pem"),
        ("server.pem", "locked.key", r"Tls.*locked.key"),
        ("server.pem", "other.key", r"Tls.*other.key .KEY_VALUES_MISMATCH"),
    ],
)
def test_certificate_that_cannot_be_used_is_named(authority, other_keys, certificate, key, named):
    folder = authority.certificate.parent
    with pytest.raises(ConfigurationError, match=named):
        load_context(
            TlsSettings(certificate=folder / certificate, key=None if key is None else folder / key)
        )


@pytest.fixture
def other_keys(authority):
    import trustme
    from cryptography.hazmat.primitives import serialization

    folder = authority.certificate.parent
    pem = trustme.CA().issue_cert("127.0.0.1").private_key_pem.bytes()
    key = serialization.load_pem_private_key(pem, None)
    (folder / "other.key").write_bytes(pem)
    (folder / "empty.pem").write_bytes(b"")
    (folder / "locked.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def test_data_connection_that_is_not_used_is_ended(secure, connect):
    client = connect(secure)
    client.login("cam01", PASSWORD)
    client.prot_p()
    client.voidcmd("TYPE I")
    with socket.create_connection(client.makepasv()) as unused:
        with pytest.raises(ftplib.error_perm, match="553"):
            client.sendcmd("STOR ../x")
        assert end_of(unused) == ""


def test_stranger_on_a_protected_port_is_hung_up_on(secure, connect, image):
    client = connect(secure)
    client.login("cam01", PASSWORD)
    client.prot_p()
    client.voidcmd("TYPE I")
    address = client.makepasv()
    with socket.create_connection(address, source_address=("127.0.0.2", 0)) as thief:
        assert end_of(thief) == ""
    with socket.create_connection(address) as own:
        client.sendcmd("STOR x.fits")
        with client.context.wrap_socket(own, server_hostname="127.0.0.1") as protected:
            protected.sendall(image())
            protected.unwrap().close()
    assert client.voidresp().startswith("226")
    assert secure.files == {"x.fits": image()}


def test_client_that_leaves_during_a_handshake_of_data_is_forgotten(secure, connect):
    client = connect(secure)
    client.login("cam01", PASSWORD)
    client.prot_p()
    with socket.create_connection(client.makepasv()) as silent:
        client.sock.close()
        client.file.close()
        assert end_of(silent) == ""
    secure.until(lambda: secure.server.connections == 0)
