"""Run the benchmarks: `python -m benchmarks [NAME ...]`, all of them without a name."""

import importlib
import sys

BENCHMARKS = ("handoff", "fits", "focus", "first_figures")


def main(names: list[str]) -> int:
    """Run each benchmark's `main` and return the exit status."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.stderr.write(f"benchmarks: expected {', '.join(BENCHMARKS)}, got {unknown[0]}\n")
        return 2
    for name in names or BENCHMARKS:
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
