"""The records of what an algorithm declares: its inputs, and its outputs with the frame's time."""

from typing import Any

from tosip import names
from tosip.algorithm import Status
from tosip.description import Description, Field, Kind
from tosip.events import call
from tosip.pipeline.plugin import Outcome, Plugin
from tosip.records.demands import Demand
from tosip.records.refusals import WriteMessages
from tosip.records.values import INPUTS, Figure, Readback


class DeclaredRecords:
    """Inputs and outputs of one plugin; `messages` say why one was refused."""

    def __init__(
        self, prefix: str, plugin: Plugin, description: Description, messages: WriteMessages
    ) -> None:
        self._plugin = plugin
        self._inputs: dict[str, tuple[Demand, Readback | None]] = {
            field.name: self._input(prefix, field, messages) for field in description.inputs
        }
        self._outputs = {
            field.name: Figure(names.readback(prefix, field.name), field)
            for field in description.outputs
        }
        plugin.params.listen(self._parameter_changed)
        self._shown: float | None = None  # time stamp of the frame whose outputs are valid
        plugin.on_outcome.connect(self._frame_done)
        plugin.on_stale.connect(self._got_stale)

    def demands(self) -> list[Demand]:
        """List the records that operators write."""
        return [demand for demand, _ in self._inputs.values()]

    def _input(
        self, prefix: str, field: Field, messages: WriteMessages
    ) -> tuple[Demand, Readback | None]:
        def write(value: Any) -> None:
            self._plugin.write(field.name, value)

        def in_force() -> Any:
            params = self._plugin.params
            return params.staged.get(field.name, params[field.name])

        saved = field.kind is not Kind.COMMAND
        pv = names.demand(prefix, field.name)
        message = messages[prefix]
        demand = Demand(pv, field, write, in_force, message, saved=saved, group=INPUTS)
        if field.kind is Kind.COMMAND:
            return demand, None
        readback = names.readback(prefix, field.name)
        return demand, Readback(readback, field, self._plugin.params[field.name])

    def _parameter_changed(self, name: str, value: Any) -> None:
        demand, readback = self._inputs[name]
        if readback:
            readback.set(value)
            demand.show(value)

    def _frame_done(self, outcome: Outcome) -> None:
        if outcome.status is Status.SKIP:
            return
        time = outcome.array.timestamp
        self._shown = time if outcome.good else None
        for name, record in self._outputs.items():
            if outcome.failed or outcome.outputs is None:
                record.invalidate(time)
            elif not call(record.name, record.set, outcome.outputs[name], time):
                call(record.name, record.invalidate, time)

    def _got_stale(self) -> None:
        if self._shown is None:  # what failed stays what it is
            return
        for record in self._outputs.values():
            record.expire(self._shown)
