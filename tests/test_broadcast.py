"""Real clients over loopback; nothing sleeps, every step awaits an event."""

import asyncio
import functools
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from monitor.broadcast import CLIENT_BYTES, Broadcaster
from monitor.errors import ServiceError
from monitor.messages import (
    AlertCleared,
    AlertRaised,
    AnyMessage,
    CallEnded,
    CallStarted,
    Error,
    Hello,
    Missed,
    PartyInfo,
    Reading,
    decode,
)
from monitor.settings import Settings
from monitor.subscriber import TOO_SLOW

AT = "2026-01-31T12:00:00.250Z"
EXAMPLE = Path(__file__).parent.parent / "examples" / "agent_desktop.py"


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


@asynccontextmanager
async def broadcasting(backlog: int = 512, port: int = 0, **options: float) -> AsyncIterator[Broadcaster]:
    broadcaster = Broadcaster(Settings(port=port, backlog=backlog), hello, **options)
    await broadcaster.start()
    try:
        yield broadcaster
    finally:
        await broadcaster.stop()


@asynccontextmanager
async def subscribed(broadcaster: Broadcaster, path: str = "") -> AsyncIterator[ClientConnection]:
    """A client that has had its hello: from here on it hears everything."""
    async with connect(broadcaster.address + path, proxy=None) as client:
        assert isinstance(await received(client), Hello)
        yield client


async def received(client: ClientConnection) -> AnyMessage:
    return decode(await client.recv())


async def seqs(client: ClientConnection, count: int) -> list[int]:
    return [(await received(client)).seq for _ in range(count)]  # type: ignore[union-attr]


def hello() -> Hello:
    return Hello(at=AT, node="test", model="tiny 1", window_s=3.0, hop_s=0.5)


def started(call: str = "a") -> CallStarted:
    parties = {"agent": PartyInfo(channel=0, scored=False), "customer": PartyInfo(channel=1, scored=True)}
    return CallStarted(at=AT, call=call, seq=1, source="recording", path=None, parties=parties)  # type: ignore[arg-type]


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


def raised(seq: int, call: str = "a", alert: str = "a/1") -> AlertRaised:
    return AlertRaised(**_alert(seq, call, alert))


def cleared(seq: int, call: str = "a", alert: str = "a/1") -> AlertCleared:
    return AlertCleared(**_alert(seq, call, alert))


def _alert(seq: int, call: str, alert: str) -> dict[str, Any]:
    alert_itself = {"alert": alert, "rule": "sustained_anger", "severity": "critical", "party": "customer"}
    return {"at": AT, "call": call, "seq": seq, "start_s": 9.0, "at_s": 12.0, "evidence": [3]} | alert_itself


def ended(seq: int, call: str = "a") -> CallEnded:
    return CallEnded(at=AT, call=call, seq=seq, duration_s=9.0, reason="end", outcome="calm", shares={})


@on_a_loop
async def test_hello_comes_first_and_then_every_message_as_it_was_published() -> None:
    messages = [started(), reading(2), raised(3), cleared(4), ended(5), Error(at=AT, code="audio", text="no")]
    async with broadcasting() as broadcaster, connect(broadcaster.address, proxy=None) as client:
        assert await received(client) == hello()
        for message in messages:
            broadcaster.publish(message)
        assert [await received(client) for _ in messages] == messages


@on_a_loop
async def test_a_late_subscriber_learns_of_running_calls_and_open_alerts_and_goes_on_without_double_or_hole() -> None:
    async with broadcasting() as broadcaster:
        for message in (started("over"), ended(2, "over"), started("b"), started("a"), reading(2), raised(3)):
            broadcaster.publish(message)
        for message in (raised(4, alert="a/2"), cleared(5, alert="a/2"), reading(6)):
            broadcaster.publish(message)
        async with subscribed(broadcaster) as client:
            broadcaster.publish(reading(7))
            broadcaster.publish(ended(8))
            expected = [started("b"), started("a"), raised(3), reading(7), ended(8)]
            assert [await received(client) for _ in expected] == expected


@on_a_loop
async def test_messages_published_while_a_subscriber_is_greeted_come_after_its_greeting_once() -> None:
    calls = [f"call {number}" for number in range(300)]
    async with broadcasting() as broadcaster:
        for call in calls:
            broadcaster.publish(started(call))
        async with subscribed(broadcaster) as client:
            for call in calls:
                broadcaster.publish(reading(2, call))
            assert [(await received(client)).call for _ in range(600)] == calls * 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "path"), [("a", "/a"), ("Müller / [bold] 50%?", "/M%C3%BCller%20%2F%20%5Bbold%5D%2050%25%3F")]
)
@on_a_loop
async def test_a_subscriber_of_one_call_hears_no_other(name: str, path: str) -> None:
    async with broadcasting() as broadcaster:
        broadcaster.publish(started("other"))
        async with subscribed(broadcaster, path) as client:
            for message in (started(name), reading(2, "other"), reading(2, name), raised(3, "other"), ended(3, name)):
                broadcaster.publish(message)
            broadcaster.publish(Error(at=AT, code="pipeline", text="of no call: for everybody"))
            expected = ["call_started", "reading", "call_ended", "error"]
            got = [await received(client) for _ in expected]
            assert [type(message).__struct_config__.tag for message in got] == expected
            assert {message.call for message in got[:3]} == {name}  # type: ignore[union-attr]


@on_a_loop
async def test_a_stuck_subscriber_costs_bounded_memory_is_told_what_it_missed_and_delays_nobody() -> None:
    count, batch, backlog = 20_000, 50, 64
    async with broadcasting(backlog) as broadcaster, subscribed(broadcaster) as quick, stuck(broadcaster) as slow:
        broadcaster.publish(started())
        await seqs(quick, 1)
        for first in range(2, count, batch):
            for seq in range(first, first + batch):
                broadcaster.publish(reading(seq) if seq % 1000 else raised(seq))
            assert await seqs(quick, batch) == list(range(first, first + batch))
            assert broadcaster.waiting <= 2 * backlog
        broadcaster.publish(ended(count + 2))
        assert broadcaster.counters.dropped > 0
        got = await everything(slow)
        of_calls = [message.seq for message in got if not isinstance(message, Missed | Hello)]  # type: ignore[union-attr]
        missed = [message.count for message in got if isinstance(message, Missed)]
        assert of_calls == sorted(set(of_calls))
        assert set(of_calls) >= {1, *range(1000, count + 1, 1000), count + 2}, "calls and alerts are kept"
        assert len(of_calls) + sum(missed) == count + 2
        assert sum(missed) == broadcaster.counters.dropped


@on_a_loop
async def test_a_subscriber_that_never_reads_is_closed_after_a_while() -> None:
    async with broadcasting(stuck_s=0.05) as broadcaster, stuck(broadcaster) as slow:
        broadcaster.publish(started())
        seq = 2
        while broadcaster.counters.too_slow == 0:
            broadcaster.publish(reading(seq))
            await asyncio.sleep(0)
            seq += 1
        assert await goodbye(slow) == (TOO_SLOW, "nothing was read for 0.05 s")


@on_a_loop
async def test_more_alerts_than_the_backlog_holds_close_a_subscriber_rather_than_hide_one() -> None:
    async with broadcasting(16) as broadcaster, stuck(broadcaster) as slow:
        broadcaster.publish(started())
        seq = 1
        while broadcaster.counters.dropped == 0:
            seq += 1
            broadcaster.publish(raised(seq, alert=f"a/{seq}"))
            await asyncio.sleep(0)
        assert await goodbye(slow) == (TOO_SLOW, "more calls and alerts waited than are kept")
        async with subscribed(broadcaster) as again:
            assert await seqs(again, seq) == list(range(1, seq + 1)), "whoever comes back learns of every open alert"


@on_a_loop
async def test_a_burst_costs_a_subscriber_that_reads_nothing() -> None:
    async with broadcasting(16) as broadcaster, subscribed(broadcaster) as client:
        broadcaster.publish(started())
        for seq in range(2, 200):
            broadcaster.publish(reading(seq))
        assert await seqs(client, 199) == list(range(1, 200))


@on_a_loop
async def test_a_taken_port_is_one_line_with_a_cure() -> None:
    async with broadcasting() as broadcaster:
        port = address_of(broadcaster)[1]
        second = Broadcaster(Settings(port=port), hello)
        with pytest.raises(ServiceError) as error:
            await second.start()
        cure = "another callmood may run; choose another by --port"
        assert str(error.value) == f"port {port} on 127.0.0.1 is taken: {cure}"
        await second.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
@on_a_loop
async def test_the_address_works_as_printed(host: str) -> None:
    broadcaster = Broadcaster(Settings(host=host, port=0), hello)
    try:
        await broadcaster.start()
    except ServiceError as error:
        pytest.skip(str(error))
    async with subscribed(broadcaster):
        assert broadcaster.subscribers == 1
    await broadcaster.stop()


@pytest.mark.parametrize("path", ["/v1", "/v1/calls/", "/v1/calls/a/b", "/v2/calls", "/v1/callsx", "//"])
@on_a_loop
async def test_any_other_path_is_a_404_with_one_line(path: str) -> None:
    async with broadcasting() as broadcaster:
        status, headers, body = await fetched(broadcaster, path)
        assert status == 404
        assert "text/plain" in headers
        assert body.endswith("subscribe to /v1/calls, or to /v1/calls/CALL for one call\n")
        assert body.count("\n") == 1


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
@on_a_loop
async def test_a_page_of_another_site_cannot_listen(origin: str) -> None:
    async with broadcasting() as broadcaster:
        with pytest.raises(InvalidStatus) as refused:
            await connect(broadcaster.address, proxy=None, origin=Origin(origin))
        response = refused.value.response
        assert response.status_code == 403
        assert response.body is not None
        assert response.body.decode().startswith(f"origin '{origin}' is refused")
        assert (broadcaster.counters.refused, broadcaster.subscribers) == (1, 0)


@on_a_loop
async def test_a_page_served_from_this_machine_may_listen() -> None:
    page = Origin("http://localhost:3000")
    async with broadcasting() as broadcaster, connect(broadcaster.address, proxy=None, origin=page) as client:
        assert await received(client) == hello()


@on_a_loop
async def test_a_foreign_host_name_gets_neither_calls_nor_the_page() -> None:
    async with broadcasting() as broadcaster:
        for path in ("/", "/v1/calls"):
            status, _, body = await fetched(broadcaster, path, host="rebound.example")
            assert (status, body.count("\n")) == (403, 1)


@on_a_loop
async def test_the_example_page_is_served_and_may_talk_to_this_server_only() -> None:
    async with broadcasting() as broadcaster:
        host = broadcaster.page_address.removeprefix("http://").rstrip("/")
        status, headers, body = await fetched(broadcaster, "/?call=a", host=host)
        assert status == 200
        assert "content-type: text/html; charset=utf-8" in headers
        assert f"connect-src ws://{host} wss://{host};" in headers
        assert "script-src 'sha256-" in headers
        assert "frame-ancestors 'none'" in headers
        assert body.startswith("<!doctype html>")


@pytest.mark.parametrize("garbage", ["{", "\x00", b"\xff\xfe", '{"type":"acknowledge"}'])
@on_a_loop
async def test_what_a_client_says_is_answered_once_and_passed_over(garbage: str | bytes) -> None:
    async with broadcasting() as broadcaster, subscribed(broadcaster) as client, subscribed(broadcaster) as other:
        for _ in range(3):
            await client.send(garbage)
        answer = await received(client)
        assert isinstance(answer, Error)
        assert answer.text.startswith("this version takes no messages from subscribers")
        broadcaster.publish(started())
        assert await received(client) == await received(other) == started()


@on_a_loop
async def test_an_oversize_message_closes_only_the_client_that_sent_it() -> None:
    async with broadcasting() as broadcaster, subscribed(broadcaster) as client, subscribed(broadcaster) as other:
        await client.send("x" * (CLIENT_BYTES + 1))
        assert (await goodbye(client))[0] == 1009
        broadcaster.publish(started())
        assert await received(other) == started()


@on_a_loop
async def test_bytes_that_are_no_http_and_no_websocket_hurt_only_their_sender() -> None:
    async with broadcasting() as broadcaster, subscribed(broadcaster) as other:
        reader, writer = await opened(broadcaster)
        writer.write(b"\x16\x03\x01 not http\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        async with subscribed(broadcaster) as broken:
            broken.transport.write(b"\xff" * 64)
            assert (await goodbye(broken))[0] == 1002
        broadcaster.publish(started())
        assert await received(other) == started()


@on_a_loop
async def test_stop_sends_what_waits_and_says_goodbye_within_a_second_whoever_hangs() -> None:
    async with broadcasting() as broadcaster, subscribed(broadcaster) as client, stuck(broadcaster):
        _, silent = await opened(broadcaster)
        seq = 2
        broadcaster.publish(started())
        while broadcaster.counters.dropped == 0:
            broadcaster.publish(reading(seq))
            await seqs(client, 1)
            seq += 1
        await seqs(client, 1)
        broadcaster.publish(ended(seq))
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await broadcaster.stop()
        assert loop.time() - began_s < 1.0
        assert await received(client) == ended(seq)
        assert await goodbye(client) == (1001, "")
        assert broadcaster.subscribers == 0
        with pytest.raises(OSError, match="Connect call failed"):
            await opened(broadcaster)
        silent.close()


@on_a_loop
async def test_publishing_without_a_subscriber_or_after_stop_is_nothing_special() -> None:
    async with broadcasting() as broadcaster:
        broadcaster.publish(reading(7, "a call whose start nobody saw"))
        await broadcaster.stop()
        broadcaster.publish(started())
        assert (broadcaster.subscribers, broadcaster.waiting, broadcaster.counters.sent) == (0, 0, 0)


@on_a_loop
async def test_the_example_script_prints_changes_and_alerts_and_comes_back_after_a_restart() -> None:
    async with broadcasting() as broadcaster:
        address, port = broadcaster.address, address_of(broadcaster)[1]
        script = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE), address, stdout=asyncio.subprocess.PIPE
        )
        assert await printed(script) == f"connected to {address}"
        for message in (started("\x1b[2Ja"), *(reading(seq, "\x1b[2Ja") for seq in (2, 3))):
            broadcaster.publish(message)
        broadcaster.publish(reading(4, "\x1b[2Ja", party="agent", mood=None, state="not_scored", label=None))
        broadcaster.publish(reading(5, "\x1b[2Ja", mood="angry", label="anger"))
        broadcaster.publish(raised(6, "\x1b[2Ja"))
        broadcaster.publish(ended(7, "\x1b[2Ja"))
        lines = [(await printed(script)).split() for _ in range(4)]
        assert lines == [
            ["?[2Ja", "calm", "neutral"],
            ["?[2Ja", "angry", "anger"],
            ["?[2Ja", "ALERT_RAISED", "sustained_anger"],
            ["?[2Ja", "ended,", "calm"],
        ]
    assert await printed(script) == "the server closed the connection; next try in 1 s"
    async with broadcasting(port=port):
        assert await printed(script) == f"connected to {address}"
        script.terminate()
        await script.communicate()


async def printed(script: asyncio.subprocess.Process) -> str:
    assert script.stdout is not None
    return (await script.stdout.readline()).decode().rstrip()


@asynccontextmanager
async def stuck(broadcaster: Broadcaster) -> AsyncIterator[ClientConnection]:
    """A subscriber that has connected and reads nothing until it is asked to."""
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    end.connect(address_of(broadcaster))
    before = broadcaster.subscribers
    client = await connect(broadcaster.address, proxy=None, sock=end, max_queue=1, ping_interval=None)
    assert broadcaster.subscribers == before + 1
    try:
        yield client
    finally:
        client.transport.abort()
        await client.wait_closed()


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
    host, _, port = broadcaster.page_address.removeprefix("http://").rstrip("/").rpartition(":")
    return host, int(port)


async def opened(broadcaster: Broadcaster) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*address_of(broadcaster))


async def fetched(broadcaster: Broadcaster, path: str, host: str = "localhost") -> tuple[int, str, str]:
    """Status, headers (names in lower case) and body of a plain GET."""
    reader, writer = await opened(broadcaster)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    status, _, headers = head.partition("\r\n")
    lines = (line.partition(":") for line in headers.splitlines())
    return int(status.split()[1]), "\n".join(f"{name.lower()}:{value}" for name, _, value in lines), body
