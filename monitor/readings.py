"""A window's scores → the reading: baseline-corrected, smoothed label or "uncertain", and the mood. Pure.

One `PartyReader` a scored party. The model calls some voices angry all the time; what changes against the caller's own
baseline is what counts. The baseline is a causal running mean of the log posteriors over the caller's speech, shrunk to
the mean over neutral speech of many speakers, and its correction is capped, so that a caller who is angry from the first
word is still heard as angry. It is frozen while sustained anger is open.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.audio import SAMPLE_RATE
from monitor.messages import LABELS, Label, Mood, State
from monitor.model import Meaning, log_softmax
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

DISSATISFIED_WEIGHT = 0.6
"""Of three labels together: unweighted, a model that knows nothing would call everybody dissatisfied."""

Scores = npt.NDArray[np.floating]
"""(6,) in the order of LABELS."""

_ANGER, _HAPPY, _NEUTRAL = (LABELS.index(name) for name in ("anger", "happy", "neutral"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a window says of a scored party; the message `Reading` carries it."""

    state: State
    label: Label | None
    mood: Mood
    confidence: float | None
    scores: Scores | None
    """(6,) this window's probabilities, after calibration and baseline; label and alerts rest on them, smoothed."""


def unscored_state(window: Window, settings: Settings) -> State | None:
    """Why a window is not scored, or None where it is."""
    if window.lost_s > settings.max_lost_s + 1e-9:
        return "gap"
    if window.speech_s < _SILENCE_S:
        return "silence"
    if window.speech_s < settings.min_speech_s - 1e-9:
        return "too_little_speech"
    return "clipped" if window.clipped_share > _CLIPPED_SHARE else None


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
    """The memory of one party: its baseline, its rolling scores, its last speech."""

    def __init__(self, meaning: Meaning, settings: Settings) -> None:
        self._thresholds, self._baseline, self._settings = meaning.thresholds, meaning.baseline, settings
        self._prior = np.array(meaning.baseline.prior, np.float64)
        self._sum = self._prior * meaning.baseline.weight_windows
        self._weight = meaning.baseline.weight_windows
        self._smoothed = Smoothed(settings.smooth_s)
        self._label: int | None = None
        self._recent: deque[Scores] = deque(maxlen=round(max(settings.mood_s, settings.outcome_s) / settings.hop_s))
        self._alert_cleared = False

    def unscored(self, state: State) -> Verdict:
        """The verdict on a window without scores: the mood stays, nothing else is claimed."""
        return Verdict(state, None, self.mood(self._settings.mood_s), None, None)

    def read(self, window: Window, log_posteriors: Scores, hears_anger: bool) -> Verdict:
        """The verdict on a scored window; `hears_anger` freezes the baseline."""
        corrected = self._correct(log_posteriors.astype(np.float64))
        if not hears_anger:
            self._learn(log_posteriors)
        rolling = self._smoothed.add(corrected, window.end / SAMPLE_RATE)
        self._recent.append(corrected)
        self._label = self._choose(rolling)
        confidence = float(rolling[self._label if self._label is not None else int(rolling.argmax())])
        label: Label | None = None if self._label is None else LABELS[self._label]
        state: State = "speech" if label else "uncertain"
        return Verdict(state, label, self.mood(self._settings.mood_s), confidence, corrected)

    def alert_cleared(self) -> None:
        """Sustained anger has cleared: calm speech from now on is satisfaction won back."""
        self._alert_cleared = True

    def mood(self, over_s: float) -> Mood:
        """The mood over the last `over_s` seconds of speech; `unclear` under the model's threshold or without speech."""
        count = round(over_s / self._settings.hop_s)
        recent = list(self._recent)[-count:]
        if not recent:
            return "unclear"
        mean = np.mean(recent, axis=0)
        calm: Mood = "satisfied" if self._alert_cleared else "calm"
        groups: dict[Mood, float] = {"angry": mean[_ANGER], "satisfied": mean[_HAPPY], "calm": mean[_NEUTRAL]}
        groups["dissatisfied"] = DISSATISFIED_WEIGHT * (1.0 - sum(groups.values()))
        best = max(groups, key=lambda mood: groups[mood])
        if groups[best] < self._thresholds.mood * sum(groups.values()):
            return "unclear"
        return calm if best == "calm" else best

    def _correct(self, log_posteriors: Scores) -> Scores:
        cap = self._baseline.cap
        shift = np.clip(self._sum / self._weight - self._prior, -cap, cap)
        return np.exp(log_softmax(log_posteriors - shift))

    def _learn(self, log_posteriors: Scores) -> None:
        step = self._settings.hop_s / _BASELINE_STEP_S
        self._sum = self._sum + step * log_posteriors
        self._weight += step

    def _choose(self, rolling: Scores) -> int | None:
        best, kept = int(rolling.argmax()), self._label
        if kept is not None and rolling[best] - rolling[kept] < _STAY:
            best = kept
        threshold = self._thresholds.uncertain - (_STAY if best == kept else 0.0)
        return best if rolling[best] >= threshold else None
