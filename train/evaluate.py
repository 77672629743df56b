"""What a model is worth on actors that it never heard: one measurement a condition, with intervals. Needs no TensorFlow."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from monitor.features import Normalisation
from monitor.messages import LABELS
from train.calibration import calibrated, calibration_error, label_indices, unweighted_recall
from train.corpus import Clip
from train.scoring import Condition, Predict, score_clips

CONFIDENT_SHARE = 0.6
"""Share of the clips, the most confident ones, whose accuracy is told apart."""
RESAMPLES = 2_000
"""Of the bootstrap over actors."""
COVERAGES = tuple(round(0.1 * step, 1) for step in range(1, 11))

CONDITIONS: dict[str, Condition] = {
    "clean": Condition(),
    "mulaw": Condition(codec="mulaw"),
    "alaw": Condition(codec="alaw"),
    "gated": Condition(gated=True),
    "floor_20": Condition(floor_db=20.0),
    "floor_10": Condition(floor_db=10.0),
    "snr_20": Condition(snr_db=20.0),
    "snr_10": Condition(snr_db=10.0),
    "snr_5": Condition(snr_db=5.0),
    "loss_5": Condition(loss=0.05),
    "gain_up_12": Condition(gain_db=12.0),
    "gain_down_12": Condition(gain_db=-12.0),
}
"""Name in models/evaluation.json → how the clips are altered; `floor` gates first, then adds noise that far under the voice."""


def with_noise(condition: Condition, noise: np.ndarray | None) -> Condition:
    """The condition with a recorded noise in place of pink noise."""
    return replace(condition, noise=noise)


def interval(right: np.ndarray, labels: np.ndarray, actors: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the UAR when whole actors are drawn with replacement. All arrays (clips,)."""
    names = np.unique(actors)
    hits = np.array([[np.sum(right[(actors == a) & (labels == e)]) for e in range(len(LABELS))] for a in names], float)
    counts = np.array([[np.sum((actors == a) & (labels == e)) for e in range(len(LABELS))] for a in names], float)
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    total = counts[drawn].sum(axis=1)
    recalls = np.where(total > 0, hits[drawn].sum(axis=1) / np.maximum(total, 1), np.nan)
    low, high = np.nanpercentile(np.nanmean(recalls, axis=1), [2.5, 97.5])
    return float(low), float(high)


def confusion(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(6, 6) counts: a row an intended label, a column a given one."""
    matrix = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def coverage_curve(probabilities: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    """Accuracy of the most confident 10, 20, … 100 %, and the confidence from which they are."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(-confidence)
    counts = [max(1, round(share * len(order))) for share in COVERAGES]
    rows = zip(COVERAGES, counts, strict=True)
    return [
        {"coverage": s, "accuracy": _rounded(right[order[:n]].mean()), "confidence": _rounded(confidence[order[n - 1]])}
        for s, n in rows
    ]


def measure(scores: np.ndarray, clips: Sequence[Clip], temperature: float) -> dict[str, Any]:
    """Every figure of one condition from (clips, 6) uncalibrated scores."""
    labels = label_indices([clip.label for clip in clips])
    actors, probabilities = np.array([clip.actor for clip in clips]), calibrated(scores, temperature)
    predicted = probabilities.argmax(axis=1)
    matrix = confusion(predicted, labels)
    low, high = interval(predicted == labels, labels, actors)
    recall = {name: _rounded(matrix[i, i] / max(1, matrix[i].sum())) for i, name in enumerate(LABELS)}
    curve = coverage_curve(probabilities, labels)
    return {
        "clips": len(clips),
        "actors": len(set(actors)),
        "uar": _rounded(unweighted_recall(predicted, labels)),
        "uar_low": _rounded(low),
        "uar_high": _rounded(high),
        "accuracy": _rounded(np.mean(predicted == labels)),
        "recall": recall,
        "confusion": matrix.tolist(),
        "ece": _rounded(calibration_error(probabilities, labels)),
        "ece_uncalibrated": _rounded(calibration_error(scores, labels)),
        "coverage": curve,
        "accuracy_60": next(row["accuracy"] for row in curve if row["coverage"] == CONFIDENT_SHARE),
    }


def evaluate(
    predict: Predict,
    clips: Sequence[Clip],
    normalisation: Normalisation,
    temperature: float,
    conditions: Mapping[str, Condition],
) -> dict[str, Any]:
    """Condition → its figures, and `changed`: the share of labels that differ from those of the unaltered clips."""
    unaltered = score_clips(predict, clips, normalisation, Condition())
    results: dict[str, Any] = {}
    for name, condition in conditions.items():
        scores = unaltered if condition == Condition() else score_clips(predict, clips, normalisation, condition)
        changed = float(np.mean(scores.argmax(axis=1) != unaltered.argmax(axis=1)))
        results[name] = {**measure(scores, clips, temperature), "changed": _rounded(changed)}
    return results


def per_sex(
    predict: Predict, clips: Sequence[Clip], normalisation: Normalisation, temperature: float
) -> dict[str, Any]:
    """Sex → its figures through µ-law; empty where the demographics are missing."""
    groups = {
        sex: [clip for clip in clips if clip.sex == sex] for sex in sorted({clip.sex for clip in clips if clip.sex})
    }
    condition = CONDITIONS["mulaw"]
    return {
        sex: measure(score_clips(predict, group, normalisation, condition), group, temperature)
        for sex, group in groups.items()
    }


def _rounded(value: float) -> float:
    return round(float(value), 4)
