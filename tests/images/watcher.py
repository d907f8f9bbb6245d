"""A client that watches one PV until it is ended: `python -m tests.images.watcher NAME`."""

import sys
import threading
from typing import Any

from p4p.client.thread import Context


def main() -> None:
    told = threading.Event()

    def seen(_value: Any) -> None:
        if not told.is_set():
            told.set()
            sys.stdout.write("watching\n")
            sys.stdout.flush()

    with Context("pva") as context, context.monitor(sys.argv[1], seen):
        threading.Event().wait()


if __name__ == "__main__":
    main()
