"""Which mood mean log scores mean: weights fitted on stretches of one mood, pulled towards the plain grouping. Pure."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from scipy.optimize import minimize

from monitor.messages import Label, Mood
from monitor.model import MOOD_GROUPS, Moods, log_softmax, plain_mood_weights
from train.stitch import Stretch

MOOD_OF: dict[Label, Mood] = {
    "anger": "angry",
    "disgust": "dissatisfied",
    "fear": "dissatisfied",
    "sad": "dissatisfied",
    "happy": "satisfied",
    "neutral": "calm",
}
LONG_ENOUGH_S = 15.0
"""A stretch shorter than this makes no mood."""
CALM_WEIGHT = 1.5
"""Of calm stretches against those of any other mood: most callers are calm, and on strange lines all is read as emotion."""
PULL = 0.1
"""Of every weight towards the plain grouping: a handful of actors must not teach much more."""


def mood_stretches(stretches: Sequence[Stretch]) -> Iterator[tuple[float, float, Mood]]:
    """(start_s, end_s, mood) of neighbouring stretches that have one mood."""
    start_s, end_s, mood = stretches[0].start_s, stretches[0].end_s, MOOD_OF[stretches[0].label]
    for stretch in stretches[1:]:
        if MOOD_OF[stretch.label] != mood:
            yield start_s, end_s, mood
            start_s, mood = stretch.start_s, MOOD_OF[stretch.label]
        end_s = stretch.end_s
    yield start_s, end_s, mood


def shares(moods: Moods, evidence: np.ndarray) -> np.ndarray:
    """(n, 6) mean log scores → (n, 4) shares of the moods, as `monitor.readings` makes them."""
    return np.exp(log_softmax(evidence @ np.array(moods.weights).T + np.array(moods.bias)))


def fit_moods(evidence: np.ndarray, places: np.ndarray, plain: Moods) -> Moods:
    """Logistic regression from (n, 6) mean log scores to (n,) places in `MOOD_GROUPS`; every mood counts alike, calm more."""
    groups, wanted = len(MOOD_GROUPS), np.eye(len(MOOD_GROUPS))[places]
    start = np.array(plain_mood_weights())
    worth = np.array([(CALM_WEIGHT if mood == "calm" else 1.0) for mood in MOOD_GROUPS])
    each = (worth / np.maximum(np.bincount(places, minlength=groups), 1))[places]
    each /= each.sum()

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = values[: start.size].reshape(start.shape), values[start.size :]
        logs = log_softmax(evidence @ weights.T + bias)
        off = (np.exp(logs) - wanted) * each[:, None]
        pull = weights - start
        slope = np.concatenate([(off.T @ evidence + PULL * pull).ravel(), off.sum(axis=0)])
        return float(-(each[:, None] * wanted * logs).sum() + PULL / 2 * (pull**2).sum()), slope

    found = minimize(loss, np.concatenate([start.ravel(), np.zeros(groups)]), jac=True, method="L-BFGS-B").x
    weights, bias = found[: start.size].reshape(start.shape), found[start.size :]
    return msgspec.structs.replace(
        plain,
        weights=[[round(float(value), 4) for value in row] for row in weights],
        bias=[round(float(value), 4) for value in bias - bias.mean()],
    )
