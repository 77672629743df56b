"""What the tuning actors teach: temperature, thresholds and the prior of the caller's baseline. Pure."""

from dataclasses import dataclass

import numpy as np

from monitor.audio import Samples
from monitor.messages import LABELS
from monitor.readings import DISSATISFIED_WEIGHT

WEIGHT_WINDOWS, CAP = 20, 2.5
"""Of the caller's baseline: how many windows the prior weighs, and the largest correction of a log score."""
SMALLEST = 1e-6
"""Scores are kept from 0 by this before their logarithm is taken."""
BINS = 15
"""Of the expected calibration error."""
LABELLED, MOODS = 0.8, 0.9
"""Shares of the tuning clips, and of their stretches, that get a label and a mood."""
STRETCH_CLIPS = 8
"""Clips of about 2.5 s in the 20 s that a mood looks back on."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What makes a probability out of a score, and a label out of a probability."""

    temperature: float
    """Calibrated = softmax(log score / temperature)."""
    uncertain: float
    """Confidence under which no label is given."""
    mood: float
    """Likewise for the mood."""
    prior: tuple[float, ...]
    """Mean calibrated log score of each label over neutral speech."""


def calibrated(scores: np.ndarray, temperature: float) -> np.ndarray:
    """(n, 6) scores → (n, 6) probabilities."""
    logs = np.log(np.maximum(scores, SMALLEST)) / temperature
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def best_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of the highest likelihood (Guo et al. 2017), to 0.01 between 0.3 and 3."""
    rows = np.arange(len(labels))
    losses = {
        t: -float(np.mean(np.log(calibrated(scores, t)[rows, labels] + 1e-12))) for t in np.arange(0.3, 3.005, 0.01)
    }
    return round(float(min(losses, key=losses.__getitem__)), 2)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error over `BINS` equal bins of confidence."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean()
        for b in range(BINS)
        if (bins == b).any()
    ]
    return float(sum(gaps))


def unweighted_recall(predicted: np.ndarray, labels: np.ndarray) -> float:
    """UAR: the mean recall of the labels that occur."""
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))


def mood_confidence(probabilities: np.ndarray) -> np.ndarray:
    """(n, clips, 6) probabilities of stretches of speech → (n,) confidence of the mood that `monitor.readings` makes of them."""
    mean = probabilities.mean(axis=1)
    single = mean[:, [LABELS.index(name) for name in ("anger", "happy", "neutral")]]
    groups = np.concatenate([single, DISSATISFIED_WEIGHT * (1.0 - single.sum(axis=1, keepdims=True))], axis=1)
    return groups.max(axis=1) / groups.sum(axis=1)


def _stretches(probabilities: np.ndarray, labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n, `STRETCH_CLIPS`, 6) clips of one label drawn together."""
    generator = np.random.default_rng(seed)
    drawn = [generator.choice(np.flatnonzero(labels == label), (50, STRETCH_CLIPS)) for label in np.unique(labels)]
    return probabilities[np.concatenate(drawn)]


def calibrate(scores: np.ndarray, labels: np.ndarray) -> Calibration:
    """From (n, 6) scores of the tuning clips, under several conditions, and their labels.

    The thresholds are the confidences that `LABELLED` of the clips and `MOODS` of the stretches of 20 s exceed: they set how
    often nothing is claimed, and the coverage curve in models/evaluation.json says how much more often the rest is right.
    """
    temperature = best_temperature(scores, labels)
    probabilities = calibrated(scores, temperature)
    uncertain = np.quantile(probabilities.max(axis=1), 1.0 - LABELLED)
    mood = np.quantile(mood_confidence(_stretches(probabilities, labels)), 1.0 - MOODS)
    neutral = probabilities[labels == LABELS.index("neutral")]
    prior = np.log(np.maximum(neutral, SMALLEST)).mean(axis=0)
    return Calibration(
        temperature, round(float(uncertain), 3), round(float(mood), 3), tuple(round(float(p), 4) for p in prior)
    )


def label_indices(names: list[str]) -> Samples:
    """Label names → their places in `LABELS`."""
    return np.array([LABELS.index(name) for name in names])  # type: ignore[arg-type]
