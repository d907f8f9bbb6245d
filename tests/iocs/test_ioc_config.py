"""The configuration from which any IOC grows."""

from pathlib import Path

import pytest
import tomli_w

from tosip.commands.configuration import descriptions
from tosip.errors import ConfigurationError
from tosip.iocs.config import IocConfig, load_config
from tosip.iocs.ioc_file import load_ioc

ROOT = Path(__file__).parents[2]
ONE = """
prefix = "A:"
[drivers.CAM1]
kind = "simulated"
[plugins.P1]
algorithm = "focus"
source = "CAM1"
"""


def read(folder: Path, text: str) -> IocConfig:
    path = folder / "ioc.toml"
    path.write_text(text)
    return load_config(path)


def faults(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        read(folder, text)
    return str(error.value)


def test_a_shipped_algorithm_is_named_by_its_file(tmp_path):
    plugin = read(tmp_path, ONE).plugins["P1"]

    assert plugin.file == ROOT / "tosip" / "plugins" / "focus.py"
    assert plugin.source == "CAM1"


def test_all_faults_come_in_one_message_each_by_file_and_key(tmp_path):
    (tmp_path / "camera.toml").write_text("[drivers.CAM2]\nkind = 'simulated'\nwidth = 0")
    told = faults(
        tmp_path,
        "include = ['camera.toml']\nprefix = 'no colon'\n[drivers.CAM1]\nkind = 'folder'\n"
        "[plugins.P1]\nalgorithm = 'focus'\nsource = 'CAM1'\nqueue = 3\npolicy = 'drop'",
    )
    lines = told.splitlines()

    assert len(lines) == 5
    for line, place in zip(
        sorted(lines),
        (
            "camera.toml: drivers.CAM2.width: ",
            "ioc.toml: drivers.CAM1.folder: expected a value, got none",
            "ioc.toml: plugins.P1.policy: ",
            "ioc.toml: plugins.P1.queue: unknown key",
            "ioc.toml: prefix: ",
        ),
        strict=True,
    ):
        assert place in line


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("[drivers.CAM2]\nkind = 'film'", "drivers.CAM2: expected a kind of driver (f"),
        ("[drivers.CAM2]\nperiod = 1", "drivers.CAM2: expected a kind"),
        ("[drivers.'A B']\nkind = 'simulated'", "drivers.A B"),
        ("[drivers.POOL]\nkind = 'simulated'", "drivers.POOL: expected a name of its own"),
        ("[gather.P1]\nsources = ['CAM1']", "gather.P1: expected a name of its own, got that of"),
        ("[gather.G]\nsources = ['CAM9']", "gather.G.sources: expected a port of CAM1, G, P1, got"),
        (
            "[plugins.P2]\nalgorithm = 'focus'\nsource = 'P3'\n"
            "[plugins.P3]\nalgorithm = 'focus'\nsource = 'P2'",
            "plugins.P2.source: expected a port whose frames do not come from P2",
        ),
        (
            "[plugins.P2]\nalgorithm = 'fokus'\nsource = 'CAM1'",
            "plugins.P2: algorithm: expected ",
        ),
        (
            "[plugins.P2]\nalgorithm = 'focus'\nfile = 'a.py'\nsource = 'CAM1'",
            "plugins.P2: expected algorithm or file, got both",
        ),
        ("[drivers.CAM2]\nkind = 'ftp'\nuser = 'a'", "gateway: expected a section for the driver"),
        ("[archive]\nhost = 'a'\npassword_file = 'b'", "archive: expected a section [gateway]"),
        (
            "[gateway]\n[drivers.A]\nkind = 'ftp'\nuser = 'a'\n[drivers.B]\nkind = 'ftp'\n"
            "user = 'a'",
            "drivers.B: expected a user (or identity) of its own, got a of A",
        ),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_by_its_key(tmp_path, more, expected):
    assert expected in faults(tmp_path, ONE + more)


def test_the_expanded_configuration_is_the_same_ioc(tmp_path):
    """What `tosip check --expand` prints can be run in place of the short one."""
    config = load_ioc(ROOT / "iocs" / "neosted" / "neosted.toml").config
    expanded = tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))

    assert read(tmp_path, expanded) == config
    assert len(config.drivers) == 16


def test_an_unknown_recipe_is_refused(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("ioc = 'hubble'")
    with pytest.raises(ConfigurationError, match=r"a\.toml: ioc: expected neosted or nothing"):
        load_ioc(path)


def test_check_finds_what_only_a_start_would(tmp_path):
    path = tmp_path / "ioc.toml"
    for driver, expected in (
        ("kind = 'folder'\nfolder = 'gone'", "drivers.CAM1.folder: expected a folder, got "),
        ("kind = 'replay'\nimages = ['a.fits']", "drivers.CAM1.images: expected a file, got none"),
    ):
        path.write_text(f"prefix = 'A:'\n[drivers.CAM1]\n{driver}\n")
        with pytest.raises(ConfigurationError, match=f"ioc.toml: {expected}"):
            descriptions(load_ioc(path))
