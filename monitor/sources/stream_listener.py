"""The websocket listener that telephone platforms send their calls to: a `Listener` with a `Dialect` a platform.

Who may connect: hosts of `streams.allow` (empty: all), and whoever has the credentials that its dialect asks for. A
dialect without credentials takes programs of this machine only: neither another address nor a web page.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from monitor.access import check_front, is_loopback, load_certificate, tls_context
from monitor.errors import AccessError, CallmoodError, RequestError, ServiceError, SettingError
from monitor.identities import Identities
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallNames
from monitor.sources.allowlist import AllowList
from monitor.sources.complaints import Complaints
from monitor.sources.ports import why_not
from monitor.sources.stream_connection import Hall, StreamConnection, connections_of
from monitor.sources.streams import GOING_AWAY, Dialect, Upgrade, check_streams
from monitor.sources.switchboard import Switchboard

_log = logging.getLogger(__name__)
_library_log = logging.getLogger(f"{__name__}.websockets")
_library_log.setLevel(logging.CRITICAL)  # a traceback a broken handshake; what matters is told here

_TICK_S = 0.1
_FAILED_S = 0.5
"""How long the answer to wrong credentials takes."""
_SPARE_CONNECTIONS = 64
"""Over the limit, so many are still told so; further ones are cut off."""
_CLOSE_S = 2.0
_RETRY_S = 10
_CERTIFICATE_S = 60.0
"""A certificate that was renewed is taken within so long."""


class StreamListener:
    """Raises SettingError for settings that cannot hold."""

    def __init__(
        self,
        settings: Settings,
        names: CallNames,
        dialects: Sequence[Dialect],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        streams = self._settings = settings.streams
        check_streams(streams, dialects, is_loopback(streams.host))
        self._node_settings, self._names, self._now = settings, names, now
        self._dialects = {dialect.path: dialect for dialect in dialects}
        self._allow = AllowList(streams.allow, "streams.allow")
        self._complaints = Complaints(_log, now)
        self._connections: set[StreamConnection] = set()
        self._switchboard: Switchboard
        self._server: Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._certificate = (0.0, 0.0)
        """When it was looked at, and its file's time then."""
        self._draining = False
        self._refusing = ""
        self._timer: asyncio.TimerHandle | None = None
        self.goodbye_s = 1.0
        """How long peers have at the end to say goodbye."""
        self.refused = 0
        """Requests that became no session."""

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
        settings = self._settings
        self._tls = tls_context(self._node_settings)
        self._certificate = (self._now(), self._certificate_time())
        if self._tls is None and not is_loopback(settings.host):
            _log.warning("streams.host is %s without TLS: let a proxy end TLS, or set tls_certificate", settings.host)
        most_calls = min(settings.max_calls, self._node_settings.max_calls)
        self._switchboard = Switchboard(queue, self._names, identities, settings.jitter_s, most_calls)
        hall = Hall(settings, self._complaints, self._now, self._came, self._went)
        try:
            self._server = await serve(
                self._attend,
                settings.host,
                settings.port,
                ssl=self._tls,
                process_request=self._answer,
                select_subprotocol=_select_subprotocol,
                create_connection=connections_of(hall),
                server_header=None,
                compression=None,
                max_size=settings.frame_bytes,
                open_timeout=settings.open_s,
                ping_interval=None,  # connections ping by themselves, and only where nothing comes
                close_timeout=_CLOSE_S,
                logger=_library_log,
            )
        except OSError as error:
            raise ServiceError(why_not("streams", settings.host, settings.port, error)) from error
        self._tick()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        where = settings.public_url or f"{'ws' if self._tls is None else 'wss'}://{host}:{self.port}"
        return f"streams: {', '.join(where.rstrip('/') + path for path in self._dialects)}"

    def refuse(self, why: str) -> None:
        """See Listener."""
        self._refusing = why

    async def drain(self) -> None:
        """See Listener."""
        self._draining = True
        until_s = self._now() + self._settings.drain_s
        if self.calls:
            text = "streams drain: new connections get 503, %d calls go on for at most %g s; a second SIGTERM ends them at once"
            _log.warning(text, self.calls, self._settings.drain_s)
        while self.calls and self._now() < until_s:
            await asyncio.sleep(_TICK_S)

    async def stop(self) -> None:
        """See Listener."""
        self._draining = True
        if self._timer is None:
            return
        for connection in list(self._connections):
            connection.leave(self._now())
        until_s = self._now() + self.goodbye_s
        while any(connection.session for connection in self._connections) and self._now() < until_s:
            await asyncio.sleep(_TICK_S / 10)
        self._timer.cancel()
        self._switchboard.end_left(self._now())
        assert self._server is not None
        self._server.close(code=GOING_AWAY)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S / 4):
                await self._server.wait_closed()
        for connection in list(self._connections):
            connection.transport.abort()
        await self._server.wait_closed()
        self._switchboard.end_left(self._now())
        counts = ", ".join(f"{count} {name}" for name, count in vars(self._switchboard.counters).items())
        _log.info("streams: %d requests refused; audio of all calls: %s packets", self.refused, counts)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        now_s = self._now()
        for connection in list(self._connections):
            connection.tick(now_s)
        self._switchboard.tick(now_s)
        if self._tls is not None and now_s - self._certificate[0] >= _CERTIFICATE_S:
            self._renew(self._tls, now_s)

    def _came(self, connection: StreamConnection) -> None:
        self._connections.add(connection)
        if len(self._connections) > self._settings.max_connections + _SPARE_CONNECTIONS:
            self.refused += 1
            connection.transport.abort()

    def _went(self, connection: StreamConnection) -> None:
        self._connections.discard(connection)

    async def _attend(self, connection: ServerConnection) -> None:
        """Frames go to the session by themselves."""
        await connection.wait_closed()

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The plain HTTP answer to a request; None lets it become a session's connection."""
        assert isinstance(connection, StreamConnection), "the factory makes these"
        headers = {name.lower(): ", ".join(request.headers.get_all(name)) for name in request.headers}
        upgrade = Upgrade(request.path, headers, connection.peer, self._tls is not None)
        try:
            if upgrade.path == "/healthz":
                why = self._busy()
                return connection.respond(503 if why else 200, f"{why or 'ok'}\n")
            self._admit(connection, upgrade, request)
            return None
        except (AccessError, RequestError) as refusal:
            return await self._refuse(connection, refusal)
        except CallmoodError as error:
            return await self._refuse(connection, RequestError(str(error), 503, "limit"))
        except Exception:  # the edge of a request
            _log.exception("a request of %s failed", connection.peer)
            return connection.respond(500, "a fault of ours\n")

    def _admit(self, connection: StreamConnection, upgrade: Upgrade, request: Request) -> None:
        if not self._allow.admits(upgrade.peer):
            raise AccessError(f"{upgrade.peer} is not in streams.allow", 403, "host")
        if why := self._busy(self._switchboard.awaits(upgrade.query.get("call", ""))):
            raise AccessError(why, 503, "limit")
        dialect = self._dialects.get(upgrade.path) or self._dialects.get(upgrade.path.rstrip("/"))
        if dialect is None:
            paths = ", ".join(self._dialects)
            raise RequestError(f"no source of calls has the path {upgrade.path[:60]!a}: there are {paths}", 404, "path")
        if "websocket" not in upgrade.headers.get("upgrade", "").lower():
            raise RequestError("expected a websocket handshake", 426, "plain")
        if not dialect.guarded:
            origins = self._node_settings.origins
            check_front(request.headers.get_all("Host"), request.headers.get_all("Origin"), origins, False)
        connection.dialect = dialect
        connection.session = dialect.open(upgrade, connection, self._switchboard, self._now())

    def _busy(self, joins: bool = False) -> str:
        """Why nobody else is taken; empty where somebody is. Whoever joins a call that runs makes none."""
        if self._draining:
            return "draining"
        standing = sum(connection.session is not None for connection in self._connections)
        full = standing >= self._settings.max_connections or (self._switchboard.full and not joins)
        return "full" if full or len(self._connections) > self._settings.max_connections else self._refusing

    async def _refuse(self, connection: StreamConnection, refusal: AccessError | RequestError) -> Response:
        self.refused += 1
        self._complaints.tell(f"{connection.peer} refused with {refusal.status}: {refusal}")
        if refusal.status in (401, 403):
            await asyncio.sleep(_FAILED_S)
        response = connection.respond(refusal.status, f"{refusal}\n")
        if refusal.status == 503:
            response.headers["Retry-After"] = str(_RETRY_S)
        if refusal.status == 426:
            response.headers["Upgrade"] = "websocket"
        return response

    def _certificate_time(self) -> float:
        path = self._node_settings.tls_certificate
        try:
            return Path(path).stat().st_mtime if path else 0.0
        except OSError:
            return 0.0

    def _renew(self, context: ssl.SSLContext, now_s: float) -> None:
        """Reads a certificate that has changed; one that cannot be used is told, and the old one stays."""
        before, changed = self._certificate[1], self._certificate_time()
        self._certificate = (now_s, changed)
        if changed == before:
            return
        try:
            tls_context(
                self._node_settings
            )  # first in a context of its own: a broken file must not harm the one in use
            load_certificate(context, self._node_settings)
        except SettingError as error:
            _log.error("the certificate was not renewed: %s", error)
        else:
            _log.info("the certificate was renewed")


def _select_subprotocol(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    assert isinstance(connection, StreamConnection), "the factory makes these"
    wanted = connection.dialect.subprotocol if connection.dialect else None
    return Subprotocol(wanted) if wanted in offered and wanted else None
