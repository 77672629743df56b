"""Rules over a call's readings, with hysteresis: what is raised and cleared, on what evidence. Pure.

It reads nothing but `Reading` messages, so that stored readings give the same alerts as the call did when it was live.

The time of `score` and `rise` is seconds of speech: a pause neither raises nor clears an alert, but a condition that began
before a long pause begins anew. The time of `silence` is the call's; what was lost is no silence.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal, NamedTuple

from monitor.alerts.rules import Rule
from monitor.messages import LABELS, Label, Party, Reading
from monitor.readings import Scores, Smoothed

FIRST_MINUTE_S = 60.0
"""How much of a party's beginning a rise is measured against, from its first scored window on …"""
FIRST_MINUTE_SPEECH_S = 10.0
"""… and how much speech must be in it, else it goes on."""

_LONG_PAUSE_S = 8.0
"""Speech on both sides of a longer pause does not make one stretch."""
_MOST_WAITING = 1_200
"""Readings of a party that wait for the other's of the same moment: ten minutes."""


@dataclass(frozen=True)
class Change:
    """An alert raised or cleared."""

    kind: Literal["raised", "cleared"]
    rule: Rule
    party: Party
    """Where the rule is about the call: the party that the call is judged by."""
    start_s: float
    """Since when the condition holds, seconds of the call."""
    at_s: float
    """When it was raised or cleared."""
    evidence: tuple[int, ...]
    """`seq` of the readings that made it: they end after `start_s`, and at `at_s` at the latest."""


class Sample(NamedTuple):
    """What a measure is at one moment."""

    value: float
    start_s: float
    """Since when it has been so."""
    end_s: float
    evidence: tuple[int, ...]
    """`seq` of the readings that say so."""


class CallWatch:
    """All rules over one call."""

    def __init__(self, rules: Iterable[Rule], parties: Collection[Party], smooth_s: float, hop_s: float) -> None:
        """`parties`: all of the call. `smooth_s`, `hop_s`: the settings that the readings were, or will be, made with."""
        self._rules, self._smooth_s, self._hop_s = tuple(rules), smooth_s, hop_s
        self._voices: dict[Party, _Voice] = {}
        self._silence, judged = _Silence(parties), _judged(parties)
        self._call_watches = [RuleWatch(rule, judged, hop_s) for rule in self._rules if rule.about_call and judged]

    def is_open(self, rule: str, party: Party) -> bool:
        """Whether an alert of that rule is open for the party."""
        voice = self._voices.get(party)
        return voice is not None and voice.is_open(rule)

    def see(self, reading: Reading) -> Iterator[Change]:
        """What the call's next reading raises and clears."""
        if reading.scores is not None:
            yield from self._voice(reading.party).see(reading, reading.scores)
        if self._call_watches:
            for sample in self._silence.add(reading):
                for watch in self._call_watches:
                    if change := watch.see(sample):
                        yield change

    def _voice(self, party: Party) -> "_Voice":
        if party not in self._voices:
            self._voices[party] = _Voice(self._rules, party, self._smooth_s, self._hop_s)
        return self._voices[party]


def _judged(parties: Collection[Party]) -> Party | None:
    """Whom a rule about the call names, where both sides are heard; silence on one side alone says nothing of a call."""
    if "mixed" in parties:
        return "mixed"
    return "customer" if "customer" in parties and "agent" in parties else None


class _Voice:
    """The rules over one scored party."""

    def __init__(self, rules: Iterable[Rule], party: Party, smooth_s: float, hop_s: float) -> None:
        self._smoothed, self._hop_s = Smoothed(smooth_s), hop_s
        self._scored = 0
        own = [rule for rule in rules if not rule.about_call and party in rule.parties]
        self._watches = {rule.name: RuleWatch(rule, party, hop_s) for rule in own}
        self._measures = [(self._watches[rule.name], _Measure(rule, hop_s)) for rule in own]

    def is_open(self, rule: str) -> bool:
        watch = self._watches.get(rule)
        return watch is not None and watch.open

    def see(self, reading: Reading, scores: Mapping[Label, float]) -> Iterator[Change]:
        self._scored += 1
        raw = _in_order(scores)
        rolling = self._smoothed.add(raw, reading.end_s)
        start_s, end_s, evidence = reading.end_s - self._hop_s, reading.end_s, (reading.seq,)
        for watch, measure in self._measures:
            value = measure.add(raw, rolling, end_s)
            sample = None
            if value is not None and (watch.open or self._may_be_raised(watch.rule)):
                sample = Sample(value, start_s, end_s, evidence)
            if change := watch.see(sample):
                yield change
                yield from self._follow(change)

    def _may_be_raised(self, rule: Rule) -> bool:
        heard_s = self._scored * self._hop_s
        return heard_s >= rule.not_before_s - 1e-9 and not any(map(self.is_open, rule.unless))

    def _follow(self, change: Change) -> Iterator[Change]:
        """What a change means for the rules that come after its rule."""
        for watch in self._watches.values():
            if watch.rule.after == change.rule.name:
                if change.kind == "cleared":
                    watch.arm(change.at_s)
                elif ended := watch.disarm(change.at_s, change.evidence[-1]):
                    yield ended


_in_order = itemgetter(*LABELS)
"""(6,) the scores of a reading in the order of LABELS."""


class _Measure:
    """What a rule looks at of a voice."""

    def __init__(self, rule: Rule, hop_s: float) -> None:
        self._labels = [LABELS.index(label) for label in rule.labels]
        self._first = _FirstMinute(hop_s) if rule.measure == "rise" else None

    def add(self, raw: Scores, rolling: Scores, end_s: float) -> float | None:
        """A scored window, (6,) its scores and the smoothed ones; the measure, None where there is none yet."""
        value = sum(map(rolling.__getitem__, self._labels))
        if self._first is None:
            return value
        first = self._first.add(sum(map(raw.__getitem__, self._labels)), end_s)
        return None if first is None else value - first


class _FirstMinute:
    """The mean of a value over a party's first minute."""

    def __init__(self, hop_s: float) -> None:
        self._hop_s = hop_s
        self._began_s: float | None = None
        self._mean, self._count = 0.0, 0

    def add(self, value: float, end_s: float) -> float | None:
        """A scored window; the mean, or None while it is in the first minute itself."""
        if self._began_s is None:
            self._began_s = end_s
        if end_s - self._began_s > FIRST_MINUTE_S and self._count * self._hop_s >= FIRST_MINUTE_SPEECH_S:
            return self._mean
        self._count += 1
        self._mean += (value - self._mean) / self._count
        return None


class _Silence:
    """How little is spoken on all sides together."""

    def __init__(self, parties: Iterable[Party]) -> None:
        self._waiting: dict[Party, deque[Reading]] = {party: deque(maxlen=_MOST_WAITING) for party in parties}

    def add(self, reading: Reading) -> Iterator[Sample | None]:
        """The moments of which every party's reading is there now; None for one of which audio was lost."""
        self._waiting.setdefault(reading.party, deque(maxlen=_MOST_WAITING)).append(reading)
        while all(self._waiting.values()):
            moment_s = max(queue[0].end_s for queue in self._waiting.values())
            for queue in self._waiting.values():
                while queue and queue[0].end_s < moment_s:
                    queue.popleft()
            if all(queue and queue[0].end_s == moment_s for queue in self._waiting.values()):
                yield _silence_of([queue.popleft() for queue in self._waiting.values()])


def _silence_of(readings: list[Reading]) -> Sample | None:
    """The readings of one moment, one a party."""
    if any(reading.state == "gap" for reading in readings):
        return None
    value = 1.0 - max(reading.speech_share for reading in readings)
    evidence = tuple(sorted(reading.seq for reading in readings))
    return Sample(value, readings[0].start_s, readings[0].end_s, evidence)


@dataclass
class RuleWatch:
    """One rule over one measure. Its condition: high while it is not raised, low while it is."""

    rule: Rule
    party: Party
    hop_s: float
    open: bool = False
    _armed_until_s: float = -1.0
    """With `after`: until when it may be raised."""
    _rests_until_s: float = 0.0
    _raised_at_s: float = 0.0
    _since_s: float = 0.0
    _held_s: float = 0.0
    _last_s: float = 0.0
    _evidence: list[int] = field(default_factory=list)

    def see(self, sample: Sample | None) -> Change | None:
        """The measure's next value, None where there is none; what that raises or clears."""
        if sample is None:
            self._forget()
            return None
        if self.open and 0 < self.rule.open_for_s <= sample.end_s - self._raised_at_s:
            return self._clear_now(sample.end_s, sample.evidence)
        holds = self._holds(sample)
        if not holds or sample.end_s - self._last_s > _LONG_PAUSE_S + self.hop_s:
            self._forget()
        self._last_s = sample.end_s
        if not holds:
            return None
        self._hold(sample)
        needed_s = self.rule.clear_for_s if self.open else self.rule.raise_for_s
        return self._turn(sample.end_s) if self._held_s >= needed_s - 1e-9 else None

    def arm(self, now_s: float) -> None:
        """The rule that this one comes after has cleared."""
        self._armed_until_s = now_s + self.rule.within_s

    def disarm(self, now_s: float, seq: int) -> Change | None:
        """The rule that this one comes after has been raised again, by the reading `seq`."""
        self._armed_until_s = -1.0
        self._forget()
        return self._clear_now(now_s, (seq,)) if self.open else None

    def _holds(self, sample: Sample) -> bool:
        if self.open:
            return sample.value <= self.rule.clear_at
        may_be_raised = sample.end_s >= self._rests_until_s
        if self.rule.after:
            may_be_raised = may_be_raised and sample.end_s <= self._armed_until_s
        return may_be_raised and sample.value >= self.rule.raise_at

    def _hold(self, sample: Sample) -> None:
        if self._evidence:
            self._held_s += self.hop_s
        else:
            # A silent window was silent from its beginning; that somebody speaks is known of its last hop only.
            self._since_s = sample.end_s - self.hop_s if self.open else sample.start_s
            self._held_s = sample.end_s - self._since_s
        self._evidence += sample.evidence

    def _turn(self, now_s: float) -> Change:
        kind: Literal["raised", "cleared"] = "cleared" if self.open else "raised"
        change = Change(kind, self.rule, self.party, self._since_s, now_s, tuple(self._evidence))
        self.open = not self.open
        if self.open:
            self._raised_at_s, self._armed_until_s = now_s, -1.0
        else:
            self._rests_until_s = now_s + self.rule.cooldown_s
        self._forget()
        return change

    def _clear_now(self, now_s: float, evidence: tuple[int, ...]) -> Change:
        """Cleared by what it is at this moment, whatever the measure says."""
        self._since_s, self._evidence = now_s - self.hop_s, list(evidence)
        return self._turn(now_s)

    def _forget(self) -> None:
        """The condition begins anew."""
        self._evidence, self._held_s = [], 0.0
