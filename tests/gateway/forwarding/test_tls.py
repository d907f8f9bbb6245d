"""TLS to the archive: explicit and implicit, certificates checked, sessions resumed, ends told."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
import trustme
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from tests.gateway.forwarding.depot import PASSWORD, USER
from tests.gateway.forwarding.hostile_archive import Say
from tosip.testing.ioc import free_port

DATA = bytes(range(256)) * 4096 * 5  # 5 MiB
VSFTPD = shutil.which("vsftpd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    for name, identity in (("right", "127.0.0.1"), ("wrong", "elsewhere.example")):
        authority.issue_cert(identity).private_key_and_cert_chain_pem.write_to_path(
            folder / f"{name}.pem"
        )
    trustme.CA().cert_pem.write_to_path(folder / "stranger.pem")
    return folder


class TlsArchive:
    """pyftpdlib's server in a thread; `log` has the commands that came."""

    def __init__(self, root, certificate, *, implicit=False):
        self.log = log = []
        authorizer = DummyAuthorizer()
        authorizer.add_user(USER, PASSWORD, str(root), perm="elradfmwMT")

        class Handler(TLS_FTPHandler):
            def pre_process_command(self, line, cmd, arg):
                log.append(cmd)
                super().pre_process_command(line, cmd, arg)

            def handle(self):
                if implicit:
                    self.secure_connection(self.ssl_context)
                super().handle()

            def handle_ssl_established(self):
                pass

        Handler.authorizer = authorizer
        Handler.certfile = str(certificate)
        Handler.ssl_context = None
        Handler.tls_control_required = Handler.tls_data_required = True
        self.loop = IOLoop()
        self.server = FTPServer(("127.0.0.1", 0), Handler, ioloop=self.loop)
        self.port = self.server.socket.getsockname()[1]
        self.running = True
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        while self.running:
            self.loop.loop(timeout=0.02, blocking=False)
        self.server.close_all()

    def stop(self):
        self.running = False
        self.thread.join()


@pytest.fixture
def tls_archive(tmp_path, authority):
    archives = []

    def start(certificate="right", **options):
        root = tmp_path / "archive"
        root.mkdir(exist_ok=True)
        archives.append(TlsArchive(root, authority / f"{certificate}.pem", **options))
        return archives[-1]

    yield start
    for archive in archives:
        archive.stop()


def stored(tmp_path):
    root = tmp_path / "archive"
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("tls", ["explicit", "implicit"])
@pytest.mark.parametrize("verify", ["hash", "read-back"])
def test_files_arrive_over_tls(depot, tls_archive, authority, tmp_path, tls, verify):
    archive = tls_archive(implicit=tls == "implicit")
    depot.start(
        archive.port, tls=tls, authorities=authority / "authority.pem", verify=verify, timeout=3
    )
    for number in range(3):
        depot.commit(f"a/{number}", DATA)
    depot.until_delivered(3)
    assert stored(tmp_path) == {f"a/{number}": DATA for number in range(3)}
    assert "PROT" in archive.log


@pytest.mark.parametrize(
    ("certificate", "authorities", "words"),
    [("right", "stranger", "not trusted"), ("wrong", "authority", "127.0.0.1")],
)
@pytest.mark.parametrize("tls", ["explicit", "implicit"])
def test_certificate_that_is_wrong_gets_no_password(
    depot, tls_archive, authority, certificate, authorities, words, tls
):
    archive = tls_archive(certificate, implicit=tls == "implicit")
    depot.start(archive.port, tls=tls, authorities=authority / f"{authorities}.pem")
    depot.commit("x", DATA)
    depot.until(lambda: "certificate is not trusted" in depot.forwarder.last_error)
    assert words in depot.forwarder.last_error
    assert depot.forwarder.state == "Unreachable"
    assert not {"USER", "PASS"} & set(archive.log)


def test_host_name_is_not_checked_when_that_is_not_wanted(depot, tls_archive, authority, tmp_path):
    archive = tls_archive("wrong")
    authorities = authority / "authority.pem"
    depot.start(archive.port, tls="explicit", authorities=authorities, check_host=False)
    depot.commit("x", DATA)
    depot.until_delivered(1)
    assert stored(tmp_path) == {"x": DATA}


def test_archive_without_tls_gets_no_password(depot, archive, authority):
    depot.start(archive, tls="explicit", authorities=authority / "authority.pem")
    depot.commit("x", DATA)
    depot.until(lambda: "AUTH: 502" in depot.forwarder.last_error)
    assert not {"USER", "PASS"} & set(archive.verbs())


def test_missing_authorities_are_a_mistake_in_the_configuration(depot, archive, tmp_path):
    with pytest.raises(ValueError, match="expected a PEM file of certificates"):
        depot.start(archive, tls="explicit", authorities=tmp_path / "none.pem")


def test_reply_that_came_in_the_clear_before_tls_is_not_believed(depot, archive, authority):
    """Somebody on the way adds a reply behind the one to AUTH."""
    archive.misbehave("AUTH", Say("234 go\r\n230 welcome\r\n230 welcome"), times=None)
    depot.start(archive, tls="explicit", authorities=authority / "authority.pem", timeout=0.2)
    depot.commit("x", DATA)
    depot.until(lambda: depot.forwarder.state == "Unreachable")
    assert not {"USER", "PASS"} & set(archive.verbs())


class DataSink:
    """A TLS server for one data connection, which tells how it ended."""

    def __init__(self, certificate):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.size, self.ending = 0, ""
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        plain, _ = self.listener.accept()
        with self.listener, contextlib.suppress(ConnectionError):
            tls = self.context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
            try:
                while block := tls.recv(1 << 16):
                    self.size += len(block)
                self.ending = "told"
            except (ssl.SSLError, OSError):
                self.ending = "cut"
            tls.close()


@pytest.mark.parametrize(("cut", "ending"), [(False, "told"), (True, "cut")])
def test_end_of_tls_data_is_told_so_that_a_cut_is_seen(authority, tmp_path, cut, ending):
    from concurrent.futures import ThreadPoolExecutor

    from tosip.gateway.forwarding.sending import DataConnection

    sink = DataSink(authority / "right.pem")
    path = tmp_path / "x"
    path.write_bytes(DATA)
    context = ssl.create_default_context(cafile=authority / "authority.pem")
    with ThreadPoolExecutor(1) as threads, path.open("rb") as file:

        async def send():
            data = DataConnection(socket.AF_INET, 5.0, threads)
            try:
                await data.connect(sink.listener.getsockname())
                await data.protect(context, "127.0.0.1", None)
                stop = data.abort if cut else lambda: None
                await data.run(data.send, file, len(DATA), lambda _: stop())
                await asyncio.to_thread(sink.thread.join)
            finally:
                data.close()

        with contextlib.suppress(OSError):
            asyncio.run(send())
    sink.thread.join()
    assert sink.ending == ending
    assert (sink.size == len(DATA)) == (not cut)


@pytest.mark.skipif(VSFTPD is None, reason="vsftpd is not installed")
def test_vsftpd_that_wants_its_tls_session_resumed_gets_files(depot, authority, tmp_path):
    root, empty, port = tmp_path / "archive", tmp_path / "empty", free_port()
    for folder in (root, empty):
        folder.mkdir()
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    (root / "in").mkdir()
    (root / "in").chmod(0o777)
    settings = {
        "listen": "YES",
        "listen_address": "127.0.0.1",
        "listen_port": port,
        "background": "NO",
        "anonymous_enable": "YES",
        "no_anon_password": "NO",
        "anon_root": root,
        "anon_upload_enable": "YES",
        "anon_mkdir_write_enable": "YES",
        "anon_other_write_enable": "YES",
        "anon_umask": "022",
        "write_enable": "YES",
        "secure_chroot_dir": empty,
        "seccomp_sandbox": "NO",
        "ssl_enable": "YES",
        "allow_anon_ssl": "YES",
        "force_anon_logins_ssl": "YES",
        "force_anon_data_ssl": "YES",
        "require_ssl_reuse": "YES",
        "strict_ssl_read_eof": "YES",
        "ssl_tlsv1": "YES",
        "ssl_ciphers": "HIGH",
        "rsa_cert_file": authority / "right.pem",
        "rsa_private_key_file": authority / "right.pem",
    }
    configuration = tmp_path / "vsftpd.conf"
    configuration.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    assert VSFTPD is not None
    server = subprocess.Popen([VSFTPD, str(configuration)])
    try:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
        authorities = authority / "authority.pem"
        options = {"user": "anonymous", "tls": "explicit", "authorities": authorities}
        depot.start(port, folder="in", timeout=3, **options)
        for number in range(3):
            depot.commit(f"{number}", DATA)
        depot.until_delivered(3)
    finally:
        server.terminate()
        server.wait()
    assert stored(tmp_path) == {f"in/{number}": DATA for number in range(3)}
