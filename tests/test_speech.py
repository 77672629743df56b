import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.speech import SpeechDetector, detect
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


@given(st.lists(st.integers(0, 500), min_size=1, max_size=30))
def test_every_20_ms_get_one_decision_however_the_stream_is_cut(sizes: list[int]) -> None:
    detector, ends = SpeechDetector(), np.cumsum([0, *sizes])
    pieces = np.split(speech_like(2.0)[: ends[-1]], ends[1:-1])
    assert [len(one) for one in detect([(detector, piece) for piece in pieces])] == np.diff(ends // 160).tolist()


def test_streams_together_are_heard_as_each_alone() -> None:
    voices = [speech_like(4.0) * np.float32(0.5**number) for number in range(40)]
    cells = [np.split(voice, 16) for voice in voices]
    alone = [[detector.push(cell) for cell in own] for detector, own in ((SpeechDetector(), own) for own in cells)]
    detectors = [SpeechDetector() for _ in cells]
    for number, each in enumerate(zip(*cells, strict=True)):
        together = detect([*zip(detectors, each, strict=True)])
        assert [one.tolist() for one in together] == [own[number].tolist() for own in alone]
