"""A made-up moment in a call centre, told by messages: what the dashboard's pictures and tests show. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from monitor.board import Board
from monitor.messages import (
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    CallEnded,
    CallStarted,
    Error,
    Label,
    Mood,
    Party,
    PartyInfo,
    Reading,
    Severity,
    State,
    rfc3339,
)
from monitor.recent import CELL_S
from monitor.snapshot import Health, Snapshot

NOW_S = 1_767_225_600.0
"""Unix seconds of the sample."""
HEALTH = Health(0.0, 0.04, 3, "ws://127.0.0.1:8765/v1/calls", "emotion 1.0")
HOP_S = 0.5

_EMOTIONS: dict[str, tuple[Label, Mood]] = {
    "A": ("anger", "angry"),
    "D": ("disgust", "dissatisfied"),
    "F": ("fear", "dissatisfied"),
    "S": ("sad", "dissatisfied"),
    "H": ("happy", "satisfied"),
    "n": ("neutral", "calm"),
}
_STATES: dict[str, State] = {
    "?": "uncertain",
    ".": "silence",
    ":": "too_little_speech",
    "#": "clipped",
    "x": "gap",
    "-": "not_scored",
}


@dataclass(frozen=True, slots=True)
class _Alert:
    """One that is raised in the course of a story."""

    rule: str
    severity: Severity
    start_s: float
    at_s: float
    cleared_s: float = float("inf")


def sample(failure: str = "", opened: str = "") -> Snapshot:
    """A board in which something of everything happens, with call `opened` in detail; with `failure` scoring has stopped
    for that reason."""
    board = sample_board()
    if failure:
        board.receive(Error(at=rfc3339(NOW_S - 8.0), code="pipeline", text=failure))
    return board.snapshot(NOW_S, opened)


def sample_board() -> Board:
    """The board of `sample`, for whoever goes on with it."""
    board = Board()
    for name, story in _STORIES.items():
        _play(board, name, story, NOW_S - (17.0 if name == "sales-14" else 0.0))
    _finish(board, "claims-19", "angry", 41.0)
    _finish(board, "orders-02", "satisfied", 12.0)
    board.receive(Error(at=rfc3339(NOW_S - 95.0), code="audio", text="scan.wav: no samples, expected a recording"))
    return board


def acknowledged(board: Board, call: str, by: str) -> None:
    """`by` looks after the alert of `call`."""
    alert = AlertAcknowledged(at=rfc3339(NOW_S), call=call, seq=1_000, alert=f"{call}:1", party="customer", by=by)
    board.receive(alert)


def raised(board: Board, call: str, rule: str, severity: Severity, now_s: float) -> None:
    """One alert more in `call`, just now."""
    board.receive(_raised(call, 1_001, _Alert(rule, severity, 110.0, 114.0), 2, rfc3339(now_s), []))


_STORIES = {
    "claims-03": "nnnn..nnnnnnnnnnnnn?nnnnnnnnn.nnnnnnnnnn",
    "hotline-02": "nnnnnnnnn...nnnnnnHHnnnnnnnnnn",
    "claims-07": "nnnnnnnn.nnnnnnnnDD?nnDDDAAAAAAAAAAAAA",
    "hotline-04": "nnnnnnnnnAAAAAAAAAA?nnn.nnnnHHHHHnnHHHHHH",
    "orders-16": "nn?nnnnnnnnnnnnnnnnnnnn",
    "hotline-21": "nnnnnnnnnnnnnnnnnnnnnnnnnn??DDDDnDDDDDD",
    "hotline-09": "nnnnSSSSnnSSSSSSSS?SSSSS..SSSSSS",
    "orders-05": "nnnnnnnnnnnnnnn......",
    "claims-12": "nnnn????n????????n???????",
    "hotline-11": "nnnnnnxxnnnnnnnxnnnnnnx",
    "orders-08": "nnnnnn####n#######",
    "hotline-17": ":::",
    "trunk-1": "--------------",
    "sales-14": "nnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
}
_ENDED = {"orders-02": "nnnnnn?nnSSSSn..nnnnHHHHHnnHHHH", "claims-19": "nnnnnnnnDDDDnnDDDAAAAAAAAAAAAAA"}
_ALERTS = {
    "claims-07": [_Alert("sustained_anger", "critical", 80.0, 82.5)],
    "hotline-21": [_Alert("turning_worse", "warning", 104.0, 112.0)],
    "hotline-04": [
        _Alert("sustained_anger", "critical", 28.5, 31.0, 69.0),
        _Alert("recovery", "info", 93.0, 101.0, 108.0),
    ],
    "claims-19": [_Alert("sustained_anger", "critical", 52.0, 54.5)],
}
_AGENTS = {name: str(4_700 + 11 * number % 97) for number, name in enumerate([*_STORIES, *_ENDED]) if name != "trunk-1"}


def _play(board: Board, name: str, story: str, end_s: float) -> None:
    """Tell `story`, one character a cell of the strip, so that its last reading comes at `end_s`."""
    parties = _MIXED if name.startswith("trunk") else _TWO_PARTIES
    start_s, seqs = end_s - len(story) * CELL_S, count(2)
    at, agent = rfc3339(start_s), _AGENTS.get(name)
    board.receive(CallStarted(at=at, call=name, seq=1, source="siprec", path=None, agent=agent, parties=parties))
    heard: list[tuple[float, int]] = []
    for at_s, character, mood in _moments(story):
        for party, info in parties.items():
            said = (character, mood) if info.scored else ("-", None)
            share = _speech_share(party, character, at_s)
            reading = _reading(name, next(seqs), party, start_s, at_s, said, share)
            heard += [(at_s, reading.seq)] if info.scored else []
            board.receive(reading)
        for number, alert in enumerate(_ALERTS.get(name, ()), 1):
            evidence = [seq for end_s, seq in heard if alert.start_s < end_s <= alert.at_s]
            if at_s == alert.at_s:
                board.receive(_raised(name, next(seqs), alert, number, rfc3339(start_s + at_s), evidence))
            if at_s == alert.cleared_s:
                board.receive(_cleared(name, next(seqs), alert, number, rfc3339(start_s + at_s)))


_TWO_PARTIES: dict[Party, PartyInfo] = {
    "agent": PartyInfo(channel=0, scored=False),
    "customer": PartyInfo(channel=1, scored=True),
}
_MIXED: dict[Party, PartyInfo] = {"mixed": PartyInfo(channel=0, scored=False)}


def _moments(story: str) -> Iterator[tuple[float, str, Mood]]:
    """Where each reading ends in seconds of the call, its character, and the mood so far."""
    mood: Mood = "unclear"
    for index in range(int(len(story) * CELL_S / HOP_S)):
        character = story[int(index * HOP_S / CELL_S)]
        mood = _EMOTIONS[character][1] if character in _EMOTIONS else "unclear" if character == "?" else mood
        yield (index + 1) * HOP_S, character, mood


def _speech_share(party: Party, character: str, at_s: float) -> float:
    """Customer and agent take turns of a few seconds; nobody speaks in silence."""
    if character == ".":
        return 0.0
    turn = (at_s + ord(character)) % 19.0
    return 0.05 if (turn < 6.0) == (party == "customer") else round(0.95 - turn / 40.0, 2)


def _reading(
    call: str, seq: int, party: Party, began_s: float, end_s: float, heard: tuple[str, Mood | None], share: float
) -> Reading:
    character, mood = heard
    label = _EMOTIONS[character][0] if character in _EMOTIONS else None
    state: State = "speech" if label else _STATES[character]
    wobble = 0.09 * math.sin(1.7 * end_s + ord(character))
    confidence = 0.66 + ord(character) % 7 / 30.0 + wobble if label else 0.31 if character == "?" else None
    return Reading(
        at=rfc3339(began_s + end_s),
        call=call,
        seq=seq,
        party=party,
        start_s=max(0.0, end_s - 3.0),
        end_s=end_s,
        state=state,
        label=label,
        mood=mood,
        confidence=confidence,
        scores=_scores(label or "neutral", confidence, end_s) if confidence else None,
        speech_share=share,
        level_db=None if character == "." else -24.0,
        latency_ms=38.0 + seq % 29,
    )


def _scores(label: Label, confidence: float, end_s: float) -> dict[Label, float]:
    """`label` has `confidence`; the others share the rest unevenly, another way in every few seconds."""
    others = [name for name, _ in _EMOTIONS.values() if name != label]
    weights = [1.2 + math.sin(end_s / (4.0 + number) + 2.0 * number) for number in range(len(others))]
    rest = {name: (1.0 - confidence) * weight / sum(weights) for name, weight in zip(others, weights, strict=True)}
    return {label: confidence, **rest}


def _raised(call: str, seq: int, alert: _Alert, number: int, at: str, evidence: list[int]) -> AlertRaised:
    return AlertRaised(
        at=at,
        call=call,
        seq=seq,
        alert=f"{call}:{number}",
        rule=alert.rule,
        severity=alert.severity,
        party="customer",
        start_s=alert.start_s,
        at_s=alert.at_s,
        evidence=evidence,
    )


def _cleared(call: str, seq: int, alert: _Alert, number: int, at: str) -> AlertCleared:
    return AlertCleared(
        at=at,
        call=call,
        seq=seq,
        alert=f"{call}:{number}",
        rule=alert.rule,
        severity=alert.severity,
        party="customer",
        start_s=alert.start_s,
        at_s=alert.cleared_s,
        evidence=[],
    )


def _finish(board: Board, call: str, outcome: Mood, ago_s: float) -> None:
    story = _ENDED[call]
    _play(board, call, story, NOW_S - ago_s)
    at = rfc3339(NOW_S - ago_s)
    duration_s = len(story) * CELL_S
    board.receive(CallEnded(at=at, call=call, seq=901, duration_s=duration_s, reason="end", outcome=outcome, shares={}))
