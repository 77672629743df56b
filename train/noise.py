"""Noise to lie under the voice: pink, brown and white made here, recorded rooms, babble of the fitted actors."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from monitor.audio import SAMPLE_RATE, Samples
from train.corpus import CorpusError

NOISE_S = 30.0
"""Seconds made of each synthetic noise and of the babble."""
BABBLE_VOICES = 6


@dataclass(frozen=True, slots=True)
class NoiseBank:
    """Long noises at RMS 1; a slice of one of them lies under a window."""

    noises: tuple[Samples, ...] = field(repr=False)
    source: str
    """What is in it, in words."""

    def slice(self, count: int, generator: np.random.Generator) -> Samples:
        """(count,) samples from a random place of a random noise."""
        noise = self.noises[generator.integers(len(self.noises))]
        start = int(generator.integers(max(1, len(noise) - count)))
        return np.resize(noise[start : start + count], count)


def unit(samples: Samples) -> Samples:
    """`samples` scaled to RMS 1."""
    return (samples / np.sqrt(np.mean(samples**2) + 1e-20)).astype(np.float32)


def coloured_noise(count: int, slope: float, generator: np.random.Generator) -> Samples:
    """(count,) Gaussian noise at RMS 1 whose power falls with frequency to the power of `slope`: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(generator.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    return unit(np.fft.irfft(spectrum * np.maximum(hz, 50.0) ** (-slope / 2), count))


def pink_noise(count: int, seed: int) -> Samples:
    """(count,) pink noise at RMS 1, the same for the same seed."""
    return coloured_noise(count, 1.0, np.random.default_rng(seed))


def read_noise(path: Path) -> Samples:
    """One noise at 8 kHz, RMS 1. Raises `CorpusError` when it cannot be read or is silent."""
    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"noise {path} cannot be read ({error}): expected WAV, FLAC or OGG") from error
    if not samples.size or not np.any(samples[:, 0]):
        raise CorpusError(f"noise {path} is silent, expected some noise: leave it out")
    if sample_rate != SAMPLE_RATE:
        import soxr

        samples = soxr.resample(samples, sample_rate, SAMPLE_RATE)
    return unit(samples[:, 0])


def babble(voices: Sequence[Samples], generator: np.random.Generator) -> Samples:
    """`NOISE_S` seconds of `BABBLE_VOICES` people speaking at once, RMS 1; `voices` are clips to draw from."""
    count = int(NOISE_S * SAMPLE_RATE)
    mixture = np.zeros(count, np.float32)
    for _ in range(BABBLE_VOICES):
        order = generator.permutation(len(voices))[:20]
        mixture += np.resize(np.concatenate([unit(voices[index]) for index in order]), count)
    return unit(mixture)


def noise_bank(voices: Sequence[Samples], folder: Path | None, seed: int) -> NoiseBank:
    """Synthetic noises, babble of `voices`, and the recordings in `folder` if given. Raises `CorpusError` when it holds none."""
    generator = np.random.default_rng(seed)
    synthetic = [coloured_noise(int(NOISE_S * SAMPLE_RATE), slope, generator) for slope in (0.0, 0.7, 1.0, 1.5, 2.0)]
    mixtures = [babble(voices, generator) for _ in range(3)]
    paths = (
        sorted(path for path in folder.glob("*") if path.suffix.lower() in (".wav", ".flac", ".ogg")) if folder else []
    )
    if folder and not paths:
        raise CorpusError(
            f"no .wav, .flac or .ogg in noise folder {folder}, expected some: name another or leave --noise out"
        )
    names = f", recordings ({', '.join(path.stem for path in paths)})" if paths else ""
    return NoiseBank(
        (*synthetic, *mixtures, *map(read_noise, paths)), f"white to brown noise, babble of fitted actors{names}"
    )
