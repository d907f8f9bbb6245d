"""The pipeline gets each file, from memory where it is there, and endangers nothing."""

import io
import os
from dataclasses import replace

import numpy as np
import pytest

from tosip.drivers.fits import read_fits
from tosip.gateway import Gateway
from tosip.gateway.settings import CameraSettings, Policy


def decoded(file, received):
    """Decode a file as the driver does."""
    return read_fits(file.path, np.empty, memory=received).pixels


def test_a_frame_is_decoded_from_memory_without_its_file(running, image, tmp_path):
    running.upload("x.fits", image(600))
    running.until(lambda: running.stored)
    (file,) = running.stored
    running.until_delivered(1)
    hidden = tmp_path / "elsewhere"
    os.rename(file.path, hidden)
    pixels = decoded(file, running.received[file.id])
    assert np.array_equal(pixels, read_fits(hidden, np.empty).pixels)


def test_released_memory_is_used_again_and_never_more_than_allowed(site, image):
    frame = image(1500)  # 4.3 MiB
    site.start_archive()
    site.start_with(replace(site.settings(), memory=12 << 20))
    for number in range(4):
        site.upload(f"{number}.fits", frame)
    site.until(lambda: len(site.stored) == 4)
    whole = [site.received[file.id] for file in site.stored]
    assert [received is not None for received in whole] == [True, True, False, False]
    for file, received in zip(site.stored, whole, strict=True):
        assert decoded(file, received).shape == (1500, 1500)
        site.release(file)
    site.until_delivered(4)
    site.upload("later.fits", frame)
    site.until(lambda: len(site.stored) == 5)
    assert site.received[site.stored[-1].id] is not None


def test_a_pipeline_that_raises_delays_nothing(site, image):
    def on_stored(file, received):
        raise RuntimeError("out of ideas")

    site.start_archive()
    site.gateway = Gateway(site.settings(), on_stored=on_stored, on_change=site._notify)
    site.call(site.gateway.start())
    assert site.upload("x.fits", image()).startswith("226")
    site.until_delivered(1)


def test_without_a_pipeline_nothing_is_kept(site, image):
    site.start_archive()
    site.gateway = Gateway(site.settings(), on_change=site._notify)
    site.call(site.gateway.start())
    site.upload("x.fits", image())
    site.until_delivered(1)
    site.stop_gateway()
    assert site.committed() == []


def test_a_temporary_name_is_announced_when_it_is_final(running, image):
    with running.ftp() as client:
        client.storbinary("STOR x.fits.part", io.BytesIO(image()))
        assert running.stored == []
        assert running.counters.pending == 1
        client.rename("x.fits.part", "x.fits")
    running.until_delivered(1)
    assert [file.name for file in running.stored] == ["x.fits"]
    assert running.archived() == {"x.fits": image()}


def test_a_name_that_stays_temporary_is_delivered_as_it_is(site, image):
    site.start_archive()
    site.start_with(replace(site.settings(), policy=Policy(hold=0.1)))
    site.upload("x.fits.part", image())
    site.until_delivered(1)
    assert [file.name for file in site.stored] == ["x.fits.part"]
    assert {path.name for path in site.root.iterdir()} == {"x.fits.part"}


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        (CameraSettings(), "cam01"),
        (CameraSettings(by="folder"), "north"),
        (CameraSettings(by="header", keyword="CAMERA", names={"n 1": "CAM01"}), "CAM01"),
    ],
)
def test_the_camera_is_told_by_what_is_configured(site, image, camera, expected):
    site.start_with(replace(site.settings(), camera=camera))
    site.upload("north/x.fits", image(cards=["CAMERA  = 'n 1     '           / which one"]))
    site.until(lambda: site.stored)
    assert site.stored[0].camera == expected
    assert site.counters.last[expected].name == "north/x.fits"


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        (CameraSettings(by="folder"), "CAM07"),
        (CameraSettings(by="name", pattern=r"CAM\d\d"), "CAM07"),
        (CameraSettings(by="user"), "cam01"),
        (CameraSettings(by="header", keyword="CAMERA"), "n 1"),
    ],
)
def test_the_camera_of_a_renamed_file_is_told_by_its_final_name(site, image, camera, expected):
    site.start_with(replace(site.settings(), camera=camera))
    with site.ftp() as client:
        data = image(cards=["CAMERA  = 'n 1     '"])
        client.storbinary("STOR incoming/1.part", io.BytesIO(data))
        client.rename("incoming/1.part", "CAM07/1.fits")
    site.until(lambda: site.stored)
    assert site.stored[0].camera == expected
    assert site.counters.last[expected].name == "CAM07/1.fits"
