"""Runs an algorithm on stored images, through the same driver and worker process as live ones.

No EPICS is loaded. The figures are those that the IOC would post, to the last bit.
"""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tosip.commands.algorithm_file import apply_settings, fault_of
from tosip.commands.files import write_whole
from tosip.description import Description
from tosip.drivers.driver import load_images
from tosip.drivers.fits_options import FitsOptions
from tosip.drivers.fits_selection import wants_all
from tosip.errors import ConfigurationError, FrameError, ProtocolError, WorkerError
from tosip.pipeline.jobs import Program
from tosip.pipeline.ndarray import NDArray
from tosip.pipeline.plugin import Outcome, Plugin
from tosip.pipeline.pool import Pool, PoolExhausted
from tosip.pipeline.ports import Ports
from tosip.pipeline.states import WorkerState
from tosip.stopping import until_cancelled
from tosip.texts import printable

TABLE_FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """What came of one image. `outputs` is empty where there is no result."""

    image: str
    status: str
    message: str
    outputs: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


async def replay(
    program: Program,
    images: Sequence[Path],
    *,
    settings: Sequence[str] = (),
    jobs: int = 1,
    timeout: float = 60.0,
    hdu: str = "",
    advance: Callable[[], None] = lambda: None,
) -> tuple[Description, list[Row]]:
    """Process `images` in `jobs` worker processes; rows come in the order of the images.

    `settings` are texts `name=value` for the inputs, `hdu` chooses images as `FitsOptions` does;
    `advance` is called after each file. If the work is cancelled while images are processed, the
    rows so far are returned. ConfigurationError if the algorithm cannot run so.
    """
    rows: list[list[Row]] = [[] for _ in images]
    todo = iter(enumerate(images))
    options = FitsOptions(hdu=hdu)
    async with _plugins(program, settings, jobs, len(images), timeout) as (plugins, pool):
        with until_cancelled():
            async with asyncio.TaskGroup() as group:
                for plugin in plugins:
                    group.create_task(_work(plugin, pool, todo, rows, options, advance))
        description = plugins[0].description
    return description, [row for of_one in rows for row in of_one]


@asynccontextmanager
async def _plugins(
    program: Program, settings: Sequence[str], jobs: int, images: int, timeout: float
) -> AsyncIterator[tuple[list[Plugin], Pool]]:
    pool, ports = Pool(), Ports()
    plugins: list[Plugin] = []
    try:
        for number in range(max(1, min(jobs, images))):
            named = Program(
                f"REPLAY{number}", program.file, program.class_name, program.interpreter
            )
            plugin = Plugin(named, pool, ports, process_timeout=timeout)
            plugins.append(plugin)
            await _start(plugin, program, settings)
            if plugin.description.stateful and jobs > 1:
                raise ConfigurationError(
                    f"--jobs: expected 1, as {plugin.description.name} keeps state, got {jobs}"
                )
        yield plugins, pool
    finally:
        for plugin in plugins:
            await plugin.stop()
        pool.close()


async def _start(plugin: Plugin, program: Program, settings: Sequence[str]) -> None:
    try:
        await plugin.start()
    except (WorkerError, ProtocolError) as error:
        raise fault_of(program, error) from None
    apply_settings(settings, plugin.params, plugin.description)


async def _work(
    plugin: Plugin,
    pool: Pool,
    todo: Iterator[tuple[int, Path]],
    rows: list[list[Row]],
    options: FitsOptions,
    advance: Callable[[], None],
) -> None:
    for index, path in todo:
        try:
            async for row in _rows(plugin, pool, index + 1, path, options):
                rows[index].append(row)
        except Exception as error:  # no image may cost the rows of the others
            log.exception("%s", path)
            rows[index].append(Row(str(path), "error", f"a fault of TOSIP: {error!r}"))
        advance()


async def _rows(
    plugin: Plugin, pool: Pool, unique_id: int, path: Path, options: FitsOptions
) -> AsyncIterator[Row]:
    """Process the images of one file."""
    loop = asyncio.get_running_loop()
    try:
        received = path.stat().st_mtime
        images = load_images(path, pool, loop, received, options=options)
        while (loaded := await asyncio.to_thread(next, images, None)) is not None:
            yield await _row(plugin, path, replace(loaded.array, unique_id=unique_id), options)
            del loaded  # and with it the image's memory
    except (FrameError, OSError, PoolExhausted) as error:
        yield Row(str(path), "error", str(error))


async def _row(plugin: Plugin, path: Path, array: NDArray, options: FitsOptions) -> Row:
    name = str(path)
    if wants_all(options.hdu) and "ImageHdu" in array.attributes:
        name = f"{path}[{array.attributes['ImageHdu']}]"
    outcome = await _outcome(plugin, array)
    plugin.enable(False)  # lets the image's memory go
    plugin.enable(True)
    if outcome is None:
        message = f"worker given up after: {plugin.workers.last_exit}"
        return Row(name, "error", message, attributes=array.attributes)
    return Row(
        name,
        outcome.status.value,
        outcome.message,
        {} if outcome.failed or outcome.outputs is None else outcome.outputs,
        array.attributes,
    )


async def _outcome(plugin: Plugin, array: NDArray) -> Outcome | None:
    """Process one array; None if the worker failed so often that it does not start any more."""
    done: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()

    def finish(outcome: Outcome | None) -> None:
        if not done.done():
            done.set_result(outcome)

    def give_up() -> None:
        if plugin.workers.state is WorkerState.QUARANTINED:
            finish(None)

    plugin.on_outcome.connect(finish)
    plugin.on_change.connect(give_up)
    give_up()
    if not done.done():
        plugin.receive(array)
    outcome = await done
    plugin.on_outcome.disconnect(finish)
    plugin.on_change.disconnect(give_up)
    return outcome


def write_table(
    path: Path, description: Description, rows: Sequence[Row], attributes: Sequence[str]
) -> None:
    """Write rows as CSV or ECSV, by the file's ending; values that are missing are masked.

    What is not printable is escaped, as in `printable`. OSError if the file cannot be written; an
    older one stays then.
    """
    from astropy import units
    from astropy.table import MaskedColumn, Table

    table = Table()
    table["image"] = [printable(row.image) for row in rows]
    table["status"] = [row.status for row in rows]
    for name in attributes:
        table[name] = _column([row.attributes.get(name) for row in rows])
    for output in description.outputs:
        values = [row.outputs.get(output.name) for row in rows]
        table[output.name] = _column(values)
        if output.units and isinstance(table[output.name], MaskedColumn):
            table[output.name].unit = units.Unit(output.units, parse_strict="silent")
        table[output.name].description = output.doc
    table["message"] = [" | ".join(_lines(row.message)) for row in rows]
    text = io.StringIO()
    table.write(text, format=table_format(path))
    write_whole(path, text.getvalue().encode())


def table_format(path: Path) -> str | None:
    """Return astropy's name of the format that a table's name asks for; None if of none."""
    return next((form for end, form in TABLE_FORMATS.items() if path.name.endswith(end)), None)


def _lines(message: str) -> list[str]:
    return [printable(line) for line in message.splitlines() if line.strip()]


def _cell(value: Any) -> Any:
    """Return what a column of a table can hold: NumPy has no integers of more than 64 bits."""
    if isinstance(value, np.ndarray):
        return json.dumps(value.tolist())
    if type(value) is int and not -(2**63) <= value < 2**63:
        return str(value)
    return printable(value) if isinstance(value, str) else value


def _column(values: Sequence[Any]) -> Any:
    from astropy.table import MaskedColumn

    values = [_cell(value) for value in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        values = [None if value is None else float(value) for value in values]
        kinds = {float}
    if len(kinds) > 1:
        values = [None if value is None else str(value) for value in values]
    filler = next(iter(kinds))() if len(kinds) == 1 else ""
    data = [filler if value is None else value for value in values]
    return MaskedColumn(data, mask=[value is None for value in values])
