"""An epoch's batches: windows made by another process while the network learns from the last ones; mixup and SpecAugment."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context, parent_process

import numpy as np

from monitor.audio import Samples
from train.dataset import Recipe, Workshop, targets

WINDOWS_LAST = 2
"""Epochs for which the same windows serve: making them costs as much as learning from them; mixup and masks differ."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn."""

    epochs: int = 60
    batch: int = 32
    peak_rate: float = 2e-3
    """Highest learning rate, after `warm_up` of the steps; falls to nothing as a cosine."""
    warm_up: float = 0.08
    weight_decay: float = 0.02
    seed: int = 1


_workshop: Workshop | None = None
"""The worker process's own, so that it is sent once."""


def _start_worker(workshop: Workshop) -> None:
    """Runs in the worker. It yields to the training, which waits for nobody else."""
    global _workshop
    _workshop = workshop
    os.nice(5)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A training that is killed must not leave its worker behind, waiting for work."""
    if parent := parent_process():
        parent.join()
    os._exit(1)


def _make(epoch: int, indices: np.ndarray) -> np.ndarray:
    """Runs in the worker."""
    assert _workshop is not None
    return _workshop.features(epoch, [int(index) for index in indices])


class Batches:
    """The batches of every epoch, the same for the same workshop, whichever epoch is asked for first. A context manager."""

    def __init__(self, workshop: Workshop, batch: int = 64) -> None:
        self._workshop, self._batch = workshop, batch
        self._targets = targets(workshop.clips, workshop.recipe.vote_weight)
        # Spawned, because a fork of a process with TensorFlow's threads may lock up.
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _start_worker, (workshop,))
        self._made: dict[int, list[Future[np.ndarray]]] = {}

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    @property
    def steps(self) -> int:
        """Batches of an epoch; an incomplete last one is left out."""
        return max(1, len(self._workshop.clips) // self._batch)

    def epoch(self, epoch: int) -> Iterator[tuple[np.ndarray, Samples]]:
        """(batch, 188, 64) float32 features and (batch, 6) targets, `steps` times."""
        generator = np.random.default_rng((self._workshop.seed, epoch, 1 << 20))
        generation = epoch // WINDOWS_LAST
        made = self._windows(generation)
        order = generator.permutation(len(self._workshop.clips))
        features = np.concatenate([part.result() for part in made])
        self._windows(generation + 1)
        self._made.pop(generation - 1, None)
        for step in range(self.steps):
            chosen = order[step * self._batch : (step + 1) * self._batch]
            yield blended(features[chosen].astype(np.float32), self._targets[chosen], self._workshop.recipe, generator)

    def _windows(self, generation: int) -> list[Future[np.ndarray]]:
        if generation not in self._made:
            parts = np.array_split(np.arange(len(self._workshop.clips)), self.steps)
            self._made[generation] = [self._pool.submit(_make, generation, part) for part in parts]
        return self._made[generation]


def blended(
    features: np.ndarray, wanted: Samples, recipe: Recipe, generator: np.random.Generator
) -> tuple[np.ndarray, Samples]:
    """SpecAugment (Park et al. 2019), then mixup (Zhang et al. 2018) of each window with another one of the batch."""
    for window in features:
        mask(window, recipe, generator)
    if not recipe.mixup:
        return features, wanted
    weights = generator.beta(recipe.mixup, recipe.mixup, len(features)).astype(np.float32)
    weights = np.maximum(weights, 1 - weights)
    others = generator.permutation(len(features))
    part = weights[:, None, None]
    return part * features + (1 - part) * features[others], weights[:, None] * wanted + (1 - weights[:, None]) * wanted[
        others
    ]


def mask(window: np.ndarray, recipe: Recipe, generator: np.random.Generator) -> None:
    """Two stretches of time and two of bands of a (frames, bands) window go down to the floor, in place."""
    silent = -recipe.floor_db / 10.0
    for _ in range(2):
        frames, bands = (
            int(generator.integers(recipe.masked_frames + 1)),
            int(generator.integers(recipe.masked_bands + 1)),
        )
        first_frame, first_band = (
            int(generator.integers(window.shape[0] - frames)),
            int(generator.integers(window.shape[1] - bands)),
        )
        window[first_frame : first_frame + frames] = silent
        window[:, first_band : first_band + bands] = silent
