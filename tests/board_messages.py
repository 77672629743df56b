"""Messages of made-up calls, for the tests of board and dashboard. The node's clock starts at `T0`."""

from collections.abc import Sequence

from monitor.messages import (
    LABELS,
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    CallEnded,
    CallStarted,
    Error,
    Gap,
    Label,
    Mood,
    Party,
    PartyInfo,
    Reading,
    Severity,
    State,
    rfc3339,
)

T0 = 1_767_225_600.0


def started(
    call: str = "one",
    at_s: float = 0.0,
    scored: Sequence[Party] = ("customer",),
    agent: str | None = None,
    identity: str | None = None,
) -> CallStarted:
    parties: dict[Party, PartyInfo] = {
        "agent": PartyInfo(channel=0, scored="agent" in scored),
        "customer": PartyInfo(channel=1, scored="customer" in scored, identity=identity),
    }
    at = rfc3339(T0 + at_s)
    return CallStarted(at=at, call=call, seq=1, source="recording", path=None, agent=agent, parties=parties)


def reading(
    end_s: float,
    label: Label | None = "neutral",
    mood: Mood | None = "calm",
    call: str = "one",
    party: Party = "customer",
    state: State = "speech",
    negative: float = 0.2,
    share: float = 0.8,
    latency_ms: float = 40.0,
    seq: int = 2,
) -> Reading:
    """A reading at `T0 + end_s`; of the scores anger has `negative`, neutral the rest."""
    scores: dict[Label, float] = dict.fromkeys(LABELS, 0.0) | {"anger": negative, "neutral": 1.0 - negative}
    scored = state in ("speech", "uncertain")
    return Reading(
        at=rfc3339(T0 + end_s),
        call=call,
        seq=seq,
        party=party,
        start_s=max(0.0, end_s - 3.0),
        end_s=end_s,
        state=state,
        label=label if state == "speech" else None,
        mood=mood,
        confidence=0.7 if scored else None,
        scores=scores if scored else None,
        speech_share=share,
        level_db=-20.0,
        latency_ms=latency_ms,
    )


def agent(end_s: float, share: float = 0.0, call: str = "one") -> Reading:
    return reading(end_s, None, None, call=call, party="agent", state="not_scored", share=share)


def raised(
    at_s: float,
    call: str = "one",
    severity: Severity = "critical",
    rule: str = "sustained_anger",
    start_s: float = 0.0,
    evidence: Sequence[int] = (2,),
) -> AlertRaised:
    return AlertRaised(
        at=rfc3339(T0 + at_s),
        call=call,
        seq=3,
        alert=f"{call}-{rule}",
        rule=rule,
        severity=severity,
        party="customer",
        start_s=start_s,
        at_s=at_s,
        evidence=list(evidence),
    )


def cleared(at_s: float, call: str = "one", rule: str = "sustained_anger") -> AlertCleared:
    return AlertCleared(
        at=rfc3339(T0 + at_s),
        call=call,
        seq=4,
        alert=f"{call}-{rule}",
        rule=rule,
        severity="critical",
        party="customer",
        start_s=0.0,
        at_s=at_s,
        evidence=[3],
    )


def acknowledged(at_s: float, call: str = "one", rule: str = "sustained_anger", by: str = "Maria") -> AlertAcknowledged:
    return AlertAcknowledged(at=rfc3339(T0 + at_s), call=call, seq=7, alert=f"{call}-{rule}", party="customer", by=by)


def gap(start_s: float, end_s: float, call: str = "one", reason: str = "lost packets") -> Gap:
    return Gap(at=rfc3339(T0 + end_s), call=call, seq=5, party="customer", start_s=start_s, end_s=end_s, reason=reason)


def ended(at_s: float, call: str = "one", outcome: Mood = "calm", reason: str = "end") -> CallEnded:
    shares: dict[Party, dict[str, float]] = {
        "agent": {"not_scored": 1.0},
        "customer": {"neutral": 0.6, "anger": 0.3, "too_little_speech": 0.098, "gap": 0.002},
    }
    return CallEnded(
        at=rfc3339(T0 + at_s), call=call, seq=6, duration_s=at_s, reason=reason, outcome=outcome, shares=shares
    )


def error(text: str, code: str = "audio", at_s: float = 0.0) -> Error:
    return Error(at=rfc3339(T0 + at_s), code=code, text=text)
