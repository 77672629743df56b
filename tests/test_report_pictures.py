"""Waveforms, spectrograms and the one picture of a call."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.errors import AudioError
from monitor.features import mel_power
from monitor.report.drawing import sound_pictures
from monitor.report.poster import picture
from monitor.report.sound import COLUMNS, Sound, sounds
from tests.report_calls import Told, with_everything
from tests.test_windows import speech_like

image = pytest.importorskip("PIL.Image")


def recording(path: Path, seconds: float = 6.0, rate: int = 8_000) -> Path:
    """Silence on the left; on the right a tone of 1 kHz in its second half."""
    time_s = np.arange(round(seconds * rate)) / rate
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * time_s) * (time_s >= seconds / 2)
    soundfile.write(path, np.stack([np.zeros_like(tone), tone], axis=1), rate)
    return path


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_a_sound_is_where_it_was_and_as_loud_as_it_was(tmp_path: Path, rate: int):
    heard = sounds(str(recording(tmp_path / "call.wav", rate=rate)), {"agent": 0, "customer": 1}, 6.0)
    low, high, mel_db = heard["customer"].low, heard["customer"].high, heard["customer"].mel_db
    half = len(high) // 2
    assert high[: half - 5].max() < 0.01
    assert high[half + 5 : -5].min() == pytest.approx(0.5, abs=0.02)
    assert low[half + 5 : -5].max() == pytest.approx(-0.5, abs=0.02)
    assert mel_db.shape == (64, len(high))
    assert (mel_db.max(), mel_db.min()) == (0.0, -70.0)
    assert 22 <= mel_db[:, half + 20].argmax() <= 28  # the bands around 1 kHz
    assert not heard["agent"].high.any()


def test_columns_hold_the_frames_that_the_model_reads_however_long_the_call(tmp_path: Path):
    voice = speech_like(60.0, seed=3)
    soundfile.write(tmp_path / "long.wav", voice, 8_000, subtype="FLOAT")
    (sound,) = sounds(str(tmp_path / "long.wav"), {"customer": 0}, 60.0).values()
    assert len(sound.high) == COLUMNS
    assert sound.high.max() == voice.max()
    power = mel_power(voice).mean(axis=0)
    loudest = 10 * np.log10(power / power.max())
    columns = 10 * np.log10((10 ** (sound.mel_db / 10)).mean(axis=1))
    np.testing.assert_allclose(columns - columns.max(), loudest, atol=0.3)


def test_a_recording_that_is_gone_is_an_error(tmp_path: Path):
    with pytest.raises(AudioError, match="cannot be opened"):
        sounds(str(tmp_path / "gone.wav"), {"customer": 0}, 6.0)


def sound(duration_s: float) -> Sound:
    rng = np.random.default_rng(0)
    wave = rng.uniform(0, 0.3, 200).astype(np.float32)
    return Sound(duration_s, -wave, wave, rng.uniform(-70, 0, (64, 200)).astype(np.float32))


def test_only_a_scored_party_has_a_spectrogram_and_silence_can_be_drawn():
    facts = with_everything().facts
    silent = Sound(facts.duration_s, *np.zeros((2, 200), np.float32), np.zeros((64, 200), np.float32))
    customer, agent = sound_pictures(facts, {"customer": sound(facts.duration_s), "agent": silent})
    assert (customer.party, agent.party, agent.spectrogram) == ("customer", "agent", None)
    assert image.open(io.BytesIO(customer.spectrogram)).size == (1_400, 300)


@pytest.mark.parametrize(
    "told",
    [
        with_everything("電話 $x^2$ <b>", by="Ana $y$ \u202e"),
        Told("one reading").say(0.5),
        Told("silence").say(3, None, state="silence").end("unclear"),
        Told("not scored", scored=()).say(20, None, state="not_scored").end("unclear"),
        Told("long").say(3_600).end(),
    ],
    ids=lambda told: told.call[:10],
)
def test_the_picture_of_any_call_can_be_drawn_with_and_without_its_sound(told: Told):
    facts = told.facts
    heard = {"customer": sound(facts.duration_s)} if told.call.startswith("電話") else {}
    png = image.open(io.BytesIO(picture(facts, heard)))
    assert png.width == 1_560
    assert 200 < png.height < 2_000
    assert len(png.convert("RGB").getcolors(1 << 24)) > 30
