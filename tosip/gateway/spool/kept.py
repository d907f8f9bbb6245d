"""Interrupted uploads, kept for a while so that the same user may go on where it ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from tosip.gateway.digest import new_digest
from tosip.gateway.spool.disk import Disk, remove
from tosip.gateway.spool.layout import Layout, kept, sidecar
from tosip.gateway.spool.partial import Description, NoPartialError, Partial
from tosip.gateway.spool.retention import Item
from tosip.gateway.spool.sidecar import Sidecar, encode

Wanted = Callable[[], bool]


@dataclass(frozen=True)
class KeptPartial:
    """What there is to resume; `kept` is when it ended (Unix time)."""

    id: str
    description: Description
    kept: float


class Kept:
    """The newest interrupted upload of each user and name."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._layout, self._disk = layout, disk
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], KeptPartial] = {}

    def add(self, found: KeptPartial, wanted: Wanted = lambda: True) -> None:
        """Take notice of one if it is `wanted`; of two with the same name the older one goes."""
        key = (found.description.user, found.description.name)
        with self._lock:
            known = self._known.get(key)
            # By ids, because times go back when the clock does.
            takes_over = (known is None or known.id < found.id) and wanted()
            if takes_over:
                self._known[key] = found
        going = known if takes_over else found
        if going is not None:
            self._remove(going.id)

    def keep(self, partial: Partial, description: Description, wanted: Wanted) -> None:
        """Make an interrupted upload one to resume, if it is `wanted`.

        After an OSError nothing is left.
        """
        if partial.size == 0 or not wanted():
            self.discard(partial)
            return
        description = replace(description, size=partial.size)
        now = self._disk.now()
        new = partial.path.with_name(partial.id + ".new")
        try:
            partial.sync()
            self._disk.write_small(new, encode(Sidecar(description, now)))
            self._disk.rename(new, kept(partial.path))
            self._disk.sync_folder(self._layout.partial)
        except BaseException:
            remove(self._disk, new)
            self.discard(partial)
            raise
        partial.close()
        self.add(KeptPartial(partial.id, description, now), wanted)

    def discard(self, partial: Partial) -> None:
        """Drop an upload; may be repeated."""
        partial.close()
        self._remove(partial.id)

    def resume(self, user: str, name: str, offset: int) -> Partial:
        """Open what is kept, at its exact size and with the bytes that came."""
        with self._lock:
            found = self._known.get((user, name))
            if found is None:
                raise NoPartialError(f"expected an interrupted upload of {name}, got none")
            if offset != found.description.size:
                raise NoPartialError(
                    f"expected to resume {name} at {found.description.size}, got {offset}"
                )
            del self._known[user, name]
        try:
            return self._open(found)
        except OSError as error:
            self._remove(found.id)
            raise NoPartialError(f"the interrupted upload of {name} is gone ({error})") from None

    def _open(self, found: KeptPartial) -> Partial:
        path, size = self._layout.partial / found.id, found.description.size
        partial = Partial(self._disk, path, self._disk.open(path), size)
        try:
            # More may have been written before a crash, which nobody knows the hash of.
            self._disk.truncate(partial.fd, size)
            digest = new_digest()
            for block in partial.blocks():
                digest.update(block)
            if digest.hexdigest() != found.description.digest:
                raise OSError(f"its {size} bytes have changed on the disk")
        except BaseException:
            partial.close()
            raise
        return partial

    def find(self, user: str, name: str) -> KeptPartial | None:
        """Return what there is to resume."""
        with self._lock:
            return self._known.get((user, name))

    def of(self, user: str) -> list[KeptPartial]:
        """Return all that a user may resume."""
        with self._lock:
            return [one for (owner, _), one in self._known.items() if owner == user]

    def forget(self, user: str, name: str) -> bool:
        """Remove what there is to resume; return whether there was something."""
        with self._lock:
            found = self._known.pop((user, name), None)
        if found is not None:
            self._remove(found.id)
        return found is not None

    def supersede(self, user: str, name: str) -> None:
        """Remove what there is to resume, so that not even a power failure brings it back."""
        if self.forget(user, name):
            self._disk.sync_folder(self._layout.partial)

    def items(self) -> list[Item]:
        """Return what retention must know."""
        with self._lock:
            return [Item(one.kept, one.id, one.description.size) for one in self._known.values()]

    def expire(self, file_id: str) -> None:
        """Remove one that is too old, unless it is being resumed."""
        with self._lock:
            keys = [key for key, one in self._known.items() if one.id == file_id]
            for key in keys:
                del self._known[key]
        if keys:
            self._remove(file_id)

    def _remove(self, file_id: str) -> None:
        path = self._layout.partial / file_id
        remove(self._disk, path, kept(path), sidecar(path))
