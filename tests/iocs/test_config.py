"""The configuration: typed, and clear about what is wrong with it."""

from pathlib import Path

import pytest

from tosip.description import Alarm, Description, Field, Kind
from tosip.drivers.fits_options import FitsOptions
from tosip.errors import ConfigurationError
from tosip.iocs.config import AlarmConfig, with_alarms
from tosip.iocs.neosted_config import NeostedConfig, load_neosted
from tosip.pipeline.limits import Limits

COMMITTED = Path(__file__).parents[2] / "iocs" / "neosted" / "neosted.toml"


def fault(tmp_path: Path, text: str) -> str:
    path = tmp_path / "neosted.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        load_neosted(path)
    return str(error.value)


def test_the_committed_file_holds_the_defaults():
    assert load_neosted(COMMITTED) == NeostedConfig()


@pytest.mark.parametrize(("text", "hdu"), [("2", "2"), ("'SCI, 2'", "SCI, 2"), ("'all'", "all")])
def test_the_drivers_get_the_options_of_fits_files(tmp_path, text, hdu):
    path = tmp_path / "neosted.toml"
    path.write_text(f"[fits]\nhdu = {text}\nchecksum = 'warn'\nearliest_year = 2020")
    assert load_neosted(path).fits.options == FitsOptions(hdu, "warn", 2020)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prefxi = 'A:'", "neosted.toml: prefxi: unknown key"),
        ("[gateway]\nporrt = 1", "neosted.toml: gateway.porrt: unknown key"),
        ("[focus.alarms.hfd]\nhihii = 1", "focus.alarms.hfd.hihii: unknown key"),
        ("[[cameras]]\nnumber = 1\nusr = 'x'", "cameras.0.usr: unknown key"),
        ("[gateway]\nport = 70000", "gateway.port: "),
        ("[focus]\nthreads = 0", "focus.threads: "),
        ("[focus]\nfile = 5", "focus.file: expected a path, got 5"),
        ("prefix = 'no colon'", "prefix: "),
        ("[gateway\n", "neosted.toml: "),
        ("cameras = []", "expected at least one"),
        (
            "[[cameras]]\nnumber = 1\nuser = 'a'\n[[cameras]]\nnumber = 1\nuser = 'b'",
            "a number of its own",
        ),
        ("[archive]\nhost = 'archive'", "password_file"),
        ("[fits]\nhdu = 'SCI,x'", "fits.hdu: expected 'all', a number, 'NAME' or 'NAME,VERSION'"),
        ("[fits]\nhdu = -1", "fits.hdu: expected 'all', a number"),
        ("[fits]\nhdu = true", "fits.hdu"),
        ("[fits]\nchecksum = 'on'", "fits.checksum: expected 'off', 'warn' or 'refuse', got 'on'"),
        ("[focus.limits]\nmemory = 1", "focus.limits.memory: unknown key"),
        ("[focus.limits]\nnice = 20", "focus.limits.nice: "),
        ("[field.limits]\ncpus = [-1]", "field.limits.cpus.0: "),
        ("[focus.limits]\nmemory_mib = -1", "focus.limits.memory_mib: "),
        ("[focus.limits.environment]\nA = [1]", "focus.limits.environment.A: "),
        ("[environment]\nmax_age = -1", "environment.max_age: "),
        ("[fits]\nearliest_year = 1970", "fits.earliest_year: "),
        ("[fits]\nearliest = 2020", "fits.earliest: unknown key"),
        ("[gateway]\nmax_age = -1", "gateway.max_age: "),
        ("[gateway]\nhosts = '127.0.0.1'", "gateway.hosts: expected a list"),
        ('[gateway]\nusers = "a\\u0000b"', "gateway.users: expected a path without NUL"),
        ("[gateway.limits]\nleast_free_gib = inf", "gateway.limits.least_free_gib: "),
        ("[gateway.limits]\nmemory_mib = inf", "gateway.limits.memory_mib: "),
        ("[gateway.limits]\nstall_timeout = inf", "gateway.limits.stall_timeout: "),
        ("[gateway.spool]\ndelivered_gib = inf", "gateway.spool.delivered_gib: "),
        ("[archive]\ntimeout = inf", "archive.timeout: "),
        (
            "[[cameras]]\nnumber = 1\nuser = 'a'\nidentity = 'north'",
            "expected an identity only where gateway.camera.by is not 'user'",
        ),
        (
            "[gateway.camera.names]\nnorth = 'CAM1'",
            "gateway.camera.names.north: expected a camera such as CAM01, got CAM1",
        ),
    ],
)
def test_a_wrong_key_is_named_with_its_place(tmp_path, text, expected):
    assert expected in fault(tmp_path, text)


def test_a_keyword_is_known_however_it_is_written(tmp_path):
    path = tmp_path / "neosted.toml"
    path.write_text("[gateway.camera]\nby = 'header'\nkeyword = 'instrume'")

    assert load_neosted(path).gateway.camera.settings().keyword == "INSTRUME"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.toml: No such file"):
        load_neosted(tmp_path / "none.toml")


def test_relative_paths_start_at_the_files_folder(tmp_path):
    path = tmp_path / "neosted.toml"
    path.write_text("[focus]\nfile = 'mine.py'\n[gateway]\nusers = 'users'")

    config = load_neosted(path)

    assert config.focus.file == tmp_path / "mine.py"
    assert config.gateway.users == tmp_path / "users"


def test_a_section_keeps_the_defaults_of_what_it_leaves_out(tmp_path):
    path = tmp_path / "neosted.toml"
    path.write_text("[field]\nprocess_timeout = 3.0")

    config = load_neosted(path)

    assert config.field.file == NeostedConfig().field.file
    assert config.field.queue_size == NeostedConfig().field.queue_size
    assert config.field.process_timeout == 3.0


def test_configured_alarm_limits_replace_the_declared_ones():
    declared = Field("hfd", Kind.FLOAT, "HFD", alarm=Alarm(high=4.0, hihi=6.0, hysteresis=0.1))
    description = Description("Focus", "doc", outputs=(declared,))

    changed = with_alarms(description, {"hfd": AlarmConfig(hihi=9.0)})

    assert changed.output("hfd").alarm == Alarm(high=4.0, hihi=9.0, hysteresis=0.1)


def test_alarm_limits_of_an_unknown_output_are_refused():
    with pytest.raises(ConfigurationError, match="expected an output of none, got hfd"):
        with_alarms(Description("Focus", "doc"), {"hfd": AlarmConfig(hihi=9.0)})


@pytest.mark.parametrize(
    ("kind", "limits", "expected"),
    [
        (Kind.FLOAT, {"high": 7.0, "hihi": 6.0}, "lolo <= low <= high <= hihi"),
        (Kind.STR, {"hihi": 6.0}, "expected a number's limits, got those of str"),
    ],
)
def test_alarm_limits_that_cannot_be_are_refused(kind, limits, expected):
    description = Description("Focus", "doc", outputs=(Field("hfd", kind, "HFD"),))

    with pytest.raises(ConfigurationError, match=r"alarms\.hfd: expected") as error:
        with_alarms(description, {"hfd": AlarmConfig(**limits)})
    assert expected in str(error.value)


def test_limits_of_a_worker_are_read(tmp_path):
    path = tmp_path / "neosted.toml"
    path.write_text(
        "[field.limits]\nmemory_mib = 0\nnice = 5\ncpus = [1, 0]\nfolder = 'work'\n"
        "environment = { OMP_NUM_THREADS = 1, WORD = 'a' }"
    )

    config = load_neosted(path)

    assert config.field.limits.limits() == Limits(
        memory_mib=None,
        nice=5,
        cpus=(1, 0),
        environment={"OMP_NUM_THREADS": "1", "WORD": "a"},
        folder=tmp_path / "work",
    )
    assert config.focus.limits.limits() == Limits(memory_mib=2048)
