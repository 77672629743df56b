"""What subscribers get. Real clients over loopback; every step awaits an event."""

import asyncio
import json
import socket
import struct
import sys
import time
from typing import Any

import pytest

from monitor.broadcast import CLIENT_BYTES, Broadcaster
from monitor.errors import ServiceError
from monitor.handshake import Ties
from monitor.identities import Identities
from monitor.messages import Error, Heartbeat, Hello, Missed
from monitor.settings import Settings
from monitor.subscriber import TOO_SLOW
from tests.broadcasting import (
    AT,
    address_of,
    broadcasting,
    cleared,
    connected,
    ended,
    everything,
    fetched,
    goodbye,
    hello,
    on_a_loop,
    opened,
    raised,
    reading,
    received,
    seqs,
    started,
    stuck,
    subscribed,
    until,
)

_HANDSHAKE = (
    b"GET /v1/calls HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@on_a_loop
async def test_hello_comes_first_and_then_every_message_as_it_was_published() -> None:
    messages = [started(), reading(2), raised(3), cleared(4), ended(5), Error(at=AT, code="audio", text="no")]
    async with broadcasting(heartbeat_s=7.0) as broadcaster, connected(broadcaster) as client:
        got = await received(client)
        assert isinstance(got, Hello)
        assert (got.epoch, got.after, got.heartbeat_s, got.expires_at) == (broadcaster.epoch, {}, 7.0, None)
        assert (got.node, got.model, got.schema) == ("test", "tiny 1", "1.3")
        for message in messages:
            broadcaster.publish(message)
        assert [await received(client) for _ in messages] == messages


@on_a_loop
async def test_a_late_subscriber_learns_of_running_calls_and_open_alerts_and_goes_on_without_double_or_hole() -> None:
    async with broadcasting() as broadcaster:
        for message in (started("over"), ended(2, "over"), started("b"), started("a"), reading(2), raised(3)):
            broadcaster.publish(message)
        for message in (raised(4, alert="a:2"), cleared(5, alert="a:2"), reading(6)):
            broadcaster.publish(message)
        async with connected(broadcaster) as client:
            got = await received(client)
            assert isinstance(got, Hello)
            assert got.after == {"b": 1, "a": 6}
            broadcaster.publish(reading(7))
            broadcaster.publish(ended(8))
            expected = [started("b"), started("a"), raised(3), reading(7), ended(8)]
            assert [await received(client) for _ in expected] == expected


@on_a_loop
async def test_a_greeting_that_was_sent_is_not_kept_with_the_connection() -> None:
    async with broadcasting() as broadcaster:
        for message in (started("a"), raised(2), reading(3)):
            broadcaster.publish(message)
        call = broadcaster._memory.call("a")
        assert call is not None
        kept = [told.full for told in (*call.lasting, *call.passing)]
        held = [sys.getrefcount(line) for line in kept]
        after = {"type": "resume", "after": {"a": 0}}
        async with connected(broadcaster, f"/v1/calls?after={broadcaster.epoch}") as client:
            await client.send(json.dumps(after))
            assert len([await received(client) for _ in range(5)]) == 5  # hello, the three, a heartbeat
            await until(lambda: [sys.getrefcount(line) for line in kept] == held)


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
async def test_a_subscriber_of_one_call_hears_no_other_and_is_let_go_when_it_ends(name: str, path: str) -> None:
    async with broadcasting() as broadcaster:
        broadcaster.publish(started("other"))
        broadcaster.publish(started(name))
        async with subscribed(broadcaster, f"/v1/calls{path}") as client:
            messages = (reading(2, "other"), reading(2, name), raised(3, "other"))
            for message in messages:
                broadcaster.publish(message)
            broadcaster.publish(Error(at=AT, code="audio", text="other: names another call"))
            broadcaster.publish(Error(at=AT, code="pipeline", text="scoring stopped: at another call"))
            broadcaster.publish(ended(3, name))
            stopped = Error(at=AT, code="pipeline", text="scoring stopped: nothing is read any more")
            expected = [started(name), reading(2, name), stopped]
            assert [await received(client) for _ in range(4)] == [*expected, ended(3, name)]
            assert await goodbye(client) == (1000, "the call has ended")


@on_a_loop
async def test_a_call_that_is_not_running_is_a_404() -> None:
    async with broadcasting() as broadcaster:
        broadcaster.publish(started())
        broadcaster.publish(ended(2))
        for call in ("a", "nobody"):
            async with connected(broadcaster, f"/v1/calls/{call}") as client:
                text = f"no call '{call}' is running: /v1/agents/ID waits for an agent's next"
                assert await goodbye(client) == (4404, text)
        assert broadcaster.counters.refused == {"call": 2}


@on_a_loop
async def test_whoever_follows_an_agent_hears_call_after_call_and_nobody_elses() -> None:
    identities = Identities(show=False)
    ours, theirs = identities.shown("4711"), identities.shown("4712")
    async with broadcasting(identities=identities) as broadcaster:
        broadcaster.publish(started("theirs", theirs))
        async with subscribed(broadcaster, "/v1/agents/4711") as client:
            expected = []
            for call in ("first", "second"):
                messages = [started(call, ours), reading(2, call), ended(3, call)]
                for message in (*messages, reading(2, "theirs"), started("nobodys " + call)):
                    broadcaster.publish(message)
                expected += messages
            assert [await received(client) for _ in expected] == expected
        async with subscribed(broadcaster, "/v1/agents/4712") as client:
            assert await received(client) == started("theirs", theirs)


@on_a_loop
async def test_readings_are_thinned_by_the_time_of_the_call_and_alerts_are_not() -> None:
    async with broadcasting() as broadcaster, subscribed(broadcaster, "/v1/calls?min_interval_s=2") as client:
        broadcaster.publish(started())
        for seq in range(2, 12):  # a reading every half second
            broadcaster.publish(reading(seq))
            broadcaster.publish(reading(seq + 100, party="agent"))
        broadcaster.publish(raised(12))
        broadcaster.publish(ended(13))
        assert await seqs(client, 9) == [1, 2, 102, 6, 106, 10, 110, 12, 13]


@on_a_loop
async def test_a_stuck_subscriber_costs_bounded_memory_is_told_what_it_missed_and_delays_nobody() -> None:
    count, batch, backlog = 20_000, 50, 64
    async with (
        broadcasting(backlog=backlog) as broadcaster,
        subscribed(broadcaster) as quick,
        stuck(broadcaster) as slow,
    ):
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
        seq = 0
        for message in got:
            if isinstance(message, Missed):
                assert (message.call, message.seq) == ("a", seq + message.count), "where the hole is"
                seq = message.seq  # type: ignore[assignment]
            elif not isinstance(message, Hello):
                assert message.seq == seq + 1  # type: ignore[union-attr]
                seq += 1


@on_a_loop
async def test_a_subscriber_that_never_reads_is_closed_after_a_while() -> None:
    async with broadcasting(stuck_s=0.05, heartbeat_s=60.0) as broadcaster, stuck(broadcaster) as slow:
        broadcaster.publish(started())
        seq = 2
        while broadcaster.counters.too_slow == 0:
            broadcaster.publish(reading(seq))
            await asyncio.sleep(0)
            seq += 1
        assert await goodbye(slow) == (TOO_SLOW, "nothing was read for 0.05 s")


@on_a_loop
async def test_nothing_is_written_to_a_connection_that_has_just_broken(caplog: pytest.LogCaptureFixture) -> None:
    async with broadcasting() as broadcaster:
        broadcaster.publish(started())
        with socket.create_connection(address_of(broadcaster)) as one:
            one.setblocking(False)
            one.sendall(_HANDSHAKE)
            while b"call_started" not in await asyncio.get_running_loop().sock_recv(one, 65_536):
                pass
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a goodbye
        for seq in range(2, 20):
            broadcaster.publish(reading(seq))
        await until(lambda: not broadcaster.subscribers)
        assert [record.message for record in caplog.records if record.name == "asyncio"] == []


@on_a_loop
async def test_a_subscriber_that_answers_no_ping_is_closed_though_little_is_sent_to_it() -> None:
    async with broadcasting(stuck_s=0.05, heartbeat_s=0.1) as broadcaster:
        reader, writer = await opened(broadcaster)
        writer.write(_HANDSHAKE)
        while not (await reader.read(4096)).endswith(b"nothing was read for 0.05 s"):
            pass
        writer.close()
        await until(lambda: broadcaster.counters.too_slow == 1)


@on_a_loop
async def test_where_nothing_happens_a_heartbeat_says_so() -> None:
    async with broadcasting(heartbeat_s=0.1) as broadcaster, subscribed(broadcaster) as client:
        assert [type(await received(client)) for _ in range(2)] == [Heartbeat, Heartbeat]


@on_a_loop
async def test_more_alerts_than_the_backlog_holds_close_a_subscriber_rather_than_hide_one() -> None:
    async with broadcasting(backlog=16) as broadcaster, stuck(broadcaster) as slow:
        broadcaster.publish(started())
        seq = 1
        while broadcaster.counters.dropped == 0:
            seq += 1
            broadcaster.publish(raised(seq, alert=f"a:{seq}"))
            await asyncio.sleep(0)
        assert await goodbye(slow) == (TOO_SLOW, "more waited, or was lost untold, than is kept")
        async with subscribed(broadcaster) as again:
            assert await seqs(again, seq) == list(range(1, seq + 1)), "whoever comes back learns of every open alert"


@on_a_loop
async def test_a_burst_costs_a_subscriber_that_reads_nothing() -> None:
    async with broadcasting(backlog=16) as broadcaster, subscribed(broadcaster) as client:
        broadcaster.publish(started())
        for seq in range(2, 200):
            broadcaster.publish(reading(seq))
        assert await seqs(client, 199) == list(range(1, 200))


@on_a_loop
async def test_a_taken_port_is_one_line_with_a_cure() -> None:
    async with broadcasting() as broadcaster:
        port = address_of(broadcaster)[1]
        second = Broadcaster(Settings(port=port), Ties(hello))
        with pytest.raises(ServiceError) as error:
            await second.start()
        cure = "another callmood may run; choose another by --port"
        assert str(error.value) == f"port {port} on 127.0.0.1 is taken: {cure}"
        await second.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
@on_a_loop
async def test_the_address_works_as_printed(host: str) -> None:
    broadcaster = Broadcaster(Settings(host=host, port=0), Ties(hello))
    try:
        await broadcaster.start()
    except ServiceError as error:
        pytest.skip(str(error))
    async with subscribed(broadcaster):
        assert broadcaster.subscribers == 1
    await broadcaster.stop()


@pytest.mark.parametrize("path", ["/v1", "/v1/calls/", "/v1/calls/a/b", "/v2/calls", "/v1/callsx", "//", "/v1/agents"])
@on_a_loop
async def test_any_other_path_is_a_404_with_one_line(path: str) -> None:
    async with broadcasting() as broadcaster:
        status, headers, body = await fetched(broadcaster, path)
        assert status == 404
        assert "text/plain" in headers
        assert body.endswith("subscribe to /v1/calls, /v1/calls/CALL or /v1/agents/AGENT\n")
        assert body.count("\n") == 1
        assert broadcaster.counters.refused == {"path": 1}


@on_a_loop
async def test_the_port_answers_plain_http_too() -> None:
    ties: dict[str, Any] = {"unready": lambda: "full: 9 calls run", "metrics": lambda: b"callmood_calls 9.0\n"}
    async with broadcasting(ties=ties) as broadcaster:
        assert (await fetched(broadcaster, "/healthz"))[::2] == (200, "ok\n")
        assert (await fetched(broadcaster, "/readyz"))[::2] == (503, "full: 9 calls run\n")
        status, headers, body = await fetched(broadcaster, "/metrics")
        assert (status, body) == (200, "callmood_calls 9.0\n")
        assert "content-type: text/plain; version=0.0.4; charset=utf-8" in headers
        status, headers, body = await fetched(broadcaster, "/v1/schema.json")
        assert (status, body[0]) == (200, "{")
        assert "content-type: application/schema+json" in headers
    async with broadcasting() as broadcaster:
        assert (await fetched(broadcaster, "/readyz"))[::2] == (200, "ready\n")


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
    async with broadcasting(page=False) as broadcaster:
        assert (await fetched(broadcaster, "/"))[0] == 404


@pytest.mark.parametrize("garbage", ["{", "\x00", "[]", '{"type":"acknowledge"}', '{"type":"resume","after":{"a":-1}}'])
@on_a_loop
async def test_what_means_nothing_is_answered_and_hurts_nobody(garbage: str) -> None:
    async with broadcasting() as broadcaster, subscribed(broadcaster) as client, subscribed(broadcaster) as other:
        for _ in range(3):
            await client.send(garbage)
            answer = await received(client)
            assert isinstance(answer, Error)
            assert answer.code == "request"
            assert answer.text.startswith("this message means nothing here (")
            assert answer.text.endswith("): expected acknowledge, token or resume as JSON")
        assert broadcaster.counters.refused == {"garbage": 3}
        broadcaster.publish(started())
        assert await received(client) == await received(other) == started()


@on_a_loop
async def test_a_binary_frame_closes_only_the_client_that_sent_it() -> None:
    async with broadcasting() as broadcaster, subscribed(broadcaster) as client, subscribed(broadcaster) as other:
        await client.send(b"\xff\xfe")
        assert await goodbye(client) == (1003, "binary frames mean nothing here: send JSON as text")
        broadcaster.publish(started())
        assert await received(other) == started()


@on_a_loop
async def test_who_says_too_much_is_closed() -> None:
    async with broadcasting() as broadcaster, subscribed(broadcaster) as client:
        for _ in range(21):
            await client.send("{}")
        assert await goodbye(client) == (4429, "more than 20 messages in 10 s")
        assert broadcaster.counters.refused == {"garbage": 20, "limit": 1}


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
        began_s = time.monotonic()
        await broadcaster.stop()
        assert time.monotonic() - began_s < 1.5
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
