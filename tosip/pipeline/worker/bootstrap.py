"""The file that a worker's interpreter runs: `python bootstrap.py SOCKET PARENT PORT`.

It makes the `tosip` package importable, and nothing else of the IOC's environment: were the IOC's
site-packages on the path, the worker would load the wrong NumPy.
"""

from __future__ import annotations

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


if __name__ == "__main__":
    # This folder, which the interpreter puts there for a script unless told otherwise.
    if sys.path[:1] == [os.path.dirname(os.path.abspath(__file__))]:
        del sys.path[0]
    _find_tosip()
    from tosip.pipeline.worker.main import main

    main(socket_fd=int(sys.argv[1]), parent=int(sys.argv[2]))
