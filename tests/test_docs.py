"""The configurations that the documentation shows are accepted as they are."""

import re
from pathlib import Path

import pytest

from tosip.iocs.config import load_config

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[str]:
    return BLOCK.findall((DOCS / page).read_text())


def test_the_whole_example_is_accepted(tmp_path):
    (tmp_path / "ioc.toml").write_text(blocks("configuration.md")[0])
    config = load_config(tmp_path / "ioc.toml")
    assert (list(config.drivers), list(config.plugins)) == (["CAM1"], ["PROFILE"])


def test_equal_cameras_share_a_file(tmp_path):
    _, whole, camera, *_ = blocks("configuration.md")
    (tmp_path / "ioc.toml").write_text(whole)
    (tmp_path / "camera.toml").write_text(camera)
    config = load_config(tmp_path / "ioc.toml")
    assert config.plugins["STATS3"].source == "CAM3"
    assert config.drivers["CAM2"].model_dump()["folder"] == Path("/data/camera2")


@pytest.mark.parametrize("page", ["configuration.md", "drivers.md"])
def test_every_key_of_a_plugin_and_kind_is_documented(page):
    from tosip.drivers import folder, ftp, replay, simulated
    from tosip.iocs.config import PluginConfig

    text = (DOCS / page).read_text()
    kinds = (folder.FolderConfig, ftp.FtpConfig, replay.ReplayConfig, simulated.SimulatedConfig)
    models = (PluginConfig,) if page == "configuration.md" else kinds
    for model in models:
        for key in model.model_fields:
            assert f"`{key}`" in text or key in ("kind", "suggested"), f"{model.__name__}.{key}"
