"""The microphone through real PortAudio, ALSA and PulseAudio, without a sound card."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

SAMPLE_RATE = 8_000


@pytest.fixture
def played(tmp_path: Path) -> npt.NDArray[np.float64]:
    """Four seconds of noise whose level goes up and down, as `tmp_path / "played.wav"` too."""
    time_s = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(7).standard_normal(time_s.size)
    samples = 0.1 * noise * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time_s))
    soundfile.write(tmp_path / "played.wav", samples, SAMPLE_RATE, subtype="PCM_16")
    return samples


@contextmanager
def listening(environment: dict[str, str], out: Path) -> Iterator[subprocess.Popen[str]]:
    """`listen.py`, once it hears something."""
    command = [sys.executable, "-m", "tests.peers.listen", str(out)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, cwd=Path(__file__).parents[2], **pipes) as process:
        assert process.stdout.readline() == "listening\n", process.communicate()[1]
        yield process
        process.kill()


def offset_of(part: npt.NDArray[np.float64], heard: npt.NDArray[np.float32]) -> tuple[int, float]:
    """Where `part` was heard, and how well it correlates there."""
    size = 1 << (heard.size + part.size).bit_length()
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(part, size)), size)[: heard.size]
    offset = int(match.argmax())
    return offset, float(np.corrcoef(part, heard[offset : offset + part.size])[0, 1])


def test_what_is_played_into_the_card_comes_out_of_the_microphone(sound_card, played, tmp_path) -> None:
    with listening(sound_card.environment, tmp_path / "heard.npz") as process:
        sound_card.play(tmp_path / "played.wav")
        output, _ = process.communicate("stop\n", timeout=20)
    heard = np.load(tmp_path / "heard.npz")
    assert output == "stopped\n"
    assert heard["sample_rate"] == SAMPLE_RATE
    assert offset_of(played, heard["samples"])[1] > 0.95


def test_time_does_not_shrink_on_the_way(sound_card, played, tmp_path) -> None:
    with listening(sound_card.environment, tmp_path / "heard.npz") as process:
        sound_card.play(tmp_path / "played.wav")
        process.communicate("stop\n", timeout=20)
    heard = np.load(tmp_path / "heard.npz")
    assert np.array_equal(heard["starts"], np.cumsum(heard["lengths"]) - heard["lengths"])
    first, _ = offset_of(played[:SAMPLE_RATE], heard["samples"])
    last, _ = offset_of(played[-SAMPLE_RATE:], heard["samples"])
    assert last - first == 3 * SAMPLE_RATE


def test_a_card_that_is_unplugged_ends_the_call_with_the_reason(sound_card, tmp_path) -> None:
    with listening(sound_card.environment, tmp_path / "heard.npz") as process:
        sound_card.unplug()
        assert process.stdout.readline().startswith("error: default: hands over no more audio")
