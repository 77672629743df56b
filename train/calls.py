"""What labelled calls say of alerts, moods and labels: measures of what the live path told of them. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitor.messages import AlertRaised, AnyCallMessage, CallEnded, Label, Party, Reading
from train.bootstrap import middle_95, resampled_ratios, weights
from train.moods import LONG_ENOUGH_S, mood_stretches
from train.stitch import Stretch

ANGER_RULE = "sustained_anger"
AFTER_S = 5.0
"""An alert so shortly after a stretch is still due to it: windows look back 3 s, and scores are smoothed."""
AT_ONCE_S = 12.0
"""Within so long a caller who is angry from the first word should be noticed."""
MOODS = ("angry", "dissatisfied", "satisfied")
"""Whose mean recall is told; calm calls are told apart."""
QUIET: tuple[Label, ...] = ("neutral", "sad")
"""In whose stretches an alert of anger is false."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of one labelled party of a call."""

    call: str
    speaker: str
    """Who is drawn as a whole for intervals; the call's name where the labels name nobody."""
    party: Party
    stretches: tuple[Stretch, ...]
    """In order of time, not empty."""
    messages: Sequence[AnyCallMessage] = field(repr=False)

    def raised(self, rule: str | None = None) -> list[AlertRaised]:
        """This party's alerts, of one rule or of all."""
        found = [m for m in self.messages if isinstance(m, AlertRaised) and m.party == self.party]
        return [alert for alert in found if rule in (None, alert.rule)]

    def readings(self) -> list[Reading]:
        """This party's readings that were scored."""
        found = [m for m in self.messages if isinstance(m, Reading) and m.party == self.party]
        return [reading for reading in found if reading.state in ("speech", "uncertain")]

    def label_at(self, at_s: float) -> Label | None:
        """What was labelled at a moment."""
        return next((s.label for s in self.stretches if s.start_s <= at_s <= s.end_s), None)

    def cause_at(self, at_s: float) -> Label | None:
        """What an alert at a moment is due to: the same, but anger counts for `AFTER_S` after its end."""
        angry = any(s.label == "anger" and s.start_s <= at_s <= s.end_s + AFTER_S for s in self.stretches)
        return "anger" if angry else self.label_at(at_s)


@dataclass(frozen=True, slots=True)
class _Anger:
    """A stretch of anger: whose, whether it is the first thing that is heard, and after how long an alert was raised."""

    speaker: str
    at_once: bool
    after_s: float | None


def call_measures(told: Sequence[Told]) -> dict[str, Any]:
    """Every measure, as JSON holds it; None where no call says anything about it."""
    return {
        "calls": len({one.call for one in told}),
        "speakers": len({one.speaker for one in told}),
        "quiet_hours": round(sum(map(_quiet_hours, told)), 4),
        "anger": _anger([stretch for one in told for stretch in _angers(one)]),
        "rules": _rules(told),
        "mood": _moods([(one.speaker, *pair) for one in told for pair in _mood_pairs(one)]),
        "outcome": _moods([(one.speaker, *pair) for one in told for pair in _outcome_pairs(one)]),
        **_labels(told),
    }


def _angers(told: Told) -> Iterable[_Anger]:
    raised = [alert.at_s for alert in told.raised(ANGER_RULE)]
    for start_s, end_s, mood in mood_stretches(told.stretches):
        if mood == "angry":
            after = next((at - start_s for at in raised if start_s <= at <= end_s + AFTER_S), None)
            at_once = start_s == told.stretches[0].start_s
            yield _Anger(told.speaker, at_once, None if after is None else round(after, 2))


def _anger(angry: Sequence[_Anger]) -> dict[str, Any]:
    growing = [stretch for stretch in angry if not stretch.at_once]
    at_once = [stretch for stretch in angry if stretch.at_once]
    soon = [(s.speaker, s.after_s is not None and s.after_s <= AT_ONCE_S, 1) for s in at_once]
    return {
        "stretches": len(growing),
        **_ratio("found", [(s.speaker, s.after_s is not None, 1) for s in growing]),
        **_median("median_s", [(s.speaker, s.after_s) for s in growing if s.after_s is not None]),
        "at_once": len(at_once),
        **_ratio("at_once_found", soon),
    }


def _quiet_hours(told: Told) -> float:
    return sum(stretch.end_s - stretch.start_s for stretch in told.stretches if stretch.label in QUIET) / 3_600


def _rules(told: Sequence[Told]) -> dict[str, dict[str, Any]]:
    """Rule → how often it was raised, and during what; the anger rule: how often an hour of neutral and sad speech, too.

    What is false of another rule is not said: sadness is what some of them are for.
    """
    rules: dict[str, dict[str, Any]] = {ANGER_RULE: {"raised": 0, "during": {}}}
    for one in told:
        for alert in one.raised():
            row = rules.setdefault(alert.rule, {"raised": 0, "during": {}})
            row["raised"] += 1
            name = one.cause_at(alert.at_s) or "unlabelled"
            row["during"][name] = row["during"].get(name, 0) + 1
    false = [sum(one.cause_at(alert.at_s) in QUIET for alert in one.raised(ANGER_RULE)) for one in told]
    rows = [(one.speaker, count, _quiet_hours(one)) for one, count in zip(told, false, strict=True)]
    rules[ANGER_RULE] |= _ratio("false_an_hour", rows, digits=2)
    return rules


def _mood_pairs(told: Told) -> Iterable[tuple[str, str]]:
    """(expected, told) mood at the end of every long stretch of one mood; calm after something else may be satisfaction."""
    readings = [m for m in told.messages if isinstance(m, Reading) and m.party == told.party and m.mood]
    for number, (start_s, end_s, mood) in enumerate(mood_stretches(told.stretches)):
        last = [reading.mood for reading in readings if start_s < reading.end_s <= end_s + 0.5]
        if end_s - start_s >= LONG_ENOUGH_S and last and not (mood == "calm" and number):
            yield mood, str(last[-1])


def _outcome_pairs(told: Told) -> Iterable[tuple[str, str]]:
    """(expected, told) outcome of a call that ends in a long stretch of one mood."""
    *before, (start_s, end_s, mood) = mood_stretches(told.stretches)
    ended = next((m for m in told.messages if isinstance(m, CallEnded)), None)
    judged = told.party == "customer"
    if ended and judged and end_s - start_s >= LONG_ENOUGH_S and not (mood == "calm" and before):
        yield mood, ended.outcome


def _moods(found: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """From (speaker, expected, told): recall of each mood, the mean over `MOODS` and its interval over speakers."""
    recall = _recalls(found)
    mean = _mean_recall(found)
    low, high = _interval(found) if mean is not None else (None, None)
    told = {mood: dict(Counter(f[2] for f in found if f[1] == mood)) for mood in recall}
    return {"stretches": len(found), "mean_recall": mean, "low": low, "high": high, "recall": recall, "told": told}


def _recalls(found: Sequence[tuple[str, str, str]]) -> dict[str, float]:
    expected = [mood for mood in (*MOODS, "calm") if any(f[1] == mood for f in found)]
    return {mood: round(float(np.mean([f[2] == mood for f in found if f[1] == mood])), 4) for mood in expected}


def _mean_recall(found: Sequence[tuple[str, str, str]]) -> float | None:
    recalls = [recall for mood, recall in _recalls(found).items() if mood in MOODS]
    return round(float(np.mean(recalls)), 4) if recalls else None


def _interval(found: Sequence[tuple[str, str, str]]) -> tuple[float, float]:
    """95 % interval of the mean recall when whole speakers are drawn with replacement."""
    speakers = [speaker for speaker, _, _ in found]
    counts = np.array([[expected == mood for mood in MOODS] for _, expected, _ in found], float)
    right = counts * np.array([[told == expected] for _, expected, told in found])
    recalls = resampled_ratios(speakers, right, counts)
    low, high = middle_95(np.nanmean(recalls[~np.isnan(recalls).all(axis=1)], axis=1))
    return round(low, 4), round(high, 4)


def _labels(told: Sequence[Told]) -> dict[str, Any]:
    """Of the scored windows: the share that gets a label; of these the share that is anger, and of those that end in a labelled
    stretch the share that is its label. In the stretches of each label the first two, and the share of all scored windows that is
    labelled with it."""
    rows = [(one.label_at(reading.end_s), reading.label, one.speaker) for one in told for reading in one.readings()]

    def shares(chosen: Sequence[Label | None]) -> dict[str, float | None]:
        return {
            "labelled": _share(given is not None for given in chosen),
            "anger_among_labelled": _share(given == "anger" for given in chosen if given),
        }

    during: dict[Label, list[Label | None]] = {}
    for expressed, given, _ in rows:
        if expressed:
            during.setdefault(expressed, []).append(given)
    labelled = [row for row in rows if row[1]]
    return {
        **_ratio("labelled", [(speaker, given is not None, 1) for _, given, speaker in rows]),
        **_ratio("anger_among_labelled", [(speaker, given == "anger", 1) for _, given, speaker in labelled]),
        **_ratio("right_among_labelled", [(who, given == own, 1) for own, given, who in labelled if own]),
        "during": {
            name: shares(own) | {"found": _share(given == name for given in own)}
            for name, own in sorted(during.items())
        },
    }


def _share(found: Iterable[bool]) -> float | None:
    values = list(found)
    return round(float(np.mean(values)), 4) if values else None


def _ratio(name: str, rows: Sequence[tuple[str, float, float]], digits: int = 4) -> dict[str, float | None]:
    """From (speaker, part, whole): Σ part / Σ whole and its interval over speakers; None of nothing."""
    values = np.array([row[1:] for row in rows], float).reshape(-1, 2)
    if not (whole := values[:, 1].sum()):
        return _with_ends(name, None, None, None)
    low, high = middle_95(resampled_ratios([row[0] for row in rows], values[:, 0], values[:, 1]))
    return _with_ends(name, *(round(float(value), digits) for value in (values[:, 0].sum() / whole, low, high)))


def _median(name: str, rows: Sequence[tuple[str, float]]) -> dict[str, float | None]:
    """From (speaker, value): the median and its interval over speakers; None of nothing."""
    if not rows:
        return _with_ends(name, None, None, None)
    values = np.array([value for _, value in rows])
    counts = weights([speaker for speaker, _ in rows]).astype(int)
    low, high = middle_95(np.array([np.median(np.repeat(values, count)) for count in counts if count.any()]))
    return _with_ends(name, *(round(float(value), 2) for value in (np.median(values), low, high)))


def _with_ends(name: str, value: float | None, low: float | None, high: float | None) -> dict[str, float | None]:
    return {name: value, f"{name}_low": low, f"{name}_high": high}
