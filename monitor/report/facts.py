"""What a report says of a call, gathered from the call's messages. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from monitor.errors import ReportError
from monitor.messages import (
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    AnyCallMessage,
    CallEnded,
    CallStarted,
    Gap,
    Mood,
    Party,
    Reading,
    Severity,
)
from monitor.snapshot import Tone, tone

_ORDER: tuple[Party, ...] = ("customer", "mixed", "agent")
"""Whom a call is judged by comes first."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a call's messages came to be; what they do not say themselves."""

    kind: Literal["history", "recording", "messages"]
    model: str = ""
    """Name and version; empty where nobody kept it."""
    model_scores: Mapping[str, float] | None = None
    """What the model reaches on speakers that it never heard, 0..1; null where nobody kept it."""
    settings: Mapping[str, str] | None = None
    """Those that bear on what was read, by name, as text; null where nobody kept them."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody looks after an alert."""

    by: str
    at_s: float
    """Seconds of the call: how far it had been read."""


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """One alert from its raising to its end."""

    alert: str
    rule: str
    severity: Severity
    party: Party
    start_s: float
    """Since when the rule held, seconds of the call; 0 where its raising is missing."""
    raised_s: float | None
    """Null where its raising is missing."""
    cleared_s: float | None
    """Null for one that was open to the end."""
    evidence: int
    """How many readings raised it."""
    acknowledged: tuple[Acknowledgement, ...]


@dataclass(frozen=True, slots=True)
class PartyFacts:
    """One party of a call."""

    party: Party
    channel: int | None
    """Of its source, from 0; null where the call's beginning is missing."""
    scored: bool
    identity: str | None
    """As the messages tell it: a pseudonym, unless `show_identities` was set."""
    readings: tuple[Reading, ...]
    """By `end_s`."""
    gaps: tuple[Gap, ...]

    @property
    def tones(self) -> tuple[Tone, ...]:
        """What each reading says in one word."""
        return tuple(tone(reading.state, reading.label) for reading in self.readings)

    @property
    def shares(self) -> dict[Tone, float]:
        """Tone → share of the readings, the largest first; they sum to 1. Empty without a reading."""
        counts = Counter(self.tones)
        return {name: count / counts.total() for name, count in counts.most_common()}

    @property
    def speech_share(self) -> float:
        """Share of the time in which the party speaks, 0..1."""
        return sum(reading.speech_share for reading in self.readings) / max(1, len(self.readings))

    @property
    def lost_s(self) -> float:
        """Audio that never came."""
        return sum(gap.end_s - gap.start_s for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class CallFacts:
    """One call."""

    call: str
    source: str
    """Kind of source; empty where the call's beginning is missing."""
    path: str | None
    """The recording, as it was given."""
    agent: str | None
    """As the messages tell it: a pseudonym, unless `show_identities` was set."""
    began_at: str
    """When its first message was made: UTC, RFC 3339."""
    last_at: str
    """When its last message was made."""
    duration_s: float
    reason: str | None
    """Why it ended; null while it goes on."""
    outcome: Mood | None
    """Null while it goes on."""
    parties: tuple[PartyFacts, ...]
    """The customer or the mixed voices, then the agent."""
    alerts: tuple[AlertFacts, ...]
    """By when they were raised."""
    missing: int
    """Messages that are not there, by the holes in `seq`."""
    hop_s: float
    """From one reading of a party to the next."""
    window_s: float
    origin: Origin

    @property
    def scored(self) -> tuple[PartyFacts, ...]:
        """Parties whose emotion was read, the one that the call is judged by first."""
        scored = [party for party in self.parties if party.scored]
        return tuple(sorted(scored, key=lambda party: _ORDER.index(party.party)))

    @property
    def judged(self) -> PartyFacts | None:
        """Whom the call is judged by: the customer, where they are scored."""
        return next(iter(self.scored), None)

    def alerts_of(self, party: Party) -> tuple[AlertFacts, ...]:
        return tuple(alert for alert in self.alerts if alert.party == party)


def facts_of(messages: Sequence[AnyCallMessage], origin: Origin) -> CallFacts:
    """The facts of the one call that `messages` are of. Raises ReportError where nothing of it was read."""
    told = sorted({message.seq: message for message in messages}.values(), key=lambda message: message.seq)
    readings = [message for message in told if isinstance(message, Reading)]
    started = next((message for message in told if isinstance(message, CallStarted)), None)
    ended = next((message for message in told if isinstance(message, CallEnded)), None)
    if not readings:
        raise ReportError(_nothing_read(told, ended))
    return CallFacts(
        call=told[0].call,
        source=started.source if started else "",
        path=started.path if started else None,
        agent=started.agent if started else None,
        began_at=told[0].at,
        last_at=told[-1].at,
        duration_s=ended.duration_s if ended else max(reading.end_s for reading in readings),
        reason=ended.reason if ended else None,
        outcome=ended.outcome if ended else None,
        parties=_parties(told, readings, started),
        alerts=alerts_in(told),
        missing=told[-1].seq - len(told),
        hop_s=_hop_s(readings),
        window_s=max(reading.end_s - reading.start_s for reading in readings),
        origin=origin,
    )


def _nothing_read(told: Sequence[AnyCallMessage], ended: CallEnded | None) -> str:
    if not told:
        return "no message of a call, expected at least one reading"
    how = f"it ended after {ended.duration_s:g} s ({ended.reason})" if ended else "it has only just begun"
    return f"{told[0].call}: no reading, so there is nothing to report: {how}"


def _parties(
    told: Sequence[AnyCallMessage], readings: Sequence[Reading], started: CallStarted | None
) -> tuple[PartyFacts, ...]:
    named = {reading.party for reading in readings} | set(started.parties if started else ())
    return tuple(_party(party, told, readings, started) for party in _ORDER if party in named)


def _party(
    party: Party, told: Sequence[AnyCallMessage], readings: Sequence[Reading], started: CallStarted | None
) -> PartyFacts:
    own = sorted((reading for reading in readings if reading.party == party), key=lambda reading: reading.end_s)
    info = started.parties.get(party) if started else None
    return PartyFacts(
        party=party,
        channel=info.channel if info else None,
        scored=info.scored if info else any(reading.state != "not_scored" for reading in own),
        identity=info.identity if info else None,
        readings=tuple(own),
        gaps=tuple(message for message in told if isinstance(message, Gap) and message.party == party),
    )


def alerts_in(told: Iterable[AnyCallMessage]) -> tuple[AlertFacts, ...]:
    """The alerts of one call, by when they were raised. `told`: its messages in order of `seq`."""
    raised: dict[str, AlertRaised] = {}
    cleared: dict[str, AlertCleared] = {}
    acknowledged: dict[str, list[Acknowledgement]] = {}
    now_s = 0.0
    for message in told:
        match message:
            case Reading():
                now_s = max(now_s, message.end_s)
            case AlertRaised():
                raised[message.alert] = message
            case AlertCleared():
                cleared[message.alert] = message
            case AlertAcknowledged():
                acknowledged.setdefault(message.alert, []).append(Acknowledgement(message.by, now_s))
    found = [_alert(raised.get(name), cleared.get(name), acknowledged.get(name, ())) for name in {**raised, **cleared}]
    return tuple(sorted(found, key=lambda alert: alert.raised_s or 0.0))


def _alert(
    raised: AlertRaised | None, cleared: AlertCleared | None, acknowledged: Iterable[Acknowledgement]
) -> AlertFacts:
    either = raised or cleared
    assert either is not None
    return AlertFacts(
        alert=either.alert,
        rule=either.rule,
        severity=either.severity,
        party=either.party,
        start_s=raised.start_s if raised else 0.0,
        raised_s=raised.at_s if raised else None,
        cleared_s=cleared.at_s if cleared else None,
        evidence=len(raised.evidence) if raised else 0,
        acknowledged=tuple(acknowledged),
    )


def _hop_s(readings: Sequence[Reading]) -> float:
    """The most frequent step between readings of one party; 0.5 s where there is one reading only."""
    last_s: dict[Party, float] = {}
    steps: Counter[float] = Counter()
    for reading in readings:
        if reading.party in last_s:
            steps[round(reading.end_s - last_s[reading.party], 2)] += 1
        last_s[reading.party] = reading.end_s
    steps.pop(0.0, None)
    return steps.most_common(1)[0][0] if steps else 0.5
