"""Clips and calls are heard as a running call is: the same windows, the same messages, and no clip is lost."""

from pathlib import Path

import numpy as np
import pytest

from monitor.messages import CallEnded, CallStarted, Reading
from monitor.model import EmotionModel
from tests.tiny_model import write_tiny_model
from tests.train.voices import voice
from train.live import Recorded, clip_scores, heard, speech_windows, streamed, windows, with_meaning


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmotionModel:
    return EmotionModel(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.mark.parametrize(("seconds", "ends_s"), [(1.0, [1.0]), (3.0, [3.0]), (3.6, [3.0, 3.5, 3.6])])
def test_a_clip_is_cut_as_a_call_is(seconds: float, ends_s: list[float]) -> None:
    cut = windows(voice(0, "anger", seconds=seconds))
    assert [window.end / 8_000 for window in cut] == pytest.approx(ends_s)


def test_calls_are_told_one_by_one_in_their_order(model: EmotionModel) -> None:
    calls = [Recorded(f"call{n}", {"customer": voice(n, "happy", seconds=4.0)}) for n in range(70)]
    told = list(heard(calls, model))
    assert [name for name, _ in told] == [call.name for call in calls]
    for name, messages in told:
        assert {message.call for message in messages} == {name}
        assert isinstance(messages[0], CallStarted)
        assert isinstance(messages[-1], CallEnded)


def test_scores_are_the_mean_of_the_readings(model: EmotionModel) -> None:
    samples = voice(1, "fear", seconds=4.5)
    ((_, messages),) = heard([Recorded("one", {"customer": samples})], model)
    scores = [list(m.scores.values()) for m in messages if isinstance(m, Reading) and m.scores]
    assert len(scores) == 4
    assert clip_scores([samples], model)[0] == pytest.approx(np.mean(scores, axis=0))


def test_scores_do_not_depend_on_the_company_of_a_clip(model: EmotionModel) -> None:
    clips = [voice(n, "sad", seconds=1.5 + n) for n in range(4)]
    together = clip_scores(clips, model)
    assert together == pytest.approx(np.concatenate([clip_scores([one], model) for one in clips]), abs=2e-4)


def test_a_clip_that_is_left_unscored_counts_by_its_windows(model: EmotionModel) -> None:
    noise = 0.001 * np.random.default_rng(1).standard_normal(16_000).astype(np.float32)
    ((_, messages),) = heard([Recorded("noise", {"customer": noise})], model)
    assert all(m.scores is None for m in messages if isinstance(m, Reading))
    expected = np.exp(model.score(streamed(speech_windows(noise)))).mean(axis=0)
    assert clip_scores([noise], model)[0] == pytest.approx(expected)


def test_another_rate_is_heard_too(model: EmotionModel) -> None:
    ((_, messages),) = heard([Recorded("wide", {"customer": np.repeat(voice(0, "anger"), 2)}, 16_000)], model)
    ended = messages[-1]
    assert isinstance(ended, CallEnded)
    assert ended.duration_s == pytest.approx(2.0, abs=0.01)


def test_another_meaning_leaves_the_model_as_it_was(model: EmotionModel, tmp_path: Path) -> None:
    other = with_meaning(model, licence="another")
    assert (other.meaning.licence, model.meaning.licence) == ("another", "Apache-2.0")
    assert not list(tmp_path.iterdir())
