"""Calibration, measures and scoring, on figures that can be worked out by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.features import Normalisation
from monitor.messages import LABELS, Label
from monitor.model import Calibration
from train.calibration import (
    FEWEST_SCORES,
    NEUTRAL,
    UNCALIBRATED,
    best_calibration,
    calibrated,
    calibration_error,
    inverse,
    reliability,
    unweighted_recall,
)
from train.corpus import Clip, CorpusError
from train.evaluate import (
    age_group,
    by_group,
    confusion,
    coverage_curve,
    ece_by_chance,
    interval,
    surest_gain_interval,
)
from train.measuring import actor_ids
from train.scoring import Condition, score_clips


def scored(seed: int = 1, count: int = 4_000, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose labels are drawn from them; `sharpness` other than 1 makes the scores over- or underconfident."""
    generator = np.random.default_rng(seed)
    truth = generator.dirichlet(np.full(len(LABELS), 0.5), count)
    labels = np.array([generator.choice(len(LABELS), p=row) for row in truth])
    sharpened = truth**sharpness
    return sharpened / sharpened.sum(axis=1, keepdims=True), labels


def test_the_temperature_undoes_overconfidence() -> None:
    assert best_calibration(*scored()).temperature == pytest.approx(1.0, abs=0.05)
    assert best_calibration(*scored(sharpness=2.0)).temperature == pytest.approx(2.0, abs=0.1)
    assert best_calibration(*scored(sharpness=2.0)).neutral_bias == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("factor", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_half_of_what_neutral_is_said_too_often_is_taken_back(factor: float, kind: type) -> None:
    scores, labels = scored(sharpness=1.5)
    often = scores * np.where(np.arange(len(LABELS)) == LABELS.index("neutral"), factor**1.5, 1.0)
    fitted = best_calibration((often / often.sum(axis=1, keepdims=True)).astype(kind), labels)
    assert fitted.neutral_bias == pytest.approx(-np.log(factor) / 2, abs=0.05)


@pytest.mark.parametrize(("few", "biased"), [(FEWEST_SCORES - 1, False), (FEWEST_SCORES, True)])
def test_a_few_neutral_clips_move_nobodys_bias(few: int, biased: bool) -> None:
    scores, labels = scored()
    scores[:, NEUTRAL] *= 3.0
    kept = np.sort(np.concatenate([np.flatnonzero(labels == NEUTRAL)[:few], np.flatnonzero(labels != NEUTRAL)]))
    fitted = best_calibration(scores[kept] / scores[kept].sum(axis=1, keepdims=True), labels[kept])
    assert (fitted.neutral_bias < -0.3) is biased
    assert fitted.neutral_bias == 0.0 or biased


@pytest.mark.parametrize("label", ["neutral", "anger"])
def test_labels_of_one_kind_leave_neutral_alone(label: Label) -> None:
    scores, _ = scored(count=200)
    assert best_calibration(scores, np.full(200, LABELS.index(label))).neutral_bias == 0.0


def test_calibration_undone_gives_back_what_was_calibrated() -> None:
    scores, _ = scored(count=50)
    scores = np.maximum(scores, 1e-3) / np.maximum(scores, 1e-3).sum(axis=1, keepdims=True)
    calibration = Calibration(1.3, -0.4)
    again = calibrated(calibrated(scores, calibration), inverse(calibration))
    np.testing.assert_allclose(again, scores, atol=1e-6)


def test_calibrated_scores_are_probabilities_even_of_certainty() -> None:
    probabilities = calibrated(np.eye(6), Calibration(1.5, -0.4))
    assert np.isfinite(probabilities).all()
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(6))


def test_calibration_error_is_small_for_honest_scores_only() -> None:
    honest, labels = scored()
    boastful, _ = scored(sharpness=3.0)
    assert calibration_error(honest, labels) < 0.03
    assert calibration_error(boastful, labels) > 0.1


def test_unweighted_recall_counts_labels_alike_however_many_clips_they_have() -> None:
    assert unweighted_recall(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 5])) == 0.5


def test_confusion_has_a_row_for_what_was_intended() -> None:
    matrix = confusion(np.array([1, 1, 0]), np.array([0, 1, 0]))
    assert matrix[0].tolist() == [1, 1, 0, 0, 0, 0]
    assert matrix.sum() == 3


def test_the_interval_is_over_actors_not_clips() -> None:
    labels, right = np.tile(np.arange(6), 100), np.ones(600, bool)
    right[:300] = False
    two_actors, many = np.repeat(["a", "b"], 300), np.array([str(n % 100) for n in range(600)])
    wide, narrow = interval(right, labels, two_actors), interval(right, labels, many)
    assert wide == (0.0, 1.0)
    assert narrow[1] - narrow[0] < 0.4


def sure(confidence: float, count: int) -> np.ndarray:
    """(count, 6) scores that say anger so surely, and no other label more than any."""
    others = np.full((count, 5), (1.0 - confidence) / 5)
    return np.column_stack([np.full(count, confidence), others])


def test_what_all_actors_have_in_common_has_no_width() -> None:
    # Of each actor's ten clips six are read with 0.9 and right, four with 0.4 and wrong.
    scores = np.tile(np.concatenate([sure(0.9, 6), sure(0.4, 4)]), (8, 1))
    labels = np.tile([LABELS.index("anger")] * 6 + [LABELS.index("sad")] * 4, 8)
    actors = np.repeat([f"actor{number}" for number in range(8)], 10)
    assert surest_gain_interval(scores, labels, actors) == pytest.approx((0.4, 0.4))


@pytest.mark.parametrize("count", [1, 2, 12, 13])
def test_the_gain_of_one_actor_is_what_the_coverage_curve_says(count: int) -> None:
    scores, _ = scored(count=count)
    labels = np.where(np.arange(count) % 3, scores.argmax(axis=1), 0)
    surest = next(row["accuracy"] for row in coverage_curve(scores, labels) if row["coverage"] == 0.6)
    gain = surest - np.mean(scores.argmax(axis=1) == labels)
    assert surest_gain_interval(scores, labels, np.full(count, "a")) == pytest.approx((gain, gain), abs=1e-4)


def test_the_coverage_curve_ends_at_the_accuracy_of_all() -> None:
    scores, labels = scored()
    curve = coverage_curve(scores, labels)
    assert curve[-1]["coverage"] == 1.0
    assert curve[-1]["accuracy"] == pytest.approx(np.mean(scores.argmax(axis=1) == labels), abs=1e-4)
    assert curve[0]["accuracy"] > curve[-1]["accuracy"]


def clip(number: int, seconds: float) -> Clip:
    pcm = (1_000 * np.random.default_rng(number).standard_normal(int(seconds * 8_000))).astype(np.int16)
    return Clip(f"clip{number}", "1001", "IEO", LABELS[number % 6], "XX", None, None, None, pcm)


NORMALISATION = Normalisation(20.0, np.full(64, 1 / 64, np.float32))


def mean_features(features: np.ndarray) -> np.ndarray:
    """A stand-in for a network: the softmax of the mean features of six groups of bands."""
    logits = np.stack([part.mean(axis=(1, 2)) for part in np.array_split(features, 6, axis=2)], axis=1)
    return calibrated(np.exp(logits), UNCALIBRATED)


def test_scores_do_not_depend_on_the_company_of_a_clip() -> None:
    clips = [clip(number, 1.0 + 0.7 * number) for number in range(6)]
    together = score_clips(mean_features, clips, NORMALISATION)
    alone = [score_clips(mean_features, [one], NORMALISATION)[0] for one in clips]
    assert together == pytest.approx(np.stack(alone), abs=1e-6)


def test_reliability_counts_every_clip_once() -> None:
    scores, labels = scored()
    bins = reliability(scores, labels)
    assert sum(count for _, count, _, _ in bins) == len(labels)
    assert all(number / 15 <= sure + 1e-9 and sure <= (number + 1) / 15 + 1e-9 for number, _, sure, _ in bins)


def test_chance_alone_makes_a_calibration_error() -> None:
    one = [{"clips": 1, "confidence": 0.5}]
    assert ece_by_chance(one) == {"mean": 0.5, "low": 0.5, "high": 0.5}
    many = [{"clips": 400, "confidence": 0.5}]
    found = ece_by_chance(many)
    assert found["mean"] == pytest.approx(np.sqrt(2 / np.pi) * 0.025, abs=0.0005), "a binomial's mean deviation"
    assert found["high"] == pytest.approx(2.24 * 0.025, abs=0.003)
    assert ece_by_chance([*many, {"clips": 600, "confidence": 1.0}])["mean"] == pytest.approx(
        0.4 * found["mean"], abs=0.0005
    )


@pytest.mark.parametrize(
    ("age", "group"), [(None, None), (20, "under 30"), (30, "30 to 44"), (59, "45 to 59"), (74, "60 and over")]
)
def test_ages_fall_into_groups(age: int | None, group: str | None) -> None:
    assert age_group(replace(clip(1, 1.0), age=age)) == group


def test_groups_are_measured_apart() -> None:
    clips = [replace(clip(number, 1.0), sex="Female" if number % 2 else "Male") for number in range(12)]
    right = np.eye(6)[[LABELS.index(one.label) for one in clips]]
    right[::2] = np.eye(6)[0]
    found = by_group(right, clips, lambda one: one.sex)
    assert {name: row["clips"] for name, row in found.items()} == {"Female": 6, "Male": 6}
    assert found["Female"]["uar"] == 1.0
    assert found["Male"]["uar"] == pytest.approx(1 / 3, abs=1e-4)


def test_a_condition_is_the_same_every_time() -> None:
    condition = Condition(floor_db=10.0, loss=0.2, codec="alaw", gain_db=3.0)
    samples = clip(1, 2.0).samples
    assert np.array_equal(condition.apply(samples, 5), condition.apply(samples, 5))
    assert not np.array_equal(condition.apply(samples, 5), condition.apply(samples, 6))


def test_actors_come_from_the_command_line_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "actors.txt").write_text("1001\n1002, 1003\n")
    assert actor_ids("1001,1002") == ("1001", "1002")
    assert actor_ids(str(tmp_path / "actors.txt")) == ("1001", "1002", "1003")
    with pytest.raises(CorpusError, match=r"--actors is 'no/such/file\.txt', expected ids"):
        actor_ids("no/such/file.txt")
