"""Run the benchmarks: `python -m benchmarks [NAME ...]`, all of them without a name.

Each runs in a process of its own: memory is measured there, and pvapy and softioc, which two of
them load, do not get on with each other.
"""

import os
import subprocess
import sys
import time

BENCHMARKS = (
    "handoff",
    "parts",
    "chains",
    "images",
    "memory",
    "recovery",
    "neighbour",
    "peers",
    "fits",
    "focus",
    "standard",
    "first_figures",
    "front_door",
    "records",
    "gateway",
)


def main(names: list[str]) -> int:
    """Run the benchmarks and return the exit status: that of the first which failed, or 0."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.stderr.write(f"benchmarks: expected {', '.join(BENCHMARKS)}, got {unknown[0]}\n")
        return 2
    failed = 0
    for name in names or BENCHMARKS:
        sys.stdout.write(f"\n{name}: {_circumstances()}\n")
        sys.stdout.flush()
        ended = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False)
        failed = failed or ended.returncode
    return failed


def _circumstances() -> str:
    """What tells one run's microseconds from another's: who else computes, and how fast CPUs are.

    Two virtual CPUs may be one core's: then both are slow when both compute.
    """
    alone = _loop()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        time.sleep(0.1)
        beside = _loop()
        other.kill()
    load = f"load average {os.getloadavg()[0]:.2f} of {os.cpu_count()} CPUs"
    return f"{load}, 10^6 empty turns take {alone:.0f} ms, beside another process {beside:.0f} ms"


def _loop() -> float:
    start = time.perf_counter()
    for _ in range(10**6):
        pass
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
