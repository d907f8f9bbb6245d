"""Standard streams that are closed, full or broken."""

import os
import subprocess
import sys

import pytest

SERVICE = r"""
import os
from tosip import streams
streams.prepare()
streams.say("ready")
streams.say("caf\udce9")
file = os.open("/dev/null", os.O_RDONLY)
assert file > 2, file
"""


@pytest.mark.parametrize("redirected", ["", "> /dev/full", ">&-", ">&- 2>&- <&-", "| true"])
def test_a_service_goes_on_whatever_its_streams_are(redirected):
    command = f'set -o pipefail; "$PYTHON" -c "$SERVICE" {redirected}'
    environment = {**os.environ, "PYTHON": sys.executable, "SERVICE": SERVICE}
    environment.pop("PYTHONUNBUFFERED", None)
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (b"" if redirected else b"ready\ncaf\\udce9\n")
