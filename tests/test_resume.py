"""Coming back after a cut: nothing twice, no hole, and what is gone is said."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from msgspec.structs import replace
from websockets.exceptions import InvalidStatus

from monitor import memory
from monitor.errors import RequestError
from monitor.greeting import FORGOTTEN, RESTARTED, TOO_OLD, Hole, greeting
from monitor.identities import Identities
from monitor.memory import ENDED_KEPT, ENDED_KEPT_S, LASTING_KEPT, Memory
from monitor.messages import Acknowledge, CallKey, Heartbeat, Hello, Missed, Resume, unix_ms
from monitor.subscription import ALL_CALLS, Topic
from tests.broadcasting import (
    acknowledgement,
    broadcasting,
    cleared,
    connected,
    ended,
    goodbye,
    on_a_loop,
    raised,
    reading,
    received,
    started,
    subscribed,
    until,
)


async def resumed(client: Any, after: dict[str, int]) -> Hello:
    await client.send(json.encode({"type": "resume", "after": after}).decode())
    got = await received(client)
    assert isinstance(got, Hello)
    return got


@on_a_loop
async def test_a_subscriber_of_one_call_gets_what_it_missed_and_goes_on() -> None:
    async with broadcasting() as broadcaster:
        messages = [started(), reading(2), raised(3), reading(4), cleared(5), reading(6)]
        for message in messages:
            broadcaster.publish(message)
        async with connected(broadcaster, f"/v1/calls/a?after={broadcaster.epoch}:2") as client:
            got = await received(client)
            assert isinstance(got, Hello)
            assert got.after == {"a": 6}
            broadcaster.publish(ended(7))
            assert [await received(client) for _ in range(5)] == [*messages[2:], ended(7)]
            assert await goodbye(client) == (1000, "the call has ended")
        async with connected(broadcaster, f"/v1/calls/a?after={broadcaster.epoch}:6") as client:
            await received(client)
            assert await received(client) == ended(7), "an ended call is remembered for whoever comes back"
            assert await goodbye(client) == (1000, "the call has ended")
        async with connected(broadcaster, f"/v1/calls/a?after={broadcaster.epoch}:7") as client:
            assert isinstance(await received(client), Hello)
            assert await goodbye(client) == (1000, "the call has ended"), "though nothing was missed"


@on_a_loop
async def test_a_subscriber_of_all_calls_says_first_what_it_heard_of_each() -> None:
    async with broadcasting() as broadcaster:
        for message in (started("a"), started("b"), reading(2, "a"), reading(2, "b"), started("new"), ended(3, "b")):
            broadcaster.publish(message)
        async with connected(broadcaster, f"/v1/calls?after={broadcaster.epoch}") as client:
            broadcaster.publish(reading(3, "a"))  # before the resume message: it belongs to what was missed
            assert (await resumed(client, {"a": 2, "b": 1})).after == {"a": 3, "new": 1}
            broadcaster.publish(reading(4, "a"))
            expected = [reading(2, "b"), started("new"), ended(3, "b"), reading(3, "a")]
            assert [await received(client) for _ in expected] == expected
            assert isinstance(await received(client), Heartbeat), "all that was missed has been told"
            assert await received(client) == reading(4, "a")


@on_a_loop
async def test_whoever_follows_an_agent_resumes_from_call_to_call() -> None:
    identities = Identities(show=False)
    ours = identities.shown("4711")
    async with broadcasting(identities=identities) as broadcaster:
        for message in (started("one", ours), started("other", "id-0"), ended(2, "one"), started("two", ours)):
            broadcaster.publish(message)
        async with connected(broadcaster, f"/v1/agents/4711?after={broadcaster.epoch}") as client:
            assert (await resumed(client, {"one": 1, "other": 1})).after == {"two": 1}
            told = await received(client)
            assert isinstance(told, Missed)
            assert (told.call, told.count, told.reason) == ("other", 0, FORGOTTEN), "not a word of another agent's call"
            assert [await received(client) for _ in range(2)] == [ended(2, "one"), started("two", ours)]


@on_a_loop
async def test_what_is_gone_is_said_and_alerts_never_are() -> None:
    async with broadcasting(resume=3) as broadcaster:
        for message in (started(), raised(2), *(reading(seq) for seq in range(3, 11)), cleared(11)):
            broadcaster.publish(message)
        async with connected(broadcaster, f"/v1/calls/a?after={broadcaster.epoch}:1") as client:
            await received(client)
            assert await received(client) == raised(2)
            told = await received(client)
            assert isinstance(told, Missed)
            assert (told.call, told.count, told.seq, told.reason) == ("a", 5, 7, TOO_OLD), "where the hole is"
            expected = [reading(8), reading(9), reading(10), cleared(11)]
            assert [await received(client) for _ in expected] == expected


async def resumed_with(client: Any, after: dict[str, int], begun: int) -> Hello:
    await client.send(json.encode(Resume(after=after, begun=begun)).decode())
    got = await received(client)
    assert isinstance(got, Hello)
    return got


@on_a_loop
async def test_a_call_that_came_and_went_unheard_is_told_and_the_readings_that_lack_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "READINGS_KEPT_S", 0.0)
    async with broadcasting() as broadcaster:
        for message in (started("before"), ended(2, "before"), started("a")):
            broadcaster.publish(message)
        async with subscribed(broadcaster) as client:
            assert await received(client) == started("a")
        for message in (started(), reading(2), raised(3), cleared(4), reading(5), ended(6)):
            broadcaster.publish(replace(message, call="brief"))
        broadcaster.publish(reading(2, "a"))
        path = f"/v1/calls?after={broadcaster.epoch}"
        async with connected(broadcaster, path) as client:
            told = await resumed_with(client, {"a": 1}, 2)
            assert (told.after, told.begun) == ({"a": 2}, 3)
            got = [await received(client) for _ in range(8)]
        kinds = [(type(one).__name__, getattr(one, "call", None), getattr(one, "seq", None)) for one in got]
        assert kinds == [
            ("CallStarted", "brief", 1),
            ("Missed", "brief", 2),
            ("AlertRaised", "brief", 3),
            ("AlertCleared", "brief", 4),
            ("Missed", "brief", 5),
            ("CallEnded", "brief", 6),
            ("Reading", "a", 2),
            ("Heartbeat", None, None),
        ]
        async with connected(broadcaster, path) as client:
            await resumed_with(client, {"a": 2}, 3)
            assert isinstance(await received(client), Heartbeat), "a call that it knows to have begun is told once"
        async with connected(broadcaster, path) as client:
            await resumed(client, {"a": 2})
            assert isinstance(await received(client), Heartbeat), "without begun, only what ended within the minute"


@on_a_loop
async def test_a_resume_point_before_calls_of_which_nothing_is_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "ENDED_KEPT_S", 0.0)
    async with broadcasting() as broadcaster:
        for message in (started("brief"), ended(2, "brief"), started("a")):
            broadcaster.publish(message)
        path = f"/v1/calls?after={broadcaster.epoch}"
        async with connected(broadcaster, path) as client:
            await resumed_with(client, {}, 1)
            assert await received(client) == started("a")
        for begun, why in (
            (0, "nothing is kept of some calls that began after the 0 that you know of: subscribe anew, without after"),
            (3, "the resume point lies in the future: 3 calls are more than the 2 that have begun"),
        ):
            async with connected(broadcaster, path) as client:
                await client.send(json.encode(Resume(after={}, begun=begun)).decode())
                assert await goodbye(client) == (4400, why)


@on_a_loop
async def test_after_a_restart_a_subscriber_is_told_so_and_greeted_like_a_newcomer() -> None:
    async with broadcasting() as broadcaster:
        broadcaster.publish(started())
        broadcaster.publish(reading(2))
        for path, after in (("/v1/calls?after=old", {"a": 500, "b": 3}), ("/v1/calls/a?after=old:500", None)):
            async with connected(broadcaster, path) as client:
                got = await received(client) if after is None else await resumed(client, after)
                assert isinstance(got, Hello)
                assert (got.epoch, got.after) == (broadcaster.epoch, {"a": 2})
                told = await received(client)
                assert isinstance(told, Missed)
                assert (told.call, told.count, told.reason) == (None, 0, RESTARTED)
                assert await received(client) == started()


@on_a_loop
async def test_a_resume_point_in_the_future_or_without_a_meaning_is_refused() -> None:
    async with broadcasting() as broadcaster:
        broadcaster.publish(started())
        text = "the resume point 2 of 'a' lies in the future: its last message is 1"
        async with connected(broadcaster, f"/v1/calls/a?after={broadcaster.epoch}:2") as client:
            assert await goodbye(client) == (4400, text)
        async with connected(broadcaster, f"/v1/calls?after={broadcaster.epoch}") as client:
            await client.send('{"type":"resume","after":{"a":2}}')
            assert await goodbye(client) == (4400, text)
        async with connected(broadcaster, f"/v1/calls?after={broadcaster.epoch}") as client:
            await client.send('{"type":"acknowledge","call":"a","alert":"a:1"}')
            assert await goodbye(client) == (4400, "after ?after=EPOCH the first message is a resume")
        async with connected(broadcaster, f"/v1/calls?after={broadcaster.epoch}") as client:
            await client.send(b'{"type":"resume","after":{}}')
            assert await goodbye(client) == (1003, "binary frames mean nothing here: send JSON as text")
        with pytest.raises(InvalidStatus) as refused:
            async with connected(broadcaster, "/v1/calls/a?after=7"):
                pass
        assert refused.value.response.status_code == 400
        assert refused.value.response.body == b"after='7' is no resume point: expected EPOCH:SEQ\n"
        assert broadcaster.counters.refused == {"resume": 4, "garbage": 1}


@on_a_loop
async def test_a_resume_message_at_another_time_is_an_error() -> None:
    async with broadcasting() as broadcaster, connected(broadcaster) as client:
        await received(client)
        await client.send('{"type":"resume","after":{}}')
        got = await received(client)
        assert got.text == "resume comes first, after connecting with ?after=EPOCH"  # type: ignore[union-attr]


@on_a_loop
async def test_who_goes_before_its_resume_message_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    async with broadcasting() as broadcaster:
        async with connected(broadcaster, "/v1/calls?after=x"):
            pass
        await until(lambda: not broadcaster.connections)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


@st.composite
def lines_of_calls(draw: st.DrawFn) -> list[Any]:
    """Messages of a few calls, each numbered from 1, in a random mix; some calls end."""
    seqs: dict[str, int] = {}
    messages = []
    for call in draw(st.lists(st.sampled_from("abc"), max_size=60)):
        seq = seqs[call] = seqs.get(call, 0) + 1
        if seq < 0:
            continue
        kind = "started" if seq == 1 else draw(st.sampled_from(["reading"] * 6 + ["raised", "ended"]))
        made = {"started": started, "reading": reading, "raised": raised, "ended": ended}[kind]
        messages.append(started(call) if kind == "started" else made(seq, call))
        if kind == "ended":
            seqs[call] = -1_000_000
    return messages


@given(lines=lines_of_calls(), cut=st.integers(0, 60), kept=st.integers(0, 8))
def test_whatever_the_moment_of_the_cut_nothing_comes_twice_and_what_is_missing_is_counted(
    lines: list[Any], cut: int, kept: int
) -> None:
    memory = Memory(kept)
    heard: dict[str, int] = {}
    for message in lines[:cut]:
        memory.tell(message, 0.0)
        heard[message.call] = message.seq
    for message in lines[cut:]:
        memory.tell(message, 0.0)
    start = greeting(memory, ALL_CALLS, heard)
    replayed = [(told.call, told.seq) for told in start.told]
    wanted = [(message.call, message.seq) for message in lines[cut:]]
    assert [one for one in wanted if one in set(replayed)] == replayed, "in order, once, and nothing else"
    assert len(wanted) == len(replayed) + sum(hole.count for hole in start.holes)
    lost = set(wanted) - set(replayed)
    assert all(type(message).__name__ == "Reading" for message in lines[cut:] if (message.call, message.seq) in lost)


def test_an_alert_that_somebody_looks_after_is_told_with_the_name() -> None:
    memory = Memory(4)
    for message in (started(), raised(2), acknowledgement(3, Acknowledge(call="a", alert="a:1", by="Kim"))):
        memory.tell(message, 0.0)
    assert [told.seq for told in greeting(memory, ALL_CALLS, None).told] == [1, 2, 3]
    memory.tell(cleared(4), 0.0)
    assert [told.seq for told in greeting(memory, ALL_CALLS, None).told] == [1]


def test_ended_calls_are_forgotten_after_a_while_and_beyond_a_number() -> None:
    memory = Memory(4)
    for number in range(ENDED_KEPT + 5):
        memory.tell(started(str(number)), 0.0)
        memory.tell(ended(2, str(number)), 0.0)
    assert memory.call("0") is None
    assert memory.call(str(ENDED_KEPT + 4)) is not None
    memory.tell(started("last"), ENDED_KEPT_S + 1)
    assert list(memory.of()) == ["last"]
    start = greeting(memory, ALL_CALLS, {"7": 1})
    assert start.holes == [Hole("7", 0, FORGOTTEN)]
    with pytest.raises(RequestError, match="no call '7' is running"):
        greeting(memory, Topic("call", "7"), {"7": 1})


def test_a_call_that_was_deleted_is_dropped_and_another_of_its_name_is_not() -> None:
    memory, began_ms = Memory(4), unix_ms(started().at)
    memory.tell(started(), 0.0)
    memory.drop(CallKey("a", began_ms))
    assert memory.call("a") is not None, "it runs"
    memory.tell(ended(2), 0.0)
    memory.drop(CallKey("a", began_ms - 1))
    assert memory.call("a") is not None, "an earlier one was deleted"
    memory.drop(CallKey("a", began_ms))
    assert memory.call("a") is None


def test_a_call_keeps_a_bounded_number_of_alerts_and_counts_the_older_ones_as_missed() -> None:
    memory = Memory(0)
    memory.tell(started(), 0.0)
    for seq in range(2, LASTING_KEPT + 12, 2):
        memory.tell(raised(seq, alert=f"a:{seq}"), 0.0)
        memory.tell(cleared(seq + 1, alert=f"a:{seq}"), 0.0)
    start = greeting(memory, ALL_CALLS, {"a": 1})
    assert len(start.told) == LASTING_KEPT
    assert start.holes == [Hole("a", 10, TOO_OLD, 11)]


@on_a_loop
async def test_a_desktop_counts_without_what_is_kept_from_it_also_after_a_cut() -> None:
    identities = Identities(show=False)
    async with broadcasting(identities=identities, resume=3) as broadcaster:
        opened = started("a", identities.shown("4711"), scored=("agent", "customer"))
        hidden = [raised(3, alert="a:agent:1", party="agent"), cleared(6, alert="a:agent:1", party="agent")]
        shown = [reading(2), reading(4), reading(5), reading(7), replace(raised(8), evidence=[4, 7])]
        for message in sorted([opened, *hidden, *shown], key=lambda message: message.seq):
            broadcaster.publish(message)
        async with connected(broadcaster, f"/v1/agents/4711?after={broadcaster.epoch}") as client:
            assert (await resumed(client, {"a": 1})).after == {"a": 6}
            lost = await received(client)
            assert isinstance(lost, Missed)
            assert (lost.call, lost.count, lost.seq) == ("a", 1, 2), "only what this desktop would have seen"
            got = [await received(client) for _ in range(4)]
            assert [message.seq for message in got] == [3, 4, 5, 6]  # type: ignore[union-attr]
            assert got[-1].evidence == [3, 5]  # type: ignore[union-attr]
        async with connected(broadcaster, f"/v1/calls?after={broadcaster.epoch}") as client:
            assert (await resumed(client, {"a": 7})).after == {"a": 8}
            assert await received(client) == shown[-1], "a supervisor counts in full"
