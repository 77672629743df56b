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
    """Their clips set the temperature, the thresholds and the prior, and choose between tries."""
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
        if not all(parts):
            raise CorpusError(
                f"split has {' + '.join(str(len(p)) for p in parts)} actors, expected at least one in each part: add actors"
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


def tuning_actors(clips: tuple[Clip, ...], train: list[str], seed: int) -> tuple[str, ...]:
    """A seeded tenth of `train`, at least one, taken from the sexes in turn."""
    sexes = {clip.actor: clip.sex or "" for clip in clips}
    shuffled = [str(actor) for actor in np.random.default_rng(seed).permutation(sorted(set(train)))]
    groups = [[actor for actor in shuffled if sexes.get(actor) == sex] for sex in sorted(set(sexes.values()))]
    in_turn = [group[rank] for rank in range(len(shuffled)) for group in groups if rank < len(group)]
    return tuple(sorted(in_turn[: max(1, round(TUNING_SHARE * len(shuffled)))]))


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
