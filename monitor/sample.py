"""A made-up moment in a call centre, told by messages: what the dashboard's pictures and tests show. Pure."""

from collections.abc import Iterator
from itertools import count

from monitor.board import Board
from monitor.messages import (
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


def sample(failure: str = "") -> Snapshot:
    """A board in which something of everything happens; with `failure` scoring has stopped for that reason."""
    board = Board()
    for name, story in _STORIES.items():
        _play(board, name, story, NOW_S)
    _play(board, "sales-14", "nnnnnnnnnnnnnnnnnnnnnnnnnnnnn", NOW_S - 17.0)
    _alert(board, "claims-07", "sustained_anger", "critical", 80.0, 101.5)
    _alert(board, "hotline-21", "turning_worse", "warning", 104.0, 112.0)
    _finish(board, "orders-02", "nnnnnn?nnSSSSn..nnnnHHHHHnnHHHH", "satisfied", 12.0)
    _finish(board, "claims-19", "nnnnnnnnDDDDnnDDDAAAAAAAAAAAAAA", "angry", 41.0)
    board.receive(Error(at=rfc3339(NOW_S - 95.0), code="audio", text="scan.wav: no samples, expected a recording"))
    if failure:
        board.receive(Error(at=rfc3339(NOW_S - 8.0), code="pipeline", text=failure))
    return board.snapshot(NOW_S)


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
}


def _play(board: Board, name: str, story: str, end_s: float) -> None:
    """Tell `story`, one character a cell of the strip, so that its last reading comes at `end_s`."""
    parties = _MIXED if name.startswith("trunk") else _TWO_PARTIES
    start_s, seqs = end_s - len(story) * CELL_S, count(2)
    board.receive(CallStarted(at=rfc3339(start_s), call=name, seq=1, source="rtp", path=None, parties=parties))
    for at_s, character, mood in _moments(story):
        for party, info in parties.items():
            heard = (character, mood) if info.scored else ("-", None)
            share = _speech_share(party, character, at_s)
            board.receive(_reading(name, next(seqs), party, start_s, at_s, heard, share))


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
    confidence = 0.62 + ord(character) % 7 / 25.0 if label else 0.31 if character == "?" else None
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
        scores=_scores(label or "neutral", confidence) if confidence else None,
        speech_share=share,
        level_db=None if character == "." else -24.0,
        latency_ms=38.0 + seq % 29,
    )


def _scores(label: Label, confidence: float) -> dict[Label, float]:
    rest = (1.0 - confidence) / 5.0
    labels = [name for name, _ in _EMOTIONS.values()]
    return {name: confidence if name == label else rest for name in labels}


def _alert(board: Board, call: str, rule: str, severity: Severity, start_s: float, at_s: float) -> None:
    at = rfc3339(NOW_S - 10.0)
    alert = AlertRaised(
        at=at,
        call=call,
        seq=900,
        alert=f"{call}-1",
        rule=rule,
        severity=severity,
        party="customer",
        start_s=start_s,
        at_s=at_s,
        evidence=[890, 894],
    )
    board.receive(alert)


def _finish(board: Board, call: str, story: str, outcome: Mood, ago_s: float) -> None:
    _play(board, call, story, NOW_S - ago_s)
    at = rfc3339(NOW_S - ago_s)
    duration_s = len(story) * CELL_S
    board.receive(CallEnded(at=at, call=call, seq=901, duration_s=duration_s, reason="end", outcome=outcome, shares={}))
