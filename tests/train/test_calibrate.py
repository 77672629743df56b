"""What is fitted on stitched calls: moods against the odds of the plain grouping, thresholds, and all of it inside the file."""

from pathlib import Path

import numpy as np
import pytest

from monitor.messages import LABELS
from monitor.model import MOOD_GROUPS, EmotionModel, Moods
from tests.tiny_model import write_tiny_model
from tests.train.voices import cast
from train.calibrate import CLEAR, Heard, calibrate, held_out_recall, mood_recall, mood_threshold, write_meaning
from train.calibration import common_direction
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
