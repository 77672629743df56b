"""Scores of whole clips under a condition: line, noise, level. Needs no TensorFlow: the network is a callable."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.audio import SAMPLE_RATE, Samples
from monitor.features import Normalisation, mel_power, window_features
from train import augment
from train.corpus import Clip
from train.dataset import WINDOW
from train.noise import pink_noise

Predict = Callable[[np.ndarray], np.ndarray]
"""(n, 188, 64) float32 features → (n, 6) probabilities."""

HOP = SAMPLE_RATE // 2
"""Samples between the windows of a clip that is longer than one."""
CODEC_LEVEL_DB = -26.0
"""dBFS RMS of a clip before a codec: the level that telephony tests use (ITU-T P.56)."""
BATCH = 64


@dataclass(frozen=True, slots=True)
class Condition:
    """How clips are altered before they are scored, in this order. Nothing by default."""

    gated: bool = False
    """Digital silence in the pauses."""
    floor_db: float | None = None
    """Gated, then noise this far under the voice."""
    snr_db: float | None = None
    """Noise this far under the voice of the clip as it is."""
    loss: float = 0.0
    """Share of 20 ms packets lost."""
    gain_db: float = 0.0
    codec: str = "none"
    """`none`, `mulaw` or `alaw`, at `CODEC_LEVEL_DB`."""
    noise: Samples | None = field(default=None, repr=False, compare=False)
    """(n,) at 8 kHz; seeded pink noise when None."""

    def apply(self, samples: Samples, seed: int) -> Samples:
        """(n,) → (n,), the same for the same seed."""
        generator = np.random.default_rng(seed)
        if self.gated or self.floor_db is not None:
            samples = augment.gate(samples)
        if (under_db := self.floor_db if self.floor_db is not None else self.snr_db) is not None:
            samples = augment.add_noise(samples, self._noise(len(samples), seed), under_db)
        if self.codec != "none":
            samples = augment.through_codec(augment.scale_to(samples, CODEC_LEVEL_DB), self.codec)
        samples = samples * np.float32(augment.decibels(self.gain_db)) if self.gain_db else samples
        return augment.drop_packets(samples, self.loss, generator) if self.loss else samples

    def _noise(self, count: int, seed: int) -> Samples:
        if self.noise is None:
            return pink_noise(count, seed)
        start = int(np.random.default_rng(seed).integers(max(1, len(self.noise) - count)))
        return np.resize(self.noise[start : start + count], count)


def clip_windows(samples: Samples) -> list[Samples]:
    """As live: one window with zeros at its end, or several at a hop of 0.5 s and one that ends with the clip."""
    if len(samples) <= WINDOW:
        return [np.pad(samples, (0, WINDOW - len(samples)))]
    starts = {*range(0, len(samples) - WINDOW + 1, HOP), len(samples) - WINDOW}
    return [samples[start : start + WINDOW] for start in sorted(starts)]


def predict_windows(predict: Predict, windows: Iterable[Samples], normalisation: Normalisation) -> np.ndarray:
    """(windows, 6) probabilities, `BATCH` windows at a time."""
    features = [window_features(mel_power(window), normalisation) for window in windows]
    parts = [predict(np.stack(features[start : start + BATCH])) for start in range(0, len(features), BATCH)]
    return np.concatenate(parts)


def score_clips(
    predict: Predict, clips: Sequence[Clip], normalisation: Normalisation, condition: Condition
) -> np.ndarray:
    """(clips, 6) mean probabilities over each clip's windows."""
    windows = [clip_windows(condition.apply(clip.samples, seed)) for seed, clip in enumerate(clips)]
    scores = predict_windows(predict, (window for several in windows for window in several), normalisation)
    ends = np.cumsum([len(several) for several in windows])
    return np.stack([part.mean(axis=0) for part in np.split(scores, ends[:-1])])
