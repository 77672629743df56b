"""What a model is worth on actors that it never heard: one measurement a condition, with intervals. Needs no TensorFlow."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from monitor.messages import LABELS
from monitor.model import Calibration, EmotionModel
from train.bootstrap import middle_95, resampled_ratios, weights
from train.calibration import (
    BINS,
    UNCALIBRATED,
    calibrated,
    calibration_error,
    errors_by_chance,
    inverse,
    label_indices,
    reliability,
    unweighted_recall,
)
from train.corpus import Clip
from train.live import clip_scores
from train.scoring import Condition

ENDS = ("low", "high")
"""Of an interval, as figures are called."""
CONFIDENT_SHARE = 0.6
"""Share of the clips, the most confident ones, whose accuracy is told apart."""
COVERAGES = tuple(round(0.1 * step, 1) for step in range(1, 11))
AGES = (30, 45, 60)
"""Where one age group ends and the next begins, years."""

CONDITIONS: dict[str, Condition] = {
    "clean": Condition(),
    "mulaw": Condition(codec="mulaw"),
    "alaw": Condition(codec="alaw"),
    "gated": Condition(gated=True),
    "floor_20": Condition(floor_db=20.0),
    "floor_10": Condition(floor_db=10.0),
    "snr_25": Condition(snr_db=25.0),
    "snr_20": Condition(snr_db=20.0),
    "snr_10": Condition(snr_db=10.0),
    "snr_5": Condition(snr_db=5.0),
    "loss_5": Condition(loss=0.05),
    "loss_10": Condition(loss=0.1),
    "gain_up_12": Condition(gain_db=12.0),
    "gain_down_12": Condition(gain_db=-12.0),
}
"""Name in models/evaluation.json → how the clips are altered; `floor` gates first, then adds noise that far under the voice."""

MEASURES = (
    *("clips", "actors", "uar", "uar_low", "uar_high", "accuracy", "recall", "confusion"),
    *("ece", "ece_uncalibrated", "coverage", "accuracy_60", "changed", "dropped"),
)
"""What `evaluate --json` prints, and nothing else."""

Heard = Callable[[str, int, int], None]
"""Is told a condition's name, how many are done and how many there are."""


def condition_scores(model: EmotionModel, clips: Sequence[Clip], condition: Condition) -> np.ndarray:
    """(clips, 6) calibrated mean scores of the altered clips, by the live path."""
    return clip_scores((condition.apply(clip.samples, seed) for seed, clip in enumerate(clips)), model)


def resampled_recalls(right: np.ndarray, labels: np.ndarray, actors: np.ndarray) -> np.ndarray:
    """(RESAMPLES,) UAR of actors drawn with replacement: the same draws for the same actors. All arrays (clips,)."""
    each = np.eye(len(LABELS))[labels]
    return np.nanmean(resampled_ratios(actors, each * right[:, None], each), axis=1)  # type: ignore[no-any-return]


def interval(right: np.ndarray, labels: np.ndarray, actors: np.ndarray) -> tuple[float, float]:
    """95 % interval of the UAR when whole actors are drawn with replacement. All arrays (clips,)."""
    return middle_95(resampled_recalls(right, labels, actors))


def surest_gain_interval(probabilities: np.ndarray, labels: np.ndarray, actors: np.ndarray) -> tuple[float, float]:
    """95 % interval of how much more often right the most confident `CONFIDENT_SHARE` are than all."""
    order = np.argsort(-probabilities.max(axis=1))
    right, drawn = (probabilities.argmax(axis=1) == labels)[order], weights(actors[order])
    so_far = drawn.cumsum(axis=1)
    surest = drawn * (so_far - drawn < np.maximum(1, np.round(CONFIDENT_SHARE * so_far[:, -1:])))
    return middle_95(surest @ right / surest.sum(axis=1) - drawn @ right / so_far[:, -1])


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
        {"coverage": s, "accuracy": rounded(right[order[:n]].mean()), "confidence": rounded(confidence[order[n - 1]])}
        for s, n in rows
    ]


def measure(
    probabilities: np.ndarray, clips: Sequence[Clip], calibration: Calibration = UNCALIBRATED
) -> dict[str, Any]:
    """Every figure of one condition from (clips, 6) calibrated scores; `calibration` undone says what they were before."""
    labels, actors = label_indices([clip.label for clip in clips]), np.array([clip.actor for clip in clips])
    predicted = probabilities.argmax(axis=1)
    matrix = confusion(predicted, labels)
    low, high = interval(predicted == labels, labels, actors)
    recall = {name: rounded(matrix[i, i] / max(1, matrix[i].sum())) for i, name in enumerate(LABELS)}
    curve = coverage_curve(probabilities, labels)
    surest = next(row["accuracy"] for row in curve if row["coverage"] == CONFIDENT_SHARE)
    return {
        "clips": len(clips),
        "actors": len(set(actors)),
        "uar": rounded(unweighted_recall(predicted, labels)),
        "uar_low": rounded(low),
        "uar_high": rounded(high),
        "accuracy": rounded(np.mean(predicted == labels)),
        "recall": recall,
        "confusion": matrix.tolist(),
        "ece": rounded(calibration_error(probabilities, labels)),
        "ece_uncalibrated": rounded(calibration_error(calibrated(probabilities, inverse(calibration)), labels)),
        "coverage": curve,
        "accuracy_60": surest,
        "gain_60": rounded(surest - np.mean(predicted == labels)),
    }


def changed(scores: np.ndarray, unaltered: np.ndarray) -> float:
    """Share of the clips whose label is another one than that of the unaltered clip."""
    return rounded(np.mean(scores.argmax(axis=1) != unaltered.argmax(axis=1)))


def evaluate(
    model: EmotionModel, clips: Sequence[Clip], conditions: Mapping[str, Condition], told: Heard = lambda *_: None
) -> dict[str, np.ndarray]:
    """Condition → (clips, 6) calibrated scores; the unaltered clips are among them as `clean`."""
    every = {"clean": Condition()} | dict(conditions)
    scores = {}
    for number, (name, condition) in enumerate(every.items()):
        told(name, number, len(every))
        scores[name] = condition_scores(model, clips, condition)
    return scores


def figures(scores: Mapping[str, np.ndarray], clips: Sequence[Clip], calibration: Calibration) -> dict[str, Any]:
    """Condition → its figures, from what `evaluate` found, with intervals of all but the calibration error,
    of which a bootstrap has none that holds: see `ece_by_chance`."""
    found = {}
    for name, rows in scores.items():
        row = {**measure(rows, clips, calibration), "changed": changed(rows, scores["clean"])}
        found[name] = row | _further_intervals(rows, scores["clean"], clips)
    return found


def _further_intervals(scores: np.ndarray, unaltered: np.ndarray, clips: Sequence[Clip]) -> dict[str, float]:
    """Of what `measure` and `changed` tell without one."""
    labels, actors = label_indices([clip.label for clip in clips]), np.array([clip.actor for clip in clips])
    other = scores.argmax(axis=1) != unaltered.argmax(axis=1)
    found = {
        "gain_60": surest_gain_interval(scores, labels, actors),
        "changed": middle_95(resampled_ratios(actors, other, np.ones(len(clips)))),
    }
    return {
        f"{name}_{end}": rounded(value) for name, row in found.items() for end, value in zip(ENDS, row, strict=True)
    }


def reliability_bins(probabilities: np.ndarray, clips: Sequence[Clip]) -> list[dict[str, float]]:
    """Bins of confidence that hold clips: how sure the model was there, and how often it was right."""
    rows = reliability(probabilities, label_indices([clip.label for clip in clips]))
    return [
        {"from": rounded(b / BINS), "clips": n, "confidence": rounded(sure), "accuracy": rounded(right)}
        for b, n, sure, right in rows
    ]


def ece_by_chance(bins: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What the calibration error of as many clips, in these `reliability_bins`, would be if the model were exactly as often
    right as it is sure and the clips of an actor no more alike than others (they are, so the truth is wider): its mean, and its
    middle 95 %."""
    errors = errors_by_chance(np.array([row["clips"] for row in bins]), np.array([row["confidence"] for row in bins]))
    low, high = middle_95(errors)
    return {"mean": rounded(errors.mean()), "low": rounded(low), "high": rounded(high)}


def by_group(
    probabilities: np.ndarray, clips: Sequence[Clip], group: Callable[[Clip], str | None]
) -> dict[str, dict[str, Any]]:
    """Group → figures of its clips alone; clips without a group are in none."""
    names = [group(clip) for clip in clips]
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({name for name in names if name}):
        places = [place for place, own in enumerate(names) if own == name]
        found[name] = measure(probabilities[places], [clips[place] for place in places])
    return found


def age_group(clip: Clip) -> str | None:
    """`under 30`, `30 to 44`, …; None where the age is not known."""
    if clip.age is None:
        return None
    older = [age for age in AGES if clip.age >= age]
    if not older:
        return f"under {AGES[0]}"
    return f"{older[-1]} to {AGES[len(older)] - 1}" if len(older) < len(AGES) else f"{older[-1]} and over"


def rounded(value: float) -> float:
    """To four digits, as figures are written."""
    return round(float(value), 4)
