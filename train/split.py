"""Which actors are fitted on, tuned on, validated on: whole actors, never in two parts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train.corpus import Clip, Corpus, CorpusError

TUNING_SHARE = 0.1
"""Of the training actors: kept from fitting for calibration, thresholds, the prior and the choice between tries."""


@dataclass(frozen=True, slots=True)
class Split:
    """Actors, each part sorted."""

    fitted: tuple[str, ...]
    """Their clips set the weights and the feature spectrum."""
    tuning: tuple[str, ...]
    """Their clips set the temperature, the thresholds and the prior, and choose between tries. None once they are fitted too."""
    validation: tuple[str, ...]
    """Their clips are reported on, and nothing else."""
    source: str
    """Where the split comes from, in words."""

    def __post_init__(self) -> None:
        parts = (self.fitted, self.tuning, self.validation)
        if shared := {actor for a in range(3) for b in range(a) for actor in set(parts[a]) & set(parts[b])}:
            raise CorpusError(
                f"split has actor {', '.join(sorted(shared))} in two parts, expected each in one: mend split.json"
            )
        if not self.fitted or not self.validation:
            raise CorpusError(
                f"split has {' + '.join(str(len(p)) for p in parts)} actors, expected at least one in each part: add actors"
            )

    def with_tuning_fitted(self) -> "Split":
        """The same when nothing is left to choose: the tuning actors are fitted too."""
        return Split(
            tuple(sorted(self.fitted + self.tuning)), (), self.validation, f"{self.source}, tuning actors fitted too"
        )


def tfds_parts(actors: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Train and validation actors by the rule of TFDS `crema_d/1.0.0`: sorted, shuffled by RandomState(0), 70/10/20 %.

    On all 91 actors this is the published split; the last fifth stays untouched for whoever tests.
    """
    order = sorted(actors)
    np.random.RandomState(0).shuffle(order)
    first, second = int(0.7 * len(order)), int((0.7 + 0.1) * len(order))
    return order[:first], order[first:second]


def _read_parts(path: Path) -> tuple[list[str], list[str]]:
    try:
        parts: Any = json.loads(path.read_text(encoding="utf-8"))
        train, validation = ([str(actor) for actor in parts[name]] for name in ("train", "validation"))
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f'{path} is no split ({error!r}), expected {{"train": [actors], "validation": [actors]}}: mend or remove it'
        ) from error
    return train, validation


def _by_sex_in_turn(clips: tuple[Clip, ...], actors: list[str], seed: int) -> list[str]:
    """`actors` in a seeded order that takes from the sexes in turn."""
    sexes = {clip.actor: clip.sex or "" for clip in clips}
    shuffled = [str(actor) for actor in np.random.default_rng(seed).permutation(sorted(set(actors)))]
    groups = [[actor for actor in shuffled if sexes.get(actor) == sex] for sex in sorted(set(sexes.values()))]
    return [group[rank] for rank in range(len(shuffled)) for group in groups if rank < len(group)]


def tuning_actors(clips: tuple[Clip, ...], train: list[str], seed: int) -> tuple[str, ...]:
    """A seeded tenth of `train`, at least one, taken from the sexes in turn."""
    order = _by_sex_in_turn(clips, train, seed)
    return tuple(sorted(order[: max(1, round(TUNING_SHARE * len(order)))]))


def read_split(root: Path, corpus: Corpus, seed: int) -> Split:
    """From split.json, else TFDS's rule on the actors here. Raises `CorpusError` for overlap or too few actors."""
    path = root / "split.json"
    train, validation = _read_parts(path) if path.is_file() else tfds_parts(corpus.actors)
    if shared := sorted(set(train) & set(validation)):
        raise CorpusError(
            f"split has actor {', '.join(shared)} in train and validation, expected each in one: mend {path}"
        )
    tuning = tuning_actors(corpus.clips, train, seed)
    source = "split.json" if path.is_file() else "rule of TFDS crema_d/1.0.0 on the actors at hand"
    return Split(tuple(sorted(set(train) - set(tuning))), tuning, tuple(sorted(set(validation))), source)


def fold_split(corpus: Corpus, number: int, folds: int, seed: int) -> Split:
    """Fold `number` of `folds`, from 1: its actors are validated on, a tenth of the others tuned on. Every actor is in one
    fold; the sexes are spread evenly. Raises `CorpusError` for a fold that there is not, or too few actors."""
    if not 1 <= number <= folds <= len(corpus.actors):
        raise CorpusError(
            f"fold is {number} of {folds} over {len(corpus.actors)} actors, expected 1 to {folds} and an actor in each"
        )
    sexes = {clip.actor: clip.sex or "" for clip in corpus.clips}
    order = sorted(_by_sex_in_turn(corpus.clips, list(corpus.actors), seed), key=lambda actor: sexes[actor])
    validation = order[number - 1 :: folds]
    rest = sorted(set(order) - set(validation))
    tuning = tuning_actors(corpus.clips, rest, seed)
    source = f"fold {number} of {folds} over the actors at hand"
    return Split(tuple(sorted(set(rest) - set(tuning))), tuning, tuple(sorted(validation)), source)
