import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.alerts.rulefile import read_rules
from monitor.alerts.watches import CallWatch
from monitor.errors import SettingError
from monitor.messages import (
    AlertCleared,
    AlertRaised,
    AnyMessage,
    CallEnded,
    CallMessage,
    CallStarted,
    Error,
    Reading,
    decode,
    encode,
)
from monitor.model import EmotionModel, Stream
from monitor.playback import played
from monitor.settings import Settings
from monitor.windows import Window
from tests.test_windows import speech_like
from tests.tiny_model import write_tiny_model


class AngryModel:
    """Says anger while the window is loud, sadness while it is not."""

    def __init__(self, model: EmotionModel) -> None:
        self.meaning = model.meaning

    def score(self, windows: list[tuple[Stream, Window]]) -> np.ndarray:
        loud = np.array([window.power.sum(axis=1).max() > 1.0 for _, window in windows], bool)
        return np.log(np.where(loud[:, None], [[0.9, *[0.02] * 5]], [[*[0.02] * 5, 0.9]])).astype(np.float32)


RULES = """
[sustained_anger]
measure = "score"
labels = ["anger"]
severity = "critical"
raise_at = 0.5
raise_for_s = 1
clear_at = 0.3
clear_for_s = 1

[sad_for_now]
measure = "score"
labels = ["sad"]
severity = "info"
raise_at = 0.4
raise_for_s = 0.5
clear_at = 0.3
clear_for_s = 0.5

[dead_air]
measure = "silence"
severity = "warning"
raise_at = 0.9
raise_for_s = 4
clear_at = 0.7
clear_for_s = 0.5
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmotionModel:
    return EmotionModel(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two calls of two parties who speak in turn, at very different loudness, then both are silent; and the rules."""
    folder = tmp_path_factory.mktemp("calls")
    for number in range(2):
        agent, customer = (speech_like(16.0, seed=10 * number + side) for side in range(2))
        customer[64_000:] *= 8
        sides = np.concatenate([np.stack([agent, customer], axis=1), np.zeros((60_000, 2), np.float32)])
        soundfile.write(folder / f"call-{number}.wav", sides * 0.1, 8_000)
    (folder / "rules.toml").write_text(RULES)
    return folder


def of_calls(messages: list[AnyMessage], call: str) -> list[CallMessage]:
    return [message for message in messages if isinstance(message, CallMessage) and message.call == call]


def test_recordings_are_told_as_calls_from_beginning_to_end(model: EmotionModel, calls: Path) -> None:
    messages = list(played([calls], Settings(), model, ("agent", "customer")))
    for name in ("call-0", "call-1"):
        one = of_calls(messages, name)
        assert isinstance(one[0], CallStarted)
        assert isinstance(one[-1], CallEnded)
        assert [message.seq for message in one] == list(range(1, len(one) + 1))


def test_stored_readings_give_the_alerts_that_the_call_gave(model: EmotionModel, calls: Path) -> None:
    path = calls / "rules.toml"
    settings, rules = Settings(alert_rules=str(path)), read_rules(path)
    angry: EmotionModel = AngryModel(model)  # type: ignore[assignment]
    live = of_calls(list(played([calls / "call-0.wav"], settings, angry, ("agent", "customer"))), "call-0")
    alerts = [message for message in live if isinstance(message, AlertRaised | AlertCleared)]
    stored = [decode(encode(message)) for message in live]
    watch = CallWatch(rules, ["agent", "customer"], settings.smooth_s, settings.hop_s)
    again = [change for message in stored if isinstance(message, Reading) for change in watch.see(message)]
    assert [(isinstance(alert, AlertRaised), alert.rule) for alert in alerts] == [
        (True, "sad_for_now"), (True, "sustained_anger"), (False, "sad_for_now"), (True, "dead_air"),
    ]  # fmt: skip
    assert [(a.rule, a.party, a.start_s, a.at_s, tuple(a.evidence)) for a in alerts] == [
        (c.rule.name, c.party, round(c.start_s, 4), c.at_s, c.evidence) for c in again
    ]
    assert {alert.about for alert in alerts if alert.rule == "dead_air"} == {"call"}


def test_what_cannot_be_played_is_an_error_and_the_rest_is_told(model: EmotionModel, calls: Path) -> None:
    messages = list(played([calls / "none.wav", calls / "call-1.wav"], Settings(), model, ("agent", "customer")))
    (error,) = [message for message in messages if isinstance(message, Error)]
    assert "none.wav: cannot be opened" in error.text
    assert [m.call for m in messages if isinstance(m, CallEnded)] == ["call-1"]


def test_whoever_stops_listening_stops_the_playing(model: EmotionModel, calls: Path) -> None:
    messages = played([calls], Settings(), model, ("agent", "customer"))
    assert isinstance(next(messages), CallStarted)
    messages.close()
    assert "playback" not in {thread.name for thread in threading.enumerate()}


def test_rules_that_cannot_hold_are_refused_before_anything_plays(model: EmotionModel, calls: Path) -> None:
    with pytest.raises(SettingError, match=r"none\.toml: cannot read the rules"):
        next(played([calls], Settings(alert_rules="none.toml"), model))
