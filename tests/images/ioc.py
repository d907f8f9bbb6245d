"""An IOC with a port and a server of images; with one record of softioc too, if told so.

`python -m tests.images.ioc PREFIX [record]` prints `ready`, the images' TCP port and their process.
Each line on its standard input publishes a frame of as many pixels as the line says; the end of it
ends the IOC.
"""

import asyncio
import sys

import numpy as np

from tests.images.rig import frame
from tosip.images import ImageServer
from tosip.pipeline.pool import Pool
from tosip.pipeline.ports import Port


def serve_record(prefix: str) -> None:
    from softioc import asyncio_dispatcher, builder, softioc

    builder.SetDeviceName(prefix)
    builder.aIn("Record", initial_value=42.0)
    builder.LoadDatabase()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(asyncio.get_running_loop()))


async def main(prefix: str, record: str = "") -> None:
    if record:
        serve_record(prefix)
    pool, port = Pool(), Port("CAM")
    images = ImageServer(f"{prefix}:")
    images.add("CAM:", port)
    async with images:
        sys.stdout.write(f"ready {images.port} {images.pid}\n")
        sys.stdout.flush()
        while line := await asyncio.to_thread(sys.stdin.readline):
            port.publish(frame(pool, np.arange(int(line), dtype="uint16")))
    sys.stdout.write("ended\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
