"""What a report says of a day: how its calls ended, its alerts by the hour, the calls that most need a look. Pure.

It says nothing of agents: no id of one comes in, and nothing is counted for one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.history.archive import StoredCall
from monitor.messages import Mood, Severity
from monitor.report.facts import AlertFacts, CallFacts
from monitor.report.span import Span

WORST = 5
HOURS = 24
_OUTCOMES: Mapping[Mood, int] = {"angry": 2, "dissatisfied": 1}


@dataclass(frozen=True, slots=True)
class CallLine:
    """One call, as a list shows it."""

    id: str
    """In the history; empty for one that is not in it."""
    call: str
    began: datetime
    duration_s: float
    outcome: Mood | None
    """Null while it runs."""
    ending: str | None
    """Why it ended; null while it runs."""
    alerts: tuple[str, ...]
    """Rules of its alerts, each as often as it was raised."""
    critical_s: float
    """How long a critical alert was open."""
    warning_s: float
    lost_s: float
    """Audio that never came, seconds over all parties."""

    @property
    def badness(self) -> tuple[float, float, int, float]:
        """Sorts the worst last: how long it was under critical alerts, under warnings, how it ended, how long it was."""
        return self.critical_s, self.warning_s, _OUTCOMES.get(self.outcome, 0) if self.outcome else 0, self.duration_s

    @property
    def bad(self) -> bool:
        """Whether anything speaks for a look at it."""
        return any(self.badness[:3])


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the day, over all days of the span."""

    calls: int
    """That began in it."""
    alerts: Mapping[Severity, int]
    """Raised in it."""


@dataclass(frozen=True, slots=True)
class DayFacts:
    """A day, or another span."""

    span: Span
    calls: tuple[CallLine, ...]
    """By when they began."""
    hours: tuple[Hour, ...]
    """24, by the local clock."""
    rules: Mapping[str, int]
    """Rule → alerts raised, the most frequent first."""
    unstored: int
    """Messages that the history lacks."""
    models: tuple[str, ...]
    """That read these calls."""

    @property
    def listened_s(self) -> float:
        """Length of all calls together."""
        return sum(call.duration_s for call in self.calls)

    @property
    def lost_s(self) -> float:
        return sum(call.lost_s for call in self.calls)

    @property
    def outcomes(self) -> dict[Mood, int]:
        """Of calls that ended by themselves or were stopped; what was interrupted has none."""
        return dict(Counter(call.outcome for call in self.calls if call.outcome and call.ending != "interrupted"))

    @property
    def running(self) -> int:
        return sum(call.ending is None for call in self.calls)

    @property
    def interrupted(self) -> int:
        return sum(call.ending == "interrupted" for call in self.calls)

    @property
    def worst(self) -> tuple[CallLine, ...]:
        """The five that most need a look, the worst first; fewer where fewer do."""
        return tuple(sorted((call for call in self.calls if call.bad), key=lambda call: call.badness, reverse=True))[
            :WORST
        ]


def day_facts(stored: Sequence[StoredCall], alerts: Mapping[str, Sequence[AlertFacts]], span: Span) -> DayFacts:
    """The facts of the calls that began in `span`. `alerts`: id → those of the call, of every call that had any."""
    lines = [_line(call, alerts.get(call.id, ())) for call in stored]
    return DayFacts(
        span=span,
        calls=tuple(sorted(lines, key=lambda line: line.began)),
        hours=_hours(stored, alerts),
        rules=dict(Counter(alert.rule for each in alerts.values() for alert in each).most_common()),
        unstored=sum(call.unstored for call in stored),
        models=tuple(sorted({call.model for call in stored if call.model})),
    )


def line_of(facts: CallFacts) -> CallLine:
    """The line of a call that was read here."""
    return CallLine(
        id="",
        call=facts.call,
        began=datetime.fromisoformat(facts.began_at).astimezone(),
        duration_s=facts.duration_s,
        outcome=facts.outcome,
        ending=facts.reason,
        alerts=tuple(alert.rule for alert in facts.alerts),
        critical_s=open_s(facts.alerts, "critical", facts.duration_s),
        warning_s=open_s(facts.alerts, "warning", facts.duration_s),
        lost_s=sum(party.lost_s for party in facts.parties),
    )


def open_s(alerts: Sequence[AlertFacts], severity: Severity, duration_s: float) -> float:
    """For how long an alert of `severity` was open, from its raising on; what overlaps counts once."""
    spans = sorted(
        (alert.raised_s or 0.0, duration_s if alert.cleared_s is None else alert.cleared_s)
        for alert in alerts
        if alert.severity == severity
    )
    total_s = reached_s = 0.0
    for from_s, to_s in spans:
        total_s += max(0.0, to_s - max(from_s, reached_s))
        reached_s = max(reached_s, to_s)
    return total_s


def _line(call: StoredCall, alerts: Sequence[AlertFacts]) -> CallLine:
    interrupted = call.state == "interrupted"
    return CallLine(
        id=call.id,
        call=call.call,
        began=datetime.fromtimestamp(call.started_s).astimezone(),
        duration_s=call.duration_s,
        outcome=None if interrupted else call.outcome,
        ending="interrupted" if interrupted else call.reason,
        alerts=tuple(alert.rule for alert in alerts),
        critical_s=open_s(alerts, "critical", call.duration_s),
        warning_s=open_s(alerts, "warning", call.duration_s),
        lost_s=call.lost_s,
    )


def _hours(stored: Sequence[StoredCall], alerts: Mapping[str, Sequence[AlertFacts]]) -> tuple[Hour, ...]:
    calls = Counter(_hour(call.started_s) for call in stored)
    raised: list[Counter[Severity]] = [Counter() for _ in range(HOURS)]
    for call in stored:
        for alert in alerts.get(call.id, ()):
            raised[_hour(call.started_s + (alert.raised_s or 0.0))][alert.severity] += 1
    return tuple(Hour(calls[number], dict(raised[number])) for number in range(HOURS))


def _hour(unix_s: float) -> int:
    """Of the local day, by the rules of that day."""
    return datetime.fromtimestamp(unix_s).hour
