"""What becomes of a request before it is a subscription: a plain HTTP answer, a refusal, or a topic and what is granted."""

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from monitor.access import SUBPROTOCOL, bearer, check_front, is_loopback
from monitor.errors import AccessError, RequestError
from monitor.history.earlier import Past
from monitor.identities import Identities
from monitor.messages import Acknowledge, Hello
from monitor.page import page_headers
from monitor.schema import schema_json
from monitor.settings import Settings
from monitor.subscriber import Counters
from monitor.subscription import Subscription, Topic, parse_subscription
from monitor.tokens import EVERYTHING, Grant, Tokens

FAILED_S = 1.0
"""How long the answer to a wrong token takes."""
SPARE_CONNECTIONS = 64
"""Over the limit, so many are still told so; further ones are cut off."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ties:
    """What the service needs from its node; each is called on the event loop and returns at once."""

    hello: Callable[[], Hello]
    acknowledge: Callable[[Acknowledge], None] = lambda _: None
    """Somebody who may do so looks after an alert that is open."""
    unready: Callable[[], str] = lambda: ""
    """Why no further call should come to this node; empty when one may."""
    metrics: Callable[[], bytes] = lambda: b""
    """In Prometheus' text format."""
    past: Callable[[str, Topic, Mapping[str, int]], Past | None] = lambda *_: None
    """An earlier run, by its epoch, as far as a subscriber of a topic missed it, who says what it heard. This one may take a
    while, and is called in a thread."""


class Connection(ServerConnection):
    """A connection, and what its handshake decided."""

    subscription: Subscription
    wanted: Topic
    """The subscription's topic as it was asked for; an agent's id in `subscription` is as messages show it."""
    grant: Grant | None = None
    """None before its admission."""
    refusal: AccessError | RequestError | None = None
    """Why it is closed right after its handshake: a page cannot see the HTTP status of a failed one."""

    @property
    def peer(self) -> str:
        """The address that it comes from."""
        address = self.remote_address
        return str(address[0]) if address else ""


class Door:
    """Everything that is decided about a request. It belongs to the service's event loop."""

    def __init__(self, settings: Settings, ties: Ties, counters: Counters, identities: Identities) -> None:
        self.connections: set[Connection] = set()
        """All that stand, from before their handshake."""
        self.tokens: Tokens | None = None
        """None: everybody on this machine may hear everything."""
        self.page: str | None = None
        self.ties, self.counters = ties, counters
        self._of_token: Counter[str] = Counter()
        self._of_peer: Counter[str] = Counter()
        self._settings, self._identities = settings, identities

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The plain HTTP answer to `request`; None lets it become a subscription, or a refused one that is closed."""
        assert isinstance(connection, Connection), "the factory makes these"
        try:
            self._check_limits(connection)
            headers = request.headers
            check_front(
                headers.get_all("Host"), headers.get_all("Origin"), self._settings.origins, self.tokens is not None
            )
            plain = await self._plain(connection, request)
            if plain is None:
                await self._admit(connection, request)
            return plain
        except (AccessError, RequestError) as refusal:
            return await self._refuse(connection, request, refusal)

    async def grant(self, token: str | None) -> Grant:
        """What `token` allows. Raises AccessError, for a wrong one after a while."""
        if self.tokens is None:
            return EVERYTHING
        if token is None:
            text = "no token: send Authorization: Bearer TOKEN, or the subprotocols callmood.v1, bearer.TOKEN"
            raise AccessError(text, 401, "no_token")
        try:
            return self.tokens.grant(token)
        except AccessError:
            await asyncio.sleep(FAILED_S)
            raise

    def hold(self, connection: Connection, grant: Grant) -> None:
        """From now on `connection` has this grant. Raises AccessError (429) where its token has all that it may have."""
        most = self._settings.max_connections_per_token
        held = connection.grant
        if grant.token and grant.token != (held.token if held else "") and self._of_token[grant.token] >= most:
            raise AccessError(f"this token has {most} connections, and may have no more", 429, "limit")
        self._of_token[grant.token] += 1
        self._release(connection)
        connection.grant = grant

    def came(self, connection: Connection) -> None:
        """A connection stands. Far more than there may be are cut off without a word."""
        self.connections.add(connection)
        peer = connection.peer
        self._of_peer[peer] += 1
        too_many = self._of_peer[peer] > self._settings.max_connections_per_address + SPARE_CONNECTIONS
        if len(self.connections) > self._settings.max_connections + SPARE_CONNECTIONS or (
            too_many and not is_loopback(peer)
        ):
            self.counters.refused["limit"] += 1
            connection.transport.abort()

    def went(self, connection: Connection, peer: str) -> None:
        """It is gone."""
        self.connections.discard(connection)
        self._of_peer -= Counter({peer: 1})
        self._release(connection)
        if connection.request is None:
            self.counters.refused["handshake"] += 1

    def _release(self, connection: Connection) -> None:
        if connection.grant is not None:
            self._of_token -= Counter({connection.grant.token: 1})

    def _check_limits(self, connection: Connection) -> None:
        settings = self._settings
        if len(self.connections) > settings.max_connections:
            text = f"{settings.max_connections} connections stand: see max_connections, or try again later"
            raise AccessError(text, 503, "limit")
        most = settings.max_connections_per_address
        if self._of_peer[connection.peer] > most and not is_loopback(connection.peer):
            raise AccessError(f"{most} connections come from {connection.peer}: close some", 429, "limit")

    async def _admit(self, connection: Connection, request: Request) -> None:
        subscription = parse_subscription(request.path)
        topic = subscription.topic
        grant = await self._granted(request)
        if not grant.hears(topic):
            raise AccessError(f"the token does not reach {str(topic)[:60]!a}", 403, "scope")
        self.hold(connection, grant)
        if topic.kind == "agent":
            shown = Topic("agent", self._identities.shown(topic.name))
            subscription = dataclasses.replace(subscription, topic=shown)
        connection.subscription, connection.wanted = subscription, topic

    async def _granted(self, request: Request) -> Grant:
        return await self.grant(bearer(request.headers.get_all("Authorization"), _offered(request)))

    async def _plain(self, connection: Connection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/" and self.page is not None:
            return _response(connection, self.page, page_headers(self.page, request.headers["Host"]))
        if path == "/healthz":
            return connection.respond(200, "ok\n")
        if path == "/readyz":
            why = self.ties.unready()
            return connection.respond(503 if why else 200, f"{why or 'ready'}\n")
        if path == "/v1/schema.json":
            return _response(connection, schema_json(), {"Content-Type": "application/schema+json"})
        if path == "/metrics":
            if not (await self._granted(request)).reads_metrics:
                raise AccessError("the token lacks the scope metrics", 403, "scope")
            kind = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
            return _response(connection, self.ties.metrics().decode(), kind)
        return None

    async def _refuse(
        self, connection: Connection, request: Request, refusal: AccessError | RequestError
    ) -> Response | None:
        self.counters.refused[refusal.reason] += 1
        logger.log(
            logging.WARNING if refusal.reason == "token" else logging.INFO,
            "%s is refused: %s",
            connection.peer,
            refusal,
        )
        upgrade = "websocket" in request.headers.get("Upgrade", "").lower()
        if upgrade and SUBPROTOCOL in _offered(request) and refusal.reason not in ("host", "origin"):
            connection.refusal = refusal
            return None
        response = connection.respond(refusal.status, f"{refusal}\n")
        if refusal.status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="callmood"'
        return response


def kept_by(door: Door) -> type[Connection]:
    """Connections that the door knows while they live: the library knows them only after their handshake."""

    class KeptConnection(Connection):
        _peer = ""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self._peer = self.peer
            door.came(self)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            door.went(self, self._peer)

    return KeptConnection


def select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """`callmood.v1` where it is offered; programs may offer nothing."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


def _offered(request: Request) -> list[str]:
    lines = request.headers.get_all("Sec-WebSocket-Protocol")
    return [name.strip() for line in lines for name in line.split(",")]


def _response(connection: Connection, body: str, headers: dict[str, str]) -> Response:
    response = connection.respond(200, body)
    del response.headers["Content-Type"]
    response.headers.update(headers)
    return response
