"""A frame that comes through the gateway gives the same figures as `tosip replay`, to the bit."""

from __future__ import annotations

import asyncio
import math
import shutil
import subprocess
from pathlib import Path

import pytest

from tosip.commands.algorithm_file import program
from tosip.commands.replay import replay
from tosip.gateway.users import hash_password
from tosip.iocs.neosted_config import NeostedConfig

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")

PASSWORD = "of this test"
FIGURES = ("hfd", "hfd_pixels", "fwhm", "ellipticity", "stars", "sky")


@pytest.fixture(scope="module")
def ioc(start_ioc, tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    (folder / "users").write_text(f"cam01:{hash_password(PASSWORD)}\n")
    config = folder / "neosted.toml"
    config.write_text("[gateway]\nport = 0\nusers = 'users'\n")
    ioc = start_ioc(["tosip.iocs.neosted", "--cameras", "1", "--config", str(config)])
    yield ioc
    ioc.stop()


def upload(ioc, image: Path) -> None:
    url = f"ftp://127.0.0.1:{ioc.gateway_port}/{image.name}"
    subprocess.run(
        ["curl", "--silent", "--show-error", "--user", f"cam01:{PASSWORD}", "-T", image, url],
        check=True,
        timeout=60,
    )


def figures_of(ioc, number):
    """Return the figures of the IOC's frame `number`, once they are all posted."""
    ioc.wait("FOCUS01:UniqueId_RBV", lambda unique_id: unique_id == number)
    return {name: ioc.get(f"FOCUS01:{_pascal(name)}_RBV") for name in FIGURES}


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def expect_the_same(ioc, images):
    focus = program(str(NeostedConfig().focus.file), None)
    _, rows = asyncio.run(replay(focus, images))
    before = int(ioc.get("FOCUS01:UniqueId_RBV"))
    for number, (image, row) in enumerate(zip(images, rows, strict=True), before + 1):
        upload(ioc, image)
        shown = figures_of(ioc, number)
        for name in FIGURES:
            live, replayed = float(shown[name]), float(row.outputs[name])
            assert live == replayed or (math.isnan(live) and math.isnan(replayed)), (image, name)
    return rows


def test_of_a_synthetic_frame(ioc, star_frame, tmp_path):
    image = tmp_path / "stars.fits"
    image.write_bytes(star_frame.fits())

    (row,) = expect_the_same(ioc, [image])

    assert row.outputs["hfd"] > 0


def test_the_archive_gets_the_same_bytes(ioc, star_frame, tmp_path):
    image = tmp_path / "archived.fits"
    image.write_bytes(star_frame.fits())
    upload(ioc, image)

    ioc.wait("GATEWAY:Delivered_RBV", lambda _: (ioc.var / "archive" / image.name).exists())

    assert (ioc.var / "archive" / image.name).read_bytes() == image.read_bytes()


def test_of_a_real_focus_sweep(ioc, focus_sweep):
    rows = expect_the_same(ioc, focus_sweep)

    assert all(row.outputs["hfd"] > 0 for row in rows)
