"""The ONNX file says the same as the Keras network, carries its meaning, or is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.errors import ModelError
from monitor.messages import LABELS
from monitor.model import EmotionModel
from train.corpus import CorpusError

SMALL: dict[str, Any] = {"stem": 4, "stages": ((8, 2, 2), (8, 2, 2)), "vector": 16, "attention": 8}
MEANING: dict[str, Any] = {
    "architecture": SMALL,
    "floor_db": 20.0,
    "spectrum": [1 / 64] * 64,
    "clips": 36,
    "split": {"source": "test", "fitted": ["1"], "tuning": ["2"], "validation": ["3"]},
    "schedule": {"epochs": 2, "seed": 1},
    "augmentation": "none",
    "noises": "none",
}

pytestmark = pytest.mark.filterwarnings("ignore")
"""TensorFlow's and tf2onnx's own."""


@pytest.fixture(scope="module")
def network() -> Any:
    from train.network import Architecture, build_network

    return build_network(Architecture(**SMALL))


def test_a_model_file_is_read_by_the_live_path_and_scores_as_keras_does(network: Any, tmp_path: Path) -> None:
    from train.export import export

    path = tmp_path / "emotion.onnx"
    described = export(network, MEANING, path)
    model = EmotionModel(path)
    assert model.meaning.labels == list(LABELS)
    assert model.meaning.calibration.temperature == 1.0
    assert model.meaning.training["tuned"] == ["2"]
    assert described["parameters"] == network.count_params()


def test_keras_and_onnx_agree_to_1e_4_at_any_batch(network: Any) -> None:
    from train.export import TOLERANCE, convert, difference
    from train.network import Architecture

    assert difference(network, convert(network, Architecture(**SMALL))) < TOLERANCE


def test_an_onnx_file_that_differs_is_refused(network: Any) -> None:
    from train.export import convert, refuse_difference
    from train.network import Architecture, build_network

    other = build_network(Architecture(**SMALL))
    with pytest.raises(ModelError, match="keras and onnx differ by"):
        refuse_difference(other, convert(network, Architecture(**SMALL)), None)


def test_channels_that_make_no_network_are_refused() -> None:
    from train.network import Architecture

    assert Architecture.of((16, 32, 64)) == Architecture()
    with pytest.raises(CorpusError, match="channels are 24 48 1, expected 4 to 1000 in each stage"):
        Architecture.of((24, 48, 1))


def test_a_network_is_rebuilt_for_pairs_and_heads_with_the_same_weights(network: Any) -> None:
    from train.network import Architecture, build_learning, rebuilt

    learning = build_learning(Architecture(**SMALL), {"sex": 2}, network)
    windows = np.random.default_rng(0).normal(-0.7, 0.9, (4, 192, 64)).astype(np.float32)
    scores, sexes = learning(windows.reshape(2, 384, 64), training=False)
    alone = network(windows, training=False).numpy()
    assert scores.numpy()[::2] == pytest.approx(alone[::2], abs=1e-6)
    assert sexes.shape == (4, 2)
    assert learning(windows[:, :96].reshape(2, 192, 64), training=False)[0].shape == (4, 6)
    again = rebuilt(learning, Architecture(**SMALL))
    assert again(windows, training=False).numpy() == pytest.approx(alone, abs=1e-6)


def test_the_second_of_a_pair_has_read_the_end_of_the_first(network: Any) -> None:
    from train.network import Architecture, build_learning

    learning = build_learning(Architecture(**SMALL), {"sex": 2}, network)
    pairs = np.random.default_rng(0).normal(-0.7, 0.9, (2, 384, 64)).astype(np.float32)
    other = pairs.copy()
    other[0, :8] += 3.0  # too far back for the second
    other[1, 184:192] += 3.0
    scores, changed = (learning(given, training=False)[0].numpy() for given in (pairs, other))
    assert np.abs(changed - scores).max(axis=1)[[0, 2, 3]].min() > 1e-5
    assert changed[1] == pytest.approx(scores[1], abs=1e-6)


def test_arithmetic_is_counted_from_the_network() -> None:
    import keras

    from train.network import build_network, mflop

    values = keras.Input((10, 8, 1))
    small = keras.Model(values, keras.layers.Conv2D(3, 3, padding="same")(values))
    assert mflop(small) == pytest.approx(2 * 10 * 8 * 9 * 3 / 1e6 / 6)  # a sixth of a window is new
    ours = build_network()
    assert mflop(ours) < 100
    assert ours.count_params() < 1_000_000


def test_probabilities_come_for_any_batch(network: Any) -> None:
    for batch in (1, 3):
        scores = network(np.zeros((batch, 192, 64), np.float32), training=False).numpy()
        assert scores.shape == (batch, 6)
        assert scores.sum(axis=1) == pytest.approx(np.ones(batch), abs=1e-5)
