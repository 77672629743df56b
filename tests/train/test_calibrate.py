"""What is fitted on stitched calls: moods against the odds of the plain grouping, thresholds, and all of it inside the file."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.messages import LABELS
from monitor.model import MOOD_GROUPS, EmotionModel, Moods
from tests.tiny_model import write_tiny_model
from tests.train.voices import cast, write_corpus
from train.calibrate import (
    CLEAR,
    Heard,
    calibrate,
    calibrate_through,
    held_out_recall,
    mood_recall,
    mood_threshold,
    write_meaning,
)
from train.calibration import common_direction
from train.checkpoint import calibrated_like, calibrated_on, held_out
from train.commands import calibrate_file
from train.corpus import CorpusError
from train.moods import fit_moods, shares


def evidence(seed: int = 1, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Mean log scores of a network that always leans to neutral, and the moods that they are of."""
    generator = np.random.default_rng(seed)
    places = generator.integers(len(MOOD_GROUPS), size=count)
    lean = np.full((count, 6), -2.5) + generator.normal(0.0, 0.2, (count, 6))
    lean[:, LABELS.index("neutral")] += 1.5
    for place, own in enumerate(([0], [1, 2, 5], [3], [4])):
        lean[np.ix_(places == place, own)] += 0.8
    return lean, places


def test_fitted_moods_are_found_where_the_plain_grouping_says_calm() -> None:
    rows, places = evidence()
    plain, fitted = Moods(), fit_moods(rows, places, Moods())
    assert mood_recall(plain, 0.0, rows, places)["dissatisfied"] < 0.1
    assert min(mood_recall(fitted, 0.0, rows, places).values()) > 0.9
    assert shares(fitted, rows).sum(axis=1) == pytest.approx(np.ones(len(rows)))


def test_moods_are_those_that_the_live_path_makes() -> None:
    rows, places = evidence()
    fitted = fit_moods(rows, places, Moods())
    logits = np.array(fitted.weights) @ rows[0] + np.array(fitted.bias)
    assert shares(fitted, rows)[0] == pytest.approx(np.exp(logits) / np.exp(logits).sum())


def test_the_threshold_leaves_the_asked_share_of_stretches_clear() -> None:
    rows, _ = evidence()
    threshold = mood_threshold(Moods(), rows)
    assert np.mean(shares(Moods(), rows).max(axis=1) >= threshold) == pytest.approx(CLEAR, abs=0.01)


def test_held_out_recall_is_of_the_other_half() -> None:
    rows, places = evidence()
    speakers = np.array([f"s{n % 4}" for n in range(len(rows))])
    found = held_out_recall(Heard(rows, places, speakers, np.zeros(1)), Moods())
    assert set(found) == set(MOOD_GROUPS)
    assert min(found.values()) > 0.8
    alone = Heard(rows, places, np.full(len(rows), "one"), np.zeros(1))
    assert held_out_recall(alone, Moods()) == {}


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file, calibrated on two actors."""
    path = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
    write_meaning(calibrate(EmotionModel(path), cast(2, each=1), calls_each=1), path)
    return path


def test_a_model_file_is_calibrated_in_place_and_keeps_the_rest(calibrated: Path, tmp_path: Path) -> None:
    before = EmotionModel(write_tiny_model(tmp_path / "tiny.onnx")).meaning
    after = EmotionModel(calibrated).meaning
    assert after.moods != before.moods
    assert after.baseline.prior != before.baseline.prior
    assert np.linalg.norm(after.baseline.common) == pytest.approx(1.0, abs=1e-3)
    assert 0.0 < after.thresholds.mood < 1.0
    assert 0.0 < after.thresholds.uncertain < 1.0
    same = {"calibration", "moods", "baseline", "thresholds"}
    for name in set(before.__struct_fields__) - same:
        assert getattr(after, name) == getattr(before, name)
    assert sorted(path.name for path in calibrated.parent.iterdir()) == ["tiny.onnx"]


def test_what_emotions_have_in_common_is_the_mean_of_their_differences_from_neutral() -> None:
    labels = np.array([0, 0, 0, 1, 2, 3, 4, 5])
    logs = np.full((8, 6), -2.0)
    logs[:3, 0], logs[3, 1], logs[4, 2], logs[5, 3], logs[:6, 4] = -1.0, -1.0, -1.0, -1.0, -6.0
    assert common_direction(np.exp(logs), labels) == [0.062, 0.062, 0.062, 0.062, -0.9923, 0.0]
    angry = (labels == 0) | (labels == 4)
    assert common_direction(np.exp(logs[angry]), labels[angry]) == [0.2425, 0.0, 0.0, 0.0, -0.9701, 0.0]
    assert common_direction(np.exp(logs[6:]), labels[6:]) == []


def test_without_any_lively_emotion_the_baseline_is_equally_quick_in_all_directions(calibrated: Path) -> None:
    told: list[str] = []
    clips = [clip for clip in cast(1, each=1) if clip.label in ("neutral", "sad")]
    meaning = calibrate(EmotionModel(calibrated), clips, told.append, calls_each=1).meaning
    assert (meaning.baseline.common, meaning.baseline.weight_windows) == ([], 20)
    assert "no clip of anger, disgust, fear, happy: strange voices are told from emotion less well" in told


def test_without_neutral_speech_nothing_is_calibrated(calibrated: Path) -> None:
    clips = [clip for clip in cast(1) if clip.label != "neutral"]
    with pytest.raises(CorpusError, match="hold no neutral one"):
        calibrate(EmotionModel(calibrated), clips)


def fold(path: Path, validated: list[str], split: str = "none", **changes: Any) -> EmotionModel:
    training = {"fitted": [], "split": split, "validated": validated}
    return EmotionModel(write_tiny_model(path, training=training, **changes))


def test_through_one_network_and_through_two_halves_of_the_same_is_calibrated_alike(tmp_path: Path) -> None:
    model, clips = EmotionModel(write_tiny_model(tmp_path / "m.onnx")), cast(2, each=1)
    alone = calibrate(model, clips, calls_each=1).meaning
    halves = [(model, [clip for clip in clips if clip.actor == actor]) for actor in sorted({c.actor for c in clips})]
    assert len(halves) == 2
    both = calibrate_through(halves, model, calls_each=1).meaning
    # But for the noise under the clips, which is seeded by their place.
    assert both.calibration.temperature == pytest.approx(alone.calibration.temperature, abs=0.05)
    assert both.baseline.prior == pytest.approx(alone.baseline.prior, abs=0.02)
    assert both.thresholds.uncertain == pytest.approx(alone.thresholds.uncertain, abs=0.02)
    np.testing.assert_allclose(both.moods.weights, alone.moods.weights, atol=0.1)


def test_a_file_is_calibrated_through_the_folds_on_whom_it_is_not_measured(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "corpus", 4)
    whole = fold(tmp_path / "whole.onnx", ["1004"])
    parts = (["1001", "1004"], ["1002", "1003"])
    folds = [fold(tmp_path / f"{n}.onnx", own, f"fold {n} of 2").path for n, own in enumerate(parts, 1)]
    fitted = calibrate_file(root, None, None, whole.path, through=folds)
    assert EmotionModel(whole.path).meaning == fitted.meaning
    assert fitted.meaning.training["validated"] == ["1004"]
    assert fitted.meaning.training["calibrated_through"] == {
        "networks": [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}: fold {n} of 2" for n, path in enumerate(folds, 1)
        ],
        "tuned": ["1001", "1002", "1003"],
    }
    other = fold(tmp_path / "other.onnx", ["1004"])
    taken = calibrated_like(other, fitted).meaning
    assert taken.training["calibrated_like"]["tuned"] == ["1001", "1002", "1003"]
    with pytest.raises(
        CorpusError, match=r"was calibrated on 1003, on whom .* is measured: name one of the same split"
    ):
        calibrated_like(fold(tmp_path / "more.onnx", ["1003"]), fitted)
    assert calibrated_on(fitted) == {"1001", "1002", "1003"}
    again = calibrate(fitted, cast(1, each=1), calls_each=1)
    assert "calibrated_through" not in again.meaning.training
    like = EmotionModel(write_tiny_model(tmp_path / "like.onnx", training={"tuned": ["7"]}))
    anew = calibrated_like(fitted, like)
    assert {"calibrated_like", "calibrated_through"} & set(anew.meaning.training) == {"calibrated_like"}
    assert calibrated_on(anew) == {"7"}


def test_each_network_says_what_it_hears_of_its_own_clips(tmp_path: Path) -> None:
    model = EmotionModel(write_tiny_model(tmp_path / "m.onnx"))
    other = EmotionModel(write_tiny_model(tmp_path / "other.onnx", seed=1))
    clips = cast(2, each=1)
    alone = calibrate(other, clips, calls_each=1).meaning
    through = calibrate_through([(other, clips)], model, calls_each=1)
    for name in ("calibration", "baseline", "moods", "thresholds"):
        assert getattr(through.meaning, name) == getattr(alone, name) != getattr(model.meaning, name)
    assert through.path == model.path


def test_a_fold_of_which_no_call_can_be_stitched_counts_by_its_clips(tmp_path: Path) -> None:
    model, clips = EmotionModel(write_tiny_model(tmp_path / "m.onnx")), cast(1, each=1)
    without = [
        clip for clip in cast(2, each=1) if clip.actor not in {c.actor for c in clips} and clip.label == "disgust"
    ]
    assert len(without) == 1
    both = calibrate_through([(model, clips), (model, without)], model, calls_each=1).meaning
    np.testing.assert_allclose(
        both.moods.weights, calibrate(model, clips, calls_each=1).meaning.moods.weights, atol=0.1
    )


def test_networks_that_are_no_folds_of_one_cross_validation_are_refused(tmp_path: Path) -> None:
    model = fold(tmp_path / "m.onnx", ["9"])
    one, two, three = (
        fold(tmp_path / f"{n}.onnx", own) for n, own in (("a", ["1", "2"]), ("b", ["2", "3"]), ("c", ["9"]))
    )
    larger, silent = fold(tmp_path / "d.onnx", ["4"], parameters=385), fold(tmp_path / "e.onnx", [])
    assert held_out([one], model) == [["1", "2"]]
    for networks, text in (
        (
            [one, two],
            f"actor 2 is left out of {one.path} and {two.path}, expected each of one: name folds of one cross-validation",
        ),
        (
            [three],
            f"{three.path} leaves out nobody but whom {model.path} is measured on, expected others: name a fold's model",
        ),
        ([larger], f"{larger.path} has parameters 385, expected 384: name a model of the same recipe"),
        ([model], f"{model.path} is the model itself, expected others: name the models of folds"),
        ([one, one], f"{one.path} is named twice, expected each once: leave one out"),
        ([silent], f"{silent.path} does not say whom it was validated on, expected a fold's model: name one"),
    ):
        with pytest.raises(CorpusError) as caught:
            held_out(networks, model)
        assert str(caught.value) == text
