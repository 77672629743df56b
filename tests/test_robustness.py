"""Neither level nor line is emotion: the committed model on the example calls, altered."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.audio import Block, alaw_to_float, float_to_alaw, float_to_mulaw, mulaw_to_float
from monitor.bus import Bus
from monitor.messages import AnyMessage, Reading
from monitor.model import EmotionModel, default_path
from monitor.pipeline import Pipeline
from monitor.settings import Settings
from monitor.sources import CallClosed, CallOpened
from monitor.speech import VAD_FRAME, SpeechDetector

CALLS = sorted((Path(__file__).parents[1] / "examples" / "calls").glob("*.flac"))
Alteration = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def model() -> EmotionModel:
    return EmotionModel(default_path())


@pytest.fixture(scope="module")
def customers() -> dict[str, np.ndarray]:
    return {path.stem: np.ascontiguousarray(soundfile.read(path, dtype="float32")[0][:, 1]) for path in CALLS}


def readings(model: EmotionModel, customers: dict[str, np.ndarray], alter: Alteration) -> list[str]:
    """The label, or the state where there is none, of every window of all calls."""
    told: list[AnyMessage] = []
    bus = Bus()
    bus.subscribe(told.append)
    pipeline = Pipeline(model, Settings(), bus)
    for name, samples in customers.items():
        altered = alter(samples).astype(np.float32)
        block = Block(name, "customer", 0, 8_000, altered, 0.0)
        pipeline.handle([CallOpened(name, "test", None, {"customer": 0}), block, CallClosed(name, "end")])
    return [m.label or m.state for m in told if isinstance(m, Reading)]


@pytest.fixture(scope="module")
def unaltered(model: EmotionModel, customers: dict[str, np.ndarray]) -> list[str]:
    return readings(model, customers, lambda samples: samples)


def gated(samples: np.ndarray) -> np.ndarray:
    """Digital silence wherever nobody has spoken for 100 ms and will not for 100 ms."""
    speech = SpeechDetector().push(samples)
    near = np.convolve(speech, np.ones(11), mode="same") > 0
    mask = np.repeat(near, VAD_FRAME)
    return samples * np.pad(mask, (0, samples.size - mask.size))


def changed(one: list[str], other: list[str]) -> float:
    assert len(one) == len(other) > 500
    return sum(a != b for a, b in zip(one, other, strict=True)) / len(one)


def test_the_calls_are_read_as_several_emotions(unaltered: list[str]) -> None:
    assert len(set(unaltered) & {"anger", "disgust", "fear", "happy", "neutral", "sad"}) >= 3


@pytest.mark.parametrize(
    ("alter", "most"),
    [
        pytest.param(lambda x: x * 10 ** (-12 / 20), 0.05, id="12 dB softer"),
        pytest.param(lambda x: x * 10 ** (12 / 20), 0.05, id="12 dB louder"),
        pytest.param(gated, 0.15, id="digital silence in the pauses"),
        pytest.param(lambda x: mulaw_to_float(float_to_mulaw(x)), 0.15, id="mu-law"),
        pytest.param(lambda x: alaw_to_float(float_to_alaw(x)), 0.15, id="A-law"),
    ],
)
def test_the_line_changes_few_labels(
    model: EmotionModel, customers: dict[str, np.ndarray], unaltered: list[str], alter: Alteration, most: float
) -> None:
    assert changed(readings(model, customers, alter), unaltered) <= most
