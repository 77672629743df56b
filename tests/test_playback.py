"""Recordings through the whole live path, as fast as possible."""

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.messages import CallEnded, CallStarted, Error, Reading
from monitor.model import EmotionModel
from monitor.playback import played
from monitor.settings import Settings
from tests.test_windows import speech_like
from tests.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmotionModel:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    write_tiny_model(path)
    return EmotionModel(path)


def recording(path: Path, seconds: float = 4.25) -> Path:
    soundfile.write(path, np.stack([speech_like(seconds, seed=1), speech_like(seconds, seed=2)], axis=1), 8_000)
    return path


def test_a_recording_is_played_to_its_end_and_one_that_cannot_be_is_an_error_among_the_others(model, tmp_path: Path):
    paths = [recording(tmp_path / "a.wav"), tmp_path / "missing.wav", recording(tmp_path / "b.wav")]
    messages = list(played(paths, Settings(), model, ("customer", "agent")))
    assert {message.call for message in messages if isinstance(message, CallEnded)} == {"a", "b"}
    assert [message.code for message in messages if isinstance(message, Error)] == ["audio"]
    (started,) = [one for one in messages if isinstance(one, CallStarted) and one.call == "a"]
    assert started.parties["customer"].channel == 0
    assert [one.end_s for one in messages if isinstance(one, Reading) and (one.call, one.party) == ("a", "agent")] == [
        3.0,
        3.5,
        4.0,
        4.25,
    ]


def test_whoever_stops_listening_stops_the_playing(model, tmp_path: Path):
    messages = played([recording(tmp_path / "long.wav", 120.0)], Settings(queue_s=1.0), model, ("customer", "agent"))
    next(messages)
    messages.close()
    assert "playback" not in {thread.name for thread in threading.enumerate()}
