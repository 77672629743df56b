"""A desktop with the scope of an agent hears that agent's calls alone, and nothing of the agent's own emotion."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from monitor.desktop import desktop_view
from monitor.identities import Identities
from monitor.messages import CallMessage, Hello, encode
from tests.broadcasting import (
    TOKENS,
    broadcasting,
    cleared,
    connected,
    ended,
    raised,
    reading,
    received,
    started,
)

EMOTION = {"label": "anger", "mood": "angry", "scores": dict.fromkeys(("anger", "disgust"), 0.5), "confidence": 0.9}


def test_what_was_read_in_the_agents_voice_is_kept_from_the_desktop() -> None:
    seen = desktop_view(reading(2, party="agent", **EMOTION), agent_only=False)
    assert seen == reading(2, party="agent", state="not_scored", label=None, mood=None, confidence=None)
    for message in (raised(3, party="agent"), cleared(4, party="agent")):
        assert desktop_view(message, agent_only=False) is None
    both = started(scored=("agent", "customer"))
    assert desktop_view(both, agent_only=False) == started(scored=("customer",))
    shares = {"agent": {"anger": 1.0}, "customer": {"neutral": 1.0}}
    over = desktop_view(ended(5, outcome="calm", shares=shares), agent_only=False)
    assert over == ended(5, outcome="calm", shares=shares | {"agent": {"not_scored": 1.0}})
    over = desktop_view(ended(5, outcome="angry", shares=shares), agent_only=True)
    assert over.outcome == "unclear"  # type: ignore[union-attr]


@pytest.mark.parametrize("message", [started(), reading(2, **EMOTION), raised(3), cleared(4), ended(5)])
def test_everything_else_is_the_same_object(message: Any) -> None:
    assert desktop_view(message, agent_only=False) is message


CALLS = ("one", "two", "three")
AGENTS = ("4711", "4712", None)


@st.composite
def days(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """A mix of calls of two agents and of nobody, with emotions of both parties."""
    seqs: dict[str, int] = {}
    told = []
    for number, call in enumerate(draw(st.lists(st.sampled_from(CALLS), min_size=5, max_size=40))):
        name = f"{call}-{seqs.get(call + ' part', 0)}"
        seq = seqs[name] = seqs.get(name, 0) + 1
        party = draw(st.sampled_from(["agent", "customer"]))
        agent = AGENTS[(number + len(call)) % 3]
        kind = "started" if seq == 1 else draw(st.sampled_from(["reading"] * 4 + ["raised", "cleared", "ended"]))
        if kind == "ended":
            seqs[call + " part"] = seqs.get(call + " part", 0) + 1
        told.append((kind, (seq, name, party, agent)))
    return told


def message_of(kind: str, what: tuple[int, str, str, str | None], identities: Identities) -> Any:
    seq, name, party, agent = what
    match kind:
        case "started":
            return started(name, identities.shown(agent) if agent else None, scored=("agent", "customer"))
        case "reading":
            return reading(seq, name, party=party, **EMOTION)
        case "ended":
            return ended(seq, name, outcome="angry", shares={"agent": {"anger": 1.0}, "customer": {"anger": 1.0}})
        case _:
            return {"raised": raised, "cleared": cleared}[kind](seq, name, f"{name}:{party}", party)


@settings(max_examples=25)
@given(day=days(), join=st.integers(0, 40), thinned=st.booleans(), resumes=st.booleans())
def test_over_random_calls_and_subscriptions_a_desktop_hears_its_agents_calls_and_never_the_agents_emotion(
    day: list[tuple[str, Any]], join: int, thinned: bool, resumes: bool
) -> None:
    asyncio.run(asyncio.wait_for(_a_day(day, join, thinned, resumes), 30))


async def _a_day(day: list[tuple[str, Any]], join: int, thinned: bool, resumes: bool) -> None:
    identities = Identities(show=False)
    ours = {what[1] for kind, what in day if kind == "started" and what[3] == "4711"}
    token = TOKENS.make(["agent:4711"], 1)
    async with broadcasting(tokens=TOKENS, identities=identities) as broadcaster:
        messages = [message_of(kind, what, identities) for kind, what in day]
        for message in messages[:join]:
            broadcaster.publish(message)
        query = [f"after={broadcaster.epoch}"] * resumes + ["min_interval_s=3"] * thinned
        path = "/v1/agents/4711" + ("?" + "&".join(query) if query else "")
        async with connected(broadcaster, path, token=token) as client:
            if resumes:
                await client.send(json.encode({"type": "resume", "after": {}}).decode())
            first = await received(client)
            assert isinstance(first, Hello)
            assert set(first.after) <= ours
            for message in messages[join:]:
                broadcaster.publish(message)
            broadcaster.publish(started("last", identities.shown("4711")))
            got = []
            while not (got and isinstance(got[-1], CallMessage) and got[-1].call == "last"):
                got.append(await received(client))
    assert {message.call for message in got if isinstance(message, CallMessage)} <= ours | {"last"}
    if not thinned:
        for call in {message.call for message in got if isinstance(message, CallMessage)}:
            seqs = [message.seq for message in got if isinstance(message, CallMessage) and message.call == call]
            first_live = [seq for seq in seqs if seq > first.after.get(call, 0)]
            assert first_live == list(
                range(first.after.get(call, 0) + 1, first.after.get(call, 0) + 1 + len(first_live))
            )
    for message in got:
        fields = json.decode(encode(message))
        assert not (
            fields.get("party") == "agent" and (fields.get("label") or fields.get("mood") or fields.get("scores"))
        )
        assert not (fields.get("party") == "agent" and fields["type"].startswith("alert"))
        assert "anger" not in (fields.get("shares") or {}).get("agent", {})
        assert "agent" not in (fields.get("parties") or {}) or not fields["parties"]["agent"]["scored"]
