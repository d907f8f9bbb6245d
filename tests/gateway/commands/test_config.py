"""The gateway's configuration file: all settings within reach, mistakes named by key and place."""

import dataclasses
import re
from pathlib import Path

import pytest

from tosip.configuration import Section, validated
from tosip.errors import ConfigurationError
from tosip.gateway.config import GatewayConfig, GatewayFile, load_config
from tosip.gateway.sections import ArchiveConfig, KeepingConfig
from tosip.gateway.settings import (
    ArchiveSettings,
    CameraSettings,
    GatewaySettings,
    Keeping,
    Limits,
    Policy,
    TlsSettings,
)
from tosip.gateway.users import Users
from tosip.toml_files import read_toml

EXAMPLE = Path(__file__).parents[3] / "docs" / "gateway.toml"

GIVEN = """
[users]
file = 'users'
[spool]
folder = 'spool'
[archive]
host = 'archive.example'
user = 'tosip'
password_file = 'archive-password'
"""

ALL_OTHER_THAN_DEFAULT = """
[listen]
hosts = ["::1", "0.0.0.0"]
port = 21
passive_ports = [50000, 50010]
passive_address = "192.0.2.1"
[listen.tls]
certificate = "gateway.pem"
key = "gateway.key"
required = true
implicit_port = 990
[users]
file = "users"
[spool]
folder = "/srv/spool"
delivered_days = 2
delivered_gib = 0.5
quarantine_days = 3
quarantine_gib = 1
partial_days = 0.5
partial_gib = 0.25
history_days = 1
[archive]
host = "archive.example"
port = 2100
user = "tosip"
password_file = "archive-password"
folder = "incoming"
workers = 5
timeout = 10
first_delay = 0.5
longest_delay = 30
check_interval = 20
refusals = 3
tls = "explicit"
authorities = "ca.pem"
check_host = false
verify = "read-back"
[limits]
connections = 10
strangers = 11
per_address = 12
per_user = 13
least_free_gib = 1.5
login_timeout = 14
idle_timeout = 15
stall_timeout = 16
connect_timeout = 17
least_rate_kib = 0
bad_passwords = 18
bad_password_delay = 19
line_kib = 1
memory_mib = 20
[policy]
other_files = "refuse"
unpadded = true
temporary = ["*.writing"]
hold = 21
[camera]
by = "header"
pattern = "cam(..)"
keyword = "DETECTOR"
names = { A = "CAM01" }
"""


def read(folder: Path, text: str) -> GatewayFile:
    path = folder / "gateway.toml"
    path.write_text(text)
    return load_config(path)


def fault(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        read(folder, text).settings()
    return str(error.value)


def test_what_is_left_out_is_as_the_settings_have_it(folder):
    users = Users({})
    archive = ArchiveSettings(host="archive.example", user="tosip", password="batt3ry staple")

    settings = dataclasses.replace(read(folder, GIVEN).settings(), users=users)

    assert settings == GatewaySettings(users=users, spool=folder / "spool", archive=archive)


def test_every_setting_can_be_given(folder):
    settings = read(folder, ALL_OTHER_THAN_DEFAULT).settings()

    assert settings == GatewaySettings(
        users=settings.users,
        spool=Path("/srv/spool"),
        archive=ArchiveSettings(
            host="archive.example",
            port=2100,
            user="tosip",
            password="batt3ry staple",
            folder="incoming",
            workers=5,
            timeout=10,
            first_delay=0.5,
            longest_delay=30,
            check_interval=20,
            refusals=3,
            tls="explicit",
            authorities=folder / "ca.pem",
            check_host=False,
            verify="read-back",
        ),
        hosts=("::1", "0.0.0.0"),
        port=21,
        passive_ports=(50000, 50010),
        passive_address="192.0.2.1",
        tls=TlsSettings(
            certificate=folder / "gateway.pem",
            key=folder / "gateway.key",
            required=True,
            implicit_port=990,
        ),
        memory=20 << 20,
        limits=Limits(
            connections=10,
            strangers=11,
            per_address=12,
            per_user=13,
            free_space=3 << 29,
            login_timeout=14,
            idle_timeout=15,
            stall_timeout=16,
            connect_timeout=17,
            least_rate=0,
            bad_passwords=18,
            bad_password_delay=19,
            line=1024,
        ),
        policy=Policy(other_files="refuse", unpadded=True, temporary=("*.writing",), hold=21),
        keeping=Keeping(
            delivered_age=2 * 86400,
            delivered_bytes=1 << 29,
            quarantine_age=3 * 86400,
            quarantine_bytes=1 << 30,
            partial_age=86400 / 2,
            partial_bytes=1 << 28,
            history=86400,
        ),
        camera=CameraSettings(
            by="header", pattern="cam(..)", keyword="DETECTOR", names={"A": "CAM01"}
        ),
    )


def test_no_setting_was_forgotten_above(folder):
    """What is equal to its default would pass unread."""
    settings = read(folder, ALL_OTHER_THAN_DEFAULT).settings()
    parts = (settings, settings.archive, settings.limits, settings.policy, settings.keeping)
    assert settings.tls
    for part in (*parts, settings.camera, settings.tls):
        for field in dataclasses.fields(part):
            assert getattr(part, field.name) != field.default, field.name


def test_the_example_has_the_defaults(folder):
    assert read(folder, EXAMPLE.read_text()) == read(folder, GIVEN)


def test_the_example_shows_every_key():
    shown = set(re.findall(r"^(?:# )?(\w+) = ", EXAMPLE.read_text(), re.MULTILINE))
    keys = set(re.findall(r"^(\w+) = ", ALL_OTHER_THAN_DEFAULT, re.MULTILINE))
    assert keys - {"names"} <= shown


def test_what_the_example_shows_in_comments_is_right_too(folder):
    text = re.sub(r"^# (?=\w+ = |\[)", "", EXAMPLE.read_text(), flags=re.MULTILINE)

    config = read(folder, text)

    assert config.listen.tls
    assert config.listen.tls.implicit_port == 990
    assert config.camera.names == {"cam01": "CAM01"}
    config.settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[listen]\nporrt = 1", "gateway.toml: listen.porrt: unknown key"),
        ("[listen]\nport = 70000", "listen.port: expected less than or equal to 65535, got 70000"),
        ("[listen]\nport = 'ftp'", "listen.port: expected a valid integer"),
        ("[listen]\nhosts = []", "listen.hosts: "),
        ("[listen]\nhosts = '::'", "listen.hosts: expected a list, got '::'"),
        ("[listen]\npassive_ports = [9, 8]", "listen: passive_ports: expected first <= last"),
        ("[listen]\npassive_address = 'me'", "listen.passive_address: "),
        ("[listen.tls]\nkey = 'gateway.key'", "listen.tls.certificate: expected a value, got none"),
        ("[listen.tls]\ncertificate = 'no.pem'", "tls.certificate: expected a file, got none at"),
        ("[limits]\nconnections = 0", "limits.connections: "),
        ("[policy]\nother_files = 'drop'", "expected 'accept' or 'refuse', got 'drop'"),
        ("[camera]\nby = 'name'", "camera: expected a pattern beside by = 'name', got none"),
        ("[camera]\nby = 'header'", "camera: expected a keyword beside by = 'header', got none"),
        ("[camera]\npattern = '('", "camera: pattern: expected a regular expression, got '('"),
        ("[listen\n", "gateway.toml: "),
    ],
)
def test_a_wrong_key_is_named_with_its_place(folder, text, expected):
    assert expected in fault(folder, GIVEN + text)


@pytest.mark.parametrize("section", ["users", "spool", "archive"])
def test_a_section_without_defaults_must_be_there(folder, section):
    text = re.sub(rf"\[{section}\]\n([^\[]+)", "", GIVEN)
    assert f"gateway.toml: {section}: expected a value, got none" in fault(folder, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.toml: No such file"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "archive.password_file: expected one line"),
        (b"two\nlines\n", "archive.password_file: expected one line"),
        (b"\xff\n", "archive.password_file: expected UTF-8"),
        (None, "archive.password_file: expected a file, got none"),
    ],
)
def test_an_unusable_password_file_is_refused(folder, content, expected):
    path = folder / "archive-password"
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    told = fault(folder, GIVEN)

    assert expected in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("mode", "warned"),
    [(0o600, []), (0o640, []), (0o644, ["archive.password_file", "listen.tls.key", "users.file"])],
)
def test_secrets_that_everybody_can_read_are_warned_about(folder, caplog, mode, warned):
    for name in ("archive-password", "gateway.key", "users"):
        (folder / name).chmod(mode)
    tls = "[listen.tls]\ncertificate = 'gateway.pem'\nkey = 'gateway.key'"

    settings = read(folder, GIVEN + tls).settings()

    assert settings.archive.password == "batt3ry staple"
    told = [record.getMessage() for record in caplog.records]
    assert sorted(line.partition(": expected a file that others")[0] for line in told) == warned
    assert "batt3ry" not in "".join(told)


def test_a_certificate_with_its_key_is_a_secret_too(folder, caplog):
    (folder / "gateway.pem").chmod(0o644)
    read(folder, GIVEN + "[listen.tls]\ncertificate = 'gateway.pem'").settings()

    assert any("tls.certificate: expected a file that others" in line for line in caplog.messages)


def test_a_password_in_the_file_itself_is_refused_and_not_repeated(folder):
    told = fault(folder, GIVEN + "password = 'hunter2'")
    assert "archive.password: unknown key" in told
    assert "hunter2" not in told


class _Ioc(Section):
    """A configuration that embeds the gateway's, as an IOC's does."""

    gateway: GatewayConfig = GatewayConfig()
    keep: KeepingConfig = KeepingConfig()
    archive: ArchiveConfig | None = None


def test_another_configuration_can_embed_it(folder):
    path = folder / "ioc.toml"
    path.write_text(
        "gateway.listen = { port = 0, tls.certificate = 'gateway.pem' }\n"
        "keep.delivered_days = 1\n"
        "archive = { host = 'a', user = 'b', password_file = 'archive-password' }\n"
    )
    config = validated(_Ioc, read_toml(path), path)
    assert config.archive

    settings = config.gateway.with_these(
        users=Users({}),
        spool=folder / "var" / "spool",
        keeping=config.keep.keeping(),
        archive=config.archive.settings(),
    )

    assert (settings.port, settings.keeping.delivered_age) == (0, 86400)
    assert settings.tls == TlsSettings(certificate=folder / "gateway.pem")
    assert settings.archive.password == "batt3ry staple"
