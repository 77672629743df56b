"""A training that is interrupted goes on from its last whole epoch, and ends where an unbroken one does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.errors import ModelError
from train.commands import load_checkpoint
from train.corpus import CorpusError, load_corpus
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


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    import keras

    with pytest.raises(CorpusError, match=r"has no last\.keras, meaning\.json, expected a training's folder"):
        load_checkpoint(tmp_path)
    values = keras.Input((10, 4))
    keras.Model(values, keras.layers.Dense(2)(values)).save(tmp_path / "last.keras")
    (tmp_path / "meaning.json").write_text(json.dumps({"floor_db": 20.0, "spectrum": [1 / 64] * 64}))
    with pytest.raises(ModelError, match=r"last\.keras takes and gives .*\(None, 10, 4\).* expected"):
        load_checkpoint(tmp_path)
    (tmp_path / "last.keras").write_bytes(b"no network")
    with pytest.raises(ModelError, match="is no network of this version"):
        load_checkpoint(tmp_path)
