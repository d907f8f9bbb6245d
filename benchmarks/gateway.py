"""The FTP gateway beside other FTP servers: speed, CPU time, latencies, forwarding, memory.

All in one run on one disk (that of the folder for temporary files), with files of 32 MiB as cameras
send them; servers and clients are processes of their own. The gateway alone makes a file durable
before it says 226. While uploads are timed it forwards nothing and nobody decodes the frames; while
the way of a frame to an algorithm is timed, one camera uploads at a time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.gateway_disk import hashes
from benchmarks.gateway_forwarding import forwarding, pending_memory
from benchmarks.gateway_frames import frames
from benchmarks.gateway_uploads import latency, uploads
from benchmarks.records_process import Told
from benchmarks.timing import targets

SIDE = 4096


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cameras = Told("benchmarks.gateway_camera", {})
        try:
            size = cameras("prepare", side=SIDE)
            hashes(size)
            rows = []
            for place, part in enumerate((uploads, latency, frames, forwarding, pending_memory)):
                own = folder / str(place)
                own.mkdir()
                rows += part(cameras, own, size)
        finally:
            cameras.stop()
    targets("FTP gateway", rows)


if __name__ == "__main__":
    main()
