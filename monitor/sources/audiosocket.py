"""Asterisk's AudioSocket: a `Listener` whose calls come by TCP, a connection a party.

audiosocket_connection (bytes) → audiosocket_frames (frames) → audiosocket_session (what was sent) → audiosocket_parties
(whose voice) → switchboard (which call)
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from monitor.errors import ServiceError, SettingError
from monitor.identities import Identities
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallNames
from monitor.sources.allowlist import AllowList, check_listener
from monitor.sources.audiosocket_connection import AudioSocketConnection, Hall
from monitor.sources.audiosocket_parties import Directory
from monitor.sources.audiosocket_session import Terms
from monitor.sources.complaints import Complaints
from monitor.sources.ports import why_not
from monitor.sources.switchboard import Switchboard

_log = logging.getLogger(__name__)

_TICK_S = 0.1
_JITTER_S = 0.02
"""TCP is in order: nothing is waited for."""
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""A host that lost its power says nothing: where we are silent too, the system finds out within a minute."""


class AudioSocket:
    """Raises SettingError for settings that cannot hold."""

    def __init__(self, settings: Settings, names: CallNames, now: Callable[[], float] = time.monotonic) -> None:
        if settings.audiosocket is None:
            raise SettingError("AudioSocket is off: write [audiosocket] into the settings file")
        self._settings = settings.audiosocket
        check_listener("audiosocket", self._settings.host, self._settings.allow)
        self._most_calls = min(self._settings.max_calls, settings.max_calls)
        self._names, self._now = names, now
        self._allow = AllowList(self._settings.allow, "audiosocket.allow")
        self._complaints = Complaints(_log, now)
        self._directory = Directory(self._settings, self._complaints)
        self._connections: set[AudioSocketConnection] = set()
        self._switchboard: Switchboard
        self._server: asyncio.Server | None = None
        self._draining = False
        self._refusing = ""
        self._timer: asyncio.TimerHandle | None = None
        self.goodbye_s = 1.0
        """How long connections have at the end to close."""
        self.refused = 0
        """Connections that were hung up on at once."""

    @property
    def port(self) -> int:
        """Once it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def calls(self) -> int:
        """How many run."""
        return self._switchboard.calls

    async def start(self, queue: BlockQueue, identities: Identities) -> str:
        """See Listener."""
        host, port = self._settings.host, self._settings.port
        self._switchboard = Switchboard(queue, self._names, identities, _JITTER_S, self._most_calls)
        terms = Terms(self._settings, self._directory, self._switchboard, self._complaints)
        hall = Hall(terms, self._now, self._came, self._connections.discard)
        try:
            listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            raise ServiceError(why_not("audiosocket", host, port, error)) from error
        _keep_alive(listening)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: AudioSocketConnection(hall), sock=listening
        )
        self._tick()
        return f"AudioSocket: {f'[{host}]' if ':' in host else host}:{self.port}"

    def refuse(self, why: str) -> None:
        """See Listener."""
        self._refusing = why

    async def drain(self) -> None:
        """See Listener."""
        self._draining = True
        until_s = self._now() + self._settings.drain_s
        if self.calls:
            text = "AudioSocket drains: new ones are hung up on, %d calls go on for at most %g s; a second SIGTERM ends them"
            _log.warning(text, self.calls, self._settings.drain_s)
        while self.calls and self._now() < until_s:
            await asyncio.sleep(_TICK_S)

    async def stop(self) -> None:
        """See Listener."""
        self._draining = True
        if self._timer is None or self._server is None:
            return
        for connection in list(self._connections):
            connection.leave()
        until_s = self._now() + self.goodbye_s
        while self._connections and self._now() < until_s:
            await asyncio.sleep(_TICK_S / 10)
        self._timer.cancel()
        for connection in list(self._connections):
            connection.transport.abort()
        self._server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.goodbye_s):
                await self._server.wait_closed()
        self._switchboard.end_left(self._now())
        counts = ", ".join(f"{count} {name}" for name, count in vars(self._switchboard.counters).items())
        _log.info("AudioSocket: %d connections refused; audio of all calls: %s packets", self.refused, counts)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        now_s = self._now()
        for connection in list(self._connections):
            connection.tick(now_s)
        self._switchboard.tick(now_s)

    def _came(self, connection: AudioSocketConnection) -> str:
        why = self._refusing
        if not self._allow.admits(connection.peer):
            why = "it is not in audiosocket.allow"
        elif self._draining:
            why = "draining"
        elif len(self._connections) >= self._settings.max_connections:
            why = "full: see audiosocket.max_connections"
        if why:
            self.refused += 1
        else:
            self._connections.add(connection)
        return why


def _keep_alive(listening: socket.socket) -> None:
    """Connections inherit it; not every system has every option."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
