"""Any drivers and plugins, wired by a configuration file, as an IOC: `tosip run`."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.drivers.fits_files import ramp, stored
from tests.iocs.test_terminal import at_a_terminal, read_until
from tosip.testing.ioc import IocProcess, free_port, own_network
from tosip.testing.process import LinesProcess

ALGORITHM = """
from tosip import Algorithm, Inputs, Outputs, output, param

class Params(Inputs):
    factor: float = param("Factor", default=1.0)

class Figures(Outputs):
    mean: float = output("Mean pixel value", units="ADU")

class Brightness(Algorithm[Params, Figures]):
    \"\"\"How bright the frame is.\"\"\"
    def process(self, image, params, attributes, metadata):
        return Figures(mean=params.factor * float(image.mean()))
"""
CONFIG = """
prefix = "BL:"
include = [{ file = "camera.toml", N = [1, 2] }]
[plugins.CHAIN]
file = "brightness.py"
source = "P1"
policy = "drop oldest"
images = false
enabled = false
threads = 2
sorted = true
min_callback_time = 0.01
auto_reload = false
[plugins.PACKAGED]
module = "spots.bright.centre:Brightness"
source = "CAM1"
[plugins.ALL]
file = "brightness.py"
source = "BOTH"
[gather.BOTH]
sources = ["P1", "P2"]
[drivers.FILES]
kind = "folder"
folder = "images"
settle = 0.1
[drivers.AGAIN]
kind = "replay"
images = ["stored.fits"]
acquire = false
"""
CAMERA = """
[drivers."CAM${N}"]
kind = "simulated"
pattern = "ramp"
width = 64
height = 32
data_type = "uint8"
acquire = false
acquire_time = 0.01
period = 0.02
[plugins."P${N}"]
file = "brightness.py"
source = "CAM${N}"
params = { factor = 2.0 }
alarms.mean = { high = 1000.0 }
"""
OPHYD = """
import asyncio, json, sys
from ophyd_async.core import init_devices
from ophyd_async.epics.adcore import ADBaseIO, ADImageMode

async def main(prefix):
    async with init_devices(timeout=20):
        camera = ADBaseIO(prefix + "CAM2:", name="camera")
    await camera.image_mode.set(ADImageMode.MULTIPLE)
    await camera.num_images.set(5)
    before = await camera.array_counter.get_value()
    await camera.acquire.set(True)  # ends with the series
    after = await camera.array_counter.get_value()
    state = await camera.detector_state.get_value()
    print(json.dumps([after - before, state.value]))

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "brightness.py").write_text(ALGORITHM)
    (folder / "camera.toml").write_text(CAMERA)
    (folder / "ioc.toml").write_text(CONFIG)
    (folder / "images").mkdir()
    (folder / "stored.fits").write_bytes(stored(ramp()))
    package = folder / "site" / "spots" / "bright"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package.parent / "scale.py").write_text("SCALE = 3.0")
    (package / "__init__.py").touch()
    scaled = ALGORITHM.replace("float(image.mean())", "float(image.mean()) * SCALE")
    (package / "centre.py").write_text(f"from ..scale import SCALE\n{scaled}")
    return folder / "ioc.toml"


@pytest.fixture(scope="module")
def ioc(start_ioc: Callable[..., IocProcess], config: Path) -> Iterator[IocProcess]:
    screens = str(config.parent / "screens")
    pvs = str(config.parent / "pvs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(config.parent / "site"))
        ioc = start_ioc(["tosip.iocs.pipeline", str(config), "--screens", screens, "--pvlist", pvs])
    yield ioc
    assert ioc.stop() == 0


def test_a_series_goes_through_a_fan_a_chain_and_a_gather(ioc):
    ioc.put("CHAIN:EnableCallbacks", "Enable")
    ioc.put("CAM1:ImageMode", "Multiple")
    ioc.put("CAM1:NumImages", 3)
    ioc.put("CAM1:Acquire", 1)

    for port in ("P1", "CHAIN", "ALL"):
        ioc.wait(f"{port}:ProcessedArrays_RBV", lambda count: count == 3)
    assert ioc.get("P1:Mean_RBV") == pytest.approx(2 * ioc.get("CHAIN:Mean_RBV"))
    assert ioc.get("CAM1:NumImagesCounter_RBV") == 3


def test_a_plugin_runs_a_module_of_an_installed_package(ioc, config):
    ioc.put("CAM1:ImageMode", "Single")
    ioc.put("CAM1:Acquire", 1)
    before = ioc.wait("PACKAGED:Mean_RBV", lambda mean: mean > 0)
    assert before == pytest.approx(3 * ioc.get("P1:Mean_RBV") / 2)

    (config.parent / "site" / "spots" / "scale.py").write_text("SCALE = 6.0")
    ioc.wait("PACKAGED:ReloadStatus_RBV", lambda status: status.startswith("loaded"))
    ioc.put("PACKAGED:ProcessPlugin", 1)
    ioc.wait("PACKAGED:Mean_RBV", lambda mean: mean == pytest.approx(2 * before))


def test_what_is_configured_is_in_force(ioc):
    settings = {
        "P1:Factor_RBV": 2.0,
        "P1:Mean_RBV.HIGH": 1000.0,
        "CHAIN:NumThreads_RBV": 2,
        "CHAIN:SortMode_RBV": 1,
        "CHAIN:MinCallbackTime_RBV": 0.01,
        "CHAIN:AutoReload_RBV": 0,
        "CHAIN:NDArrayPort_RBV": "P1",
        "CAM1:AcquirePeriod_RBV": 0.02,
        "CAM1:MaxSizeX_RBV": 64,
        "CAM1:Model_RBV": "Simulated camera",
    }
    seen = ioc.get_all(list(settings))
    for name, wanted in settings.items():
        assert seen[name] == wanted, name


def test_files_of_a_folder_and_stored_ones_become_frames(ioc, config):
    (config.parent / "images" / "a.fits").write_bytes(stored(ramp()))
    ioc.put("AGAIN:Acquire", 1)

    for port in ("FILES", "AGAIN"):
        ioc.wait(f"{port}:ArrayCounter_RBV", lambda count: count == 1)
        assert ioc.get(f"{port}:ArraySizeX_RBV") == ramp().shape[1]
    assert ioc.get("FILES:Status_RBV").severity == 0


def test_ports_without_images_serve_none(ioc, config):
    pvs = (config.parent / "pvs").read_text().split()

    assert f"{ioc.prefix}P1:Image" in pvs
    assert f"{ioc.prefix}CHAIN:Image" not in pvs


def test_the_screens_of_any_ioc_are_written(config, ioc):
    assert {path.name for path in (config.parent / "screens").glob("*.bob")} >= {
        "index.bob",
        "camera.bob",
        "brightness.bob",
    }


def test_ophyd_async_takes_a_series(ioc):
    pytest.importorskip("ophyd_async")
    ended = subprocess.run(
        [sys.executable, "-c", OPHYD, ioc.prefix],
        env={**os.environ, **ioc.environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert json.loads(ended.stdout.splitlines()[-1]) == [5, "Idle"]


def test_a_terminal_shows_the_outputs_that_each_plugin_declares(config, tmp_path):
    text = config.with_name("camera.toml").read_text().replace("acquire = false\n", "")
    for name in ("ioc.toml", "brightness.py"):
        (tmp_path / name).write_text(config.with_name(name).read_text())
    for name in ("images", "stored.fits"):
        (tmp_path / name).symlink_to(config.with_name(name))
    (tmp_path / "camera.toml").write_text(text)
    tosip = str(Path(sys.executable).with_name("tosip"))
    command = [tosip, "run", str(tmp_path / "ioc.toml"), "--var", str(tmp_path / "var")]
    row = r"P1\s+│\s+CAM1\s+│\s+mean \d+\.\d+ ADU\s+│\s+ok\s+│\s+\w+\s+│\s+\d+ s\s+│\s+0\s+│\s+\d+"

    environment = own_network() | {"PYTHONPATH": str(config.parent / "site")}
    with at_a_terminal(command, "stdout", environment) as (_, terminal):
        read_until(terminal, lambda shown: re.search(row, shown))


def test_a_taken_port_is_a_warning_that_names_its_owner(config, ioc, tmp_path):
    environment = own_network()
    for variable in ("EPICS_CAS_SERVER_PORT", "EPICS_CA_SERVER_PORT"):
        environment[variable] = ioc.environment[variable]
    environment["PYTHONPATH"] = str(config.parent / "site")
    command = [sys.executable, "-m", "tosip.iocs.pipeline", str(config), "--var", str(tmp_path)]

    second = LinesProcess(command, environment)
    second.wait_line("TOSIP ready")
    second.stop()
    log = (tmp_path / "log" / "tosip.log").read_text()

    port = ioc.environment["EPICS_CAS_SERVER_PORT"]
    assert f"port {port} is in use by process {ioc.process.pid} (" in log


def test_the_configuration_can_give_an_ioc_ports_of_its_own(config, tmp_path):
    port = free_port()
    changed = tmp_path / "ioc.toml"
    text = f"include = ['{config}']\n[network]\nca_port = {port}\n"
    changed.write_text(text)
    environment = own_network()
    del environment["EPICS_CAS_SERVER_PORT"]
    environment["PYTHONPATH"] = str(config.parent / "site")
    command = [sys.executable, "-m", "tosip.iocs.pipeline", str(changed), "--var", str(tmp_path)]

    ioc = LinesProcess(command, environment)
    ioc.wait_line("TOSIP ready")
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        pass
    assert ioc.stop() == 0
