"""The readings for agents' desktops: a websocket that pushes every message of the contract.

A subscriber of `/v1/calls` hears every call, one of `/v1/calls/{call}` (percent-encoded) that call alone, whether it
runs already or is yet to start. It first gets `hello`, then of each running call the `call_started` and the open
`alert_raised` as they were published, then everything live: nothing twice, no hole. What a slow subscriber loses
is said by `missed`. The same port serves the example page at `/`.
"""

import asyncio
import errno
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import unquote

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from monitor.access import refusal
from monitor.backlog import Backlog, Line
from monitor.errors import ServiceError
from monitor.messages import (
    AlertCleared,
    AlertRaised,
    AnyMessage,
    CallEnded,
    CallMessage,
    CallStarted,
    Gap,
    Hello,
    Reading,
    encode,
)
from monitor.page import page_headers, read_page
from monitor.settings import Settings
from monitor.subscriber import CLOSE_S, STUCK_S, Counters, Subscriber

PATH = "/v1/calls"
PING_S = 20.0
"""Interval of keepalive pings, and how long their answer may take."""
CLIENT_BYTES = 4096
"""A longer message from a client closes it with code 1009."""
FLUSH_S, STOP_S = 0.25, 0.4
"""`stop` leaves subscribers so long to take what waits for them, then so long to say goodbye."""

logger = logging.getLogger(__name__)


class Broadcaster:
    """One websocket service. It belongs to one event loop: call every method there."""

    def __init__(self, settings: Settings, hello: Callable[[], Hello], *, stuck_s: float = STUCK_S) -> None:
        self.counters = Counters()
        self._settings, self._hello, self._stuck_s = settings, hello, stuck_s
        self._server: Server | None = None
        self._where: str
        self._page: str | None = None
        self._connections: set[ServerConnection] = set()
        self._subscribers: set[Subscriber] = set()
        self._running: dict[str, dict[str, Line]] = {}

    async def start(self) -> None:
        """Listen on `settings.host` and `settings.port`. Raises ServiceError when they cannot be had."""
        self._page = read_page()
        try:
            self._server = await serve(
                self._attend,
                self._settings.host,
                self._settings.port,
                process_request=self._answer,
                create_connection=_kept_in(self._connections),
                compression=None,  # messages are small: it would cost more than it saves
                max_size=CLIENT_BYTES,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=CLOSE_S,
            )
        except OSError as error:
            raise ServiceError(_why_not(self._settings, error)) from error
        host, port = self._server.sockets[0].getsockname()[:2]
        self._where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def address(self) -> str:
        """Where to subscribe, with the port that was really taken: `ws://127.0.0.1:8765/v1/calls`."""
        return f"ws://{self._where}{PATH}"

    @property
    def page_address(self) -> str:
        """Where a browser finds the example page: `http://127.0.0.1:8765/`."""
        return f"http://{self._where}/"

    @property
    def subscribers(self) -> int:
        """How many there are now."""
        return len(self._subscribers)

    @property
    def waiting(self) -> int:
        """Messages that wait now, over all subscribers; for each at most `settings.backlog`."""
        return sum(len(subscriber.backlog) for subscriber in self._subscribers)

    def publish(self, message: AnyMessage) -> None:
        """Queue `message` for every subscriber that it concerns. Encodes it once and never waits."""
        line = encode(message)
        call = message.call if isinstance(message, CallMessage) else None
        lasting = not isinstance(message, Reading | Gap)
        self._remember(message, line)
        for subscriber in self._subscribers:
            if call is None or subscriber.call in (None, call):
                subscriber.add(line, lasting=lasting)

    async def stop(self) -> None:
        """Send what waits, close every subscriber with code 1001 and the port: within a second, whoever hangs."""
        if self._server is None:
            return
        writing = [subscriber.finish() for subscriber in self._subscribers]
        if writing:
            await asyncio.wait(writing, timeout=FLUSH_S)
        self._server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._server.wait_closed()
        for connection in tuple(self._connections):  # stuck, or silent since before the handshake
            connection.transport.abort()
        await self._server.wait_closed()

    def _remember(self, message: AnyMessage, line: Line) -> None:
        """Keep what a late subscriber must know of each running call: its start, and each open alert by its name."""
        match message:
            case CallStarted(call=call):
                self._running[call] = {"": line}
            case AlertRaised(call=call, alert=alert) if call in self._running:
                self._running[call][alert] = line
            case AlertCleared(call=call, alert=alert) if call in self._running:
                self._running[call].pop(alert, None)
            case CallEnded(call=call):
                self._running.pop(call, None)

    def _greeting(self, call: str | None) -> Iterator[Line]:
        yield encode(self._hello())
        for name in self._running if call is None else (call,):
            yield from self._running.get(name, {}).values()

    async def _attend(self, connection: ServerConnection) -> None:
        """One subscriber, from its handshake to its end."""
        assert connection.request is not None, "the handshake is done"
        call = _wanted(connection.request.path)
        backlog = Backlog(self._settings.backlog)
        subscriber = Subscriber(connection, call, backlog, self.counters, self._stuck_s)
        greeting = tuple(self._greeting(call))  # in one step with the next line: nothing is published in between
        self._subscribers.add(subscriber)
        try:
            await subscriber.serve(greeting)
        finally:
            self._subscribers.discard(subscriber)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The plain HTTP answer to `request`; None lets it become a subscription."""
        headers = request.headers
        if reason := refusal(headers.get_all("Host"), headers.get_all("Origin")):
            self.counters.refused += 1
            logger.info("refused: %s", reason)
            return connection.respond(403, reason + "\n")
        if request.path.partition("?")[0] == "/" and self._page is not None:
            response = connection.respond(200, self._page)
            del response.headers["Content-Type"]
            response.headers.update(page_headers(self._page, headers["Host"]))
            return response
        try:
            _wanted(request.path)
        except LookupError as error:
            return connection.respond(404, f"{error}\n")
        return None


def _wanted(path: str) -> str | None:
    """The call that a subscription to `path` wants, None for all. Raises LookupError where nobody can subscribe."""
    match = re.fullmatch(rf"{PATH}(?:/([^/?]+))?(?:\?.*)?", path)
    if match is None:
        raise LookupError(f"nothing at {path[:80]!a}: subscribe to {PATH}, or to {PATH}/CALL for one call")
    return None if match[1] is None else unquote(match[1])


def _kept_in(connections: set[ServerConnection]) -> type[ServerConnection]:
    """Connections that are in `connections` while they live: the library knows them only after their handshake."""

    class KeptConnection(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            connections.add(self)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            connections.discard(self)

    return KeptConnection


def _why_not(settings: Settings, error: OSError) -> str:
    where = f"port {settings.port} on {settings.host}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is taken: another callmood may run; choose another by --port"
        case errno.EACCES:
            return f"{where} may not be opened by this user; choose one from 1024 to 65535 by --port"
        case _:
            return f"{where} cannot be opened: {error.strerror or error}; choose another by --set host=127.0.0.1"
