import msgspec
import numpy as np
import pytest

from monitor.messages import LABELS, Label
from monitor.model import Baseline, Calibration, FeatureMeaning, Meaning, Moods, Thresholds, log_softmax
from monitor.readings import PartyReader, Verdict, unscored_state
from monitor.settings import Settings
from monitor.windows import Window

MEANING = Meaning(
    format=1,
    name="",
    version="",
    labels=list(LABELS),
    sample_rate=8_000,
    window_s=3.0,
    features=FeatureMeaning("", 0, 0, 0, 0, 0, 0, 20.0, [], ""),
    calibration=Calibration(1.0),
    thresholds=Thresholds(uncertain=0.4, mood=0.3),
    baseline=Baseline(prior=[-2.0, -2.0, -2.0, -2.0, -1.0, -2.0], weight_windows=20.0, cap=2.5),
    training={},
    licence="",
    scores={},
    parameters=0,
    mflop=0.0,
)


def window(end_s: float = 3.0, speech_share: float = 1.0, **changes: float) -> Window:
    facts = {"level_db": -20.0, "clipped_share": 0.0, "lost_s": 0.0, "arrived_s": 0.0} | changes
    end = round(end_s * 8_000)
    return Window(start=end - 24_000, end=end, speech_share=speech_share, frames=None, **facts)


def posteriors(label: str, probability: float = 0.8) -> np.ndarray:
    scores = np.full(6, (1 - probability) / 5)
    scores[LABELS.index(label)] = probability
    return np.log(scores)


def read(reader: PartyReader, label: str, windows: int, start_s: float = 3.0, **options: object) -> list[Verdict]:
    probability = float(options.get("probability", 0.8))  # type: ignore[arg-type]
    hears_anger = bool(options.get("hears_anger"))
    return [reader.read(window(start_s + 0.5 * k), posteriors(label, probability), hears_anger) for k in range(windows)]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"speech_share": 0.0}, "silence"),
        ({"speech_share": 0.03}, "silence"),
        ({"speech_share": 0.1}, "too_little_speech"),
        ({"speech_share": 0.17}, None),
        ({"clipped_share": 0.1}, "clipped"),
        ({"lost_s": 0.5}, None),
        ({"lost_s": 0.6}, "gap"),
        ({"lost_s": 2.9, "speech_share": 0.0}, "gap"),
    ],
)
def test_a_window_that_cannot_be_scored_says_why(changes: dict[str, float], state: str | None) -> None:
    assert unscored_state(window(**changes), Settings()) == state


def test_the_first_window_is_read_as_it_is() -> None:
    reader = PartyReader(MEANING, Settings())
    (verdict,) = read(reader, "anger", 1)
    assert (verdict.state, verdict.label, verdict.mood) == ("speech", "anger", "unclear")
    assert verdict.confidence == pytest.approx(0.8)
    np.testing.assert_allclose(verdict.scores, np.exp(posteriors("anger")))


def test_an_unsure_model_is_uncertain_and_never_neutral() -> None:
    reader = PartyReader(MEANING, Settings())
    (verdict,) = read(reader, "neutral", 1, probability=0.2)
    assert (verdict.state, verdict.label, verdict.mood) == ("uncertain", None, "unclear")
    assert verdict.confidence == pytest.approx(0.2)


def test_a_label_changes_only_after_a_while_and_never_back_and_forth() -> None:
    reader = PartyReader(MEANING, Settings(smooth_s=2.0))
    read(reader, "neutral", 10)
    labels = [verdict.label for verdict in read(reader, "sad", 8, start_s=8.0)]
    assert labels[0] == "neutral"
    assert labels[-1] == "sad"
    named = [label for label in labels if label]
    assert named == sorted(named)


def test_after_a_pause_the_past_weighs_less() -> None:
    quick, slow = PartyReader(MEANING, Settings(smooth_s=2.0)), PartyReader(MEANING, Settings(smooth_s=2.0))
    read(quick, "neutral", 10)
    read(slow, "neutral", 10)
    (soon,) = read(quick, "sad", 1, start_s=8.0)
    (late,) = read(slow, "sad", 1, start_s=20.0)
    assert soon.label == "neutral"
    assert late.label == "sad"


def test_a_caller_who_always_sounds_angry_becomes_the_baseline() -> None:
    reader = PartyReader(MEANING, Settings())
    scores = [verdict.scores for verdict in read(reader, "anger", 60, probability=0.5)]
    anger = [float(score[0]) for score in scores if score is not None]
    assert anger[0] == pytest.approx(0.5)
    assert anger[-1] < 0.3
    assert anger == sorted(anger, reverse=True)


LIVELY = Baseline(
    prior=MEANING.baseline.prior,
    weight_windows=160.0,
    cap=2.5,
    common=[0.5, 0.25, 0.25, 0.25, -0.75, 0.0],
    along_windows=8.0,
)
"""Along what these emotions have in common it follows quickly, across it slowly."""


def test_the_baseline_follows_quickly_along_what_emotions_have_in_common_and_slowly_across_it() -> None:
    reader = PartyReader(msgspec.structs.replace(MEANING, baseline=LIVELY), Settings())
    prior, common = np.array(LIVELY.prior), np.array(LIVELY.common)
    across = np.array([0.3, -0.5, 0.0, 0.0, 0.0, 0.0])
    across -= across.dot(common) * common
    for windows in range(40):
        scores = reader.read(window(3.0 + 0.5 * windows), prior + 2.0 * common + across, hears_anger=False).scores
        left = prior + 2.0 * common * 8 / (8 + windows) + across * 160 / (160 + windows)
        np.testing.assert_allclose(scores, np.exp(log_softmax(left)), atol=1e-3)


def test_a_strange_voice_becomes_calm_within_a_minute_while_who_is_sad_stays_sad() -> None:
    meaning = msgspec.structs.replace(MEANING, baseline=LIVELY)
    strange = np.array(LIVELY.prior) + 3.0 * np.array(LIVELY.common)
    reader = PartyReader(meaning, Settings())
    scores = [reader.read(window(3.0 + 0.5 * k), strange, hears_anger=False).scores for k in range(120)]
    first, last = (LABELS[int(np.argmax(some))] for some in (scores[0], scores[-1]))
    assert (first, last) == ("anger", "neutral")
    assert read(PartyReader(meaning, Settings()), "sad", 120)[-1].label == "sad"


def test_the_correction_is_capped() -> None:
    capped = Baseline(prior=MEANING.baseline.prior, weight_windows=1.0, cap=0.5)
    reader = PartyReader(msgspec.structs.replace(MEANING, baseline=capped), Settings())
    scores = read(reader, "anger", 200, probability=0.9)[-1].scores
    shift = np.clip(posteriors("anger", 0.9) - np.array(capped.prior), -0.5, 0.5)
    expected = np.exp(log_softmax(posteriors("anger", 0.9) - shift))
    np.testing.assert_allclose(scores, expected, atol=0.02)


def test_the_baseline_stands_still_while_sustained_anger_is_heard_once_it_knows_the_caller() -> None:
    reader = PartyReader(MEANING, Settings())
    scores = [verdict.scores for verdict in read(reader, "anger", 60, hears_anger=True)]
    anger = [float(score[0]) for score in scores if score is not None]
    assert anger[:17] == sorted(set(anger), reverse=True)
    assert set(anger[16:]) == {anger[16]}


@pytest.mark.parametrize(
    ("label", "mood"),
    [("anger", "angry"), ("disgust", "dissatisfied"), ("fear", "dissatisfied"), ("sad", "dissatisfied"),
     ("happy", "satisfied"), ("neutral", "calm")],
)  # fmt: skip
def test_the_mood_gathers_the_labels(label: str, mood: str) -> None:
    least = 30 if mood == "dissatisfied" else 12
    verdicts = read(PartyReader(MEANING, Settings()), label, 31)
    assert [verdict.mood for verdict in verdicts[: least - 1]] == ["unclear"] * (least - 1)  # too little speech for it
    assert {verdict.mood for verdict in verdicts[least - 1 :]} == {mood}


def test_calm_after_an_alert_has_cleared_is_satisfied() -> None:
    reader = PartyReader(MEANING, Settings())
    reader.alert_cleared()
    assert read(reader, "neutral", 12)[-1].mood == "satisfied"


def test_the_mood_rests_on_the_last_seconds_of_speech_only() -> None:
    slow = msgspec.structs.replace(MEANING.baseline, weight_windows=160.0)
    reader = PartyReader(msgspec.structs.replace(MEANING, baseline=slow), Settings(mood_s=5.0, outcome_s=30.0))
    read(reader, "sad", 50, probability=0.95)
    assert read(reader, "happy", 10, start_s=28.0)[-1].mood == "satisfied"
    assert reader.mood(30.0) == "dissatisfied"


def test_the_mood_follows_the_models_weights() -> None:
    """A bias of three for being calm outweighs anger that is four times as probable."""
    calm = msgspec.structs.replace(MEANING, moods=Moods(bias=[0.0, 0.0, 0.0, 3.0]))
    assert read(PartyReader(MEANING, Settings()), "anger", 12, probability=0.5)[-1].mood == "angry"
    assert read(PartyReader(calm, Settings()), "anger", 12, probability=0.5)[-1].mood == "calm"


@pytest.mark.parametrize(("label", "mood"), [("anger", "unclear"), ("happy", "unclear"), ("sad", "dissatisfied")])
def test_anger_and_satisfaction_are_moods_only_beside_such_labels(label: Label, mood: str) -> None:
    """A line that leans every window a little to one emotion, each of them too unsure for a label."""
    unsure = msgspec.structs.replace(MEANING, thresholds=msgspec.structs.replace(MEANING.thresholds, uncertain=0.9))
    verdicts = read(PartyReader(unsure, Settings()), label, 30, probability=0.7)
    assert {verdict.label for verdict in verdicts} == {None}
    assert verdicts[-1].mood == mood


@pytest.mark.parametrize(("neutral", "mood"), [(28, "dissatisfied"), (29, "unclear")])
def test_dissatisfaction_is_no_mood_beside_labels_that_are_mostly_neutral(neutral: int, mood: str) -> None:
    """Of the last 40 windows more than 0.7; what was before counts no more."""
    lean = Moods(bias=[0.0, 9.0, 0.0, 0.0])
    reader = PartyReader(msgspec.structs.replace(MEANING, moods=lean), Settings(smooth_s=0.0))
    read(reader, "sad", 60 - neutral)
    verdicts = read(reader, "neutral", neutral, start_s=30.0)
    assert {verdict.label for verdict in verdicts} == {"neutral"}
    assert verdicts[-1].mood == mood


def test_one_very_sure_window_does_not_decide_a_mood() -> None:
    reader = PartyReader(MEANING, Settings())
    read(reader, "happy", 19, probability=0.6)
    sure = np.full(6, -40.0)
    sure[LABELS.index("anger")] = 0.0
    assert reader.read(window(12.5), sure, False).mood == "satisfied"


def test_a_window_without_speech_keeps_the_mood_and_claims_nothing_else() -> None:
    reader = PartyReader(MEANING, Settings())
    assert reader.unscored("silence") == Verdict("silence", None, "unclear", None, None, None)
    read(reader, "anger", 12)
    assert reader.unscored("gap") == Verdict("gap", None, "angry", None, None, None)


@pytest.mark.parametrize(
    ("label", "mood", "hop_s", "over_s", "windows"),
    [
        ("anger", "angry", 2.0, 5.0, 2),
        ("anger", "angry", 2.0, 20.0, 3),
        ("anger", "angry", 0.5, 3.1, 6),
        ("anger", "angry", 0.25, 20.0, 24),
        ("sad", "dissatisfied", 2.0, 5.0, 8),
        ("sad", "dissatisfied", 0.7, 20.0, 22),
        ("sad", "dissatisfied", 0.5, 3.1, 30),
        ("sad", "dissatisfied", 0.25, 20.0, 60),
    ],
)
def test_every_setting_has_a_mood_in_the_end(label: str, mood: str, hop_s: float, over_s: float, windows: int) -> None:
    """Dissatisfaction after 15 s of speech under any."""
    slow = msgspec.structs.replace(MEANING, baseline=msgspec.structs.replace(MEANING.baseline, weight_windows=1_000.0))
    reader = PartyReader(slow, Settings(hop_s=hop_s, mood_s=over_s, outcome_s=over_s))
    verdicts = [reader.read(window(3.0 + hop_s * k), posteriors(label), False) for k in range(windows)]
    assert [verdict.mood for verdict in verdicts] == ["unclear"] * (windows - 1) + [mood]
