"""What the tests of the websocket share: messages, a running service, and clients that read, hang or go."""

import asyncio
import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from monitor.broadcast import Broadcaster
from monitor.greeting import Greeting, Hole
from monitor.handshake import Ties
from monitor.memory import Told
from monitor.messages import (
    Acknowledge,
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    AnyMessage,
    CallEnded,
    CallStarted,
    Hello,
    PartyInfo,
    Reading,
    decode,
)
from monitor.settings import Settings
from monitor.tokens import Tokens

AT = "2026-01-31T12:00:00.250Z"
TOKENS = Tokens(b"a secret of this test, 32 bytes or more", "HS256", "callmood")


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on an event loop of its own, for a minute at most."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


@asynccontextmanager
async def broadcasting(
    *,
    tokens: Tokens | None = None,
    ties: dict[str, Any] | None = None,
    stuck_s: float = 30.0,
    identities: Any = None,
    epoch: str = "",
    **settings: Any,
) -> AsyncIterator[Broadcaster]:
    """A service on a free port; acknowledgements come back as the pipeline would send them, after seq 1000."""
    acknowledged: list[Acknowledge] = []

    def acknowledge(said: Acknowledge) -> None:
        acknowledged.append(said)
        asyncio.get_running_loop().call_soon(broadcaster.publish, acknowledgement(1000 + len(acknowledged), said))

    broadcaster = Broadcaster(
        Settings(**({"port": 0} | settings)),
        Ties(hello, **({"acknowledge": acknowledge} | (ties or {}))),
        tokens=tokens,
        stuck_s=stuck_s,
        identities=identities,
        epoch=epoch,
    )
    await broadcaster.start()
    try:
        yield broadcaster
    finally:
        await broadcaster.stop()


def told_in(greeting: Greeting) -> list[Told]:
    return [line for line in greeting.lines if isinstance(line, Told)]


def holes_in(greeting: Greeting) -> list[Hole]:
    return [line for line in greeting.lines if isinstance(line, Hole)]


def acknowledgement(seq: int, said: Acknowledge) -> AlertAcknowledged:
    return AlertAcknowledged(at=AT, call=said.call, seq=seq, alert=said.alert, party="customer", by=said.by)


@asynccontextmanager
async def connected(
    broadcaster: Broadcaster, path: str = "/v1/calls", token: str | None = None, **options: Any
) -> AsyncIterator[ClientConnection]:
    """A client that has done its handshake."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    address = broadcaster.address.removesuffix("/v1/calls") + path
    async with connect(address, proxy=None, additional_headers=headers, **options) as client:
        yield client


@asynccontextmanager
async def subscribed(
    broadcaster: Broadcaster, path: str = "/v1/calls", **options: Any
) -> AsyncIterator[ClientConnection]:
    """A client that has had its hello: from here on it hears everything."""
    async with connected(broadcaster, path, **options) as client:
        assert isinstance(await received(client), Hello)
        yield client


@asynccontextmanager
async def stuck(broadcaster: Broadcaster) -> AsyncIterator[ClientConnection]:
    """A subscriber that has connected and reads nothing until it is asked to."""
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    end.connect(address_of(broadcaster))
    before = broadcaster.subscribers
    client = await connect(broadcaster.address, proxy=None, sock=end, max_queue=1, ping_interval=None)
    await until(lambda: broadcaster.subscribers == before + 1)
    try:
        yield client
    finally:
        client.transport.abort()
        await client.wait_closed()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go on until something holds: for what tells of itself by no event."""
    while not holds():
        await asyncio.sleep(0.001)


async def received(client: ClientConnection) -> AnyMessage:
    return decode(await client.recv())


async def seqs(client: ClientConnection, count: int) -> list[int]:
    return [(await received(client)).seq for _ in range(count)]  # type: ignore[union-attr]


async def goodbye(client: ClientConnection) -> tuple[int, str]:
    """Code and reason with which the server closes `client`, whatever it sends before."""
    with suppress(ConnectionClosed):
        while True:
            await client.recv()
    return client.close_code or 0, client.close_reason or ""


async def everything(client: ClientConnection) -> list[AnyMessage]:
    """All messages up to the end of the call."""
    got: list[AnyMessage] = []
    while not (got and isinstance(got[-1], CallEnded)):
        got.append(await received(client))
    return got


def address_of(broadcaster: Broadcaster) -> tuple[str, int]:
    host, _, port = broadcaster.page_address.partition("//")[2].rstrip("/").rpartition(":")
    return host.strip("[]"), int(port)


async def opened(broadcaster: Broadcaster) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*address_of(broadcaster))


async def fetched(
    broadcaster: Broadcaster, path: str, host: str = "localhost", token: str | None = None
) -> tuple[int, str, str]:
    """Status, headers (names in lower case) and body of a plain GET."""
    reader, writer = await opened(broadcaster)
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    status, _, headers = head.partition("\r\n")
    lines = (line.partition(":") for line in headers.splitlines())
    return int(status.split()[1]), "\n".join(f"{name.lower()}:{value}" for name, _, value in lines), body


def hello() -> Hello:
    return Hello(at=AT, node="test", model="tiny 1", window_s=3.0, hop_s=0.5)


def started(call: str = "a", agent: str | None = None, scored: tuple[str, ...] = ("customer",)) -> CallStarted:
    parties = {party: PartyInfo(channel=i, scored=party in scored) for i, party in enumerate(("agent", "customer"))}
    return CallStarted(at=AT, call=call, seq=1, source="recording", path=None, agent=agent, parties=parties)  # type: ignore[arg-type]


def reading(seq: int, call: str = "a", **changes: Any) -> Reading:
    fields: dict[str, Any] = {
        "party": "customer",
        "start_s": seq / 2,
        "end_s": seq / 2 + 3,
        "state": "speech",
        "label": "neutral",
        "mood": "calm",
        "confidence": 0.8,
        "scores": None,
        "speech_share": 0.9,
        "level_db": -30.0,
        "latency_ms": 12.0,
    }
    return Reading(at=AT, call=call, seq=seq, **(fields | changes))


def raised(seq: int, call: str = "a", alert: str = "a:1", party: str = "customer") -> AlertRaised:
    return AlertRaised(**_alert(seq, call, alert, party))


def cleared(seq: int, call: str = "a", alert: str = "a:1", party: str = "customer") -> AlertCleared:
    return AlertCleared(**_alert(seq, call, alert, party))


def _alert(seq: int, call: str, alert: str, party: str) -> dict[str, Any]:
    alert_itself = {"alert": alert, "rule": "sustained_anger", "severity": "critical", "party": party}
    return {"at": AT, "call": call, "seq": seq, "start_s": 9.0, "at_s": 12.0, "evidence": [3]} | alert_itself


def ended(seq: int, call: str = "a", **changes: Any) -> CallEnded:
    fields: dict[str, Any] = {"duration_s": 9.0, "reason": "end", "outcome": "calm", "shares": {}}
    return CallEnded(at=AT, call=call, seq=seq, **(fields | changes))
