import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from monitor.errors import ModelError
from monitor.model import EmotionModel
from tests.tiny_model import MEANING, write_tiny_model

POWERS = list(np.random.default_rng(0).random((70, 188, 64), np.float32))


def test_scores_are_log_probabilities_however_many_windows_come_at_once(tmp_path: Path) -> None:
    model = EmotionModel(write_tiny_model(tmp_path / "m.onnx"))
    together = model.score(POWERS)
    assert together.shape == (70, 6)
    np.testing.assert_allclose(np.exp(together).sum(axis=1), 1.0, atol=1e-5)
    one_by_one = np.concatenate([model.score([power]) for power in POWERS])
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)
    assert model.score([]).shape == (0, 6)


def test_a_higher_temperature_makes_scores_softer_and_keeps_their_order(tmp_path: Path) -> None:
    sharp = EmotionModel(write_tiny_model(tmp_path / "a.onnx")).score(POWERS)
    soft = EmotionModel(write_tiny_model(tmp_path / "b.onnx", calibration={"temperature": 2.0})).score(POWERS)
    assert (soft.max(axis=1) < sharp.max(axis=1)).all()
    np.testing.assert_array_equal(soft.argmax(axis=1), sharp.argmax(axis=1))


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    text = EmotionModel(write_tiny_model(tmp_path / "m.onnx")).describe()
    assert "model:         tiny 0\n" in text
    assert "parameters:    384\n" in text
    assert "arithmetic:    0.1 MFLOP a window\n" in text
    assert "licence:       Apache-2.0\n" in text
    assert "score uar:     0.25" in text


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: no such model file; expected an ONNX file made by"):
        EmotionModel(tmp_path / "none.onnx")


def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_text("hello")
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX model that can be run; expected one made by"):
        EmotionModel(path)


def test_a_model_without_its_meaning_is_refused(tmp_path: Path) -> None:
    model = onnx.load(write_tiny_model(tmp_path / "m.onnx"))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match=r"bare\.onnx: lacks the metadata 'callmood'; expected a model made by"):
        EmotionModel(tmp_path / "bare.onnx")


def test_a_meaning_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    meaning = {name: value for name, value in MEANING.items() if name != "licence"}
    path = write_tiny_model(tmp_path / "m.onnx", metadata=json.dumps(meaning))
    with pytest.raises(ModelError, match=r"missing required field `licence`; export the model again"):
        EmotionModel(path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format": 2}, "format is 2, expected 1"),
        ({"labels": ["sad"] * 6}, "labels is ['sad', 'sad', 'sad', 'sad', 'sad', 'sad'], expected ['anger',"),
        ({"sample_rate": 16_000}, "sample_rate is 16000, expected 8000"),
        ({"features": MEANING["features"] | {"frame_hop": 80}}, "features.frame_hop is 80, expected 125"),
        ({"features": MEANING["features"] | {"spectrum": [1.0]}}, "length of features.spectrum is 1, expected 64"),
        ({"features": MEANING["features"] | {"filter_bank": "AAAA"}}, "filter bank is another one, expected ours"),
        ({"calibration": {"temperature": 0.0}}, "temperature above zero is False, expected True"),
        ({"outputs": 5}, "output is [('probabilities', [5])], expected [('probabilities', [6])]"),
    ],
)
def test_a_file_that_contradicts_the_live_path_is_refused(tmp_path: Path, changes: dict, text: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ModelError) as caught:
        EmotionModel(write_tiny_model(tmp_path / "m.onnx", **changes))
    assert text in str(caught.value)
    assert str(caught.value).endswith("; export the model again with this version of callmood")
