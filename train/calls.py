"""What labelled calls say of alerts, moods and labels: measures of what the live path told of them. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitor.messages import AlertRaised, AnyCallMessage, CallEnded, Label, Party, Reading
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
RESAMPLES = 2_000


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
    """A stretch of anger: whether it is the first thing that is heard, and after how long an alert was raised."""

    at_once: bool
    after_s: float | None


def call_measures(told: Sequence[Told]) -> dict[str, Any]:
    """Every measure, as JSON holds it; None where no call says anything about it."""
    angry = [stretch for one in told for stretch in _angers(one)]
    growing = [stretch.after_s for stretch in angry if not stretch.at_once]
    at_once = [stretch.after_s for stretch in angry if stretch.at_once]
    hours = sum(s.end_s - s.start_s for one in told for s in one.stretches if s.label in QUIET) / 3_600
    return {
        "calls": len({one.call for one in told}),
        "speakers": len({one.speaker for one in told}),
        "quiet_hours": round(hours, 4),
        "anger": {
            "stretches": len(growing),
            "found": _share(after is not None for after in growing),
            "median_s": _median([after for after in growing if after is not None]),
            "at_once": len(at_once),
            "at_once_found": _share(after is not None and after <= AT_ONCE_S for after in at_once),
        },
        "rules": _rules(told, hours),
        "mood": _moods([(one.speaker, *pair) for one in told for pair in _mood_pairs(one)]),
        "outcome": _moods([(one.speaker, *pair) for one in told for pair in _outcome_pairs(one)]),
        **_labels(told),
    }


def _angers(told: Told) -> Iterable[_Anger]:
    raised = [alert.at_s for alert in told.raised(ANGER_RULE)]
    for start_s, end_s, mood in mood_stretches(told.stretches):
        if mood == "angry":
            after = next((at - start_s for at in raised if start_s <= at <= end_s + AFTER_S), None)
            yield _Anger(start_s == told.stretches[0].start_s, None if after is None else round(after, 2))


def _rules(told: Sequence[Told], hours: float) -> dict[str, dict[str, Any]]:
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
    quiet = sum(rules[ANGER_RULE]["during"].get(label, 0) for label in QUIET)
    rules[ANGER_RULE]["false_an_hour"] = round(quiet / hours, 2) if hours else None
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
    speakers = sorted({f[0] for f in found})
    right = np.zeros((len(speakers), len(MOODS)))
    counts = np.zeros_like(right)
    for speaker, expected, told in found:
        if expected in MOODS:
            place = speakers.index(speaker), MOODS.index(expected)
            right[place] += told == expected
            counts[place] += 1
    drawn = np.random.default_rng(0).integers(len(speakers), size=(RESAMPLES, len(speakers)))
    total = counts[drawn].sum(axis=1)
    recalls = np.where(total > 0, right[drawn].sum(axis=1) / np.maximum(total, 1), np.nan)
    means = np.nanmean(recalls[~np.isnan(recalls).all(axis=1)], axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


def _labels(told: Sequence[Told]) -> dict[str, Any]:
    """Of the scored windows: the share that gets a label; of these the share that is anger, and of those that end in a labelled
    stretch the share that is its label. In the stretches of each label the first two, and the share of all scored windows that is
    labelled with it."""
    rows = [(one.label_at(reading.end_s), reading.label) for one in told for reading in one.readings()]

    def shares(chosen: Sequence[Label | None]) -> dict[str, float | None]:
        return {
            "labelled": _share(given is not None for given in chosen),
            "anger_among_labelled": _share(given == "anger" for given in chosen if given),
        }

    during: dict[Label, list[Label | None]] = {}
    for expressed, given in rows:
        if expressed:
            during.setdefault(expressed, []).append(given)
    return {
        **shares([given for _, given in rows]),
        "right_among_labelled": _share(given == expressed for expressed, given in rows if expressed and given),
        "during": {
            name: shares(own) | {"found": _share(given == name for given in own)}
            for name, own in sorted(during.items())
        },
    }


def _share(found: Iterable[bool]) -> float | None:
    values = list(found)
    return round(float(np.mean(values)), 4) if values else None


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 2) if values else None
