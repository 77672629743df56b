"""Zero-crossing rate and spectral centroid of every frame, as the article suggests, beside the bands. Pure.

The frames are those of `monitor.features`. Unlike the bands nothing floors them: where the voice pauses they tell what the
line and the room sound like.
"""

from collections.abc import Sequence

import numpy as np

from monitor.audio import Samples
from monitor.features import FRAME, FRAME_HOP, LEAD, Normalisation, frame_count, mel_power, window_features
from train.dataset import WINDOW, Workshop
from train.live import speech_windows

MEASURES = 2
"""Values a frame."""


def zero_crossing_rate(samples: Samples) -> Samples:
    """(n,) → (frames,) share of a frame's samples before which the sign changes, 0..1. Digital silence has none."""
    negative = samples < 0
    crossed = np.concatenate([[0], np.cumsum(negative[1:] != negative[:-1])])
    first = FRAME_HOP * np.arange(frame_count(len(samples)))
    return ((crossed[first + FRAME - 1] - crossed[first]) / FRAME).astype(np.float32)


def spectral_centroid(samples: Samples) -> Samples:
    """(n,) → (frames,) mean frequency weighed by magnitude, as a share of half the sample rate. Digital silence has 0."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::FRAME_HOP]
    magnitude = np.abs(np.fft.rfft(frames * np.hanning(FRAME + 1)[:-1]))
    shares = np.linspace(0.0, 1.0, FRAME // 2 + 1)
    return ((magnitude @ shares) / np.maximum(magnitude.sum(axis=1), 1e-9)).astype(np.float32)


def read_window(samples: Samples, power: Samples, normalisation: Normalisation) -> Samples:
    """(24500,) samples of a window and its (192, 64) mel power → (192, 66): the bands, and beside them the two measures."""
    beside = (zero_crossing_rate(samples), spectral_centroid(samples))
    return np.column_stack([window_features(power, normalisation), *beside])


def read_clip(samples: Samples, normalisation: Normalisation) -> Samples:
    """(n,) at 8 kHz → (windows, 192, 66) of its windows, cut as live; a clip shorter than a window is filled up with silence."""
    rows = []
    after_silence = np.concatenate([np.zeros(LEAD, np.float32), samples])
    for window in speech_windows(samples):
        piece = after_silence[window.start : window.end + LEAD]
        assert window.power is not None
        rows.append(read_window(np.pad(piece, (0, WINDOW - len(piece))), window.power, normalisation))
    return np.stack(rows)


class MeasuringWorkshop(Workshop):
    """Makes windows with the measures beside the bands."""

    def features(self, epoch: int, indices: Sequence[int]) -> np.ndarray:
        """(len(indices), 192, 66) float16."""
        windows = [self.window(epoch, index) for index in indices]
        rows = [read_window(window, mel_power(window), self.normalisation) for window in windows]
        return np.stack(rows).astype(np.float16)
