"""A training that is interrupted goes on from its last whole epoch, and ends where an unbroken one does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.corpus import load_corpus
from train.dataset import Recipe
from train.split import read_split

SMALL: dict[str, Any] = {"stem": 4, "stages": ((8, 2, 2),), "vector": 8, "attention": 4}

pytestmark = pytest.mark.filterwarnings("ignore")
"""TensorFlow's own."""


class PowerCutError(Exception):
    """Stands for a power cut after a whole epoch."""


def train(corpus_root: Path, work: Path, stop_after: int | None) -> np.ndarray:
    """The weights after two epochs, in one vector; raises `PowerCutError` after `stop_after`."""
    from train.fit import Schedule, fit, prepare
    from train.network import Architecture

    corpus = load_corpus(corpus_root)
    split = read_split(corpus_root, corpus, 1)
    workshop = prepare(corpus, split, None, Recipe(), 1)

    def told(row: dict[str, float]) -> None:
        if row["epoch"] == stop_after:
            raise PowerCutError

    work.mkdir(exist_ok=True)
    network = fit(workshop, corpus.of(split.tuning), Schedule(epochs=2, batch=10), Architecture(**SMALL), work, told)
    return np.concatenate([weights.ravel() for weights in network.get_weights()])


def test_an_interrupted_training_ends_as_an_unbroken_one(tiny_corpus: Path, tmp_path: Path) -> None:
    unbroken = train(tiny_corpus, tmp_path / "unbroken", None)
    with pytest.raises(PowerCutError):
        train(tiny_corpus, tmp_path / "broken", 1)
    resumed = train(tiny_corpus, tmp_path / "broken", None)
    assert np.isfinite(resumed).all()
    assert resumed == pytest.approx(unbroken, abs=0.02)
