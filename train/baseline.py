"""The article's recipe as it stands, so that ours has something to be measured against.

librosa at 22,050 Hz, 3 s from 0.15 s on, the mean of 20 MFCCs a frame: 130 values, which throws away what tells one
frame's sound from another's. Conv1D of 128, 64 and 32 channels with kernel 4, dropout 0.15 and max-pooling 4, a dense
layer of 6 with a sigmoid, categorical cross-entropy, Adam, 70 epochs, a random 70/30 split with seed 42.

The sigmoid is odd: categorical cross-entropy wants the six outputs to sum to 1. Keras divides them by their sum before it
takes the logarithm, so the network learns, but the six outputs as they come are no probabilities of one label among six.

What the article leaves open is guessed: shorter clips are zero-padded; activations are ReLU; dropout and pooling follow the
first convolution; batches of 32. The random split puts every actor in both parts, so its figure says nothing about a new
caller; the same recipe with whole actors out stands beside it.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import librosa
import numpy as np
from keras import layers
from sklearn.model_selection import train_test_split

from monitor.messages import LABELS
from train.calibration import label_indices, unweighted_recall
from train.corpus import Clip, Corpus, audio_paths
from train.evaluate import confusion
from train.plots import draw_accuracy_curves, draw_confusion
from train.split import Split

SAMPLE_RATE, OFFSET_S, DURATION_S, COEFFICIENTS = 22_050, 0.15, 3.0, 20
VALUES = 130
"""Frames of 3 s at librosa's hop of 512 samples."""
BATCH = 32
HUMANS = 0.409
"""Accuracy of listeners on the voice alone, intended emotion, all clips (Cao et al. 2014)."""

Told = Callable[[str], None]


def mean_coefficients(path: Path) -> np.ndarray:
    """(130,) the mean of 20 MFCCs a frame, zeros after the end of a shorter clip."""
    samples, _ = librosa.load(path, sr=SAMPLE_RATE, offset=OFFSET_S, duration=DURATION_S, res_type="soxr_hq")
    means = librosa.feature.mfcc(y=samples, sr=SAMPLE_RATE, n_mfcc=COEFFICIENTS).mean(axis=0)
    return np.pad(means[:VALUES], (0, max(0, VALUES - len(means)))).astype(np.float32)


def coefficients(cremad: Path, clips: tuple[Clip, ...], cache: Path, told: Told) -> np.ndarray:
    """(clips, 130), read from `cache` when it was made of the same clips: making them takes minutes."""
    path, names = cache / "mean_mfcc.npz", np.array([clip.name for clip in clips])
    if path.is_file():
        kept = np.load(path)
        if np.array_equal(kept["names"], names):
            return kept["values"]  # type: ignore[no-any-return]
    paths = {found.stem: found for found in audio_paths(cremad)}
    rows = []
    for clip in clips:
        rows.append(mean_coefficients(paths[clip.name]))
        if len(rows) % 1000 == 0:
            told(f"coefficients of {len(rows)} of {len(clips)} clips")
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, names=names, values=np.stack(rows))
    return np.stack(rows)


def article_network() -> keras.Model:
    """(batch, 130, 1) → (batch, 6) sigmoids."""
    values = keras.Input((VALUES, 1))
    x = layers.Conv1D(128, 4, padding="same", activation="relu")(values)
    x = layers.MaxPooling1D(4)(layers.Dropout(0.15)(x))
    x = layers.Conv1D(64, 4, padding="same", activation="relu")(x)
    x = layers.Conv1D(32, 4, padding="same", activation="relu")(x)
    network = keras.Model(values, layers.Dense(len(LABELS), activation="sigmoid")(layers.Flatten()(x)))
    network.compile("adam", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return network


def random_parts(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of 70 % and of 30 % of the clips, whoever speaks."""
    train, test = train_test_split(np.arange(count), test_size=0.3, random_state=seed)
    return train, test


def actor_parts(clips: tuple[Clip, ...], split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Places of the training actors' clips and of the validation actors'."""
    actors = np.array([clip.actor for clip in clips])
    return np.flatnonzero(np.isin(actors, split.fitted + split.tuning)), np.flatnonzero(
        np.isin(actors, split.validation)
    )


def train_and_test(
    values: np.ndarray, labels: np.ndarray, parts: tuple[np.ndarray, np.ndarray], epochs: int, seed: int
) -> dict[str, Any]:
    """The network's figures on the second of `parts` after `epochs` on the first, and its accuracy after each epoch."""
    keras.utils.set_random_seed(seed)
    network, wanted = article_network(), np.eye(len(LABELS), dtype=np.float32)[labels]
    (train, test), inputs = parts, values[..., None]
    run = network.fit(
        inputs[train], wanted[train], BATCH, epochs, verbose=0, validation_data=(inputs[test], wanted[test])
    )
    predicted = network.predict(inputs[test], verbose=0).argmax(axis=1)
    history = {name: [round(float(value), 4) for value in run.history[name]] for name in ("accuracy", "val_accuracy")}
    return {
        "clips": len(test),
        "accuracy": round(float(np.mean(predicted == labels[test])), 4),
        "uar": round(unweighted_recall(predicted, labels[test]), 4),
        "confusion": confusion(predicted, labels[test]).tolist(),
        "history": history,
    }


def run(
    cremad: Path, corpus: Corpus, split: Split, models: Path, cache: Path, epochs: int, seed: int, told: Told
) -> dict[str, Any]:
    """Both trainings, side by side with ours where evaluation.json is there; writes baseline.json and two pictures."""
    values, labels = (
        coefficients(cremad, corpus.clips, cache, told),
        label_indices([clip.label for clip in corpus.clips]),
    )
    results = {}
    for name, parts in (
        ("random split (leaky)", random_parts(len(labels), seed)),
        ("whole actors out", actor_parts(corpus.clips, split)),
    ):
        results[name] = train_and_test(values, labels, parts, epochs, seed)
        told(f"{name}: accuracy {results[name]['accuracy']:.3f}, UAR {results[name]['uar']:.3f}")
    report = {
        "recipe": " ".join((__doc__ or "").split()),
        "epochs": epochs,
        "seed": seed,
        "listeners_accuracy": HUMANS,
        "article": results,
        "ours": _ours(models),
    }
    models.mkdir(parents=True, exist_ok=True)
    (models / "baseline.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    draw_accuracy_curves({name: row["history"] for name, row in results.items()}, models / "baseline_accuracy.png")
    matrices = {f"article, {name}": row["confusion"] for name, row in results.items()}
    draw_confusion(
        matrices | ({"ours, whole actors out": report["ours"]["confusion"]} if report["ours"] else {}),
        models / "baseline_confusion.png",
    )
    return report


def _ours(models: Path) -> dict[str, Any] | None:
    """Our figures on the same validation actors, when they were measured."""
    path = models / "evaluation.json"
    if not path.is_file():
        return None
    report = json.loads(path.read_text(encoding="utf-8"))
    return {name: report[name] for name in ("protocol", "clips", "accuracy", "uar", "uar_low", "uar_high", "confusion")}
