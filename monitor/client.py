"""A subscriber that comes back by itself: every message of the contract, decoded, nothing twice and no hole.

    async with Client("ws://127.0.0.1:8765/v1/calls") as events:
        async for event in events:
            match event:
                case Reading(): ...
                case Lost(): ...

Each connection begins with `Hello`. `Lost` says that it is gone and when the next try is. The iteration ends when the one call
that was subscribed to has ended; it raises AccessError or RequestError where the server refuses for good (after the first
hello, an expired token from a file or function is no such case: the next one is waited for), and
ServiceError where the address cannot be right. Messages are read as they are asked for: whoever is slow is told by `Missed`
what that cost, and nothing piles up here. `docs/contract.md` says how it all works on the wire.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from monitor import __version__
from monitor.address import Address
from monitor.bearer import TokenSource, read_token
from monitor.errors import AccessError, CallmoodError, RequestError, ServiceError, SettingError
from monitor.messages import (
    Acknowledge,
    AnyMessage,
    ClientMessage,
    Hello,
    Missed,
    NewToken,
    Resume,
    TokenAccepted,
    decode,
    rfc3339,
)
from monitor.position import Position
from monitor.refusals import LostError, closed, not_admitted, unreachable
from monitor.waits import Timing, Waits

OPEN_S = 10.0
"""How long a connection may take to open, and then to say `hello`."""
CLOSE_S = 1.0
"""How long one closing handshake may take."""
RENEW_S, LOOK_S = 60.0, 5.0
"""So long before a token expires another is asked for, and then so often, until there is one."""
SILENT_BEATS = 3
"""A connection on which nothing came for so many heartbeats is dead."""
RESUME_BYTES = 131_072
"""The server takes no longer message."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone. The next try comes by itself."""

    reason: str
    retry_s: float
    """From now until the next try."""


Event = AnyMessage | Lost


class Client:
    """One subscription, over as many connections as it takes. An asynchronous context manager and iterator of events."""

    def __init__(
        self,
        address: str | Address,
        token: TokenSource | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        timing: Timing | None = None,
    ) -> None:
        """`address` as `Address.parse` takes it. `token`: itself, or a file or function that is read anew at every connection
        and before its token expires. `tls`: for `wss`, default: this machine's authorities. Raises RequestError, AccessError.
        """
        self.address = Address.parse(address) if isinstance(address, str) else address
        if token is not None and not self.address.private:
            cure = "connect with wss:// or https://"
            raise AccessError(f"a token may not go to {self.address.server} where others can read it: {cure}", 403)
        self._source, self._tls, self._timing = token, tls, timing or Timing()
        self._position = Position()
        self._token: str | None = None
        self._connection: ClientConnection | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._silence_s: float | None = OPEN_S
        self._greeted = self._ever_greeted = False
        self._waits = Waits(self._timing.chance)
        self._events = self._follow()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._events.aclose()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def acknowledge(self, call: str, alert: str, by: str = "") -> None:
        """Tell everybody that `by` (empty: the token's subject) looks after an open alert.

        The answer comes among the events: `AlertAcknowledged`, or an `Error`. Raises ServiceError while not connected.
        """
        await self._say(Acknowledge(call=call, alert=alert, by=by))

    async def _follow(self) -> AsyncGenerator[Event, None]:
        while True:
            try:
                await self._open()
                while (message := await self._next()) is not None:
                    yield message
                return
            except LostError as lost:
                reason = str(lost)
            except AccessError as refusal:
                if not (refusal.status == 401 and self._ever_greeted and self._renewable):
                    raise
                reason = str(refusal)  # whoever renews the token may be late: it is looked for at every try
            except RequestError as refusal:
                if refusal.status != 400 or self._position.epoch is None:
                    raise
                self._position.forget()
                reason = str(refusal)
                yield Missed(at=rfc3339(time.time()), count=0, reason=reason)
            finally:
                await self._leave()
            retry_s = self._waits.next_s()
            yield Lost(reason, retry_s)
            await self._timing.sleep(retry_s)

    async def _open(self) -> None:
        """Connect, and say where to go on from. Raises LostError, ServiceError, AccessError, RequestError."""
        address, position = self.address, self._position
        named = position.named(self._timing.now())
        resume = msgspec.json.encode(Resume(after=named, begun=position.begun if address.all_calls else msgspec.UNSET))
        if address.call is None and len(resume) > RESUME_BYTES:
            raise RequestError(f"{len(named)} calls are more than a resume can name: this begins anew", 400)
        try:
            self._token = await read_token(self._source)
            self._connection = await connect(
                address.after(position.epoch, named.get(address.call or "", 0)),
                additional_headers={"Authorization": f"Bearer {self._token}"} if self._token else None,
                ssl=(self._tls or True) if address.secure else None,
                proxy=None,  # calls stay in the house
                compression=None,
                ping_interval=None,  # the server sends heartbeats
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                user_agent_header=f"callmood/{__version__}",
            )
            if position.epoch is not None and address.call is None:
                await self._connection.send(resume, text=True)
        except InvalidStatus as error:
            raise not_admitted(error, address) from error
        except ConnectionClosed as error:
            raise LostError("the connection broke") from error
        except CallmoodError as error:  # there is no token just now
            raise LostError(str(error)) if self._ever_greeted else error from None
        except (OSError, InvalidHandshake) as error:  # TimeoutError is an OSError
            raise unreachable(error, address, first=not self._ever_greeted) from error

    async def _next(self) -> AnyMessage | None:
        """The next message that says anything new; None when the one call has ended."""
        assert self._connection is not None, "it was opened"
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    text = await self._connection.recv()
            except TimeoutError:
                self._connection.transport.abort()
                raise LostError(f"nothing came for {self._silence_s:g} s") from None
            except ConnectionClosed as end:
                if (reason := closed(end, self.address)) is not None:
                    raise reason from None
                return None
            message = _decoded(text)
            if not self._greeted and not isinstance(message, Hello):
                raise LostError(f"no hello came from {self.address.server}: expected a callmood server of contract v1")
            if message is not None and self._position.take(message, self._timing.now()):
                self._heed(message)
                return message

    def _heed(self, message: AnyMessage) -> None:
        """What a message means for this connection."""
        match message:
            case Hello():
                self._greeted = self._ever_greeted = True
                self._waits.begin_anew()
                self._silence_s = SILENT_BEATS * message.heartbeat_s if message.heartbeat_s else None
                self._renew_before(message.at, message.expires_at)
            case TokenAccepted():
                self._renew_before(message.at, message.expires_at)

    def _renew_before(self, at: str, expires_at: str | None) -> None:
        """Have the token renewed before `expires_at`; both times are of the server's clock."""
        if self._renewal is not None:
            self._renewal.cancel()
        if expires_at is None or not self._renewable:
            return
        with suppress(ValueError):
            left_s = (datetime.fromisoformat(expires_at) - datetime.fromisoformat(at)).total_seconds()
            self._renewal = asyncio.get_running_loop().create_task(self._renew(self._timing.now() + left_s))

    async def _renew(self, expires_s: float) -> None:
        while (left_s := expires_s - self._timing.now()) > 0:
            await self._timing.sleep(max(left_s - RENEW_S, min(left_s / 2, LOOK_S), 0.05))
            with suppress(CallmoodError):  # no token just now: there is time to look again
                if await self._another_token():
                    await self._say(NewToken(token=self._token or ""))
                    return

    @property
    def _renewable(self) -> bool:
        """Whether the source of the token may have another one later."""
        return self._source is not None and not isinstance(self._source, str)

    async def _another_token(self) -> bool:
        """Whether there is another token than the one that was used last; from now on it is that one."""
        before, self._token = self._token, await read_token(self._source)
        return self._token != before

    async def _say(self, message: ClientMessage) -> None:
        try:
            if self._connection is not None and self._greeted:
                await self._connection.send(msgspec.json.encode(message), text=True)
                return
        except ConnectionClosed:
            pass
        raise ServiceError(f"not connected to {self.address.server}: try again after the next hello")

    async def _leave(self) -> None:
        """The connection has no further use."""
        self._greeted, self._silence_s = False, OPEN_S
        if self._renewal is not None:
            self._renewal.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()


def trusting(authority: Path) -> ssl.SSLContext:
    """TLS that trusts servers with a certificate of `authority`, a PEM file, and no others. Raises SettingError."""
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:  # ssl.SSLError is one
        why = getattr(error, "reason", None) or error.strerror or str(error)
        raise SettingError(f"{authority}: no certificates ({why}): expected PEM, -----BEGIN CERTIFICATE-----") from None


def _decoded(text: str | bytes) -> AnyMessage | None:
    """The message; None for one of a type, or with a value, that this version does not know."""
    try:
        return decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        logger.debug("a message is passed over: %s", error)
        return None
