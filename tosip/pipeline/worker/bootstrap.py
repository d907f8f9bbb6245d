"""The file that a worker's interpreter runs: `python bootstrap.py SOCKET PARENT PORT NICE CPUS`.

It makes the `tosip` package importable, and nothing else of the IOC's environment: were the IOC's
site-packages on the path, the worker would load the wrong NumPy. Before that the process takes its
name and its limits, as NumPy starts one thread for each processor that it may use.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys


def _find_tosip() -> None:
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    spec = importlib.util.spec_from_file_location(
        "tosip",
        os.path.join(package, "__init__.py"),
        submodule_search_locations=[package],
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no tosip in {package}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["tosip"] = module
    spec.loader.exec_module(module)


def _take_name(port: str) -> None:
    with contextlib.suppress(OSError), open("/proc/self/comm", "wb", 0) as name:
        name.write(f"tosip: {port}".encode())  # Linux keeps 15 bytes


def _take_limits(niceness: int, processors: list[int]) -> None:
    os.nice(niceness)
    if not processors:
        return
    # PyPy 3.9 has no os.sched_setaffinity.
    size = max(processors) // 64 * 8 + 8  # whole words of the kernel's
    mask = sum(1 << number for number in set(processors)).to_bytes(size, "little")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sched_setaffinity(0, ctypes.c_size_t(size), mask):
        sys.exit(f"cpus: no use of {sys.argv[5]}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    if sys.version_info < (3, 9):  # noqa: UP036 (the interpreter is the user's)
        sys.exit("Python " + sys.version.split()[0])
    # This folder, which the interpreter puts there for a script unless told otherwise.
    if sys.path[:1] == [os.path.dirname(os.path.abspath(__file__))]:
        del sys.path[0]
    _take_name(sys.argv[3])
    _take_limits(int(sys.argv[4]), [int(number) for number in sys.argv[5].split(",") if number])
    _find_tosip()
    from tosip.pipeline.worker.main import main

    main(socket_fd=int(sys.argv[1]), parent=int(sys.argv[2]))
