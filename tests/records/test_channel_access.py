"""The same records over Channel Access, as caget and caput see them."""

import json
import os
import subprocess
import sys

CLIENT = """
import asyncio, json, sys
from aioca import FORMAT_CTRL, caget, caput

async def main(prefix):
    await caput(prefix + "FOCUS01:Gain", 7.5, wait=True)
    gain = await caget(prefix + "FOCUS01:Gain_RBV", format=FORMAT_CTRL)
    choices = await caget(prefix + "FOCUS01:Mode", format=FORMAT_CTRL)
    kind = await caget(prefix + "FOCUS01:Mean_RBV.RTYP")
    print(json.dumps([float(gain), gain.units, list(choices.enums), str(kind)]))

asyncio.run(main(sys.argv[1]))
"""


def test_channel_access_serves_the_same_records(ioc):
    client = subprocess.run(
        [sys.executable, "-c", CLIENT, ioc.prefix],
        env={**os.environ, **ioc.environment},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert client.returncode == 0, client.stderr
    seen = json.loads(client.stdout.splitlines()[-1])
    assert seen == [7.5, "ADU", ["echo", "raise", "die", "warn", "blank"], "ai"]
    ioc.put("FOCUS01:Gain", 2.0)
