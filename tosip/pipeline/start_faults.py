"""Why a worker did not start, in the user's words: it is the file's fault or the interpreter's."""

from tosip.errors import ConfigurationError
from tosip.pipeline.jobs import AlgorithmFault, Program, WorkerDied

_DECLARATION = "DeclarationError: "


def start_fault(
    program: Program, error: Exception, *, file: str = "", interpreter: str
) -> ConfigurationError:
    """Return what to raise instead of what `WorkerProcess.start` has raised.

    `file` and `interpreter` name the user's places: keys of a configuration or options. An
    algorithm's file is named in any case.
    """
    place, name = f"{file}: " if file else "", program.file.name
    if isinstance(error, AlgorithmFault) and error.error.startswith(_DECLARATION):
        faults = error.error.removeprefix(_DECLARATION).split("\n")
        return ConfigurationError("\n".join(f"{place}{_named(fault, name)}" for fault in faults))
    if isinstance(error, AlgorithmFault):
        return ConfigurationError(f"{place}{name}: {error.stage}: {error}")
    if isinstance(error, WorkerDied) and not error.loading:
        python = program.interpreter
        return ConfigurationError(
            f"{interpreter}: expected Python 3.9 or newer with NumPy, got {python} ({error})"
        )
    return ConfigurationError(f"{place}{name}: expected a file that loads, got {error}")


def _named(fault: str, name: str) -> str:
    return fault if fault.startswith(f"{name}: ") else f"{name}: {fault}"
