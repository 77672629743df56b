import numpy as np
import pytest

from monitor.speech import SpeechDetector
from tests.test_windows import speech_like


def share(samples: np.ndarray, cut: int = 2_000) -> float:
    detector = SpeechDetector()
    heard = [detector.push(samples[start : start + cut].astype(np.float32)) for start in range(0, samples.size, cut)]
    return float(np.concatenate(heard).mean())


@pytest.mark.parametrize("level_db", [-80, -60, -40, -20])
def test_noise_alone_is_no_speech_at_any_level(level_db: float) -> None:
    noise = np.random.default_rng(0).standard_normal(80_000) * 10 ** (level_db / 20)
    assert share(noise) < 0.01


@pytest.mark.parametrize("level_db", [-80, -60, -40, -20])
def test_noise_after_digital_silence_is_no_speech(level_db: float) -> None:
    noise = np.random.default_rng(0).standard_normal(80_000) * 10 ** (level_db / 20)
    assert share(np.concatenate([np.zeros(1_600), noise])) < 0.01


def test_noise_after_a_voice_and_digital_silence_soon_stands_out_no_more() -> None:
    noise = np.random.default_rng(0).standard_normal(160_000) * 10 ** (-45 / 20)
    detector = SpeechDetector()
    detector.push(np.concatenate([speech_like(10.0), np.zeros(16_000, np.float32)]))
    heard = detector.push(noise.astype(np.float32))
    assert heard[:400].mean() < 0.8
    assert heard[400:].mean() < 0.01


@pytest.mark.parametrize("gain_db", [-20, 0, 12])
def test_a_voice_is_speech_at_any_level_and_its_pauses_are_not(gain_db: float) -> None:
    voice = speech_like(10.0) * 10 ** (gain_db / 20)
    assert share(voice) == pytest.approx(share(speech_like(10.0)), abs=0.01)
    assert 0.55 < share(voice) < 0.85


def test_digital_silence_is_no_speech() -> None:
    assert share(np.zeros(80_000)) == 0.0
