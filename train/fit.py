"""Fits the network: read top to bottom. What it leaves in the work folder is all that evaluate and export need."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from monitor.features import Normalisation
from monitor.messages import LABELS
from train.batches import Batches, Schedule
from train.corpus import Clip, Corpus, CorpusError
from train.dataset import Recipe, Workshop, average_spectrum
from train.network import Architecture, build_network
from train.noise import noise_bank
from train.scoring import score_clips
from train.split import Split

CHECKPOINT, HISTORY, MEANING = "last.keras", "history.json", "meaning.json"
"""Files of the work folder: the network with its optimiser's state; a row an epoch; what the features and actors were."""
CREMAD = "CREMA-D (Crowd-sourced Emotional Multimodal Actors Dataset), resampled to 8 kHz"
"""What a meaning says that the weights were learnt from, unless it is something else."""
TUNED_EVERY = 5
"""Epochs from one look at the tuning actors to the next; the look is for the curve, nothing is chosen by it."""

Told = Callable[[dict[str, float]], None]
"""Is told each epoch's row: epoch, loss, seconds, learning_rate and, at times, tuning_uar."""


def optimiser(schedule: Schedule, steps: int) -> keras.optimizers.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) with a warm-up and a cosine down to nothing over `steps`."""
    warm = max(1, int(schedule.warm_up * steps))
    rate = keras.optimizers.schedules.CosineDecay(
        schedule.peak_rate / 20, max(1, steps - warm), alpha=0.0, warmup_target=schedule.peak_rate, warmup_steps=warm
    )
    chosen = keras.optimizers.AdamW(rate, weight_decay=schedule.weight_decay, clipnorm=5.0)
    chosen.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return chosen


def prepare(corpus: Corpus, split: Split, noise_folder: Path | None, recipe: Recipe, seed: int) -> Workshop:
    """What makes the windows: the fitted actors' clips, noises, and the features' spectrum measured on them."""
    clips = corpus.of(split.fitted)
    noises = noise_bank([clip.samples for clip in clips[::20]], noise_folder, seed)
    return Workshop(clips, noises, Normalisation(recipe.floor_db, average_spectrum(clips)), recipe, seed)


def fit(
    workshop: Workshop,
    tuning: tuple[Clip, ...],
    schedule: Schedule,
    architecture: Architecture,
    work: Path,
    told: Told,
    start: keras.Model | None = None,
) -> keras.Model:
    """The trained network. Interrupted, it goes on from the last whole epoch in `work`, which `start_work` has checked.

    `start` is a network to train further, in place of a new one of `architecture`.
    """
    keras.utils.set_random_seed(schedule.seed)
    history = _resume(work)
    with Batches(workshop, schedule.batch) as batches:
        network = (
            keras.models.load_model(work / CHECKPOINT)
            if history
            else _compiled(start or build_network(architecture), schedule, batches.steps)
        )
        for epoch in range(len(history), schedule.epochs):
            row = {"epoch": epoch + 1.0, **_one_epoch(network, batches, epoch)}
            if (epoch + 1) % TUNED_EVERY == 0 or epoch + 1 == schedule.epochs:
                row["tuning_uar"] = tuning_uar(network, tuning, workshop.normalisation)
            history.append(row)
            network.save(work / CHECKPOINT)
            (work / HISTORY).write_text(json.dumps(history), encoding="utf-8")
            told(row)
    return network


def _compiled(network: keras.Model, schedule: Schedule, steps: int) -> keras.Model:
    # XLA doubles the time of a step on a CPU.
    network.compile(optimiser(schedule, schedule.epochs * steps), "categorical_crossentropy", jit_compile=False)
    return network


def _one_epoch(network: keras.Model, batches: Batches, epoch: int) -> dict[str, float]:
    began = time.monotonic()
    losses = [float(network.train_on_batch(features, wanted)) for features, wanted in batches.epoch(epoch)]
    if not np.all(np.isfinite(losses)):
        raise CorpusError(f"loss became {losses[-1]} in epoch {epoch + 1}, expected a finite one: lower --rate")
    rate = float(network.optimizer.learning_rate)
    return {"loss": float(np.mean(losses)), "seconds": time.monotonic() - began, "learning_rate": rate}


def tuning_uar(network: keras.Model, clips: tuple[Clip, ...], normalisation: Normalisation) -> float:
    """Unweighted average recall of `clips` as they are."""
    scores = score_clips(predictor(network), clips, normalisation)
    right = scores.argmax(axis=1) == (labels := np.array([LABELS.index(clip.label) for clip in clips]))
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def predictor(network: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """(n, 188, 64) features → (n, 6) probabilities."""
    call = tf.function(lambda features: network(features, training=False), reduce_retracing=True)
    return lambda features: call(tf.constant(features)).numpy()  # type: ignore[no-any-return]


def meaning(workshop: Workshop, split: Split, schedule: Schedule, architecture: Architecture) -> dict[str, Any]:
    """What a checkpoint means, as JSON: enough to refuse another training's, to evaluate and to export."""
    return {
        "split": asdict(split),
        "schedule": asdict(schedule),
        "architecture": asdict(architecture),
        "recipe": asdict(workshop.recipe),
        "floor_db": workshop.normalisation.floor_db,
        "spectrum": [round(float(value), 9) for value in workshop.normalisation.spectrum],
        "clips": len(workshop.clips),
        "augmentation": workshop.recipe.words(),
        "noises": workshop.noises.source,
    }


def start_work(work: Path, described: dict[str, Any]) -> None:
    """Makes the work folder this training's own. Raises `CorpusError` when it holds another training, finished or not."""
    work.mkdir(parents=True, exist_ok=True)
    text = json.dumps(described, indent=1)
    path = work / MEANING
    if (
        path.is_file()
        and (work / HISTORY).is_file()
        and json.loads(path.read_text(encoding="utf-8")) != json.loads(text)
    ):
        raise CorpusError(
            f"{work} holds a training with other settings or data, expected this one's or none: give another --work or remove it"
        )
    path.write_text(text, encoding="utf-8")


def _resume(work: Path) -> list[dict[str, float]]:
    """The rows of the epochs that the checkpoint has behind it."""
    path = work / HISTORY
    if not path.is_file() or not (work / CHECKPOINT).is_file():
        return []
    rows: list[dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return rows
