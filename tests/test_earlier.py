"""Coming back after a restart: what was missed of the run before comes out of the history, then this one begins."""

import tempfile
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json
from msgspec.structs import replace

from monitor.broadcast import Broadcaster
from monitor.client import Client
from monitor.greeting import FORGOTTEN, LEFT_OUT, RESTARTED, TOO_OLD, Hole, greeting
from monitor.history import earlier
from monitor.history.earlier import past
from monitor.identities import Identities
from monitor.messages import AnyCallMessage, AnyMessage, CallEnded, CallStarted, Hello, Missed, Reading, rfc3339
from monitor.subscription import ALL_CALLS, Topic
from tests.broadcasting import (
    broadcasting,
    cleared,
    connected,
    ended,
    goodbye,
    holes_in,
    on_a_loop,
    raised,
    reading,
    received,
    started,
    told_in,
)
from tests.stored import BEGAN_S, written_at_once

OURS = Identities(show=False, key=b"k" * 32)
AGENT = OURS.shown("4711")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def timed(*messages: AnyCallMessage, began_s: float = BEGAN_S) -> list[AnyCallMessage]:
    """The messages, half a second after each other."""
    return [replace(message, at=rfc3339(began_s + number / 2)) for number, message in enumerate(messages)]


def crashed(path: Path, messages: Sequence[AnyCallMessage], epoch: str = "old", identities: str = "") -> None:
    """A run that told `messages` and died, and the next one, which has found that out."""
    written_at_once(path, list(messages), epoch, identities or OURS.fingerprint)
    written_at_once(path, [], "new", OURS.fingerprint)


@asynccontextmanager
async def serving(path: Path, **options: Any) -> AsyncIterator[Broadcaster]:
    """The next run: it looks into the history."""

    def found(epoch: str, topic: Topic, resume: Any) -> Any:
        return past(path, epoch, OURS.fingerprint, topic, resume, options.get("resume", 256))

    async with broadcasting(ties={"past": found}, identities=OURS, epoch="new", **options) as broadcaster:
        yield broadcaster


async def come_back(client: Any, after: dict[str, int], count: int) -> list[AnyMessage]:
    await client.send(json.encode({"type": "resume", "after": after}).decode())
    return [await received(client) for _ in range(count)]


def hellos(messages: Sequence[AnyMessage]) -> list[tuple[str, dict[str, int]]]:
    return [(message.epoch, message.after) for message in messages if isinstance(message, Hello)]


@on_a_loop
async def test_what_was_missed_comes_first_then_the_present_run_as_to_a_newcomer(path: Path) -> None:
    told = timed(started("a"), reading(2), raised(3), reading(4), cleared(5), reading(6))
    crashed(path, told)
    async with serving(path) as broadcaster:
        for message in (started("a"), raised(2)):  # another call, of the same name
            broadcaster.publish(message)
        async with connected(broadcaster, "/v1/calls?after=old") as client:
            got = await come_back(client, {"a": 2}, 9)
            broadcaster.publish(reading(3))
            assert await received(client) == reading(3)
    assert hellos(got) == [("old", {}), ("new", {"a": 2})]
    assert [message.begun for message in got if isinstance(message, Hello)] == [0, 1], "of the earlier run nobody knows"
    assert got[1:5] == told[2:]
    end = got[5]
    assert isinstance(end, CallEnded)
    assert (end.call, end.seq, end.reason, end.at) == ("a", 7, "interrupted", told[-1].at)
    assert got[7:] == [started("a"), raised(2)]


@on_a_loop
async def test_a_subscriber_of_one_call_hears_how_that_ended_and_is_sent_away(path: Path) -> None:
    told = timed(started("a"), reading(2), reading(3))
    crashed(path, told)
    async with serving(path) as broadcaster:
        broadcaster.publish(started("a"))
        for seq, missed in ((1, told[1:]), (3, [])):
            async with connected(broadcaster, f"/v1/calls/a?after=old:{seq}") as client:
                got = [await received(client) for _ in range(len(missed) + 2)]
                assert (hellos(got), got[1:-1]) == ([("old", {})], missed)
                assert got[-1].reason == "interrupted"  # type: ignore[union-attr]
                assert await goodbye(client) == (1000, "the call has ended")
        async with connected(broadcaster, "/v1/calls/a?after=old:4") as client:
            got = [await received(client) for _ in range(2)]
            assert got[1].seq == 5, "it heard more than was stored: the end comes after that"  # type: ignore[union-attr]
        async with connected(broadcaster, "/v1/calls/b?after=old:4") as client:
            assert (await goodbye(client))[0] == 4404


@on_a_loop
async def test_a_desktop_gets_the_desktops_view_of_its_own_agents_calls_in_its_own_count(path: Path) -> None:
    scored = {"scored": ("agent", "customer")}
    told = timed(
        started("mine", AGENT, **scored),
        started("other", "id-0"),
        raised(2, "mine", "mine:agent:1", party="agent"),
        reading(3, "mine", party="agent", label="anger"),
        reading(2, "other"),
        raised(4, "mine", "mine:1"),
    )
    crashed(path, told)
    async with serving(path) as broadcaster:
        for resume, expected in (({"mine": 1}, [2, 3, 4]), ({"mine": 3}, [4]), ({"mine": 9}, [10])):
            async with connected(broadcaster, "/v1/agents/4711?after=old") as client:
                got = await come_back(client, resume, len(expected) + 2)
                mine = got[1:-1]
                assert [message.seq for message in mine] == expected  # type: ignore[union-attr]
                assert {message.call for message in mine} == {"mine"}  # type: ignore[union-attr]
                assert all(message.label is None for message in mine if isinstance(message, Reading))
                assert hellos(got) == [("old", {}), ("new", {})]
        async with connected(broadcaster, "/v1/agents/4711?after=old") as client:
            got = await come_back(client, {"mine": 4, "other": 1}, 3)
            assert isinstance(got[1], Missed)
            assert (got[1].call, got[1].reason) == ("other", FORGOTTEN), "not a word of another agent's call"


@on_a_loop
async def test_where_the_history_does_not_know_it_all_is_as_without_one(path: Path) -> None:
    crashed(path, timed(started("a"), reading(2)))
    crashed(path, timed(started("b", "4711"), reading(2, "b")), "shown", identities="shown")
    async with serving(path) as broadcaster:
        broadcaster.publish(started("now"))
        cases = [("unknown", {"a": 1}), ("old", {}), ("shown", {"b": 1})]
        for epoch, resume in cases:
            async with connected(broadcaster, f"/v1/calls?after={epoch}") as client:
                got = await come_back(client, resume, 3)
                assert hellos(got) == [("new", {"now": 1})]
                assert isinstance(got[1], Missed)
                assert (got[1].count, got[1].reason) == (0, RESTARTED)
                assert got[2] == started("now")


@on_a_loop
async def test_a_history_that_hangs_makes_nobody_wait_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.broadcast.PAST_S", 0.05)
    release = threading.Event()

    def found(*_: Any) -> None:
        release.wait(20)

    async with broadcasting(ties={"past": found}) as broadcaster:
        async with connected(broadcaster, "/v1/calls?after=old") as client:
            got = await come_back(client, {"a": 1}, 2)
            assert isinstance(got[1], Missed)
            assert got[1].reason == RESTARTED
        release.set()


@on_a_loop
async def test_readings_are_thinned_there_too(path: Path) -> None:
    crashed(path, timed(started("a"), *(reading(seq) for seq in range(2, 12))))
    async with serving(path) as broadcaster, connected(broadcaster, "/v1/calls?after=old&min_interval_s=2") as client:
        got = await come_back(client, {"a": 1}, 6)
    assert [message.seq for message in got[1:5]] == [2, 6, 10, 12]  # type: ignore[union-attr]


@on_a_loop
async def test_the_client_that_comes_with_callmood_goes_on_by_itself(path: Path) -> None:
    """From one run into the next, on the same port; a call of the same name begins meanwhile."""
    told = timed(started("a"), reading(2), reading(3), reading(4))
    async with broadcasting(epoch="old") as first:
        port = int(first.address.rpartition(":")[2].partition("/")[0])
        first.publish(told[0])
        events = Client(first.address)
        got: list[Any] = [await anext(aiter(events)) for _ in range(2)]
        first.publish(told[1])
        got.append(await anext(aiter(events)))
    crashed(path, told)
    async with serving(path, port=port) as second:
        second.publish(started("a"))
        got += [await anext(aiter(events)) for _ in range(7)]
        second.publish(reading(2))
        got.append(await anext(aiter(events)))
        await events.__aexit__(None, None, None)
    kinds = [type(event).__name__ for event in got]
    assert kinds == [
        *("Hello", "CallStarted", "Reading", "Lost"),
        *("Hello", "Reading", "Reading", "CallEnded", "Hello", "CallStarted", "Reading"),
    ]
    assert [event.seq for event in got if hasattr(event, "seq")] == [1, 2, 3, 4, 5, 1, 2]


def test_what_is_told_is_bounded_and_what_is_left_out_is_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "MOST_CALLS", 4)
    monkeypatch.setattr(earlier, "MOST_READINGS", 8)
    told = [started(name) for name in "abcdef"] + [reading(seq, name) for seq in range(2, 22) for name in "abcdef"]
    crashed(path, timed(*told))
    found = past(path, "old", OURS.fingerprint, ALL_CALLS, {"f": 1}, 256)
    assert found is not None
    assert not found.whole
    start = greeting(found.memory, ALL_CALLS, {"f": 1})
    assert {message.call for message in told_in(start)} == set("cdef"), "the last that began"
    assert [message.seq for message in told_in(start) if message.call == "f"] == [20, 21, 22]
    assert Hole("f", 18, TOO_OLD, 19) in holes_in(start)


@on_a_loop
async def test_calls_that_are_left_out_are_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "MOST_CALLS", 1)
    crashed(path, timed(started("a"), started("b")))
    async with serving(path) as broadcaster, connected(broadcaster, "/v1/calls?after=old") as client:
        got = await come_back(client, {"b": 1}, 4)
    assert isinstance(got[1], Missed)
    assert (got[1].call, got[1].count, got[1].reason) == (None, 0, LEFT_OUT)


@st.composite
def runs(draw: st.DrawFn) -> list[AnyCallMessage]:
    """Messages of a few calls in a random mix, half a minute after each other; some calls end."""
    seqs: dict[str, int] = {}
    messages: list[AnyCallMessage] = []
    for call in draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40)):
        seq = seqs[call] = seqs.get(call, 0) + 1
        if seq < 0:
            continue
        kind = "started" if seq == 1 else draw(st.sampled_from(["reading"] * 3 + ["raised", "ended"]))
        made: Any = {"reading": reading, "raised": raised, "ended": ended}.get(kind)
        messages.append(started(call) if made is None else made(seq, call))
        if kind == "ended":
            seqs[call] = -1_000_000
    return [replace(message, at=rfc3339(BEGAN_S + 30 * number)) for number, message in enumerate(messages)]


@settings(max_examples=50)
@given(lines=runs(), cut=st.integers(1, 40), downtime_s=st.sampled_from([0.0, 300.0]))
def test_whatever_the_moment_of_the_cut_nothing_comes_twice_and_nothing_is_missing(
    lines: list[AnyCallMessage], cut: int, downtime_s: float
) -> None:
    """The subscriber names the calls that it heard and that had not ended long ago when it came back."""
    cut = min(cut, len(lines))
    heard = {message.call: message.seq for message in lines[:cut]}
    left_s = BEGAN_S + 30 * (cut - 1) + downtime_s
    over = {
        message.call: BEGAN_S + 30 * number
        for number, message in enumerate(lines[:cut])
        if isinstance(message, CallEnded)
    }
    named = {call: seq for call, seq in heard.items() if left_s - over.get(call, left_s) <= 120.0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        crashed(path, lines)
        found = past(path, "old", OURS.fingerprint, ALL_CALLS, named, 256)
    if not named:
        assert found is None
        return
    assert found is not None
    start = greeting(found.memory, ALL_CALLS, named)
    assert holes_in(start) == []
    assert start.after == {}
    left = max(number for number, message in enumerate(lines[:cut]) if message.call in named)
    again = {message.call for message in lines[left:cut] if isinstance(message, CallStarted)} - named.keys()
    got = [(told.call, told.seq) for told in told_in(start) if not told.final or (told.call, told.seq) in ends(lines)]
    got = [one for one in got if one[0] not in again]  # all of it fell between two readings of all other calls
    assert got == [(message.call, message.seq) for message in lines[cut:]]
    interrupted = {told.call for told in told_in(start)} - {call for call, _ in ends(lines)}
    still_open = {message.call for message in lines} - {call for call, _ in ends(lines)}
    assert interrupted == still_open, "each is told how it ended"


def ends(lines: Sequence[AnyCallMessage]) -> set[tuple[str, int]]:
    return {(message.call, message.seq) for message in lines if isinstance(message, CallEnded)}
