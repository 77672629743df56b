"""What becomes of a clip before it is scored (line, noise, level), and what a network in training says of clips.

Needs no TensorFlow: the network is a callable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.audio import Samples
from monitor.features import Normalisation, window_features
from train import augment
from train.corpus import Clip
from train.live import speech_powers
from train.noise import pink_noise

Predict = Callable[[np.ndarray], np.ndarray]
"""(n, 192, 64) float32 features → (n, 6) probabilities."""
Read = Callable[[Samples, Normalisation], Samples]
"""(n,) samples of a clip → (windows, 192, 64 or more), what a network reads of it."""

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
    """Share of 20 ms packets lost, and hidden as the live path hides them."""
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
        return augment.drop_packets(samples, self.loss, generator, concealed=True) if self.loss else samples

    def _noise(self, count: int, seed: int) -> Samples:
        if self.noise is None:
            return pink_noise(count, seed)
        start = int(np.random.default_rng(seed).integers(max(1, len(self.noise) - count)))
        return np.resize(self.noise[start : start + count], count)


def clip_features(samples: Samples, normalisation: Normalisation) -> Samples:
    """(n,) at 8 kHz → (windows, 192, 64) features of its windows, cut as live."""
    return window_features(np.stack(speech_powers(samples)), normalisation)


def score_clips(
    predict: Predict,
    clips: Sequence[Clip],
    normalisation: Normalisation,
    condition: Condition | None = None,
    read: Read = clip_features,
) -> np.ndarray:
    """(clips, 6) mean probabilities over each clip's windows."""
    altered = condition or Condition()
    features = [read(altered.apply(clip.samples, seed), normalisation) for seed, clip in enumerate(clips)]
    together = np.concatenate(features)
    parts = [predict(together[at : at + BATCH]) for at in range(0, len(together), BATCH)]
    ends = np.cumsum([len(several) for several in features])
    return np.stack([part.mean(axis=0) for part in np.split(np.concatenate(parts), ends[:-1])])
