"""What the board keeps of one call and of its parties. Pure; what is kept is bounded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from monitor.course import Course, Readings
from monitor.messages import (
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    CallEnded,
    CallStarted,
    Gap,
    Mood,
    Party,
    Reading,
    Severity,
)
from monitor.recent import Strip, Trend
from monitor.snapshot import STALE_S, AlertView, CallDetail, CallView, Ending, Evidence, PartyView

SPEAKING = 0.1
"""Share of speech in a window from which the line is not silent."""
ALERTS_KEPT = 32
"""Of a call: the last ones, open or over."""
CALMER_S = 5.0
"""A call falls in the order only when its mood has been better for so long: rows do not jump between two readings."""
WORSE_FROM, WORSE_TO = 0.15, 0.05
"""A trend counts for the order from the one until it is under the other."""

_URGENCY: Mapping[Severity, int] = {"critical": 0, "warning": 1}
_URGENT_MOODS: Mapping[Mood, int] = {"angry": 4, "dissatisfied": 5}
_LOOKED_AFTER, _STALE, _WORSE, _REST = 2, 6, 7, 8
"""What an alert that somebody looks after adds; a call without audio; one that has got worse; all others."""
_ANGER = "sustained_anger"
"""While it is open a call's outcome is angry."""


class FollowedCall:
    """One call from its first message on."""

    def __init__(self, started: CallStarted, opened: int, at_s: float) -> None:
        """`opened`: its number among the board's calls."""
        self.name, self.source, self.agent, self.opened = started.call, started.source, started.agent, opened
        self.parties = {
            party: FollowedParty(party, info.scored, info.identity, at_s) for party, info in started.parties.items()
        }
        self.began_ms = round(at_s * 1000)
        """Unix milliseconds."""
        self.ended_at_s = at_s
        self._ended: CallEnded | None = None
        self._alerts: dict[str, _Alert] = {}
        self._readings = Readings()
        self._raised = 0
        self._lost_s = self._duration_s = self._spoke_s = 0.0

    def hear(self, reading: Reading, at_s: float) -> None:
        if reading.party not in self.parties:
            self.parties[reading.party] = FollowedParty(reading.party, reading.state != "not_scored", None, at_s)
        self.parties[reading.party].hear(reading, at_s)
        self._readings.add(reading)
        self._duration_s = max(self._duration_s, reading.end_s)
        if reading.speech_share >= SPEAKING or reading.state == "gap":
            self._spoke_s = max(self._spoke_s, reading.end_s)

    def note(self, message: AlertRaised | AlertCleared | AlertAcknowledged | Gap, at_s: float) -> None:
        match message:
            case AlertRaised():
                self._raised += 1
                self._alerts[message.alert] = _Alert(message, at_s, self._readings.evidence(message.evidence))
                self._forget_alerts()
            case AlertCleared():
                self._change(message.alert, over_s=message.at_s)
            case AlertAcknowledged():
                self._change(message.alert, by=message.by)
            case Gap():
                self._lost_s += message.end_s - message.start_s

    def end(self, ended: CallEnded, at_s: float) -> None:
        self._ended, self.ended_at_s, self._duration_s = ended, at_s, ended.duration_s
        for name, alert in self._alerts.items():
            if alert.over_s is None:
                self._change(name, over_s=ended.duration_s)
        self._readings.forget()

    def believe(self, now_s: float) -> None:
        """Nothing was told after this moment, Unix seconds."""
        self.ended_at_s = min(self.ended_at_s, now_s)
        for party in self.parties.values():
            party.heard_at_s = min(party.heard_at_s, now_s)

    def urgency(self, now_s: float) -> tuple[int, float, int]:
        """Sorts the most urgent first by what does not change with each reading: since when, not how long."""
        if alerts := [alert.urgency for alert in self._open if alert.raised.severity in _URGENCY]:
            return *min(alerts), self.opened
        caller = self._caller
        if caller and caller.ranked_mood and caller.ranked_mood in _URGENT_MOODS:
            return _URGENT_MOODS[caller.ranked_mood], caller.ranked_at_s, self.opened
        if caller and now_s - caller.heard_at_s >= STALE_S:
            return _STALE, caller.heard_at_s, self.opened
        if caller and caller.worse_at_s is not None:
            return _WORSE, caller.worse_at_s, self.opened
        return _REST, 0.0, self.opened

    def view(self, now_s: float) -> CallView:
        caller = self._caller
        parties = {name: party.view(now_s, self._duration_s) for name, party in self.parties.items()}
        both_heard = len(self.parties) > 1 or "mixed" in self.parties
        return CallView(
            name=self.name,
            source=self.source,
            duration_s=self._duration_s,
            parties=tuple(parties.values()),
            caller=parties[caller.party] if caller else None,
            agent=self.agent,
            alerts=tuple(sorted((alert.view(self._duration_s) for alert in self._open), key=lambda alert: alert.rank)),
            alerts_raised=self._raised,
            dead_air_s=self._duration_s - self._spoke_s if both_heard else 0.0,
            lost_s=self._lost_s,
            ending=self._ending(now_s),
        )

    def detail(self, now_s: float) -> CallDetail:
        caller = self._caller
        return CallDetail(
            call=self.view(now_s),
            alerts=tuple(alert.view(self._duration_s) for alert in reversed(self._alerts.values())),
            courses={name: party.course.view() for name, party in self.parties.items()},
            shares=caller.course.shares() if caller else {},
            outcome=self._outcome(caller),
        )

    @property
    def _caller(self) -> "FollowedParty | None":
        """The party that the call is judged by: a scored one first, the customer before the others."""
        order = ("customer", "mixed", "agent")
        return min(self.parties.values(), key=lambda p: (not p.scored, order.index(p.party)), default=None)

    @property
    def _open(self) -> "list[_Alert]":
        return [alert for alert in self._alerts.values() if alert.over_s is None]

    def _change(self, name: str, over_s: float | None = None, by: str | None = None) -> None:
        """What became of an alert; one whose beginning was missed stays untold."""
        if alert := self._alerts.get(name):
            self._alerts[name] = replace(alert, over_s=over_s or alert.over_s, by=by or alert.by)

    def _forget_alerts(self) -> None:
        """The oldest goes, one that is over before one that is open."""
        while len(self._alerts) > ALERTS_KEPT:
            over = (name for name, alert in self._alerts.items() if alert.over_s is not None)
            del self._alerts[next(over, next(iter(self._alerts)))]

    def _ending(self, now_s: float) -> Ending | None:
        if self._ended is None:
            return None
        return Ending(self._ended.outcome, self._ended.reason, max(0.0, now_s - self.ended_at_s))

    def _outcome(self, caller: "FollowedParty | None") -> Mood | None:
        if self._ended is not None:
            return self._ended.outcome
        if caller and any(alert.raised.rule == _ANGER and alert.raised.party == caller.party for alert in self._open):
            return "angry"
        return caller.mood if caller else None


class FollowedParty:
    """One party of a call."""

    def __init__(self, party: Party, scored: bool, identity: str | None, at_s: float) -> None:
        self.party, self.scored, self.identity = party, scored, identity
        self.mood: Mood | None = None
        self.ranked_mood: Mood | None = None
        """The mood that the order of calls rests on: worse at once, better only after a while."""
        self.ranked_at_s = at_s
        self.worse_at_s: float | None = None
        """Since when it is worse than in its own first minute, Unix seconds; null while it is not."""
        self.heard_at_s = at_s
        self.course = Course()
        self._better_since_s: float | None = None
        self._mood_since_s = self._scored_s = 0.0
        self._last: Reading | None = None
        self._strip, self._trend = Strip(), Trend()

    def hear(self, reading: Reading, at_s: float) -> None:
        if reading.mood != self.mood:
            self.mood, self._mood_since_s = reading.mood, reading.end_s
        self._rank(reading.mood, reading.end_s, at_s)
        self._last, self.heard_at_s = reading, at_s
        self._strip.add(reading)
        self.course.add(reading)
        if reading.scores is not None:
            self._scored_s = reading.end_s
            self._trend.add(reading.end_s, 1.0 - reading.scores["happy"] - reading.scores["neutral"])
            self._follow(self._trend.value or 0.0, at_s)

    def view(self, now_s: float, duration_s: float) -> PartyView:
        last = self._last
        return PartyView(
            party=self.party,
            scored=self.scored,
            state=last.state if last else None,
            label=last.label if last else None,
            mood=self.mood,
            mood_for_s=max(0.0, duration_s - self._mood_since_s),
            unscored_s=max(0.0, duration_s - self._scored_s),
            confidence=last.confidence if last else None,
            speech_share=last.speech_share if last else 0.0,
            level_db=last.level_db if last else None,
            trend=self._trend.value,
            strip=self._strip.cells(),
            unheard_s=max(0.0, now_s - self.heard_at_s),
            identity=self.identity,
        )

    def _rank(self, mood: Mood | None, end_s: float, at_s: float) -> None:
        if mood == self.ranked_mood:
            self._better_since_s = None
            return
        if _rank_of(mood) > _rank_of(self.ranked_mood):
            self._better_since_s = end_s if self._better_since_s is None else self._better_since_s
            if end_s - self._better_since_s < CALMER_S:
                return
        self.ranked_mood, self.ranked_at_s, self._better_since_s = mood, at_s, None

    def _follow(self, trend: float, at_s: float) -> None:
        if trend >= WORSE_FROM:
            self.worse_at_s = self.worse_at_s if self.worse_at_s is not None else at_s
        elif trend < WORSE_TO:
            self.worse_at_s = None


@dataclass(frozen=True, slots=True)
class _Alert:
    raised: AlertRaised
    raised_at_s: float
    """Unix seconds."""
    evidence: Evidence
    over_s: float | None = None
    by: str | None = None

    @property
    def urgency(self) -> tuple[int, float]:
        return _URGENCY[self.raised.severity] + (0 if self.by is None else _LOOKED_AFTER), self.raised_at_s

    def view(self, duration_s: float) -> AlertView:
        raised = self.raised
        return AlertView(
            alert=raised.alert,
            rule=raised.rule,
            severity=raised.severity,
            party=None if raised.about == "call" else raised.party,
            start_s=raised.start_s,
            at_s=raised.at_s,
            over_s=self.over_s,
            open_s=max(0.0, (duration_s if self.over_s is None else self.over_s) - raised.start_s),
            by=self.by,
            evidence=self.evidence,
        )


def _rank_of(mood: Mood | None) -> int:
    """The most urgent mood's is the least."""
    return _REST if mood is None else _URGENT_MOODS.get(mood, _REST)
