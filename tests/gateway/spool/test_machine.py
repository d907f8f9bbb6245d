"""Any sequence of what cameras, archive, pipeline and people do, against a model in memory."""

from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from tests.gateway.spool.disks import SteppedDisk
from tests.gateway.spool.helpers import begun, described, interrupt, memory_folder, put
from tosip.gateway.settings import Keeping
from tosip.gateway.spool.partial import NoPartialError
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import State
from tosip.gateway.spool.tally import COUNTERS, WAITING

FINAL = (State.DELIVERED, State.DUPLICATE, State.DISCARDED)
STANDING = (State.PENDING, State.RENAMING, State.DELIVERED)
NAMES = st.sampled_from(["a", "b", "c"])
DATA = st.sampled_from([b"", b"1", b"22"])


@dataclass
class File:
    """What the model knows of an acknowledged upload."""

    name: str
    data: bytes
    state: State
    released: bool = False
    hidden: bool = False


class SpoolMachine(RuleBasedStateMachine):
    """One spool, one user, and the model of it."""

    ids = Bundle("ids")

    @initialize(retained=st.booleans())
    def open_first(self, retained: bool) -> None:
        self.place = memory_folder()
        self.folder = Path(self.place.name) / "spool"
        self.keeping = Keeping(delivered_age=1e6 if retained else 0.0)
        self.disk = SteppedDisk()
        self.spool = Spool(self.folder, self.keeping, self.disk)
        self.files: dict[str, File] = {}
        self.partials: dict[str, bytes] = {}

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            self.place.cleanup()

    def stands(self, name: str, data: bytes) -> bool:
        return any(
            (file.name, file.data) == (name, data) and file.state in STANDING
            for file in self.files.values()
        )

    @rule(target=ids, name=NAMES, data=DATA, held=st.booleans())
    def commit(self, name: str, data: bytes, held: bool) -> str:
        expected = State.DUPLICATE if self.stands(name, data) else State.PENDING
        if held:
            expected = State.HELD
        entry = put(self.spool, name, data, held=held)
        assert entry.state == expected
        self.files[entry.file.id] = File(name, data, expected, expected == State.DUPLICATE)
        self.partials.pop(name, None)
        return entry.file.id

    @rule(name=NAMES, data=DATA)
    def interrupt(self, name: str, data: bytes) -> None:
        interrupt(self.spool, name, data)
        if data:
            self.partials[name] = data

    @rule(target=ids, name=NAMES, offset=st.integers(0, 2))
    def resume(self, name: str, offset: int):
        kept = self.partials.get(name)
        try:
            partial = self.spool.resume("cam01", name, offset)
        except NoPartialError:
            assert kept is None or len(kept) != offset
            return multiple()
        assert kept is not None
        assert len(kept) == offset
        data = kept + b"more"
        partial.write(b"more")
        expected = State.DUPLICATE if self.stands(name, data) else State.PENDING
        entry = self.spool.commit(partial, described(name, data))
        assert entry.state == expected
        self.files[entry.file.id] = File(name, data, expected, expected == State.DUPLICATE)
        del self.partials[name]
        return entry.file.id

    @rule(name=NAMES, data=DATA)
    def quarantine(self, name: str, data: bytes) -> None:
        self.spool.quarantine(begun(self.spool, data), described(name, data), "short")

    @rule(old=NAMES, new=NAMES, held=st.booleans())
    def rename(self, old: str, new: str, held: bool) -> None:
        own = [
            file
            for file in self.files.values()
            if file.name == old and file.state == State.HELD and not file.hidden
        ]
        try:
            entry = self.spool.rename("cam01", old, new, held)
        except LookupError:
            assert not own
            return
        file = own[-1]
        file.state = State.DISCARDED  # it does not stand for itself
        duplicate = not held and self.stands(new, file.data)
        file.name = new
        file.state = State.HELD if held else State.PENDING
        if duplicate:
            file.state, file.released = State.DUPLICATE, True
        assert entry.state == file.state

    @rule(name=NAMES)
    def hide(self, name: str) -> None:
        own = [file for file in self.files.values() if file.name == name and visible(file)]
        assert self.spool.hide("cam01", name) == bool(own or name in self.partials)
        for file in own:
            file.hidden = True
        self.partials.pop(name, None)

    @rule(file_id=ids, state=st.sampled_from([*WAITING[1:], State.DELIVERED, State.DEAD]))
    def mark(self, file_id: str, state: State) -> None:
        entry = self.spool.mark(file_id, state)
        file = self.files[file_id]
        if file.state not in FINAL:
            file.state = state
        assert entry is not None
        assert (entry.state, entry.released) == (file.state, file.released)

    @rule(file_id=ids)
    def release(self, file_id: str) -> None:
        self.spool.release(file_id)
        self.files[file_id].released = True

    @rule(file_id=ids)
    def retry(self, file_id: str) -> None:
        file = self.files[file_id]
        assert len(self.spool.retry([file_id])) == (file.state == State.DEAD)
        if file.state == State.DEAD:
            file.state = State.PENDING

    @rule(file_id=consumes(ids))
    def give_up(self, file_id: str) -> None:
        file = self.files[file_id]
        assert len(self.spool.give_up([file_id])) == (file.state == State.DEAD)
        if file.state == State.DEAD:
            file.state, file.released = State.DISCARDED, True

    @rule()
    def overdue(self) -> None:
        held = [file for file in self.files.values() if file.state == State.HELD]
        assert len(self.spool.overdue(0.0)) == len(held)
        for file in held:
            duplicate = self.stands(file.name, file.data)
            file.state = State.DUPLICATE if duplicate else State.PENDING
            file.released |= duplicate

    @rule()
    def sweep(self) -> None:
        self.spool.sweep()

    @rule()
    def reopen(self) -> None:
        self.spool.close()
        self.spool = Spool(self.folder, self.keeping, self.disk)

    @invariant()
    def counters_are_right(self) -> None:
        if not hasattr(self, "files"):
            return
        totals = self.spool.totals
        assert totals.balanced
        counts = dict.fromkeys(COUNTERS.values(), 0)
        for file in self.files.values():
            counts[COUNTERS[file.state]] += 1
        assert {name: getattr(totals, name) for name in counts} == counts
        assert totals.acknowledged == len(self.files)
        assert totals.bytes_pending == sum(
            len(file.data) for file in self.files.values() if file.state in WAITING
        )

    @invariant()
    def what_is_needed_is_there(self) -> None:
        if not hasattr(self, "files"):
            return
        needed = {
            file_id: (file.name, file.data, file.state, file.released)
            for file_id, file in self.files.items()
            if file.state in WAITING or not file.released
        }
        found = {
            entry.file.id: (
                entry.file.name,
                entry.file.path.read_bytes(),
                entry.state,
                entry.released,
            )
            for entry in self.spool.reconcile()
        }
        assert found == needed
        assert list(found) == list(needed)

    @invariant()
    def names_are_listed(self) -> None:
        if not hasattr(self, "files"):
            return
        seen = {facts.name for facts in self.spool.names("cam01")}
        own = {file.name for file in self.files.values() if visible(file)}
        assert seen == own | set(self.partials)


def visible(file: File) -> bool:
    return not file.hidden and file.state != State.DISCARDED


SpoolMachine.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSpoolMachine = SpoolMachine.TestCase
