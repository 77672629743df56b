"""What rules would have done on calls: every alert, how often, and how well they fit what somebody labelled. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import median

from monitor.alerts.rules import Rule
from monitor.alerts.stretches import Stretch, Stretches
from monitor.alerts.watches import FIRST_MINUTE_S, CallWatch, Change
from monitor.messages import AnyMessage, CallEnded, CallMessage, CallStarted, Party, Reading


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that would have been raised."""

    call: str
    rule: Rule
    party: Party
    start_s: float
    """Since when the rule held, seconds of the call."""
    raised_s: float
    cleared_s: float | None
    """Null where it was open at the call's end."""
    evidence: tuple[int, ...]
    """`seq` of the readings that raised it."""


class Trial:
    """Hears messages of calls, in order of each call's `seq`, and keeps what the rules make of the readings."""

    def __init__(self, rules: Sequence[Rule], smooth_s: float, hop_s: float) -> None:
        """`smooth_s`: as the calls are, or would be, smoothed; `hop_s`: of calls that do not tell by two readings."""
        self.rules = tuple(rules)
        self.firings: list[Firing] = []
        """In the order in which they were raised in each call, call by call as these ended."""
        self.durations_s: dict[str, float] = {}
        """Call → how long it was."""
        self._smooth_s, self._hop_s = smooth_s, hop_s
        self._running: dict[str, _Call] = {}
        self._names: Counter[str] = Counter()

    def hear(self, message: AnyMessage) -> None:
        """The next message of some call; the alerts in it are passed over, and so is what is of no call."""
        if not isinstance(message, CallMessage):
            return
        if message.call not in self._running:
            self._running[message.call] = _Call(self.rules, self._smooth_s)
        call = self._running[message.call]
        match message:
            case CallStarted():
                call.parties = set(message.parties)
            case Reading():
                call.read(message)
            case CallEnded():
                call.duration_s = max(call.duration_s, message.duration_s)
                self._end(message.call)

    def end(self) -> None:
        """No more comes of the calls that have not ended: of another source, a call of the same name is another one."""
        for name in list(self._running):
            self._end(name)

    @property
    def hours(self) -> float:
        """Of call time."""
        return sum(self.durations_s.values()) / 3600

    def _end(self, name: str) -> None:
        call = self._running.pop(name)
        shown = self._free(name)
        self.durations_s[shown] = call.duration_s
        self.firings += [replace(firing, call=shown) for firing in call.firings(self._hop_s)]

    def _free(self, name: str) -> str:
        """`name`, or where a call had it already with the next number that makes a name of no other call."""
        shown = name
        while shown in self.durations_s or (shown != name and shown in self._running):
            self._names[name] += 1
            shown = f"{name}-{self._names[name] + 1}"
        return shown


class _Call:
    """One call while it is heard."""

    def __init__(self, rules: Sequence[Rule], smooth_s: float) -> None:
        self.parties: set[Party] = set()
        self.duration_s = 0.0
        self._rules, self._smooth_s = rules, smooth_s
        self._watch: CallWatch | None = None
        self._first: list[Reading] = []
        """Readings until two of one party say what the hop is."""
        self._changes: list[Change] = []

    def read(self, reading: Reading) -> None:
        self.duration_s = max(self.duration_s, reading.end_s)
        if self._watch is not None:
            self._changes += self._watch.see(reading)
            return
        before = next((one for one in self._first if one.party == reading.party), None)
        self._first.append(reading)
        if before is not None:
            self._begin(reading.end_s - before.end_s)

    def firings(self, hop_s: float) -> Iterator[Firing]:
        """All of the call, which has ended; their call's name is not known here."""
        if self._watch is None:
            self._begin(hop_s)
        for number, raised in enumerate(self._changes):
            if raised.kind == "raised":
                same = (c for c in self._changes[number + 1 :] if (c.rule, c.party) == (raised.rule, raised.party))
                cleared = next(same, None)
                cleared_s = None if cleared is None else cleared.at_s
                at_s = raised.start_s, raised.at_s, cleared_s
                yield Firing("", raised.rule, raised.party, *at_s, raised.evidence)

    def _begin(self, hop_s: float) -> None:
        parties = self.parties or {reading.party for reading in self._first}
        self._watch = CallWatch(self._rules, parties, self._smooth_s, hop_s)
        for reading in self._first:
            self._changes += self._watch.see(reading)
        self._first = []


@dataclass(frozen=True, slots=True)
class Fit:
    """What a rule did, and how that fits the labels."""

    rule: Rule
    raised: int
    """Alerts in all calls."""
    an_hour: float
    """Of call time; 0 where there is none."""
    judged: int
    """Alerts in calls with labels, of the caller or of the call."""
    right: int
    """Those of them that were raised on a stretch on which the rule is expected, or up to the tolerance later."""
    expected: int
    """Stretches on which the rule is expected."""
    hit: int
    """Those of them with an alert: raised there, or open when they began."""
    times_s: tuple[float, ...]
    """From the beginning of each hit stretch to its alert."""

    @property
    def precision(self) -> float | None:
        """Null where nothing was raised."""
        return self.right / self.judged if self.judged else None

    @property
    def recall(self) -> float | None:
        """Null where nothing is expected."""
        return self.hit / self.expected if self.expected else None

    @property
    def median_time_s(self) -> float | None:
        """Null where nothing was hit."""
        return median(self.times_s) if self.times_s else None


def fits(trial: Trial, stretches: Stretches, tolerance_s: float) -> list[Fit]:
    """Every rule against the labels, in the order of the rules. Calls without labels count for `an_hour` alone."""
    return [_fit(rule, trial, stretches, tolerance_s) for rule in trial.rules]


def _fit(rule: Rule, trial: Trial, stretches: Stretches, tolerance_s: float) -> Fit:
    rules = {other.name: other for other in trial.rules}
    raised = [firing for firing in trial.firings if firing.rule == rule]
    judged = right = expected = 0
    times_s: list[float] = []
    for call in trial.durations_s.keys() & stretches.keys():
        firings = [firing for firing in raised if firing.call == call and firing.party != "agent"]
        others = [firing for firing in trial.firings if firing.call == call]
        runs = list(_runs(rule, stretches[call], rules))
        judged += len(firings)
        right += sum(any(run.start_s <= f.raised_s <= run.end_s + tolerance_s for run in runs) for f in firings)
        for run in runs:
            time_s = _time_to_alert(firings, run, tolerance_s)
            if time_s is not None:
                times_s.append(time_s)
            elif not _can_be_raised(rule, run, stretches[call], others, tolerance_s):
                continue
            expected += 1
    an_hour = len(raised) / trial.hours if trial.hours else 0.0
    return Fit(rule, len(raised), an_hour, judged, right, expected, len(times_s), tuple(sorted(times_s)))


def _runs(rule: Rule, stretches: Iterable[Stretch], rules: Mapping[str, Rule]) -> Iterator[Stretch]:
    """Where the rule is expected: successive stretches with labels of `expected_on` are one.

    A rule that comes after another one is expected only where that one was, before.
    """
    needed = rules[rule.after].expected_on if rule.after else ()
    before: set[str] = set()
    for is_expected, group in groupby(stretches, key=lambda stretch: stretch.label in rule.expected_on):
        run = list(group)
        if is_expected and (not rule.after or before & set(needed)):
            yield replace(run[0], end_s=run[-1].end_s)
        before |= {stretch.label for stretch in run}


def _can_be_raised(
    rule: Rule, run: Stretch, stretches: Sequence[Stretch], others: Iterable[Firing], tolerance_s: float
) -> bool:
    """Whether a stretch without an alert is a miss: not where the rule, by what it says itself, does not look there."""
    if rule.measure == "rise":
        began_s = stretches[0].start_s
        if run.start_s == began_s or run.end_s <= began_s + FIRST_MINUTE_S:
            return False
    if run.end_s <= stretches[0].start_s + rule.not_before_s:
        return False
    if rule.after and not any(
        other.rule.name == rule.after and other.cleared_s is not None and other.cleared_s <= run.end_s
        for other in others
    ):
        return False
    quiet = [other for other in others if other.rule.name in rule.unless]
    return _time_to_alert(quiet, run, tolerance_s) is None


def _time_to_alert(firings: Iterable[Firing], run: Stretch, tolerance_s: float) -> float | None:
    """From the beginning of a stretch to the first alert on it, 0 where one was open; None without any."""
    times_s = [
        max(0.0, firing.raised_s - run.start_s)
        for firing in firings
        if firing.raised_s <= run.end_s + tolerance_s
        and (firing.raised_s >= run.start_s or firing.cleared_s is None or firing.cleared_s > run.start_s)
    ]
    return min(times_s, default=None)
