"""A file's camera is told by what the configuration says."""

import pytest

from tosip.errors import ConfigurationError
from tosip.gateway.cameras import Cameras
from tosip.gateway.settings import CameraSettings

HEADER = {"CAMERA": "north"}


@pytest.mark.parametrize(
    ("settings", "name", "camera"),
    [
        (CameraSettings(), "night/x.fits", "cam01"),
        (CameraSettings(names={"cam01": "CAM01"}), "night/x.fits", "CAM01"),
        (CameraSettings(by="folder"), "c7/night/x.fits", "c7"),
        (CameraSettings(by="folder"), "x.fits", ""),
        (CameraSettings(by="folder", names={"c7": "CAM07"}), "c7/x.fits", "CAM07"),
        (CameraSettings(by="name", pattern=r"_(c\d+)_"), "night/a_c12_b.fits", "c12"),
        (CameraSettings(by="name", pattern=r"c\d+"), "night/c12.fits", "c12"),
        (CameraSettings(by="name", pattern=r"(z)?c12"), "night/c12.fits", ""),
        (CameraSettings(by="name", pattern=r"_(c\d+)_"), "night/other.fits", ""),
        (CameraSettings(by="header", keyword="CAMERA"), "x.fits", "north"),
        (CameraSettings(by="header", keyword="INSTRUME"), "x.fits", ""),
    ],
)
def test_camera_is_told_by(settings, name, camera):
    assert Cameras(settings)("cam01", name, HEADER) == camera


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (CameraSettings(by="name", pattern="("), r"camera.pattern: expected a regular expression"),
        (CameraSettings(by="name"), r"camera.pattern: expected one with by = 'name', got none"),
        (CameraSettings(by="header"), r"camera.keyword: expected one with by = 'header', got none"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, fault):
    with pytest.raises(ConfigurationError, match=fault):
        Cameras(settings)
