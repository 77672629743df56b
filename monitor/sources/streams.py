"""The seam between the websocket listener and what platforms speak over it: a `Dialect` a platform, a `Session` a connection.

A dialect belongs to a path. It decides on a request, and its session gets whatever comes; a session neither waits nor
reads: it is called on the event loop with what came and when.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from monitor.errors import CallmoodError, SettingError
from monitor.settings import StreamSettings
from monitor.sources.switchboard import Switchboard

GOING_AWAY, UNSUPPORTED_DATA, POLICY, INTERNAL_ERROR = 1001, 1003, 1008, 1011
"""Close codes (RFC 6455, 7.4.1)."""
_DEFAULT_PORTS = {"wss": "443", "https": "443", "ws": "80", "http": "80"}


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The request that wants to become a connection."""

    target: str
    """Path and query as they came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By their name in lower case; several of one name are joined by `, `."""
    peer: str = ""
    """The address that it comes from: a proxy's, where one stands before us."""
    secure: bool = False
    """Whether it came by TLS."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """Decoded; of a name that comes twice the first."""
        pairs = parse_qsl(self.target.partition("?")[2], keep_blank_values=True)
        return dict(reversed(pairs))

    @property
    def tokens(self) -> list[str]:
        """What may be a token: `Authorization: Bearer T`, `Basic` (its password), or bare; `?token=T`."""
        authorization = self.headers.get("authorization", "")
        scheme, _, rest = authorization.partition(" ")
        token = rest.strip() if scheme.lower() in ("bearer", "basic") else authorization
        if scheme.lower() == "basic":
            try:
                token = base64.b64decode(token, validate=True).decode().partition(":")[2]
            except ValueError:  # neither base64 nor text
                token = ""
        return [one for one in (token, self.query.get("token", "")) if one]

    def public_url(self, public_url: str) -> str:
        """What the peer was told to connect to: under `public_url` where that is set, else by the request itself."""
        if public_url:
            return public_url.rstrip("/") + self.target
        return f"{'wss' if self.secure else 'ws'}://{self.headers.get('host', '')}{self.target}"


class Line(Protocol):
    """What a session can do with its connection."""

    def say(self, text: str) -> None:
        """Send a text message; without effect where the connection is over."""

    def hang_up(self, code: int, reason: str) -> None:
        """Say goodbye. What still comes is passed over."""


class Session(Protocol):
    """One connection, from its acceptance to its end. Times are of the listener's monotonic clock, in seconds."""

    def text(self, data: bytes, now_s: float, /) -> None:
        """A text message, which need not be UTF-8. Raises ProtocolError for what the dialect does not know."""

    def binary(self, data: bytes, now_s: float, /) -> None:
        """A binary message. Raises ProtocolError likewise."""

    def tick(self, now_s: float, /) -> None:
        """Several times a second. Raises ProtocolError where something was waited for in vain."""

    def fail(self, error: CallmoodError, now_s: float, /) -> None:
        """Something is wrong with what came (or `error` is a fault of ours): end the call with it, and the connection."""

    def leave(self, now_s: float, /) -> None:
        """We end: end the call as `stopped`, and the connection as the dialect has it."""

    def gone(self, why: str, now_s: float, /) -> None:
        """The connection is over; `why` in words, or empty where the peer closed it in order. May come at any time."""


class Dialect(Protocol):
    """What one kind of platform speaks."""

    table: str
    """Of its settings; names it in log lines."""
    path: str
    """Requests to which belong to it, with any query."""
    guarded: bool
    """Whether it lets nobody in without credentials."""
    subprotocol: str | None
    """Of the websocket, chosen where it is offered."""

    def open(self, upgrade: Upgrade, line: Line, switchboard: Switchboard, now_s: float) -> Session:
        """The session of a new connection. Raises AccessError where it may not be, RequestError where it cannot be."""


def check_streams(settings: StreamSettings, dialects: Sequence[Dialect], only_here: bool) -> None:
    """Raises SettingError for what cannot be, or would let others in. `only_here`: nobody else can reach the host."""
    if not dialects:
        raise SettingError("no source of websocket calls is switched on")
    for dialect in dialects:
        if not dialect.path.startswith("/") or set(dialect.path) & set("?# "):
            raise SettingError(f'{dialect.table}.path must be a path, got {dialect.path!r}: such as "/{dialect.table}"')
        others = [one for one in dialects if one is not dialect and one.path == dialect.path]
        if others:
            raise SettingError(f"{dialect.table}.path and {others[0].table}.path are both {dialect.path}: change one")
        if not dialect.guarded and (not only_here or settings.public_url):
            where = settings.public_url or f"streams.host {settings.host}"
            cure = "see its settings of secrets in `callmood config`"
            raise SettingError(f"{where} can be reached by others, but {dialect.table} asks for no credentials: {cure}")
    if settings.public_url:
        check_public_url(settings.public_url)


def check_public_url(url: str) -> None:
    """Raises SettingError where streams.public_url could not be what a platform is told."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("wss", "ws", "https", "http") and parts.hostname and (parts.port or True)
    except ValueError:
        known = None
    if not known or parts.query or parts.fragment or parts.username:
        raise SettingError(f"streams.public_url must be like wss://calls.example.com, got {url!r}")


def authorities(authority: str, scheme: str) -> Iterable[str]:
    """The ways in which an authority (`host:port`) is written: as it is, without its scheme's own port, and with it."""
    port = _DEFAULT_PORTS.get(scheme, "443")
    host, colon, given = authority.rpartition(":")
    bare = host if colon and given == port else authority
    has_port = bool(colon) and given.isdecimal()
    return dict.fromkeys((authority, bare, f"{bare}:{port}" if bare != authority or not has_port else authority))
