"""The client of the package against real services over loopback, through cuts, restarts and refusals."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from websockets.asyncio.server import ServerConnection, serve

from monitor.broadcast import Broadcaster
from monitor.client import Client, Event, Lost, trusting
from monitor.errors import AccessError, CallmoodError, RequestError, ServiceError, SettingError
from monitor.greeting import RESTARTED, TOO_OLD
from monitor.messages import (
    AlertAcknowledged,
    AlertRaised,
    AnyMessage,
    CallEnded,
    CallMessage,
    CallStarted,
    Error,
    Heartbeat,
    Hello,
    Missed,
    TokenAccepted,
    encode,
    rfc3339,
)
from monitor.waits import Timing
from tests.broadcasting import (
    AT,
    TOKENS,
    address_of,
    broadcasting,
    cleared,
    ended,
    hello,
    on_a_loop,
    raised,
    reading,
    started,
    until,
)
from tests.free_ports import free_port
from tests.test_access import make_certificate


class Waits:
    """Waits pass at once, and are noted."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.timing = Timing(sleep=self.sleep, chance=lambda: 0.5)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def client(broadcaster: Broadcaster, path: str = "/v1/calls", token: Any = None, **options: Any) -> Client:
    options = {"timing": Waits().timing} | options
    return Client(broadcaster.address.removesuffix("/v1/calls") + path, token, **options)


async def taken(events: Client, last: AnyMessage | type) -> list[Event]:
    """What comes up to `last`, a message or a type of events; without heartbeats."""
    got: list[Event] = []
    async for event in events:
        if not isinstance(event, Heartbeat):
            got.append(event)
        if event == last or (isinstance(last, type) and isinstance(event, last)):
            return got
    raise AssertionError(f"{last} never came: {got}")


class Wire:
    """A relay between client and service that can be cut."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self.cuts = 0
        self.swallows = False
        """Whether it takes everything and hands on nothing."""

    @asynccontextmanager
    async def up(self) -> AsyncIterator[str]:
        """Its address, while it works."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server:
            yield f"ws://{host}:{port}"
            self.cut()

    def cut(self) -> None:
        self.cuts += bool(self._writers)
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._writers |= {writer, back}
        await asyncio.gather(self._carry(reader, back), self._carry(there, writer))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(97):  # small pieces: a cut falls into the middle of frames
                if not self.swallows:
                    target.write(data)
                    await target.drain()
        target.transport.abort()


@on_a_loop
async def test_a_call_is_heard_from_hello_to_its_end_and_then_the_iteration_ends() -> None:
    async with broadcasting() as broadcaster:
        broadcaster.publish(started())
        async with client(broadcaster, "/v1/calls/a") as events:
            assert await anext(aiter(events)) == hello_of(broadcaster, {"a": 1})
            for message in (raised(2), reading(3), cleared(4), ended(5)):
                broadcaster.publish(message)
            assert [event async for event in events] == [started(), raised(2), reading(3), cleared(4), ended(5)]


def hello_of(broadcaster: Broadcaster, after: dict[str, int]) -> Hello:
    return replace(hello(), epoch=broadcaster.epoch, after=after, heartbeat_s=10.0)


@pytest.mark.parametrize("path", ["/v1/calls", "/v1/calls/a", "/v1/agents/4711"])
@pytest.mark.parametrize("seed", [1, 2, 3])
@on_a_loop
async def test_however_often_the_network_is_cut_nothing_comes_twice_and_nothing_is_missing(
    path: str, seed: int
) -> None:
    dice, calls = random.Random(seed), ("a", "b", "c")
    of_topic = calls[:1] if path.endswith("/a") else calls
    async with broadcasting(show_identities=True) as broadcaster:
        wire = Wire(address_of(broadcaster))
        for call in calls:
            broadcaster.publish(started(call, "4711"))

        async def talk() -> None:
            for seq in range(2, 200):
                for call in calls:
                    kind = raised if seq % 50 == 0 else reading
                    broadcaster.publish(kind(seq, call))
                if dice.random() < 0.1:
                    wire.cut()
                await asyncio.sleep(0.001 if dice.random() < 0.5 else 0)
            await until(lambda: broadcaster.subscribers == 1)
            for call in reversed(calls):
                broadcaster.publish(ended(200, call))

        async with wire.up() as address, Client(address + path, timing=Waits().timing) as events:
            telling: asyncio.Task[None] | None = None
            got: dict[str, list[int]] = {call: [] for call in of_topic}
            async for event in events:
                assert not isinstance(event, Missed), event
                if isinstance(event, Hello):
                    telling = telling or asyncio.create_task(talk())
                elif isinstance(event, CallMessage):
                    got[event.call].append(event.seq)
                    if event == ended(200, "a"):
                        break
            assert telling is not None
            await telling
        assert got == {call: list(range(1, 201)) for call in of_topic}
        assert wire.cuts > 5


@on_a_loop
async def test_of_calls_that_came_and_went_meanwhile_all_is_told_or_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("monitor.memory.READINGS_KEPT_S", 0.0)
    async with broadcasting() as broadcaster:
        wire = Wire(address_of(broadcaster))
        broadcaster.publish(started("long"))
        got: list[Event] = []
        async with wire.up() as address, Client(address, timing=Waits().timing) as events:
            await taken(events, started("long"))
            for number, call in enumerate("abc", start=2):
                wire.cut()
                await until(lambda: broadcaster.subscribers == 0)
                for message in (started(call), reading(2, call), raised(3, call), reading(4, call), ended(5, call)):
                    broadcaster.publish(message)
                broadcaster.publish(reading(number, "long"))
                got += await taken(events, reading(number, "long"))
        for call in "abc":
            of_call = [event for event in got if isinstance(event, CallMessage | Missed) and event.call == call]
            assert [(type(event), event.seq) for event in of_call] == [
                (CallStarted, 1),
                (Missed, 2),
                (AlertRaised, 3),
                (Missed, 4),
                (CallEnded, 5),
            ]


@on_a_loop
async def test_what_the_service_no_longer_keeps_is_counted() -> None:
    async with broadcasting(resume=16) as broadcaster:
        wire = Wire(address_of(broadcaster))
        broadcaster.publish(started())
        async with wire.up() as address, Client(address, timing=Waits().timing) as events:
            await taken(events, started())
            broadcaster.publish(reading(2))
            await taken(events, reading(2))
            wire.cut()
            for seq in range(3, 103):
                broadcaster.publish(reading(seq))
            got = await taken(events, reading(102))
        missed = [event for event in got if isinstance(event, Missed)]
        assert [(one.call, one.count, one.reason) for one in missed] == [("a", 84, TOO_OLD)]
        assert [event.seq for event in got if isinstance(event, CallMessage)] == list(range(87, 103))


@on_a_loop
async def test_a_greeting_that_is_cut_short_is_told_again_without_doubles() -> None:
    async with serving_lines(
        [greeting_of("run", {"a": 5, "b": 2}), started("a")],
        [greeting_of("run", {"a": 6, "b": 2}), started("a"), raised(2, "a"), started("b"), reading(2, "b")],
    ) as service:
        async with Client(service.address, timing=Waits().timing) as events:
            got = await taken(events, reading(2, "b"))
        assert [event for event in got if isinstance(event, CallMessage)] == [
            started("a"),
            raised(2, "a"),
            started("b"),
            reading(2, "b"),
        ]
        assert service.asked == [
            ("/v1/calls", None),
            ("/v1/calls?after=run", '{"type":"resume","after":{"a":0,"b":0},"begun":0}'),
        ]


@on_a_loop
async def test_who_follows_an_agent_counts_no_calls() -> None:
    async with serving_lines(
        [greeting_of("run", {"a": 5}), reading(6, "a")], [greeting_of("run", {"a": 7}), reading(7, "a")]
    ) as service:
        async with Client(service.address.replace("calls", "agents/4711"), timing=Waits().timing) as events:
            await taken(events, reading(7, "a"))
        assert service.asked[1] == ("/v1/agents/4711?after=run", '{"type":"resume","after":{"a":6}}')


@on_a_loop
async def test_after_a_restart_of_the_service_the_client_is_greeted_anew() -> None:
    async with broadcasting() as broadcaster:
        port = address_of(broadcaster)[1]
        events = client(broadcaster)
        broadcaster.publish(started("old"))
        await taken(events, started("old"))
        await broadcaster.stop()
        lost = await anext(aiter(events))
        assert lost == Lost("the server closed the connection", 1.0)
    async with broadcasting(port=port) as broadcaster, events:
        broadcaster.publish(started("new"))
        got = await taken(events, started("new"))
        assert [type(event) for event in got if not isinstance(event, Lost)] == [Hello, Missed, type(started())]
        assert next((m.call, m.count, m.reason) for m in got if isinstance(m, Missed)) == (None, 0, RESTARTED)


@on_a_loop
async def test_waits_double_up_to_half_a_minute_are_varied_by_a_fifth_and_begin_anew_after_a_hello() -> None:
    port = free_port()
    for chance, factor in ((0.0, 0.8), (0.5, 1.0), (1.0, 1.2)):
        waits = Waits()
        timing = Timing(sleep=waits.sleep, chance=lambda chance=chance: chance)
        async with Client(f"ws://127.0.0.1:{port}", timing=timing) as events:
            lost = [await anext(aiter(events)) for _ in range(8)]
        expected = [factor * wait_s for wait_s in (1, 2, 4, 8, 16, 30, 30, 30)]
        assert [one.retry_s for one in lost] == pytest.approx(expected)  # type: ignore[union-attr]
        assert waits.slept == pytest.approx(expected[:-1])
    why = f"127.0.0.1:{port} cannot be reached (connection refused): expected a running callmood there"
    assert {one.reason for one in lost} == {why}  # type: ignore[union-attr]
    async with (
        serving_lines([], [greeting_of("x", {})], [], []) as service,
        Client(service.address, timing=Waits().timing) as events,
    ):
        waits_s = [event.retry_s for event in [await anext(aiter(events)) for _ in range(5)] if isinstance(event, Lost)]
    assert waits_s == [1.0, 1.0, 2.0, 4.0]


@on_a_loop
async def test_a_connection_on_which_nothing_comes_for_three_heartbeats_is_dead() -> None:
    async with broadcasting(heartbeat_s=0.5) as broadcaster:
        wire = Wire(address_of(broadcaster))
        async with wire.up() as address, Client(address, timing=Waits().timing) as events:
            assert isinstance(await anext(aiter(events)), Hello)
            assert isinstance(await anext(aiter(events)), Heartbeat), "while they come it lives"
            wire.swallows = True
            assert (await taken(events, Lost))[-1] == Lost("nothing came for 1.5 s", 1.0)
            wire.swallows = False
            assert isinstance(await anext(aiter(events)), Hello)


@on_a_loop
async def test_a_slow_consumer_piles_nothing_up_here_and_is_told_what_it_missed() -> None:
    async with broadcasting(backlog=16) as broadcaster, client(broadcaster) as events:
        await anext(aiter(events))
        broadcaster.publish(started())
        seq = 1
        while not broadcaster.counters.dropped:
            seq += 1
            broadcaster.publish(reading(seq, label="neutral" if seq % 2 else "happy"))
            await asyncio.sleep(0)
        broadcaster.publish(ended(seq + 1))
        got = await taken(events, ended(seq + 1))
        heard = [event.seq for event in got if isinstance(event, CallMessage)]
        assert heard == sorted(set(heard))
        assert len(heard) + sum(event.count for event in got if isinstance(event, Missed)) == seq + 1


@on_a_loop
async def test_types_and_fields_that_this_version_does_not_know_are_passed_over() -> None:
    lines = [
        greeting_of("run", {}),
        '{"type":"weather","v":1,"at":"2026-01-31T12:00:00Z","call":"a","seq":1}',
        '{"type":"error","v":1,"at":"x","code":"new","text":"t","hue":3}',
        "no json",
        b"\xff\x00",
        '{"type":"reading","seq":"one"}',
        '{"type":"error","v":1,"at":"x","code":"c","text":"t","deep":' + "[" * 100_000,
        reading(7),
    ]
    async with serving_lines(lines) as service, Client(service.address, timing=Waits().timing) as events:
        got = await taken(events, reading(7))
    assert got[1:] == [Error(at="x", code="new", text="t"), reading(7)]


@on_a_loop
async def test_a_service_that_says_no_hello_is_no_callmood() -> None:
    async with serving_lines(["welcome"]) as service, Client(service.address, timing=Waits().timing) as events:
        lost = await anext(aiter(events))
    assert lost == Lost(f"no hello came from {service.address[5:-9]}: expected a callmood server of contract v1", 1.0)


async def refusal(events: Client) -> CallmoodError:
    with suppress(StopAsyncIteration):
        try:
            async with events:
                while True:
                    await anext(aiter(events))
        except CallmoodError as error:
            return error
    raise AssertionError("it was not refused")


@on_a_loop
async def test_what_is_refused_for_good_is_not_tried_again() -> None:
    async with broadcasting(tokens=TOKENS) as broadcaster:
        of_agent = TOKENS.make(["agent:1"], 1)
        server = broadcaster.address[5:-9]
        cases: list[tuple[str, str | None, type[CallmoodError], int, str]] = [
            ("/v1/calls", None, AccessError, 401, "no token: send Authorization: Bearer TOKEN, or the subprotocols"),
            ("/v1/calls", "wrong", AccessError, 401, "the token has no form of a JSON Web Token"),
            ("/v1/calls", of_agent, AccessError, 403, "the token does not reach 'calls:*'"),
            (
                "/v1/agents/1?min_interval_s=99",
                of_agent,
                RequestError,
                400,
                "min_interval_s='99': expected seconds within",
            ),
        ]
        for path, token, kind, status, text in cases:
            waits = Waits()
            error = await refusal(client(broadcaster, path, token, timing=waits.timing))
            assert (type(error), error.status) == (kind, status)  # type: ignore[attr-defined]
            assert str(error).startswith(f"{server} refuses: {text}")
            assert waits.slept == []
        error = await refusal(client(broadcaster, "/v1/calls/none", TOKENS.make(["calls:*"], 1)))
        assert str(error).startswith(f"{server} refuses: no call 'none' is running")


@pytest.mark.parametrize(
    ("code", "kind"), [(4400, RequestError), (4401, AccessError), (4403, AccessError), (4404, RequestError)]
)
@on_a_loop
async def test_a_close_code_that_refuses_ends_it_too(code: int, kind: type[CallmoodError]) -> None:
    async with serving_lines([greeting_of("", {})], code=code, reason="no\nway\x1b[2J") as service:
        error = await refusal(Client(service.address, timing=Waits().timing))
    assert type(error) is kind
    assert str(error) == f"{service.address[5:-9]} refuses: no way�[2J"


@on_a_loop
async def test_a_resume_point_that_is_refused_costs_what_was_missed_and_no_more() -> None:
    async with (
        serving_lines([greeting_of("run", {}), started()], code=4400, reason="the future") as service,
        Client(service.address, timing=Waits().timing) as events,
    ):
        got = [await anext(aiter(events)) for _ in range(5)]
    kinds = [type(event).__name__ for event in got]
    assert kinds == ["Hello", "CallStarted", "Missed", "Lost", "Hello"]
    assert service.asked == [("/v1/calls", None), ("/v1/calls", None)]


@on_a_loop
async def test_more_calls_than_a_resume_can_name_begin_anew_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.client.RESUME_BYTES", 40)
    async with (
        serving_lines([greeting_of("run", {}), started("a call with a long name")]) as service,
        Client(service.address, timing=Waits().timing) as events,
    ):
        got = [await anext(aiter(events)) for _ in range(6)]
    assert [type(event).__name__ for event in got] == ["Hello", "CallStarted", "Lost", "Missed", "Lost", "Hello"]
    assert got[3].count == 0  # type: ignore[union-attr]
    assert got[3].reason == "1 calls are more than a resume can name: this begins anew"  # type: ignore[union-attr]
    assert service.asked == [("/v1/calls", None), ("/v1/calls", None)]


@pytest.fixture
def _on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service says what time it is."""
    monkeypatch.setattr("tests.broadcasting.hello", lambda: replace(hello(), at=rfc3339(time.time())))


@pytest.mark.usefixtures("_on_the_clock")
@on_a_loop
async def test_a_token_from_a_file_is_read_anew_and_renewed_before_it_expires(tmp_path: Path) -> None:
    file = tmp_path / "token"
    first = TOKENS.make(["calls:*"], 2 / 3600, "first")
    file.write_text(first + "\n")
    async with broadcasting(tokens=TOKENS) as broadcaster:
        events = client(broadcaster, token=file, timing=Timing(chance=lambda: 0.5))
        greeted = await anext(aiter(events))
        assert isinstance(greeted, Hello)
        file.write_text(TOKENS.make(["calls:*"], 1, "second"))
        accepted = await anext(aiter(events))
        assert isinstance(accepted, TokenAccepted)
        assert accepted.expires_at > (greeted.expires_at or "")
        broadcaster.publish(started())
        async with events:
            assert await anext(aiter(events)) == started(), "on the same connection"


@pytest.mark.usefixtures("_on_the_clock")
@on_a_loop
async def test_an_expired_token_is_not_shown_again_but_another_one_is() -> None:
    tokens = [TOKENS.make(["calls:*"], 1 / 3600), TOKENS.make(["calls:*"], 1)]
    async with broadcasting(tokens=TOKENS) as broadcaster:
        late = Late(tokens)
        async with client(broadcaster, token=late, timing=late.timing) as events:
            got = await taken(events, Lost)
            assert "the token has expired: connect with a new one" in got[-1].reason  # type: ignore[union-attr]
            assert isinstance(await anext(aiter(events)), Hello)
        error = await refusal(client(broadcaster, token=TOKENS.make(["calls:*"], 1 / 3600)))
        assert isinstance(error, AccessError)
        assert error.status == 401


class Late:
    """Gives its second token only when the first has expired; nobody asks in between."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self.timing = Timing(sleep=self._sleep)

    def __call__(self) -> str:
        return self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]

    async def _sleep(self, seconds: float) -> None:
        await (asyncio.sleep(0) if 0.8 <= seconds <= 1.2 else asyncio.Event().wait())


@on_a_loop
async def test_a_token_that_is_renewed_too_late_is_waited_for_with_longer_and_longer_waits(tmp_path: Path) -> None:
    file, waits = tmp_path / "token", Waits()
    file.write_text(TOKENS.make(["calls:*"], 1))
    async with broadcasting(tokens=TOKENS) as broadcaster:
        wire = Wire(address_of(broadcaster))
        async with wire.up() as address, Client(address, file, timing=waits.timing) as events:
            assert isinstance(await anext(aiter(events)), Hello)
            file.write_text(TOKENS.make(["calls:*"], -1))
            wire.cut()
            lost = [await anext(aiter(events)) for _ in range(3)]
            assert [(type(one), getattr(one, "retry_s", None)) for one in lost] == [
                (Lost, 1.0),
                (Lost, 2.0),
                (Lost, 4.0),
            ]
            assert "the token has expired" in lost[2].reason  # type: ignore[union-attr]
            file.write_text(TOKENS.make(["calls:*"], 1, "late"))
            assert isinstance(await anext(aiter(events)), Hello)


@on_a_loop
async def test_a_stale_token_is_refused_for_good_where_it_never_worked_or_is_fixed(tmp_path: Path) -> None:
    file, stale = tmp_path / "token", TOKENS.make(["calls:*"], -1)
    file.write_text(stale)
    async with broadcasting(tokens=TOKENS) as broadcaster:
        for source in (file, lambda: stale, stale):
            error = await refusal(client(broadcaster, token=source))
            assert isinstance(error, AccessError)
            assert error.status == 401


@on_a_loop
async def test_an_alert_is_acknowledged() -> None:
    async with broadcasting() as broadcaster, client(broadcaster) as events:
        with pytest.raises(ServiceError, match="not connected to"):
            await events.acknowledge("a", "a:1", "Kim")
        for message in (started(), raised(2)):
            broadcaster.publish(message)
        await taken(events, raised(2))
        await events.acknowledge("a", "a:1", "Kim")
        got = await anext(aiter(events))
        assert isinstance(got, AlertAcknowledged)
        assert (got.alert, got.by) == ("a:1", "Kim")
        await events.acknowledge("a", "none", "Kim")
        assert isinstance(await anext(aiter(events)), Error)


@on_a_loop
async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    settings = make_certificate(tmp_path)
    async with broadcasting(**settings) as broadcaster:
        trusted = trusting(Path(settings["tls_certificate"]))
        async with client(broadcaster, tls=trusted) as events:
            assert isinstance(await anext(aiter(events)), Hello)
        plain = Client(broadcaster.address.replace("wss:", "ws:"), timing=Waits().timing)
        async with plain as events:
            lost = await anext(aiter(events))
        assert isinstance(lost, Lost)
        assert lost.reason.endswith(": expected a callmood server, or connect with https:// where it speaks TLS")
        error = await refusal(client(broadcaster))
        assert isinstance(error, ServiceError)
        assert "its certificate is not trusted (self-signed certificate" in str(error)


@on_a_loop
async def test_addresses_and_files_that_cannot_be_right_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"a token may not go to calls.example where others can read it"):
        Client("ws://calls.example", "token")
    with pytest.raises(SettingError, match="expected PEM"):
        trusting(Path(__file__))
    with pytest.raises(SettingError, match="No such file"):
        trusting(tmp_path / "none")
    async with broadcasting() as broadcaster:
        for source, text in (
            (tmp_path / "none", "cannot read the token file: No such file or directory"),
            (Path(__file__), "expected one token, as `callmood token` prints it, got"),
            ("", "expected one token, as `callmood token` prints it, got nothing"),
        ):
            error = await refusal(client(broadcaster, token=source))
            assert isinstance(error, SettingError)
            assert text in str(error)
    error = await refusal(Client("ws://nobody.invalid", timing=Waits().timing)) if unknown("nobody.invalid") else None
    assert error is None or str(error).startswith("nobody.invalid: this machine knows no such host")


def unknown(host: str) -> bool:
    """Whether this machine says at once that there is no such host."""
    try:
        socket.getaddrinfo(host, 1)
    except socket.gaierror as error:
        return error.errno == socket.EAI_NONAME
    return False


class Script:
    """A service that says what a test wants, one list of lines a connection; it notes what it was asked."""

    address: str

    def __init__(self, code: int, reason: str, lines: tuple[list[Any], ...]) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._lines, self._code, self._reason = lines, code, reason

    async def attend(self, connection: ServerConnection) -> None:
        path = connection.request.path if connection.request else ""
        turn = len(self.asked)
        self.asked.append((path, None))
        if "?after=" in path and "/v1/calls/" not in path:
            self.asked[-1] = (path, str(await connection.recv()))
        for line in self._lines[min(turn, len(self._lines) - 1)]:
            await connection.send(line if isinstance(line, str | bytes) else encode(line).decode())
        await connection.close(self._code, self._reason)


@asynccontextmanager
async def serving_lines(*lines: list[Any], code: int = 1001, reason: str = "") -> AsyncIterator[Script]:
    script = Script(code, reason, lines)
    async with serve(script.attend, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        script.address = f"ws://{host}:{port}/v1/calls"
        yield script


def greeting_of(epoch: str, after: dict[str, int]) -> Hello:
    return Hello(at=AT, node="test", model="m", window_s=3.0, hop_s=0.5, epoch=epoch, after=after, heartbeat_s=5.0)
