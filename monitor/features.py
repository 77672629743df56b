"""Log-mel features of the voice: one function for training and for live windows. numpy only, pure.

Frames are numbered from the beginning of a call: frame k covers the samples [125 k, 125 k + 512), so that overlapping
windows share their frames and each frame is computed once. What a frame holds does not depend on the window; level and
floor are taken out afterwards, when the frames of a cell are scored for the first time.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.audio import SAMPLE_RATE, Samples

FRAME = 512
"""Samples of a frame (64 ms), under a Hann window."""
FRAME_HOP = 125
"""Samples from one frame to the next (15.625 ms): every hop and window is a whole number of them."""
LEAD = 4 * FRAME_HOP
"""Samples of silence before a call's first one: so every 0.25 s complete 16 frames, from the first on."""
BANDS = 64
"""Mel bands."""
LOW_HZ, HIGH_HZ = 60.0, 3_900.0
"""Where the mel bands begin and end."""
_TOGETHER = 16
"""Pieces of 0.25 s that are computed together: what comes between stays in the processor's cache."""
_BANDS_TOGETHER = 16
"""Mel bands of one matrix product: of the 257 bins it needs those only in which its triangles lie."""


def frame_count(samples: int) -> int:
    """How many whole frames lie in so many samples."""
    return max(0, (samples - FRAME) // FRAME_HOP + 1)


def _hz_to_mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slaney's mel scale (Auditory Toolbox): linear under 1 kHz, logarithmic above."""
    return np.where(hz < 1000.0, hz * 3 / 200, 15.0 + np.log(np.maximum(hz, 1e-9) / 1000.0) * 27 / np.log(6.4))


def _mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(mel < 15.0, mel * 200 / 3, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27))


@cache
def mel_filter_bank() -> Samples:
    """(257, 64) triangular filters of equal area, librosa's defaults (Slaney's scale and norm)."""
    bins_hz = np.linspace(0.0, SAMPLE_RATE / 2, FRAME // 2 + 1)
    low_mel, high_mel = _hz_to_mel(np.array([LOW_HZ, HIGH_HZ]))
    edges_hz = _mel_to_hz(np.linspace(low_mel, high_mel, BANDS + 2))
    rising = (bins_hz[:, None] - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - bins_hz[:, None]) / np.diff(edges_hz)[1:]
    weights = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return np.ascontiguousarray(weights, dtype=np.float32)


@cache
def _filters() -> tuple[tuple[slice, Samples], ...]:
    """The filter bank as a few matrices, over the squares of real and imaginary parts: of each matrix the parts that it reads,
    and (parts, 16) weights, the same for the two of a bin.

    Products as small as these OpenBLAS does not spread over threads, which would cost several times what they compute.
    """
    bank, matrices = np.repeat(mel_filter_bank(), 2, axis=0), []
    for first in range(0, BANDS, _BANDS_TOGETHER):
        weights = bank[:, first : first + _BANDS_TOGETHER]
        read = np.flatnonzero(weights.any(axis=1))
        where = slice(int(read[0]), int(read[-1]) + 1)
        matrices.append((where, np.ascontiguousarray(weights[where])))
    return tuple(matrices)


_ONES = np.ones(BANDS, np.float32)
_LEAST = np.float32(1e-30)
"""What a power is taken for at least where it divides."""


@cache
def _hann() -> Samples:
    """The window, times the 512 that `rfft` divides by."""
    return (FRAME * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME))).astype(np.float32)


def _frames(samples: Samples) -> Samples:
    """(…, n) → (…, frames, 512), a view. Of contiguous samples, as live, without numpy's costly general way."""
    if not samples.flags.c_contiguous or samples.shape[-1] < FRAME:
        return np.lib.stride_tricks.sliding_window_view(samples, FRAME, axis=-1)[..., ::FRAME_HOP, :]
    shape = (*samples.shape[:-1], frame_count(samples.shape[-1]), FRAME)
    strides = (*samples.strides[:-1], FRAME_HOP * samples.itemsize, samples.itemsize)
    return np.ndarray(shape, samples.dtype, samples, 0, strides)


def mel_power(samples: Samples) -> Samples:
    """(…, n) samples at 8 kHz → (…, frames, 64) mel power, `frames` = `frame_count(n)`.

    Equal to `librosa.feature.melspectrogram(n_fft=512, hop_length=125, center=False)` with these bands.
    """
    # numpy transforms float32 as float32 only where it has to divide: eight times faster than by way of float64.
    spectrum = np.fft.rfft(_frames(samples) * _hann(), norm="forward")
    squares = spectrum.view(spectrum.real.dtype)
    np.square(squares, out=squares)
    return np.concatenate([squares[..., parts] @ weights for parts, weights in _filters()], axis=-1, dtype=np.float32)


class FrameStream:
    """A stream cut so that each of its frames is computed once."""

    def __init__(self) -> None:
        self.rest = np.zeros(LEAD, np.float32)
        """The last samples, which begin the next frame."""

    def cut(self, samples: Samples) -> tuple[Samples, Samples]:
        """(n,) the next samples of the stream → what holds the frames that they complete, in two parts."""
        parts = self.rest, samples
        frames = frame_count(self.rest.size + samples.size)
        next_frame = frames * FRAME_HOP - self.rest.size
        if next_frame >= 0:
            self.rest = samples[next_frame:].copy()  # a part of it would keep all of it
        else:
            self.rest = np.concatenate(parts)[frames * FRAME_HOP :]
        return parts


class Frames(NamedTuple):
    """Mel power of some frames that follow each other, and what of them the level of the voice is made of."""

    power: Samples
    """(n, 64)"""
    energy: float
    """Sum of the frames' powers e."""
    squares: float
    """Sum of e²."""
    spectral_shape: Samples
    """(64,) root of each band's share of the energy: of length 1, or 0 where there is nothing."""


def frames_of(power: Samples) -> Frames:
    """(n, 64) mel power → the same as frames."""
    return _summed(power[None])[0]


def _summed(powers: Samples) -> list[Frames]:
    """(pieces, n, 64) mel power → each piece's frames."""
    energies = powers @ _ONES  # numpy's own sum over a short axis takes twice as long
    sums = energies.sum(axis=1)
    squares = np.square(energies, out=energies).sum(axis=1).tolist()
    shapes = np.sqrt(powers.sum(axis=1) / np.maximum(sums, _LEAST)[:, None])
    # Copies, or one piece would keep those of all the others.
    return [
        Frames(power.copy(), *of)
        for power, *of in zip(powers, sums.tolist(), squares, map(np.copy, shapes), strict=True)
    ]


def mel_frames(pieces: Sequence[tuple[FrameStream, Samples]]) -> list[Frames]:
    """The frames that each stream's next samples, (n,), complete; of one stream the pieces in order.

    Equally long ones are computed together, to the last bit the same as alone.
    """
    cuts = [stream.cut(samples) for stream, samples in pieces]
    found = [_NO_FRAMES] * len(cuts)
    lengths: dict[int, list[int]] = defaultdict(list)
    for number, parts in enumerate(cuts):
        lengths[sum(map(len, parts))].append(number)
    for length, numbers in lengths.items():
        for at in range(0, len(numbers) if length >= FRAME else 0, _TOGETHER):
            some = numbers[at : at + _TOGETHER]
            together = np.concatenate([part for number in some for part in cuts[number]]).reshape(len(some), length)
            for number, frames in zip(some, _summed(mel_power(together)), strict=True):
                found[number] = frames
    return found


_NO_FRAMES = Frames(np.zeros((0, BANDS), np.float32), 0.0, 0.0, np.zeros(BANDS, np.float32))


@dataclass(frozen=True)
class Normalisation:
    """What the model file says about level and floor."""

    floor_db: float
    """How far under the speech's level (per band, under the average voice's spectrum) everything is equally silent."""
    spectrum: Samples
    """(64,) mel power of the average voice at level 1, measured on the training actors."""


def speech_level(power: Samples) -> Samples:
    """(…, frames, 64) → (…,) level of the voice in a window: Σe²/Σe over the frames' powers e.

    A mean weighted by the power itself: pauses, and what lies in them, weigh nothing.
    """
    energy = power @ _ONES
    level: Samples = (energy * energy).sum(axis=-1) / np.maximum(energy.sum(axis=-1), _LEAST)
    return level


def window_features(power: Samples, normalisation: Normalisation) -> Samples:
    """(…, frames, 64) mel power of whole windows → (…, frames, 64) float32, about -2..+2: what the network reads.

    Decibels over the voice's own level, over the average voice's spectrum, softly floored: gain changes nothing, and what
    lies more than `floor_db` under the voice (room, line, digital silence) looks the same. Lost or missing frames are 0.
    """
    return _floored(power, speech_level(power)[..., None, None], normalisation)


def last_features(windows: Sequence[Sequence[Frames]], counts: Sequence[int], normalisation: Normalisation) -> Samples:
    """Windows' frames in pieces, all as long → (pieces, frames, 64): `window_features` of the last pieces of each window, as many
    as `counts` says, over the level of all its pieces."""
    last = np.stack([piece.power for window, count in zip(windows, counts, strict=True) for piece in window[-count:]])
    levels = [
        sum([piece.squares for piece in window]) / (sum([piece.energy for piece in window]) or 1.0)
        for window in windows
    ]
    return _floored(last, np.repeat(np.array(levels, np.float32), counts)[:, None, None], normalisation)


def _floored(power: Samples, level: Samples, normalisation: Normalisation) -> Samples:
    features: Samples = np.divide(
        power, np.maximum(level, np.float32(1e-20)) * normalisation.spectrum, dtype=np.float32
    )
    features += np.float32(10.0 ** (-normalisation.floor_db / 10.0))
    np.log(features, out=features)  # numpy's log10 of float32 takes four times as long
    features *= np.float32(1 / np.log(10.0))
    return features
