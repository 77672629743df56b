"""A window's scores → the reading: baseline-corrected, smoothed label or "uncertain", and the mood. Pure.

One `PartyReader` a scored party. The model calls some voices angry all the time; what changes against the caller's own
baseline is what counts. The baseline is a causal running mean of the log posteriors over the caller's speech, shrunk to
the mean over neutral speech of many speakers, quickly along the one direction in which strange voices differ, slowly across
it; its correction is capped, so that a caller who is angry from the first word is still heard as angry. Once it knows the
caller a little it is frozen while sustained anger is open.

Six numbers at a time are plain floats here: a call of numpy costs more than all that it would compute on them.
"""

import math
from array import array
from collections import deque
from collections.abc import Sequence
from operator import mul, sub

import msgspec

from monitor.audio import SAMPLE_RATE
from monitor.messages import LABELS, Label, Mood, State
from monitor.model import MOOD_GROUPS, Baseline, Meaning
from monitor.settings import Settings
from monitor.windows import Window

_SILENCE_S = 0.1
"""A window with less speech than this is silence."""
_CLIPPED_SHARE = 0.02
"""A window with more of its samples at full scale than this is clipped."""
_BASELINE_STEP_S = 0.5
"""The hop in which the model file counts windows of the baseline."""
_KNOWN_S = 8.0
"""Before it has heard so much of a caller's speech the baseline is not frozen: a strange voice that raises a false alarm in its
first seconds would keep it open for the whole call."""
_STAY = 0.05
"""A label stays until another is more probable by this, or until it falls this far under the threshold."""

_LEAST_MOOD_S = 6.0
"""Hops of scored speech before a mood is claimed at all: half a minute's mood must not rest on the first sentence."""
DISSATISFIED_AFTER_S = 15.0
"""Before so many nobody is dissatisfied: until then a strange voice, which the baseline does not know yet, is taken for a
dissatisfied one."""
_BESIDE: dict[Mood, int] = {"angry": LABELS.index("anger"), "satisfied": LABELS.index("happy")}
"""Moods that are claimed only beside labels of their kind, ..."""
_LEAST_BESIDE = 0.05
"""... in this share of the scored windows or more: a strange telephone leans every window a little the same way, and the mood
adds that up while no window is ever angry."""
_NEUTRAL, _MOST_NEUTRAL = LABELS.index("neutral"), 0.7
"""Dissatisfaction is too seldom labelled for that; it is not claimed where a larger share is labelled neutral."""
_LEAST_LOG = -6.0
"""Log scores count as no less for the mood: one window that is very sure must not decide alone."""

Scores = Sequence[float]
"""(6,) in the order of LABELS."""


class Verdict(msgspec.Struct, frozen=True):
    """What a window says of a scored party; the message `Reading` carries it."""

    state: State
    label: Label | None
    mood: Mood
    confidence: float | None
    scores: Scores | None
    """(6,) this window's probabilities, after calibration and baseline."""
    rolling: Scores | None
    """(6,) smoothed probabilities; what the label rests on."""


def unscored_state(window: Window, settings: Settings) -> State | None:
    """Why a window is not scored, or None where it is."""
    if window.lost_s > settings.max_lost_s + 1e-9:
        return "gap"
    if window.speech_s < _SILENCE_S:
        return "silence"
    if window.speech_s < settings.min_speech_s - 1e-9:
        return "too_little_speech"
    return "clipped" if window.clipped_share > _CLIPPED_SHARE else None


class _Baseline:
    """What a caller always sounds like: a causal running mean of log posteriors, shrunk to the prior.

    Along the common direction it follows quickly, for that is where a voice is strange; across it, where emotions differ from
    each other, slowly, so that long sadness is not unlearnt at once.
    """

    def __init__(self, meaning: Baseline) -> None:
        self._meaning, self._common = meaning, meaning.common or [0.0] * len(LABELS)
        self._away: Scores = [0.0] * len(meaning.prior)
        """Sum over the caller's windows of what the log posteriors had more than the prior."""
        self._along = 0.0
        """Of that sum what lies along the common direction."""
        self.windows = 0.0
        """How many of the model file's windows it knows."""

    def corrected(self, log_posteriors: Scores) -> Scores:
        """(6,) log posteriors → (6,) logits against the caller's own speech so far."""
        cap, share = self._meaning.cap, 1.0 / (self._meaning.weight_windows + self.windows)
        more = self._along * (1.0 / (self._meaning.along_windows + self.windows) - share)
        corrected = []
        for log, away, common in zip(log_posteriors, self._away, self._common, strict=True):
            correction = share * away + more * common
            corrected.append(log - (correction if -cap < correction < cap else math.copysign(cap, correction)))
        return corrected

    def learn(self, log_posteriors: Scores, windows: float) -> None:
        """The window counts as so many of the model file's windows."""
        self._away = [
            away + windows * (log - prior)
            for away, log, prior in zip(self._away, log_posteriors, self._meaning.prior, strict=True)
        ]
        self._along = sum(map(mul, self._away, self._common))
        self.windows += windows


class Smoothed:
    """Exponential average of a party's scores by the time since the last scored window, pauses included."""

    def __init__(self, smooth_s: float) -> None:
        """`smooth_s`: time constant, seconds; 0 averages nothing."""
        self._smooth_s = smooth_s
        self._rolling: Scores = ()
        self._end_s = 0.0

    def add(self, scores: Scores, end_s: float) -> Scores:
        """(n,) the average with the window that ends at `end_s`."""
        passed_s, self._end_s = end_s - self._end_s, end_s
        if not self._rolling or self._smooth_s == 0:
            self._rolling = scores
        else:
            keep = math.exp(-passed_s / self._smooth_s)
            new = 1.0 - keep
            self._rolling = [keep * old + new * one for old, one in zip(self._rolling, scores, strict=True)]
        return self._rolling


class _Recent:
    """Log scores and labels of a party's last speech. Kept as running sums, so that a mean takes two of them, however long it
    is."""

    def __init__(self, most: int) -> None:
        """`most`: windows."""
        # Arrays: of a thousand parties' last windows the garbage collector need not look at each.
        self._sums = deque([array("d", [0.0] * 2 * len(LABELS))], maxlen=most + 1)

    @property
    def windows(self) -> int:
        """How many there are."""
        return len(self._sums) - 1

    def add(self, log_scores: Scores, label: int | None) -> None:
        sums = self._sums[-1][:]
        for place, log in enumerate(log_scores):
            sums[place] += log
        if label is not None:
            sums[len(LABELS) + label] += 1.0
        self._sums.append(sums)

    def mean(self, windows: int) -> Scores | None:
        """(6,) log scores over so many windows, or all where there are fewer; None before the first."""
        count = min(windows, self.windows)
        if count == 0:
            return None
        return [sum_ / count for sum_ in map(sub, self._sums[-1][: len(LABELS)], self._sums[-1 - count])]

    def share(self, label: int, windows: int) -> float:
        """The share of as many windows, at least one, with that label."""
        count, place = min(windows, self.windows), len(LABELS) + label
        return (self._sums[-1][place] - self._sums[-1 - count][place]) / count


class PartyReader:
    """The memory of one party: its baseline, its rolling scores, its last speech."""

    def __init__(self, meaning: Meaning, settings: Settings) -> None:
        self._thresholds, self._settings, self._moods = meaning.thresholds, settings, meaning.moods
        self._baseline = _Baseline(meaning.baseline)
        self._smoothed = Smoothed(settings.smooth_s)
        self._label: int | None = None
        self._recent = _Recent(round(max(settings.mood_s, settings.outcome_s) / settings.hop_s))
        self._least_windows = math.ceil(_LEAST_MOOD_S / settings.hop_s)
        self._too_soon = math.ceil(DISSATISFIED_AFTER_S / settings.hop_s)
        """Scored windows that are missing before dissatisfaction is claimed."""
        self._alert_cleared = False
        self._mood: Mood = "unclear"
        """Over the last `mood_s` of speech."""

    def unscored(self, state: State) -> Verdict:
        """The verdict on a window without scores: the mood stays, nothing else is claimed."""
        return Verdict(state, None, self._mood, None, None, None)

    def read(self, window: Window, log_posteriors: Sequence[float], hears_anger: bool) -> Verdict:
        """The verdict on a scored window; `hears_anger` freezes the baseline, once it knows the caller a little."""
        log_posteriors = [float(log) for log in log_posteriors]  # numpy's own numbers are slow one by one
        logs = _log_softmax(self._baseline.corrected(log_posteriors))
        corrected = [math.exp(log) for log in logs]
        if not hears_anger or self._baseline.windows < _KNOWN_S / _BASELINE_STEP_S:
            self._baseline.learn(log_posteriors, self._settings.hop_s / _BASELINE_STEP_S)
        rolling = self._smoothed.add(corrected, window.end / SAMPLE_RATE)
        self._label = self._choose(rolling)
        self._too_soon -= 1
        self._recent.add([log if log > _LEAST_LOG else _LEAST_LOG for log in logs], self._label)
        self._mood = self.mood(self._settings.mood_s)
        confidence = max(rolling) if self._label is None else rolling[self._label]
        label: Label | None = None if self._label is None else LABELS[self._label]
        state: State = "speech" if label else "uncertain"
        return Verdict(state, label, self._mood, confidence, corrected, rolling)

    def alert_cleared(self) -> None:
        """Sustained anger has cleared: calm speech from now on is satisfaction won back."""
        self._alert_cleared = True
        self._mood = self.mood(self._settings.mood_s)

    def mood(self, over_s: float) -> Mood:
        """The mood over the last `over_s` seconds of speech; `unclear` under the model's threshold, after little speech, or where
        no label bears it out."""
        windows = round(over_s / self._settings.hop_s)
        recent = self._recent.mean(windows)
        if recent is None or self._recent.windows < min(self._least_windows, windows):
            return "unclear"
        weights, bias = self._moods.weights, self._moods.bias
        logs = _log_softmax([sum(map(mul, row, recent)) + one for row, one in zip(weights, bias, strict=True)])
        log_share = max(logs)
        if math.exp(log_share) < self._thresholds.mood:
            return "unclear"
        best = MOOD_GROUPS[logs.index(log_share)]
        if best in _BESIDE and self._recent.share(_BESIDE[best], windows) < _LEAST_BESIDE:
            return "unclear"
        if best == "dissatisfied" and (self._too_soon > 0 or self._recent.share(_NEUTRAL, windows) > _MOST_NEUTRAL):
            return "unclear"
        return "satisfied" if best == "calm" and self._alert_cleared else best

    def mood_evidence(self, over_s: float) -> Scores | None:
        """(6,) what the mood rests on: mean log scores over the last `over_s` seconds of speech; None without speech."""
        return self._recent.mean(round(over_s / self._settings.hop_s))

    def _choose(self, rolling: Scores) -> int | None:
        best, kept = rolling.index(max(rolling)), self._label
        if kept is not None and rolling[best] - rolling[kept] < _STAY:
            best = kept
        threshold = self._thresholds.uncertain - (_STAY if best == kept else 0.0)
        return best if rolling[best] >= threshold else None


def _log_softmax(logits: Scores) -> Scores:
    """(n,) → (n,) log probabilities."""
    highest = max(logits)
    total = highest + math.log(sum([math.exp(logit - highest) for logit in logits]))
    return [logit - total for logit in logits]
