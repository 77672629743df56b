"""A window's scores → the reading: baseline-corrected, smoothed label or "uncertain", and the mood. Pure.

One `PartyReader` a scored party. The model calls some voices angry all the time; what changes against the caller's own
baseline is what counts. The baseline is a causal running mean of the log posteriors over the caller's speech, shrunk to
the mean over neutral speech of many speakers, and its correction is capped, so that a caller who is angry from the first
word is still heard as angry. It is frozen while sustained anger is open. The mood has a slower one: a label is about the
change of a moment, a mood about half a minute, and a baseline as quick as the label's would learn it away meanwhile.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.audio import SAMPLE_RATE
from monitor.messages import LABELS, Label, Mood, State
from monitor.model import MOOD_GROUPS, Meaning, log_softmax
from monitor.settings import Settings
from monitor.windows import Window

_SILENCE_S = 0.1
"""A window with less speech than this is silence."""
_CLIPPED_SHARE = 0.02
"""A window with more of its samples at full scale than this is clipped."""
_BASELINE_STEP_S = 0.5
"""The hop in which the model file counts windows of the baseline."""
_STAY = 0.05
"""A label stays until another is more probable by this, or until it falls this far under the threshold."""

_LEAST_MOOD_S = 6.0
"""Hops of scored speech before a mood is claimed at all: half a minute's mood must not rest on the first sentence."""
_LEAST_LOG = -6.0
"""Log scores count as no less for the mood: one window that is very sure must not decide alone."""

Scores = npt.NDArray[np.floating]
"""(6,) in the order of LABELS."""


@dataclass(frozen=True, slots=True)
class Verdict:
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
    """What a caller always sounds like: a causal running mean of log posteriors, shrunk to the prior."""

    def __init__(self, prior: Scores, weight_windows: float, cap: float) -> None:
        self._prior, self._cap = prior, cap
        self._sum, self._weight = prior * weight_windows, weight_windows

    def corrected(self, log_posteriors: Scores) -> Scores:
        """(6,) log posteriors → (6,) log scores against the caller's own speech so far."""
        return log_softmax(log_posteriors - np.clip(self._sum / self._weight - self._prior, -self._cap, self._cap))

    def learn(self, log_posteriors: Scores, windows: float) -> None:
        """The window counts as so many of the model file's windows."""
        self._sum = self._sum + windows * log_posteriors
        self._weight += windows


class Smoothed:
    """Exponential average of a party's scores by the time since the last scored window, pauses included."""

    def __init__(self, smooth_s: float) -> None:
        """`smooth_s`: time constant, seconds; 0 averages nothing."""
        self._smooth_s = smooth_s
        self._rolling: Scores | None = None
        self._end_s = 0.0

    def add(self, scores: Scores, end_s: float) -> Scores:
        """(6,) the average with the window that ends at `end_s`."""
        passed_s, self._end_s = end_s - self._end_s, end_s
        if self._rolling is None or self._smooth_s == 0:
            self._rolling = scores
        else:
            keep = np.exp(-passed_s / self._smooth_s)
            self._rolling = keep * self._rolling + (1 - keep) * scores
        return self._rolling


class PartyReader:
    """The memory of one party: its baselines, its rolling scores, its last speech."""

    def __init__(self, meaning: Meaning, settings: Settings) -> None:
        self._thresholds, self._settings = meaning.thresholds, settings
        self._mood_weights, self._mood_bias = np.array(meaning.moods.weights), np.array(meaning.moods.bias)
        prior, cap = np.array(meaning.baseline.prior, np.float64), meaning.baseline.cap
        self._baseline = _Baseline(prior, meaning.baseline.weight_windows, cap)
        self._slow_baseline = _Baseline(prior, meaning.moods.weight_windows, cap)
        self._smoothed = Smoothed(settings.smooth_s)
        self._label: int | None = None
        self._recent_most = round(max(settings.mood_s, settings.outcome_s) / settings.hop_s)
        self._recent: Scores = np.zeros((0, len(LABELS)))
        """(n, 6) log scores of the last speech, for the mood."""
        self._alert_cleared = False

    def unscored(self, state: State) -> Verdict:
        """The verdict on a window without scores: the mood stays, nothing else is claimed."""
        return Verdict(state, None, self.mood(self._settings.mood_s), None, None, None)

    def read(self, window: Window, log_posteriors: Scores, hears_anger: bool) -> Verdict:
        """The verdict on a scored window; `hears_anger` freezes the baselines."""
        log_posteriors = log_posteriors.astype(np.float64)
        corrected = np.exp(self._baseline.corrected(log_posteriors))
        recent = np.maximum(self._slow_baseline.corrected(log_posteriors), _LEAST_LOG)
        self._recent = np.concatenate([self._recent, recent[None]])[-self._recent_most :]
        if not hears_anger:
            self._learn(log_posteriors)
        rolling = self._smoothed.add(corrected, window.end / SAMPLE_RATE)
        self._label = self._choose(rolling)
        confidence = float(rolling[self._label if self._label is not None else int(rolling.argmax())])
        label: Label | None = None if self._label is None else LABELS[self._label]
        state: State = "speech" if label else "uncertain"
        return Verdict(state, label, self.mood(self._settings.mood_s), confidence, corrected, rolling)

    def alert_cleared(self) -> None:
        """Sustained anger has cleared: calm speech from now on is satisfaction won back."""
        self._alert_cleared = True

    def mood(self, over_s: float) -> Mood:
        """The mood over the last `over_s` seconds of speech; `unclear` under the model's threshold or after little speech."""
        evidence = self.mood_evidence(over_s)
        if evidence is None or len(self._recent) * self._settings.hop_s < min(_LEAST_MOOD_S, over_s):
            return "unclear"
        shares = np.exp(log_softmax(self._mood_weights @ evidence + self._mood_bias))
        best = int(shares.argmax())
        if shares[best] < self._thresholds.mood:
            return "unclear"
        return "satisfied" if MOOD_GROUPS[best] == "calm" and self._alert_cleared else MOOD_GROUPS[best]

    def mood_evidence(self, over_s: float) -> Scores | None:
        """(6,) what the mood rests on: mean log scores over the last `over_s` seconds of speech; None without speech."""
        recent = self._recent[-round(over_s / self._settings.hop_s) :]
        return recent.mean(axis=0) if len(recent) else None

    def _learn(self, log_posteriors: Scores) -> None:
        windows = self._settings.hop_s / _BASELINE_STEP_S
        self._baseline.learn(log_posteriors, windows)
        self._slow_baseline.learn(log_posteriors, windows)

    def _choose(self, rolling: Scores) -> int | None:
        best, kept = int(rolling.argmax()), self._label
        if kept is not None and rolling[best] - rolling[kept] < _STAY:
            best = kept
        threshold = self._thresholds.uncertain - (_STAY if best == kept else 0.0)
        return best if rolling[best] >= threshold else None
