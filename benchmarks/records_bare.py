"""A bare IOC of so many records, to compare with: `python -m benchmarks.records_bare WAY COUNT`.

`softioc` makes them in Python, as any softioc IOC does; `epics` loads them from a template that
Python never sees: less work there cannot be. Prints `ready` when they are served.
"""

import sys
import tempfile

from softioc import asyncio_dispatcher, builder, softioc

WAYS = ("softioc", "epics")
_TEMPLATE = """record(ai, "BARE:R$(N)") {
 field(DESC, "A figure") field(EGU, "ADU") field(PREC, "3") field(HIHI, "10") field(HHSV, "MAJOR")
}
"""


def main(way: str, count: int) -> None:
    """Serve until the process is killed."""
    if way == "softioc":
        builder.SetDeviceName("BARE")
        for number in range(count):
            builder.aIn(f"R{number}", DESC="A figure", EGU="ADU", PREC=3, HIHI=10, HHSV="MAJOR")
        builder.LoadDatabase()
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".db") as file:
            file.write("".join(_TEMPLATE.replace("$(N)", str(n)) for n in range(count)))
            file.flush()
            softioc.dbLoadDatabase(file.name)
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    softioc.safeEpicsExit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
