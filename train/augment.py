"""What a telephone line and a room do to a voice, and how a voice may vary. Pure: everything random comes from the generator.

Every alteration takes and gives (n,) float32 samples at 8 kHz, full scale ±1. None of them knows the label: what tells
nothing about the emotion (level, noise floor, pauses, codec) must not come to tell it in training.
"""

from functools import cache

import numpy as np

from monitor.audio import (
    SAMPLE_RATE,
    Samples,
    alaw_to_float,
    float_to_alaw,
    float_to_mulaw,
    float_to_pcm,
    mulaw_to_float,
    pcm_to_float,
)
from monitor.concealment import LONGEST_S, PAST_S, conceal

LEVEL_FRAME = 80
"""Samples (10 ms) over which the level is measured."""
PACKET = 160
"""Samples of a telephone packet (20 ms)."""
STRETCH_FRAME, STRETCH_HOP = 320, 160
"""Samples of the pieces (40 ms, every 20 ms) that `stretch` moves about."""

FADE = 80
"""Samples (10 ms) in which one piece that `shuffle` moves fades into the next."""


def decibels(ratio_db: float) -> float:
    """dB → factor on samples."""
    return float(10.0 ** (ratio_db / 20.0))


def frame_power(samples: Samples) -> Samples:
    """(n // 80,) mean power of each 10 ms."""
    whole = samples[: len(samples) // LEVEL_FRAME * LEVEL_FRAME].reshape(-1, LEVEL_FRAME)
    return np.einsum("fs,fs->f", whole, whole) / np.float32(LEVEL_FRAME)


def voice_power(samples: Samples) -> float:
    """Power of the voice: Σe²/Σe over the frames' powers e, so that pauses weigh nothing (as in `monitor.features`)."""
    power = frame_power(samples)
    return float((power * power).sum() / max(float(power.sum()), 1e-20))


def scale_to(samples: Samples, rms_db: float) -> Samples:
    """The whole stretch at `rms_db` dBFS RMS; silence stays as it is."""
    power = float(np.dot(samples, samples)) / max(1, len(samples))
    return samples * np.float32(decibels(rms_db) / np.sqrt(power)) if power > 0.0 else samples


@cache
def _codec_table(law: str) -> Samples:
    """(65536,) every 16 bit sample, from -32768 up, through the codec and back."""
    every = pcm_to_float(np.arange(-32_768, 32_768).astype(np.int16))
    return mulaw_to_float(float_to_mulaw(every)) if law == "mulaw" else alaw_to_float(float_to_alaw(every))


def through_codec(samples: Samples, law: str) -> Samples:
    """Through G.711 and back; `law` is `mulaw` or `alaw`. Clips at full scale."""
    return _codec_table(law)[float_to_pcm(samples).astype(np.int32) + 32_768]


def add_noise(samples: Samples, noise: Samples, snr_db: float) -> Samples:
    """`noise` (n,) laid `snr_db` under the voice's level."""
    power = float(np.dot(noise, noise)) / max(1, len(noise))
    return samples + noise * np.float32(np.sqrt(voice_power(samples) / max(power, 1e-20)) * decibels(-snr_db))


def gate(samples: Samples, depth_db: float = 25.0, hang_s: float = 0.08) -> Samples:
    """Digital silence where the voice pauses: frames `depth_db` under its level, except `hang_s` around louder ones."""
    loud = frame_power(samples) > voice_power(samples) * 10.0 ** (-depth_db / 10.0)
    hang_frames = round(hang_s * SAMPLE_RATE / LEVEL_FRAME)
    near = np.convolve(loud, np.ones(2 * hang_frames + 1), mode="same") > 0 if hang_frames else loud
    mask = np.repeat(near, LEVEL_FRAME)
    return samples * np.pad(mask, (0, len(samples) - len(mask)), mode="edge" if len(mask) else "constant")


def drop_packets(samples: Samples, share: float, generator: np.random.Generator, concealed: bool = False) -> Samples:
    """`share` of the 20 ms packets lost at random: silent, or with `concealed` hidden as the live path hides them."""
    count = -(-len(samples) // PACKET)
    lost = np.flatnonzero(np.repeat(generator.random(count) < share, PACKET)[: len(samples)])
    altered = samples.copy()
    altered[lost] = 0.0
    for hole in np.split(lost, np.flatnonzero(np.diff(lost) > 1) + 1):
        if concealed and 0 < len(hole) <= LONGEST_S * SAMPLE_RATE:
            past = altered[max(0, hole[0] - round(PAST_S * SAMPLE_RATE)) : hole[0]]
            altered[hole] = conceal(past, len(hole), SAMPLE_RATE)
    return altered


def resample_by(samples: Samples, speed: float) -> Samples:
    """Played `speed` times as fast: tempo, pitch and formants move together. Linear interpolation."""
    places = np.arange(0, len(samples) - 1, speed)
    whole = places.astype(np.int32)
    part = (places - whole).astype(np.float32)
    return samples[whole] * (1 - part) + samples[whole + 1] * part


@cache
def _stretch_window() -> Samples:
    return np.hanning(STRETCH_FRAME + 1)[:-1].astype(np.float32)


def stretch(samples: Samples, tempo: float) -> Samples:
    """`tempo` times as fast at the same pitch: pieces overlap where they fit best (WSOLA, Verhelst and Roelands 1993)."""
    reach = 80
    padded = np.pad(samples, (reach, STRETCH_FRAME + 3 * reach))
    count = int(len(samples) / tempo) // STRETCH_HOP
    result = np.zeros(count * STRETCH_HOP + STRETCH_FRAME, np.float32)
    natural = padded[reach : reach + STRETCH_FRAME]
    for index in range(count):
        start = min(int(index * STRETCH_HOP * tempo), len(padded) - STRETCH_FRAME - 2 * reach - STRETCH_HOP)
        region = padded[start : start + STRETCH_FRAME + 2 * reach]
        best = start + int(np.argmax(np.correlate(region, natural)))
        result[index * STRETCH_HOP : index * STRETCH_HOP + STRETCH_FRAME] += (
            padded[best : best + STRETCH_FRAME] * _stretch_window()
        )
        natural = padded[best + STRETCH_HOP : best + STRETCH_HOP + STRETCH_FRAME]
    return result[: count * STRETCH_HOP]


def shift_pitch(samples: Samples, factor: float) -> Samples:
    """Pitch and formants `factor` times as high at the same tempo."""
    return stretch(resample_by(samples, factor), 1.0 / factor)


def shuffle(samples: Samples, piece_s: tuple[float, float], generator: np.random.Generator) -> Samples:
    """(n,) → (n,) cut to pieces, each of another length between these but for what is left at the end, in another order; they
    fade into each other."""
    fade = np.linspace(0.0, 1.0, FADE, dtype=np.float32)
    lengths = np.exp(generator.uniform(*np.log(piece_s), round(len(samples) / SAMPLE_RATE / piece_s[0]) + 1))
    ends = np.minimum(np.cumsum(np.round(lengths * SAMPLE_RATE).astype(np.intp)), len(samples))
    bounds = np.unique(np.concatenate([[0], ends[ends <= len(samples) - FADE], [len(samples)]]))
    padded = np.concatenate([samples, samples[:FADE]])
    result, place = np.zeros(len(padded), np.float32), 0
    for number in generator.permutation(len(bounds) - 1):
        piece = padded[bounds[number] : bounds[number + 1] + FADE].copy()
        piece[:FADE] *= fade
        piece[-FADE:] *= fade[::-1]
        result[place : place + len(piece)] += piece
        place += len(piece) - FADE
    return result[: len(samples)]


def filter_by(samples: Samples, gain: Samples) -> Samples:
    """`gain` is a factor on each of the n // 2 + 1 bins of the samples' spectrum."""
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples)).astype(np.float32)


def line_response(count: int, tilt_db: float, low_hz: float, high_hz: float, bumps_db: Samples) -> Samples:
    """(count // 2 + 1,) factors: a tilt in dB an octave about 1 kHz, band edges, bumps evenly spread in log frequency."""
    hz = np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), 20.0).astype(np.float32)
    octaves = np.log2(hz / 1000.0)
    shape_db = tilt_db * octaves + np.interp(octaves, np.linspace(-4.0, 2.0, len(bumps_db)), bumps_db)
    edges = 1.0 / np.sqrt((1.0 + (low_hz / hz) ** 6) * (1.0 + (hz / high_hz) ** 16))
    return (10.0 ** (shape_db / 20.0) * edges).astype(np.float32)


def room_response(count: int, decay_s: float, direct_db: float, generator: np.random.Generator) -> Samples:
    """(count // 2 + 1,) complex factors of a room: noise that falls by 60 dB in `decay_s`, `direct_db` under the direct sound."""
    length = min(count, int(decay_s * SAMPLE_RATE))
    tail = generator.standard_normal(length) * 10.0 ** (-3.0 * np.arange(length) / length)
    tail *= decibels(-direct_db) / np.sqrt(np.sum(tail**2) + 1e-12)
    tail[0] = 1.0
    return np.fft.rfft(tail, count).astype(np.complex64)


def compress(samples: Samples, ratio: float) -> Samples:
    """Automatic gain: levels of 50 ms over the voice's own move towards it, `ratio` 0 (nothing) to 1 (all at one level)."""
    power = np.convolve(frame_power(samples), np.ones(15) / 15, mode="same")
    reference = voice_power(samples)
    gain = np.maximum(power / max(reference, 1e-20), 0.01) ** (-ratio / 2)
    places = np.arange(len(samples)) / LEVEL_FRAME - 0.5
    return samples * np.interp(places, np.arange(len(gain)), gain).astype(np.float32)
