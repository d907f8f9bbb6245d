"""The FTP server that cameras talk to: aioftp's control channel with verbs and data of our own.

aioftp reads command lines and writes replies (`control`). All that touches data is ours, because
its STOR writes to the final name, blocks the event loop and says 226 to whatever came before a FIN.
Here STOR is (`uploads`): check name, type and disk space, open a file in the spool, say 150,
receive in a thread, check the length, commit, and only then say 226.

The verbs are grouped by theme: `access` (who is it), `protection` (TLS), `folders`, `files` (what
is known of one), `lists`, `ports` (where data comes from), `uploads`, and `manners` for the rest.
`crowd` counts who is connected, and `turns` whose password is tried.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable, Mapping

from tosip.gateway.receiving.memory import Memory, Received
from tosip.gateway.server import manners
from tosip.gateway.server.access import Access
from tosip.gateway.server.control import ControlChannel
from tosip.gateway.server.crowd import Crowd
from tosip.gateway.server.files import Files
from tosip.gateway.server.folders import Folders
from tosip.gateway.server.listener import Listeners
from tosip.gateway.server.lists import Lists
from tosip.gateway.server.ports import Ports
from tosip.gateway.server.protection import Protection, load_context
from tosip.gateway.server.session import Shared, Verb
from tosip.gateway.server.uploads import Uploads
from tosip.gateway.settings import GatewaySettings
from tosip.gateway.spool.spool import Spool
from tosip.gateway.spool.stored import Entry
from tosip.gateway.threads import Threads


class GatewayServer:
    """Receives uploads into the spool; tells of each outcome by calling back on the loop.

    `camera` is asked with user, name and the cards of the first FITS header. `on_stored` is called
    with each entry that was acknowledged, after its reply is queued, and with its bytes as far as
    they are in memory (None after a renaming); who is called frees these. `on_refused` gets a
    sentence for each upload that was not acknowledged; `on_change` tells that `connections`,
    `cameras` or both have changed.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        spool: Spool,
        threads: Threads,
        memory: Memory,
        *,
        camera: Callable[[str, str, Mapping[str, str]], str],
        on_stored: Callable[[Entry, Received | None], None],
        on_refused: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._crowd = Crowd(settings.limits, on_change)
        self._tls = load_context(settings.tls)
        shared = Shared(
            settings, spool, threads, memory, self._crowd, self._tls, camera, on_stored, on_refused
        )
        self._uploads = Uploads(shared)
        self._control = ControlChannel(shared, _verbs(shared, self._uploads))
        self._listeners = Listeners(self._crowd, settings.limits.line, self._control.serve)
        self._port = settings.port
        self._implicit_port = 0

    @property
    def port(self) -> int:
        """The port that is listened to; the same on all hosts."""
        return self._port

    @property
    def implicit_port(self) -> int:
        """The port for TLS from the start, 0 if there is none."""
        return self._implicit_port

    @property
    def connections(self) -> int:
        """How many connections have logged in."""
        return self._crowd.logged_in

    @property
    def cameras(self) -> frozenset[str]:
        """The users that have logged in."""
        return self._crowd.users

    async def start(self) -> None:
        """Listen on all hosts; OSError when that fails, and then on none."""
        tls = self._settings.tls
        try:
            self._port = await self._listen(self._settings.port, None)
            if tls is not None and tls.implicit_port is not None:
                self._implicit_port = await self._listen(tls.implicit_port, self._tls)
        except BaseException:
            await self._listeners.close()
            raise

    async def _listen(self, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen on one port of all hosts; 0 takes one that is free on the first of them."""
        for host in self._settings.hosts:
            try:
                port = await self._listeners.listen(host, port, tls)
            except OSError as error:
                reason = error.strerror or str(error)
                raise OSError(error.errno or errno.EIO, f"{host} port {port}: {reason}") from None
        return port

    async def stop(self) -> None:
        """Take no more connections, keep running uploads as partials, say 421 to everybody."""
        await self._listeners.close()
        await self._uploads.stop()
        await self._control.close()


def _verbs(shared: Shared, uploads: Uploads) -> dict[str, Verb]:
    files = Files(shared)
    known: dict[str, Verb] = {
        **manners.verbs(tls=shared.tls is not None),
        **Access(shared).verbs(),
        **Protection(shared).verbs(),
        **Folders(shared).verbs(),
        **files.verbs(),
        **Lists(shared, files).verbs(),
        **Ports(shared).verbs(),
        **uploads.verbs(),
    }
    return known | {"help": manners.help_verb([*known, "help"])}
