"""Fits the network: read top to bottom. What it leaves in the work folder is all that evaluate and export need."""

import json
import os
import shutil
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
from train.checkpoint import MEANING, WEIGHTS
from train.corpus import Clip, Corpus, CorpusError
from train.dataset import Recipe, Workshop, asked_besides, targets
from train.network import Architecture, build_learning, rebuilt
from train.scoring import Predict, score_clips
from train.split import Split

HISTORY = "history.json"
"""File of the work folder with a row an epoch, beside a checkpoint's: the network with its optimiser's state, its meaning."""
CREMAD = "CREMA-D (Crowd-sourced Emotional Multimodal Actors Dataset), resampled to 8 kHz"
"""What a meaning says that the weights were learnt from, unless it is something else."""
WINDOWS = "windows"
"""Folder in it with the windows that are drawn from, 0.6 MB a clip; gone when the training is over."""
HEAD_WEIGHTS = {"votes": 0.3, "sentence": 0.2, "sex": 0.1}
"""Of the losses of what is asked in training besides the emotion."""
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
    return Workshop.of(corpus.of(split.fitted), noise_folder, recipe, seed)


def fit(
    workshop: Workshop,
    tuning: tuple[Clip, ...],
    schedule: Schedule,
    architecture: Architecture,
    work: Path,
    told: Told,
    start: keras.Model | None = None,
    teacher: Predict | None = None,
) -> keras.Model:
    """The trained network, with its heads. Interrupted, it goes on from the last whole epoch in `work`, which `start_work`
    has checked.

    `start` is a network to train further, in place of a new one of `architecture`. What `teacher` says of a window is most
    of what the network learns of it, beside the emotion that was acted (Hinton et al. 2015, with the windows that the
    teacher heard: Beyer et al. 2022). Without `tuning` clips the curve tells the loss only.
    """
    if len(workshop.clips) < 2:
        raise CorpusError(
            f"{len(workshop.clips)} clips to learn from, expected two or more: add recordings of speakers that are fitted"
        )
    keras.utils.set_random_seed(schedule.seed)
    history = _resume(work)
    asked = asked_besides(workshop.clips)
    wanted = [targets(workshop.clips, workshop.recipe.vote_weight), *asked.values()]
    with Batches(workshop, schedule, wanted, work / WINDOWS, teacher) as batches:
        if history:
            network = keras.models.load_model(work / WEIGHTS)
        else:
            heads = {name: rows.shape[1] for name, rows in asked.items()}
            network = build_learning(architecture, heads, start)
            _compile(network, schedule, batches.steps)
        for epoch in range(len(history), schedule.epochs):
            row = {"epoch": epoch + 1.0, **_one_epoch(network, batches, epoch)}
            if tuning and ((epoch + 1) % TUNED_EVERY == 0 or epoch + 1 == schedule.epochs):
                row["tuning_uar"] = tuning_uar(rebuilt(network, architecture), tuning, workshop.normalisation)
            history.append(row)
            network.save(work / WEIGHTS)
            (work / HISTORY).write_text(json.dumps(history), encoding="utf-8")
            told(row)
    shutil.rmtree(work / WINDOWS)
    return network


def _compile(network: keras.Model, schedule: Schedule, steps: int) -> None:
    weights = [HEAD_WEIGHTS.get(name, 1.0) for name in network.output_names]
    losses = ["categorical_crossentropy"] * len(weights)
    # XLA doubles the time of a step on a CPU.
    network.compile(optimiser(schedule, schedule.epochs * steps), losses, loss_weights=weights, jit_compile=False)


def _one_epoch(network: keras.Model, batches: Batches, epoch: int) -> dict[str, float]:
    began = time.monotonic()
    losses = [np.atleast_1d(network.train_on_batch(given, wanted))[0] for given, wanted in batches.epoch(epoch)]
    if not np.all(np.isfinite(losses)):
        raise CorpusError(f"loss became {losses[-1]} in epoch {epoch + 1}, expected a finite one: lower --rate")
    rate = float(network.optimizer.learning_rate)
    return {"loss": float(np.mean(losses)), "seconds": time.monotonic() - began, "learning_rate": rate}


def tuning_uar(network: keras.Model, clips: tuple[Clip, ...], normalisation: Normalisation) -> float:
    """Unweighted average recall of `clips` as they are."""
    scores = score_clips(predictor(network), clips, normalisation)
    right = scores.argmax(axis=1) == (labels := np.array([LABELS.index(clip.label) for clip in clips]))
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def predictor(network: keras.Model) -> Predict:
    """(n, 192, 64) features → (n, 6) probabilities, of a network that takes three seconds."""
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
    if not path.is_file() or json.loads(path.read_text(encoding="utf-8")) != json.loads(text):
        if (work / HISTORY).is_file():
            raise CorpusError(
                f"{work} holds a training with other settings or data, expected this one's or none: give another --work or "
                "remove it"
            )
        shutil.rmtree(work / WINDOWS, ignore_errors=True)
    path.write_text(text, encoding="utf-8")


def _resume(work: Path) -> list[dict[str, float]]:
    """The rows of the epochs that the checkpoint has behind it."""
    path = work / HISTORY
    if not path.is_file() or not (work / WEIGHTS).is_file():
        return []
    rows: list[dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return rows
