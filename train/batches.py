"""An epoch's batches: windows made by another process while the network learns from those before; what alters them once more.

A generation is one altered window of every clip. They are kept in the work folder and drawn from again: making one costs
as much as an epoch of learning.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import numpy.typing as npt

from monitor.audio import Samples
from monitor.features import BANDS
from monitor.model import HOP_CELLS
from monitor.windows import CELL_FRAMES
from train.dataset import FRAMES, Recipe, Workshop
from train.scoring import Predict

EPOCHS_A_GENERATION = 2
"""A further generation joins those that are drawn from after so many epochs."""
_HOP_FRAMES = HOP_CELLS * CELL_FRAMES
SPREAD_REGIONS = 4
"""Of bands, in whose middles contrasts vary apart; between them by what lies nearer."""
_TOGETHER = 64
"""Windows that a teacher scores at once."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn."""

    epochs: int = 100
    short_share: float = 0.3
    """The first of them, which learn from `short_frames` of each window: they cost half."""
    short_frames: int = FRAMES // 2
    batch: int = 32
    peak_rate: float = 2e-3
    """Highest learning rate, after `warm_up` of the steps; falls to nothing as a cosine."""
    warm_up: float = 0.06
    weight_decay: float = 0.02
    generations: int = 24
    seed: int = 1

    def generations_by(self, epoch: int) -> int:
        """From how many generations the epoch, from 0, draws."""
        return min(epoch // EPOCHS_A_GENERATION + 1, self.generations)

    def frames(self, epoch: int) -> int:
        """How much of a window the epoch, from 0, learns from."""
        return self.short_frames if epoch < round(self.short_share * self.epochs) else FRAMES


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


def _make(generation: int, path: Path) -> None:
    """Runs in the worker."""
    assert _workshop is not None
    make_generation(_workshop, generation, path)


def make_generation(workshop: Workshop, generation: int, path: Path) -> None:
    """Writes one window of every clip: (clips, 192, 64) float16."""
    clips = range(len(workshop.clips))
    save(path, [workshop.features(generation, clips[at : at + _TOGETHER]) for at in range(0, len(clips), _TOGETHER)])


def generation_path(folder: Path, number: int) -> Path:
    """Where a generation, from 0, is kept; one that is there already is not made again."""
    return folder / f"windows-{number:02d}.npy"


def save(path: Path, parts: Sequence[np.ndarray]) -> None:
    """The file is whole or not there."""
    unfinished = path.with_suffix(".part.npy")
    np.save(unfinished, np.concatenate(parts))
    unfinished.replace(path)


class Batches:
    """The batches of every epoch, the same for the same workshop and schedule, whichever epoch is asked for first."""

    def __init__(
        self, workshop: Workshop, schedule: Schedule, targets: Sequence[Samples], folder: Path, teacher: Predict | None
    ) -> None:
        """`targets`: (clips, classes) of the emotion and of each head. `folder` keeps the windows. What `teacher` says of a
        window is most of what is asked for beside its clip's emotion. A context manager."""
        self._workshop, self._schedule, self._targets = workshop, schedule, targets
        self._folder, self._teacher = folder, teacher
        folder.mkdir(parents=True, exist_ok=True)
        # Spawned, because a fork of a process with TensorFlow's threads may lock up.
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _start_worker, (workshop,))
        self._making: dict[int, Future[None]] = {}
        self._ready: list[tuple[np.ndarray, Samples | None]] = []

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    @cached_property
    def steps(self) -> int:
        """Batches of an epoch; an incomplete last one is left out."""
        return max(1, len(self._workshop.clips) // self._schedule.batch)

    def epoch(self, epoch: int) -> Iterator[tuple[Samples, list[Samples]]]:
        """(batch / 2, 2 · frames, 64) float32 features of pairs of windows, of one speaker mostly, and (batch, classes) targets
        of every head, `steps` times."""
        schedule, clips = self._schedule, len(self._workshop.clips)
        generator = np.random.default_rng((self._workshop.seed, epoch, 1 << 20))
        generations = self._generations(schedule.generations_by(epoch))
        pairs = paired([clip.actor for clip in self._workshop.clips], generator)
        drawn = generator.integers(len(generations), size=clips)
        frames = schedule.frames(epoch)
        places = generator if self._workshop.recipe.moved else np.random.default_rng(self._workshop.seed)
        starts = places.integers(FRAMES - frames + 1, size=clips)
        for step in range(self.steps):
            chosen = pairs[step * (schedule.batch // 2) : (step + 1) * (schedule.batch // 2)].ravel()
            windows = [generations[drawn[clip]][0][clip, starts[clip] : starts[clip] + frames] for clip in chosen]
            wanted = [targets[chosen] for targets in self._targets]
            if self._teacher:
                taught = np.stack([generations[drawn[clip]][1][clip] for clip in chosen])  # type: ignore[index]
                wanted[0] = wanted[0] + self._workshop.recipe.teacher_weight * (taught - wanted[0])
            recipe = self._workshop.recipe
            features, wanted = blended(np.stack(windows).astype(np.float32), wanted, recipe, generator)
            yield features.reshape(-1, 2 * frames, features.shape[2]), wanted

    def _generations(self, count: int) -> list[tuple[np.ndarray, Samples | None]]:
        """The first so many, each with what the teacher says of it; the next one is begun."""
        for number in range(count + 1):
            if number < self._schedule.generations_by(self._schedule.epochs - 1) and number not in self._making:
                self._making[number] = self._begin(number)
        for number in range(len(self._ready), count):
            self._making[number].result()
            windows = np.load(self._path(number), mmap_mode="r")
            self._ready.append((windows, self._taught(number, windows)))
        return self._ready[:count]

    def _begin(self, number: int) -> Future[None]:
        if not self._path(number).is_file():
            return self._pool.submit(_make, number, self._path(number))
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def _taught(self, number: int, windows: np.ndarray) -> Samples | None:
        if self._teacher is None:
            return None
        path = self._folder / f"taught-{number:02d}.npy"
        if not path.is_file():
            parts = [windows[at : at + _TOGETHER].astype(np.float32) for at in range(0, len(windows), _TOGETHER)]
            save(path, [self._teacher(part) for part in parts])
        taught: Samples = np.load(path)
        return taught

    def _path(self, number: int) -> Path:
        return generation_path(self._folder, number)


def blended(
    features: np.ndarray, wanted: Sequence[Samples], recipe: Recipe, generator: np.random.Generator
) -> tuple[np.ndarray, list[Samples]]:
    """Other contrasts, levels and vocal tracts, SpecAugment (Park et al. 2019), mixup (Zhang et al. 2018) of each pair of
    windows with another of the batch.

    `features` (2 · pairs, frames, 64 or more) are altered in place; what lies beside the 64 bands is mixed only.
    """
    bands = features[..., :BANDS]
    bands[:] = warp(over_earlier_levels(spread(bands, recipe, generator), recipe, generator), recipe, generator)
    for window in bands:
        mask(window, recipe, generator)
    if not recipe.mixup:
        return features, list(wanted)
    pairs = len(features) // 2
    weights = np.repeat(generator.beta(recipe.mixup, recipe.mixup, pairs).astype(np.float32), 2)
    weights = np.maximum(weights, 1 - weights)
    others = (2 * generator.permutation(pairs)[:, None] + [0, 1]).ravel()
    part, share = weights[:, None, None], weights[:, None]
    mixed = [share * targets + (1 - share) * targets[others] for targets in wanted]
    return part * features + (1 - part) * features[others], mixed


def paired(speakers: Sequence[str], generator: np.random.Generator) -> npt.NDArray[np.intp]:
    """(pairs, 2) places of `speakers`, drawn anew: two of one each; odd ones out go together, a last one not at all."""
    order = generator.permutation(len(speakers))
    order = order[np.argsort(np.array(speakers)[order], kind="stable")]
    _, firsts, counts = np.unique(np.array(speakers)[order], return_index=True, return_counts=True)
    odd = (firsts + counts - 1)[counts % 2 == 1]
    order = np.concatenate([np.delete(order, odd), order[odd]])
    return generator.permutation(order[: len(order) // 2 * 2].reshape(-1, 2))


def spread(features: np.ndarray, recipe: Recipe, generator: np.random.Generator) -> np.ndarray:
    """(n, frames, 64) with more or less between the loud and the soft of each band, pauses staying as they are, and what is
    as loud as the mean and a deviation together: a drier room, a closer microphone."""
    if not recipe.spread:
        return features
    count, _, bands = features.shape
    logs = recipe.spread * (generator.standard_normal((count, 1)) + generator.standard_normal((count, SPREAD_REGIONS)))
    logs[generator.random(count) >= recipe.spread_share] = 0.0
    places = np.linspace(0, SPREAD_REGIONS - 1, bands)
    factors = np.exp([np.interp(places, np.arange(SPREAD_REGIONS), row) for row in logs])[:, None].astype(np.float32)
    silent = np.float32(-recipe.floor_db / 10.0)
    voiced = features.max(axis=2, keepdims=True) > silent / 2
    heard = np.maximum(voiced.sum(axis=1, keepdims=True, dtype=np.float32), np.float32(1.0))
    mean = (features * voiced).sum(axis=1, keepdims=True) / heard
    loud = mean + np.sqrt((np.square(features - mean) * voiced).sum(axis=1, keepdims=True) / heard)
    return np.where(voiced, np.maximum(loud + (features - loud) * factors, silent), features)


def over_earlier_levels(features: np.ndarray, recipe: Recipe, generator: np.random.Generator) -> np.ndarray:
    """(n, frames, 64) with the level wandering from the last half second of each window backwards, as `Recipe` says."""
    if not recipe.level_step_db:
        return features
    count, frames, _ = features.shape
    steps_db = generator.laplace(0.0, recipe.level_step_db, (count, -(-frames // _HOP_FRAMES)))
    steps_db[:, -1] = 0.0
    steps_db[generator.random(count) < recipe.level_steady_share] = 0.0
    wandered_db = np.repeat(np.cumsum(steps_db[:, ::-1], axis=1)[:, ::-1], _HOP_FRAMES, axis=1)[:, -frames:, None]
    silent = np.float32(10.0 ** (-recipe.floor_db / 10.0))
    over = np.maximum(np.power(np.float32(10.0), features) - silent, np.float32(0.0))
    return np.log10(over * np.power(10.0, wandered_db / 10.0).astype(np.float32) + silent)


def warp(features: np.ndarray, recipe: Recipe, generator: np.random.Generator) -> np.ndarray:
    """(n, frames, 64) with the bands of some windows read further up or down: another vocal tract (Jaitly and Hinton 2013)."""
    count, _, bands = features.shape
    factors = generator.uniform(1.0 - recipe.warp, 1.0 + recipe.warp, count)
    factors[generator.random(count) >= recipe.warped_share] = 1.0
    places = np.clip(np.arange(bands) * factors[:, None], 0, bands - 1.001)
    below = places.astype(np.int32)[:, None]
    part = (places[:, None] - below).astype(np.float32)
    low, high = np.take_along_axis(features, below, 2), np.take_along_axis(features, below + 1, 2)
    return (1 - part) * low + part * high


def mask(window: np.ndarray, recipe: Recipe, generator: np.random.Generator) -> None:
    """Two stretches of time and two of bands of a (frames, bands) window go down to the floor, in place."""
    silent = -recipe.floor_db / 10.0
    longest = recipe.masked_frames * len(window) // FRAMES
    for _ in range(2):
        frames, bands = int(generator.integers(longest + 1)), int(generator.integers(recipe.masked_bands + 1))
        first_frame = int(generator.integers(window.shape[0] - frames))
        first_band = int(generator.integers(window.shape[1] - bands))
        window[first_frame : first_frame + frames] = silent
        window[:, first_band : first_band + bands] = silent
