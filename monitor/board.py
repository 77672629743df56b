"""The latest state of every call as an immutable snapshot. Pure: time comes with the messages and with `snapshot`."""

import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime

from monitor import messages
from monitor.messages import (
    AlertCleared,
    AlertRaised,
    CallEnded,
    CallStarted,
    Gap,
    Mood,
    Party,
    PartyInfo,
    Reading,
    Severity,
)
from monitor.recent import Strip, Trend
from monitor.snapshot import STALE_S, AlertView, CallView, Ending, Fault, PartyView, Snapshot

SPEAKING = 0.1
"""Share of speech in a window from which the line is not silent."""
ENDED_KEPT_S = 60.0
"""How long an ended call stays in the snapshot."""
ENDED_KEPT = 200
"""Ended calls that stay at most."""
FAULTS_KEPT = 5
LATENCIES_KEPT = 4_096
"""Scored readings that the latency is measured over."""

_URGENCY: Mapping[Severity, int] = {"critical": 0, "warning": 1}
_URGENT_MOODS: Mapping[Mood, int] = {"angry": 2, "dissatisfied": 3}


class Board:
    """Receives every message from any thread and shows the whole as one `Snapshot`.

    What is kept of a call is bounded; of ended calls the last `ENDED_KEPT` stay for `ENDED_KEPT_S`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, _Call] = {}
        self._ended: dict[str, _Call] = {}
        self._opened = 0
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._faults: deque[tuple[float, str, str]] = deque(maxlen=FAULTS_KEPT)
        self._fault_count = 0
        self._failure: str | None = None
        self._missed = 0

    def receive(self, message: messages.AnyMessage) -> None:
        """Take in one message, in the order of the bus; a few microseconds. Raises ValueError where `at` is no time."""
        at_s = datetime.fromisoformat(message.at).timestamp()
        with self._lock:
            match message:
                case Reading():
                    self._read(message, at_s)
                case messages.Error():
                    self._fail(message, at_s)
                case messages.Missed():
                    self._miss(message)
                case CallStarted():
                    self._open(message.call, message.source, message.parties, at_s)
                case CallEnded():
                    self._end(message, at_s)
                case AlertRaised() | AlertCleared() | Gap():
                    self._call(message.call, at_s).note(message, at_s)

    @property
    def running(self) -> int:
        """Calls that run."""
        return len(self._calls)

    @property
    def scored_parties(self) -> int:
        """Parties of running calls whose emotion is read."""
        with self._lock:
            return sum(party.scored for call in self._calls.values() for party in call.parties.values())

    def snapshot(self, now_s: float) -> Snapshot:
        """Everything as it stands at `now_s`, Unix seconds on the clock of the node that made the messages."""
        with self._lock:
            self._forget(now_s)
            latencies_ms = list(self._latencies_ms)
            calls = sorted(self._calls.values(), key=lambda call: call.urgency(now_s))
            live = tuple(call.view(now_s) for call in calls)
            ended = tuple(call.view(now_s) for call in reversed(self._ended.values()))
            faults = tuple(Fault(max(0.0, now_s - at_s), code, text) for at_s, code, text in self._faults)
            counts = self._fault_count, self._missed, self._failure
        latencies_ms.sort()
        p50_ms, p99_ms = _quantile(latencies_ms, 0.5), _quantile(latencies_ms, 0.99)
        return Snapshot(live, ended, faults, *counts, p50_ms, p99_ms)

    def _open(self, name: str, source: str, parties: Mapping[Party, PartyInfo], at_s: float) -> "_Call":
        self._opened += 1
        self._ended.pop(name, None)
        call = self._calls[name] = _Call(name, source, self._opened, at_s)
        for party, info in parties.items():
            call.parties[party] = _Party(party, info.scored, at_s)
        return call

    def _call(self, name: str, at_s: float) -> "_Call":
        """The running call of that name; one whose beginning was missed starts here."""
        return self._calls.get(name) or self._open(name, "", {}, at_s)

    def _read(self, reading: Reading, at_s: float) -> None:
        self._call(reading.call, at_s).hear(reading, at_s)
        if reading.scores is not None:
            self._latencies_ms.append(reading.latency_ms)
        self._failure = None

    def _fail(self, error: messages.Error, at_s: float) -> None:
        self._fault_count += 1
        self._faults.append((at_s, error.code, error.text))
        if error.code == "pipeline":
            self._failure = error.text

    def _miss(self, missed: messages.Missed) -> None:
        """Where nobody knows how much was missed, its end may have been: what still runs is told anew."""
        self._missed += missed.count
        if missed.count == 0 and missed.call is not None:
            self._calls.pop(missed.call, None)
        elif missed.count == 0:
            self._calls.clear()
            self._failure = None

    def _end(self, ended: CallEnded, at_s: float) -> None:
        call = self._call(ended.call, at_s)
        call.end(ended, at_s)
        del self._calls[ended.call]
        self._ended[ended.call] = call
        while len(self._ended) > ENDED_KEPT:
            del self._ended[next(iter(self._ended))]

    def _forget(self, now_s: float) -> None:
        old = [name for name, call in self._ended.items() if now_s - call.ended_at_s > ENDED_KEPT_S]
        for name in old:
            del self._ended[name]


class _Call:
    """What the board keeps of one call."""

    def __init__(self, name: str, source: str, opened: int, at_s: float) -> None:
        self.name, self.source, self.opened = name, source, opened
        self.parties: dict[Party, _Party] = {}
        self.ended_at_s = at_s
        self._ended: CallEnded | None = None
        self._alerts: dict[str, tuple[AlertRaised, float]] = {}
        self._raised = 0
        self._lost_s = self._duration_s = self._spoke_s = 0.0

    def hear(self, reading: Reading, at_s: float) -> None:
        if reading.party not in self.parties:
            self.parties[reading.party] = _Party(reading.party, reading.state != "not_scored", at_s)
        self.parties[reading.party].hear(reading, at_s)
        self._duration_s = max(self._duration_s, reading.end_s)
        if reading.speech_share >= SPEAKING or reading.state == "gap":
            self._spoke_s = max(self._spoke_s, reading.end_s)

    def note(self, message: AlertRaised | AlertCleared | Gap, at_s: float) -> None:
        match message:
            case AlertRaised():
                self._raised += 1
                self._alerts[message.alert] = message, at_s
            case AlertCleared():
                self._alerts.pop(message.alert, None)
            case Gap():
                self._lost_s += message.end_s - message.start_s

    def end(self, ended: CallEnded, at_s: float) -> None:
        self._ended, self.ended_at_s, self._duration_s = ended, at_s, ended.duration_s
        self._alerts.clear()

    @property
    def _caller(self) -> "_Party | None":
        """The party that the call is judged by: a scored one first, the customer before the others."""
        order = ("customer", "mixed", "agent")
        return min(self.parties.values(), key=lambda p: (not p.scored, order.index(p.party)), default=None)

    def urgency(self, now_s: float) -> tuple[int, float, int]:
        """Sorts the most urgent first by what does not change with each reading: since when, not how long."""
        alerts = [(_URGENCY[a.severity], at_s) for a, at_s in self._alerts.values() if a.severity in _URGENCY]
        if alerts:
            return *min(alerts), self.opened
        caller = self._caller
        if caller and caller.mood and caller.mood in _URGENT_MOODS:
            return _URGENT_MOODS[caller.mood], caller.mood_at_s, self.opened
        if caller and now_s - caller.heard_at_s >= STALE_S:
            return 4, caller.heard_at_s, self.opened
        return 5, 0.0, self.opened

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
            alerts=tuple(sorted(map(self._alert, self._alerts.values()), key=lambda alert: alert.rank)),
            alerts_raised=self._raised,
            dead_air_s=self._duration_s - self._spoke_s if both_heard else 0.0,
            lost_s=self._lost_s,
            ending=self._ending(now_s),
        )

    def _alert(self, raised: tuple[AlertRaised, float]) -> AlertView:
        alert, _ = raised
        open_s = max(0.0, self._duration_s - alert.start_s)
        return AlertView(alert.rule, alert.severity, alert.party, alert.start_s, open_s)

    def _ending(self, now_s: float) -> Ending | None:
        if self._ended is None:
            return None
        return Ending(self._ended.outcome, self._ended.reason, max(0.0, now_s - self.ended_at_s))


class _Party:
    """What the board keeps of one party of a call."""

    def __init__(self, party: Party, scored: bool, at_s: float) -> None:
        self.party, self.scored = party, scored
        self.mood: Mood | None = None
        self.mood_at_s = at_s
        self._mood_since_s = self._scored_s = 0.0
        self.heard_at_s = at_s
        self._last: Reading | None = None
        self._strip, self._trend = Strip(), Trend()

    def hear(self, reading: Reading, at_s: float) -> None:
        if reading.mood != self.mood:
            self.mood, self.mood_at_s, self._mood_since_s = reading.mood, at_s, reading.end_s
        self._last, self.heard_at_s = reading, at_s
        self._strip.add(reading)
        if reading.scores is not None:
            self._scored_s = reading.end_s
            self._trend.add(reading.end_s, 1.0 - reading.scores["happy"] - reading.scores["neutral"])

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
        )


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
