"""What algorithms have learnt, and their data files, as operators of an IOC see them."""

from __future__ import annotations

import ftplib
import io
import signal

import numpy as np

from tosip.drivers.sky import fits_bytes
from tosip.gateway.users import hash_password

PASSWORD = "of this test"
CONFIG = """
[gateway]
port = 0
users = "users"
[focus]
file = "learner.py"
watch = ["cal.json"]
[[cameras]]
number = 1
user = "cam01"
"""
LEARNER = '''
from tosip import Algorithm, Inputs, Outputs, output


class Figures(Outputs):
    seen: int = output("Frames seen so far")


class Learner(Algorithm[Inputs, Figures]):
    """Counts frames, for ever."""

    stateful = keep_state = True
    seen = 0

    def process(self, image, params, attributes, metadata):
        self.seen += 1
        return Figures(seen=self.seen)

    def save(self):
        return {"seen": self.seen}

    def restore(self, state):
        self.seen = state["seen"]
'''


def upload(ioc, name):
    with ftplib.FTP() as ftp:
        ftp.connect("127.0.0.1", ioc.gateway_port, timeout=20)
        ftp.login("cam01", PASSWORD)
        ftp.storbinary(f"STOR {name}", io.BytesIO(fits_bytes(np.ones((64, 64), np.uint16), {})))


def test_state_is_restored_by_the_next_ioc_and_a_data_file_of_the_configuration_is_watched(
    start_ioc, tmp_path
):
    (tmp_path / "users").write_text(f"cam01:{hash_password(PASSWORD)}\n")
    (tmp_path / "learner.py").write_text(LEARNER)
    (tmp_path / "cal.json").write_text("1")
    config = tmp_path / "neosted.toml"
    config.write_text(CONFIG)
    arguments = ["tosip.iocs.neosted", "--config", str(config)]

    first = start_ioc(arguments)
    assert first.get("FOCUS01:StateStatus_RBV") == "started anew: no state was kept before"
    before = first.get("FOCUS01:CodeHash_RBV")
    (tmp_path / "cal.json").write_text("2")
    first.wait("FOCUS01:ReloadStatus_RBV", lambda text: text.startswith("loaded"))
    assert first.get("FOCUS01:CodeHash_RBV") != before
    upload(first, "a.fits")
    first.wait("FOCUS01:Seen_RBV", lambda seen: seen == 1)
    first.process.signal(signal.SIGTERM)
    assert first.process.wait() == 0
    assert sorted(path.name for path in (first.var / "state").iterdir()) == ["FIELD", "FOCUS01"]

    second = start_ioc(arguments, var=first.var)
    for port in ("FOCUS01", "FIELD"):
        assert second.get(f"{port}:StateStatus_RBV").startswith("restored, as kept at")
    upload(second, "b.fits")
    second.wait("FOCUS01:Seen_RBV", lambda seen: seen == 2)
    assert second.stop() == 0
