"""Readings for tests of alerts: a voice as numbers, without audio."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from monitor.alerts.rules import Rule, made
from monitor.alerts.watches import CallWatch, Change
from monitor.messages import LABELS, Label, Party, Reading, State

HOP_S = 0.5


def rule(name: str = "sustained_anger", **values: object) -> Rule:
    """A rule over anger, but for what `values` says."""
    defaults: dict[str, object] = {"measure": "score", "severity": "critical", "raise_at": 0.5, "clear_at": 0.3}
    defaults |= {"raise_for_s": 2.0, "clear_for_s": 1.0}
    if values.get("measure") != "silence":
        defaults["labels"] = ["anger"]
    return made(name, defaults | values)


def reading(
    seq: int,
    end_s: float,
    scores: Mapping[str, float] | None = None,
    party: Party = "customer",
    speech_share: float = 1.0,
    state: State | None = None,
    call: str = "one",
) -> Reading:
    """What is not named in `scores` is shared by the other labels; without scores it is silence."""
    filled: dict[Label, float] | None = None
    if scores is not None:
        rest = (1.0 - sum(scores.values())) / (len(LABELS) - len(scores))
        filled = {label: scores.get(label, rest) for label in LABELS}
    return Reading(
        at="2026-01-31T12:00:00.000Z",
        call=call,
        seq=seq,
        party=party,
        start_s=max(0.0, end_s - 3.0),
        end_s=end_s,
        state=state or ("silence" if scores is None else "speech"),
        label=None,
        mood=None,
        confidence=None,
        scores=filled,
        speech_share=speech_share,
        level_db=None,
        latency_ms=0.0,
    )


def angers(values: Iterable[float | None], start_s: float = 3.0) -> list[Reading]:
    """A customer's readings with these scores of anger, from `seq` 1; None is silence."""
    return [
        reading(seq, start_s + HOP_S * (seq - 1), None if value is None else {"anger": value})
        for seq, value in enumerate(values, 1)
    ]


def sides(shares: Iterable[tuple[float, float]], state: State = "silence") -> Iterator[Reading]:
    """Readings of an agent and a customer who speak these shares of each window."""
    for number, pair in enumerate(shares):
        for side, party in enumerate(("agent", "customer")):
            end_s = 3.0 + HOP_S * number
            yield reading(2 * number + side + 1, end_s, None, party, pair[side], state)  # type: ignore[arg-type]


def watched(
    rules: Rule | Sequence[Rule],
    readings: Iterable[Reading],
    parties: Sequence[Party] = ("agent", "customer"),
    smooth_s: float = 0.0,
) -> list[Change]:
    """What the rules make of the readings; without smoothing, so that a score is what it says."""
    watch = CallWatch([rules] if isinstance(rules, Rule) else rules, parties, smooth_s, HOP_S)
    return [change for one in readings for change in watch.see(one)]


def told(changes: Iterable[Change]) -> list[tuple[str, str, float]]:
    """Which rule did what when."""
    return [(change.rule.name, change.kind, change.at_s) for change in changes]
