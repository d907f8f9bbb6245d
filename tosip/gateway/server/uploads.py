"""STOR, STOU, APPE and what prepares them: from the command to 226, or to the right refusal.

An upload outlives its control connection as long as it takes to clean up after it. What becomes of
the bytes that came says `Fate`: an interrupted upload is kept and may be resumed by its user, one
that is shorter than it says is put aside, everything else is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import PurePosixPath

from tosip.events import call
from tosip.gateway import lives
from tosip.gateway.digest import new_digest
from tosip.gateway.receiving.data import Port
from tosip.gateway.receiving.memory import Received
from tosip.gateway.receiving.refusal import Fate, UploadError, from_os_error, interrupted
from tosip.gateway.receiving.upload import Upload
from tosip.gateway.server.files import is_temporary
from tosip.gateway.server.folders import named_file
from tosip.gateway.server.lists import data_port
from tosip.gateway.server.session import Refusal, Session, Shared, Verb
from tosip.gateway.spool.partial import Description, NoPartialError, Partial
from tosip.gateway.spool.stored import Entry

logger = logging.getLogger(__name__)

LONGEST_NUMBER = 18
STOPPING = "the gateway is stopping"


class Uploads:
    """All uploads that are running."""

    def __init__(self, shared: Shared) -> None:
        self._shared, self._settings = shared, shared.settings
        self._spool, self._disk = shared.spool, shared.threads.disk
        self._running: dict[Upload, asyncio.Task[None]] = {}
        self._opening: set[asyncio.Future[None]] = set()
        self._stopping = False

    def verbs(self) -> dict[str, Verb]:
        """Return what clients may send."""
        return {
            "allo": _allocate,
            "rest": _restart,
            "stor": self._store,
            "stou": self._store_unique,
            "appe": self._append,
        }

    async def stop(self) -> None:
        """End all uploads and wait until what came of them is kept."""
        self._stopping = True
        for upload in tuple(self._running):
            upload.abort(STOPPING)
        if ending := {*self._running.values(), *self._opening}:
            await asyncio.wait(ending)

    async def _store(self, session: Session, rest: str) -> None:
        await self._take(session, rest, "ready for {name}")

    async def _store_unique(self, session: Session, rest: str) -> None:
        # RFC 1123 wants the reply like this, for clients read the name from it.
        await self._take(session, _unique(rest), "FILE: {name}")

    async def _append(self, session: Session, rest: str) -> None:
        await self._take(session, rest, "ready for more of {name}", appends=True)

    async def _take(
        self, session: Session, rest: str, greeting: str, appends: bool = False
    ) -> None:
        expected, session.expected = session.expected, None
        offset, session.restart = session.restart, 0
        try:
            port, tls = data_port(session, self._shared)
        except Refusal as refusal:
            raise self._refused(session, rest, refusal) from None
        try:
            upload = self._accepted(session, rest, expected, tls)
            partial = await self._begin(upload, offset, appends)
        except (Refusal, UploadError) as refusal:
            port.close()
            raise self._refused(session, rest, refusal) from None
        session.reply("150", greeting.format(name=upload.name))
        work = self._complete(session, upload, port, partial)
        self._running[upload] = session.begin(upload, work, lambda: _progress(upload))

    def _refused(self, session: Session, rest: str, refusal: Refusal | UploadError) -> Refusal:
        lives.tell("refused", user=session.user, name=rest, reason=f"{refusal.code} {refusal}")
        self._shared.on_refused(f"{refusal.code} {refusal}")
        return Refusal(refusal.code, str(refusal))

    def _accepted(
        self, session: Session, rest: str, expected: int | None, tls: ssl.SSLContext | None
    ) -> Upload:
        if session.ascii:
            raise Refusal("550", "ASCII mode would change the bytes: use TYPE I")
        return Upload(
            named_file(session, rest),
            session.user,
            expected,
            limits=self._settings.limits,
            policy=self._settings.policy,
            tls=tls,
        )

    async def _begin(self, upload: Upload, offset: int, appends: bool) -> Partial:
        """Open a new file, or the one to go on with; Refusal or UploadError when that cannot be."""
        with self._stop_waits():
            try:
                await self._check_room(upload)
                partial = await self._disk(self._open, upload, offset, appends)
                if self._stopping:
                    await self._disk(self._settle, upload, partial, interrupted(STOPPING))
                    raise Refusal("421", STOPPING)
            except NoPartialError as error:
                raise Refusal("554", str(error)) from None
            except OSError as error:
                raise from_os_error(error) from None
        return partial

    @contextlib.contextmanager
    def _stop_waits(self) -> Iterator[None]:
        """Let `stop` wait until the block has ended; Refusal if it has begun already."""
        if self._stopping:
            raise Refusal("421", STOPPING)
        opening = asyncio.get_running_loop().create_future()
        self._opening.add(opening)
        try:
            yield
        finally:
            self._opening.remove(opening)
            opening.set_result(None)

    async def _check_room(self, upload: Upload) -> None:
        free = await self._disk(self._spool.free_space)
        if free < self._settings.limits.free_space + (upload.expected or 0) + self._promised():
            raise Refusal("452", "the gateway's disk is too full: try later")

    def _promised(self) -> int:
        """Return how many bytes the running uploads have announced that have not come yet."""
        return sum(max((upload.expected or 0) - upload.size, 0) for upload in self._running)

    def _open(self, upload: Upload, offset: int, appends: bool) -> Partial:
        facts = self._spool.facts(upload.user, upload.name) if appends else None
        if facts is not None and not facts.partial:
            raise NoPartialError(
                f"expected an interrupted upload of {upload.name}, got one that is whole: it has"
                f" {facts.size} bytes"
            )
        if facts is not None:
            offset = offset or facts.size
        if offset:
            return self._spool.resume(upload.user, upload.name, offset)
        return self._spool.begin()

    async def _complete(
        self, session: Session, upload: Upload, port: Port, partial: Partial
    ) -> None:
        """See an upload through to its reply."""
        received = self._shared.memory.begin()
        try:
            outcome = await self._receive(upload, port, partial, received)
            if isinstance(outcome, UploadError):
                received.free()
                await self._disk(self._settle, upload, partial, outcome)
        except BaseException:
            received.free()
            await self._disk(self._spool.discard, partial)
            raise
        finally:
            del self._running[upload]
            session.end()
        if isinstance(outcome, UploadError):
            session.reply(outcome.code, str(outcome))
            call("gateway.on_refused", self._shared.on_refused, f"{outcome.code} {outcome}")
            return
        session.reply("226", f"stored {outcome.file.size} bytes as {outcome.file.id}")
        call("gateway.on_stored", self._shared.on_stored, outcome, received)

    async def _receive(
        self, upload: Upload, port: Port, partial: Partial, received: Received
    ) -> Entry | UploadError:
        try:
            connection = await upload.connect(port)
            began = time.monotonic()
            description = await self._shared.threads.receive(
                self._take_in, upload, connection, partial, received
            )
            upload.check()
            lives.tell(
                "received",
                id=partial.id,
                camera=description.camera,
                user=upload.user,
                name=upload.name,
                size=upload.size,
                hash=description.digest,
                seconds=time.monotonic() - began,
            )
            return await self._disk(self._spool.commit, partial, description)
        except UploadError as error:
            return error
        except OSError as error:
            logger.error("%s: upload failed: %s", upload.name, error)
            return from_os_error(error)

    def _take_in(
        self, upload: Upload, connection: socket.socket, partial: Partial, received: Received
    ) -> Description:
        """Receive all that comes, and describe it; UploadError unless it may be whole. Blocks."""
        on_begin = functools.partial(self._supersede_others, upload, partial)
        upload.receive(connection, partial, received, on_begin)
        return self._description(upload)

    def _supersede_others(self, upload: Upload, partial: Partial) -> None:
        """Let nobody go on with other uploads of the name once a new one has begun. Blocks.

        Their bytes may be of another file, and SIZE would offer them for this one.
        """
        if partial.size > 0:
            return
        for other in tuple(self._running):
            if (other.user, other.name) == (upload.user, upload.name):
                other.superseded = other is not upload
        self._spool.supersede(upload.user, upload.name)

    def _settle(self, upload: Upload, partial: Partial, error: UploadError) -> None:
        """Do with the bytes of a failed upload what its fate is. Blocks."""
        step = {Fate.KEEP: "interrupted", Fate.QUARANTINE: "quarantined"}
        # Without a data connection, what an earlier upload has left is as good as before.
        fate = Fate.KEEP if error.code == "425" else error.fate
        facts = {"id": partial.id, "user": upload.user, "name": upload.name}
        lives.tell(step.get(fate, "refused"), **facts, size=partial.size, reason=str(error))
        try:
            if fate == Fate.KEEP:
                description = _corrected(self._description(upload), partial)
                self._spool.keep(partial, description, lambda: not upload.superseded)
            elif fate == Fate.QUARANTINE:
                description = _corrected(self._description(upload), partial)
                self._spool.quarantine(partial, description, str(error))
            else:
                self._spool.discard(partial)
        except OSError as fault:
            logger.error("%s: its bytes could not be kept: %s", upload.name, fault)
            self._spool.discard(partial)

    def _description(self, upload: Upload) -> Description:
        """Describe an upload that has ended. Blocks, for a header may be long."""
        header = upload.header if self._settings.camera.by == "header" else {}
        camera = self._shared.camera(upload.user, upload.name, header)
        return upload.description(camera, is_temporary(self._settings.policy, upload.name))


def _corrected(description: Description, partial: Partial) -> Description:
    """Describe what is in the partial, also when the upload did not come to look at it. Blocks."""
    if description.size == partial.size:
        return description
    digest = new_digest()
    for block in partial.blocks():
        digest.update(block)
    return dataclasses.replace(description, size=partial.size, digest=digest.hexdigest())


async def _allocate(session: Session, rest: str) -> None:
    size = rest.strip().split(" ")[0]
    if not _is_number(size):
        raise Refusal("501", "expected ALLO and a number of bytes")
    session.expected = int(size)
    session.reply("200", f"{int(size)} bytes expected")


async def _restart(session: Session, rest: str) -> None:
    offset = rest.strip()
    if not _is_number(offset):
        raise Refusal("501", "expected REST and a number of bytes")
    session.restart = int(offset)
    session.reply("350", f"STOR goes on at {session.restart}, if that many bytes are kept")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER


def _unique(rest: str) -> str:
    """Return a name that nobody has used, made from the one that is given, if one is."""
    given = PurePosixPath(rest or "stou")
    token = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
    return str(given.with_name(f"{given.stem}-{token}{given.suffix}")) if given.name else rest


def _progress(upload: Upload) -> str:
    return f"receiving {upload.name}: {upload.size} bytes so far"
