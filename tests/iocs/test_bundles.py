"""A camera whose frames the algorithm cannot bear: the IOC keeps one, replay shows it again."""

import subprocess
import sys

from tosip.bundles import bundle

FAILING = '''
from tosip import Algorithm, Inputs, Outputs, output, param


class Params(Inputs):
    depth: int = param("Depth", default=3)


class Figures(Outputs):
    hfd: float = output("Half-flux diameter", default=0.0)


class Failing(Algorithm[Params, Figures]):
    """Cannot bear it."""

    def process(self, image, params, attributes, metadata):
        raise ValueError(f"too deep: {params.depth} in {int(image.sum())}")
'''
CONFIG = """
[gateway]
port = 0
[gateway.limits]
least_free_gib = 0
[simulation]
size = 128
period = 1.0
[focus]
file = "failing.py"
[focus.params]
depth = 5
[bundles]
alike = 1
"""


def test_a_failed_frame_of_a_running_ioc_fails_again_in_a_replay(start_ioc, tmp_path):
    (tmp_path / "failing.py").write_text(FAILING)
    (tmp_path / "neosted.toml").write_text(CONFIG)
    arguments = ["--simulate", "--cameras", "1", "--config", str(tmp_path / "neosted.toml")]
    ioc = start_ioc(["tosip.iocs.neosted", *arguments])
    ioc.wait("FOCUS01:BundleCount_RBV", lambda count: count == 1)
    name = ioc.wait("FOCUS01:LastBundle_RBV", bool)
    ioc.wait("FOCUS01:FailedArrays_RBV", lambda count: count >= 3)
    ioc.stop()
    (folder,) = (ioc.var / "bundles" / "FOCUS01").iterdir()
    assert name == folder.name
    read = bundle.read(folder)
    assert read.error.startswith("ValueError: too deep: 5 in ")
    assert (read.source, "DATE-OBS" in read.attributes) == ("CAM01", True)
    command = [sys.executable, "-m", "tosip.cli", "replay", str(folder)]
    replayed = subprocess.run(command, capture_output=True, text=True)
    assert replayed.returncode == 1, replayed.stderr
    assert f"reproduced: {read.error}" in replayed.stdout
