"""Runs frames that failed once more: `tosip replay BUNDLE`, `tosip replay mended.py BUNDLE`.

Each bundle has a worker process of its own, which sees its frame as the one that failed did: the
same pixels, attributes, parameters, ids and time-out. No EPICS is loaded.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from tosip.algorithm import Status
from tosip.bundles import bundle as bundles
from tosip.bundles.bundle import Bundle
from tosip.commands.algorithm_file import apply_settings, fault_of
from tosip.commands.algorithm_file import program as named_program
from tosip.errors import ConfigurationError, ProtocolError, WorkerError
from tosip.pipeline.code import Code
from tosip.pipeline.failure import Failure, FailureKind, failure_of
from tosip.pipeline.jobs import Answer, Job, Program
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.parameters import ParameterError, Parameters
from tosip.pipeline.pool import DEFAULT_BUDGET, Pool
from tosip.pipeline.process import WorkerProcess
from tosip.stopping import until_cancelled
from tosip.texts import printable

LINES_SHOWN = 20  # of what a worker printed before it died


@dataclass(frozen=True)
class Verdict:
    """What became of a bundle's frame this time."""

    bundle: Bundle
    code: str
    words: str
    fails: bool
    details: str = ""


@dataclass(frozen=True)
class _Options:
    algorithm: str | None
    interpreter: Path | None
    bundled_code: bool
    settings: Sequence[str]
    timeout: float | None


def split_bundles(first: str, others: Sequence[Path]) -> tuple[str | None, list[Path]]:
    """Tell from the command line's arguments the algorithm, if one is named, and the bundles.

    There are no bundles if all others are images; ConfigurationError for a mixture.
    """
    alone = bundles.is_bundle(Path(first))
    if not alone and not any(bundles.is_bundle(path) for path in others):
        return first, []
    for path in others:
        if not bundles.is_bundle(path):
            got = "a file" if os.path.isfile(path) else "none"
            raise ConfigurationError(f"{path}: expected a bundle as the others are, got {got}")
    for path in [Path(first), *others] if alone else others:
        if os.path.isdir(path) and not os.path.lexists(path / bundles.ABOUT):
            raise ConfigurationError(f"{path}: expected an image or a bundle, got another folder")
    return (None, [Path(first), *others]) if alone else (first, list(others))


async def replay_bundles(
    paths: Sequence[Path],
    *,
    algorithm: str | None = None,
    interpreter: Path | None = None,
    bundled_code: bool = False,
    settings: Sequence[str] = (),
    timeout: float | None = None,
) -> list[Verdict]:
    """Replay bundles one after the other, with `algorithm` (`FILE.py[:CLASS]`) or their own.

    If the work is cancelled, the verdicts so far are returned. TosipError if one cannot be read, or
    its algorithm cannot run.
    """
    if algorithm and bundled_code:
        raise ConfigurationError(
            f"--bundled-code: expected no algorithm beside it, got {algorithm}"
        )
    options = _Options(algorithm, interpreter, bundled_code, settings, timeout)
    found: list[Verdict] = []
    with until_cancelled():
        for path in paths:
            found.append(await _replay(bundles.read(path), options))
    return found


async def _replay(bundle: Bundle, options: _Options) -> Verdict:
    program = _program(bundle, options)
    pool = Pool(max(DEFAULT_BUDGET, 2 * bundle.size))
    worker = WorkerProcess(program, pool, on_exit=lambda: None)
    try:
        array = await asyncio.to_thread(bundle.read_frame, pool)
        try:
            await worker.start(code=_code(bundle, program, options))
        except (WorkerError, ProtocolError) as error:
            raise fault_of(program, error) from None
        parameters, left_out = _parameters(bundle, worker, options.settings)
        answer = await _answer(worker, array, parameters, bundle, options.timeout)
        words = _code_words(bundle, worker, options) + left_out
        return _verdict(bundle, words, program, array, answer)
    finally:
        await worker.stop()
        worker.close()
        pool.close()


def _code(bundle: Bundle, program: Program, options: _Options) -> Code:
    """Return what to run: the files as they are now, or the bundle's texts."""
    folder = program.file.parent
    if options.bundled_code:
        return Code(folder, bundle.read_code())
    # Modules that were imported before this frame count in the hash of both.
    below = {
        name: {"file": module["file"], "package": module["package"]}
        for name, module in bundle.modules.items()
        if not options.algorithm and Path(module["file"]).is_relative_to(folder)
    }
    return Code(folder, again=below)


def _program(bundle: Bundle, options: _Options) -> Program:
    interpreter = options.interpreter or bundle.interpreter
    # A bundle is data, and names no other program to run.
    named = options.interpreter or interpreter.name.startswith(("python", "pypy"))
    if not named or not interpreter.is_file():
        raise ConfigurationError(f"{interpreter}: expected a Python, got none (--python names one)")
    if options.algorithm:
        program = named_program(options.algorithm, interpreter)
    else:
        if not options.bundled_code and not bundle.file.is_file():
            raise ConfigurationError(
                f"{bundle.file}: expected the algorithm's file, got none "
                "(--bundled-code runs it as it was)"
            )
        program = Program(
            "", bundle.file, bundle.class_name, interpreter.absolute(), module=bundle.module
        )
    return replace(program, name=bundle.port)


def _parameters(
    bundle: Bundle, worker: WorkerProcess, settings: Sequence[str]
) -> tuple[Parameters, str]:
    """Return the bundle's parameters, and in words those that the algorithm has no more."""
    description = worker.description
    parameters = Parameters(bundle.port, description)
    declared = {field.name for field in description.inputs}
    try:
        parameters.update({k: v for k, v in bundle.params.items() if k in declared})
    except ParameterError as error:
        raise ConfigurationError(f"{bundle.folder}: {error}") from None
    apply_settings(settings, parameters, description)
    left_out = ", ".join(name for name in bundle.params if name not in declared)
    return parameters, f"; without {left_out}" if left_out else ""


async def _answer(
    worker: WorkerProcess,
    array: NDArray,
    parameters: Parameters,
    bundle: Bundle,
    timeout: float | None,
) -> Any:
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    limit = bundle.timeout if timeout is None else timeout
    worker.submit(Job(array, parameters.take(), bundle.source, limit, done.set_result))
    return await done


def _code_words(bundle: Bundle, worker: WorkerProcess, options: _Options) -> str:
    what = "bundled code" if options.bundled_code else str(worker.program.file)
    if worker.code_hash == bundle.code_hash:
        return f"{what}, as it was"
    return f"{what}, other code ({bundle.code_hash} then, {worker.code_hash} now)"


def _verdict(bundle: Bundle, code: str, program: Program, array: NDArray, answer: Any) -> Verdict:
    if isinstance(answer, Answer):
        status, message = answer.message["status"], answer.message["message"]
        said = f"{status}: {message}" if message else str(status)
        if status == Status.ERROR.value:
            return Verdict(bundle, code, f"fails otherwise: status {said}", True)
        found = (answer.message["outputs"] or {}).items()
        details = "\n".join(f"{name} = {value}" for name, value in found)
        return Verdict(bundle, code, f"works now: status {said}", False, details)
    failure = failure_of(array, program, answer) if isinstance(answer, WorkerError) else None
    if failure is None:
        return Verdict(bundle, code, f"fails otherwise: {answer}", True)
    how = "reproduced" if _same(bundle, failure) else "fails otherwise"
    details = failure.traceback or "\n".join(failure.circumstances.printed[-LINES_SHOWN:])
    return Verdict(bundle, code, f"{how}: {failure.error}", True, details)


def _same(bundle: Bundle, failure: Failure) -> bool:
    if bundle.kind is FailureKind.TIMED_OUT:  # the text has the time, which may be another
        return failure.kind is FailureKind.TIMED_OUT
    return (bundle.kind, bundle.stage, bundle.error) == (
        failure.kind,
        failure.stage,
        failure.error,
    )


def verdicts(found: Sequence[Verdict]) -> Table:
    """Lay out what became of each bundle."""
    table = Table(title="Frames that failed")
    for heading in ("bundle", "plugin", "frame", "failed then", "code now", "now"):
        table.add_column(heading, overflow="fold")
    for verdict in found:
        bundle = verdict.bundle
        table.add_row(
            printable(bundle.folder.resolve().name),
            printable(f"{bundle.port} ({bundle.source})"),
            str(bundle.unique_id),
            printable(bundle.error or bundle.kind.value),
            printable(verdict.code),
            printable(verdict.words),
        )
    return table


def verdict_text(verdict: Verdict) -> str:
    """Tell what became of a bundle in full, for people to read."""
    details = f"\n{verdict.details.rstrip()}" if verdict.details else ""
    return printable(f"\n{verdict.bundle.folder}: {verdict.words}{details}", "\n\t")
