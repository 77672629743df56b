"""Scores → probabilities: temperature, calibration error, recall; the prior and the direction of the caller's baseline. Pure."""

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from monitor.audio import Samples
from monitor.messages import LABELS, Label
from monitor.model import Calibration, log_softmax

ALONG_WINDOWS, ACROSS_WINDOWS, CAP = 10, 160, 2.5
"""Of the caller's baseline: how many windows the prior weighs along what emotions have in common and across it, and the largest
correction of a log score."""
PLAIN_WINDOWS = 20
"""What the prior weighs where nothing says what emotions have in common."""
LIVELY: tuple[Label, ...] = ("anger", "disgust", "fear", "happy")
"""Whose difference from neutral speech is taken for what emotions have in common; that of sad speech lies mostly across it."""
UNCALIBRATED = Calibration(1.0)
NEUTRAL = LABELS.index("neutral")
KEPT_BIAS = 0.5
"""Share of neutral's maximum-likelihood bias that is kept."""
FEWEST_SCORES = 100
"""Of neutral clips, and of others, without which neutral keeps its bias of 0."""
SMALLEST = 1e-6
"""Scores are kept from 0 by this before their logarithm is taken."""
BINS = 15
"""Of the expected calibration error."""


def calibrated(scores: np.ndarray, calibration: Calibration) -> np.ndarray:
    """(n, 6) scores → (n, 6) probabilities."""
    return np.exp(log_softmax(np.log(np.maximum(scores, SMALLEST)) / calibration.temperature + calibration.bias))  # type: ignore[no-any-return]


def inverse(calibration: Calibration) -> Calibration:
    """What makes uncalibrated probabilities of calibrated ones."""
    return Calibration(1.0 / calibration.temperature, -calibration.neutral_bias * calibration.temperature)


def best_calibration(scores: np.ndarray, labels: np.ndarray) -> Calibration:
    """Of the (n, 6) scores of `labels`: temperature, from 0.3 to 3, and neutral's bias, -3 to 3, of the highest likelihood, every
    label counting alike (bias-corrected temperature scaling, Guo et al. 2017, Alexandari et al. 2020); then half of that
    bias, with the temperature that suits it. Both to 0.01. With fewer than `FEWEST_SCORES` no bias.

    Half, because most callers are calm, and it is right no less often than the whole: see train/EXPERIMENTS.md.
    """
    rows, counts = np.arange(len(labels)), np.bincount(labels, minlength=len(LABELS))
    logs, class_weights = np.log(np.maximum(scores, SMALLEST), dtype=np.float64), 1.0 / counts[labels]

    def loss(sharpness: float, bias: float) -> float:
        """Is convex in the inverse of the temperature and in the bias."""
        shifted = sharpness * logs
        shifted[:, NEUTRAL] += bias
        return -float(np.average(log_softmax(shifted)[rows, labels], weights=class_weights))

    enough = FEWEST_SCORES <= counts[NEUTRAL] <= len(labels) - FEWEST_SCORES
    sharpnesses, biases = (1 / 3.0, 1 / 0.3), (-3.0, 3.0) if enough else (0.0, 0.0)
    likeliest = minimize(lambda x: loss(*x), (1.0, 0.0), method="L-BFGS-B", bounds=(sharpnesses, biases))
    bias = round(float(likeliest.x[1]) * KEPT_BIAS, 2) + 0.0  # no -0.0
    sharpness = minimize_scalar(lambda x: loss(x, bias), bounds=sharpnesses, method="bounded").x
    return Calibration(round(1.0 / float(sharpness), 2), bias)


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, float, float]]:
    """Of `BINS` equal bins of confidence those that hold something: number, count, mean confidence, accuracy."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    filled = [(b, bins == b) for b in range(BINS) if (bins == b).any()]
    return [(b, int(own.sum()), float(confidence[own].mean()), float(right[own].mean())) for b, own in filled]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error over `BINS` equal bins of confidence."""
    return sum(abs(right - sure) * n for _, n, sure, right in reliability(probabilities, labels)) / len(labels)


def errors_by_chance(counts: np.ndarray, sureness: np.ndarray, draws: int = 10_000, seed: int = 0) -> np.ndarray:
    """(draws,) calibration errors of a model that is exactly as often right as it is sure: chance alone, in bins of so many
    clips, (bins,), and such mean confidences, (bins,)."""
    right = np.random.default_rng(seed).binomial(counts, sureness, (draws, len(counts)))
    return np.abs(right - counts * sureness).sum(axis=1) / counts.sum()  # type: ignore[no-any-return]


def unweighted_recall(predicted: np.ndarray, labels: np.ndarray) -> float:
    """UAR: the mean recall of the labels that occur."""
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))


def prior(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """(6,) mean log of the (n, 6) calibrated scores of neutral clips: where every caller's baseline starts."""
    neutral = probabilities[labels == LABELS.index("neutral")]
    return tuple(round(float(p), 4) for p in np.log(np.maximum(neutral, SMALLEST)).mean(axis=0))


def common_direction(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    """(6,) of length 1: the mean log of the (n, 6) calibrated scores of `LIVELY` clips, each label that has any counting alike,
    less that of neutral ones. Empty where there are none, or nothing differs."""
    logs, neutral = np.log(np.maximum(probabilities, SMALLEST)), prior(probabilities, labels)
    lively = [logs[own].mean(axis=0) for name in LIVELY if (own := labels == LABELS.index(name)).any()]
    away = np.mean(lively, axis=0) - neutral if lively else np.zeros(len(LABELS))
    length = float(np.linalg.norm(away))
    return [round(float(value / length), 4) for value in away] if length > SMALLEST else []


def label_indices(names: list[str]) -> Samples:
    """Label names → their places in `LABELS`."""
    return np.array([LABELS.index(name) for name in names])  # type: ignore[arg-type]
