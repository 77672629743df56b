"""Clips → training windows as they are live: in mid-speech, through a line, with another noise floor each time. Pure, seeded.

A window depends on nothing but the seed, the epoch and its clip, so that any process may make any of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from monitor.audio import SAMPLE_RATE, Samples
from monitor.features import LEAD, Normalisation, frame_count, mel_power, window_features
from monitor.messages import LABELS
from monitor.model import CELL_VECTORS
from monitor.windows import CELL_FRAMES
from train import augment
from train.corpus import Clip
from train.noise import NoiseBank, noise_bank

WINDOW_S = 3.0
WINDOW = LEAD + int(WINDOW_S * SAMPLE_RATE)
"""Samples of a window, and those before it in which its first frames begin."""
FRAMES = frame_count(WINDOW)
STRIDE = CELL_FRAMES // CELL_VECTORS
"""Frames of one of the network's vectors (125 ms)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How windows are altered. Shares are probabilities a window; pairs are the ends of a uniform distribution."""

    floor_db: float = 25.0
    """`Normalisation.floor_db`."""
    joined_share: float = 0.5
    """Windows cut from stretches of one actor and emotion, full of speech; the others hold one clip."""
    moved: bool = True
    """A clip lies anywhere in its window, and half a window is another half each time; else the clip begins the window, and
    its half is always the same."""
    pause_s: tuple[float, float] = (0.0, 0.3)
    """Between joined clips."""
    shuffled_share: float = 0.6
    """Of the joined stretches: cut to pieces that follow each other in another order. The corpus has twelve sentences; what is
    learnt of these should not be all that makes a voice neutral."""
    piece_s: tuple[float, float] = (0.15, 0.8)
    """Of such pieces."""
    voice_share: float = 0.2
    """Clips played faster or slower; as many at another tempo only, and as many at another pitch only."""
    voice_factor: tuple[float, float] = (0.85, 1.18)
    gated_share: float = 0.3
    """Windows with digital silence in the pauses before noise comes in; a third as many after it."""
    gate_depth_db: tuple[float, float] = (15.0, 30.0)
    compressed_share: float = 0.4
    """Windows through an automatic gain."""
    line_share: float = 0.8
    """Windows through a filter; its tilt is normal with `tilt_db` dB an octave, its bumps with `bump_db` dB."""
    tilt_db: float = 1.2
    bump_db: float = 1.5
    low_hz: tuple[float, float] = (40.0, 350.0)
    high_hz: tuple[float, float] = (3_000.0, 4_200.0)
    room_share: float = 0.15
    room_decay_s: tuple[float, float] = (0.1, 0.6)
    room_direct_db: tuple[float, float] = (0.0, 15.0)
    noisy_share: float = 0.75
    snr_db: tuple[float, float] = (5.0, 42.0)
    codec_share: float = 0.7
    """Windows through µ-law or A-law, evenly."""
    level_db: tuple[float, float] = (-40.0, -15.0)
    """dBFS RMS at the codec."""
    lossy_share: float = 0.2
    loss: tuple[float, float] = (0.01, 0.12)
    """Share of 20 ms packets lost, in half of these windows hidden as live."""
    vote_weight: float = 0.2
    """Of the listeners' votes in the target; the intended emotion has the rest."""
    teacher_weight: float = 0.75
    """Of what a teacher says in the target, where there is one; what it would be without has the rest."""
    mixup: float = 0.2
    """Both parameters of the beta distribution that mixes pairs of windows of a batch; 0 mixes none."""
    masked_frames: int = 16
    """Longest of two stretches of time that SpecAugment floors."""
    masked_bands: int = 5
    """Widest of two stretches of mel bands that it floors."""
    level_step_db: float = 1.0
    """Mean size of the steps by which a window's level was another half a second before, and so on back: in a running call the
    frames of a window were read over the level that was heard until then."""
    level_steady_share: float = 0.25
    """Windows without such steps, as a call's first one."""
    spread: float = 0.15
    """Deviation of the logarithm of what the decibels of a window vary by, for the window and for each of four regions of bands:
    recordings differ in it as emotions do, ..."""
    spread_share: float = 0.7
    """... in so many windows."""
    warped_share: float = 0.6
    """Windows whose bands are read further up or down, ..."""
    warp: float = 0.1
    """... by at most this share."""

    def words(self) -> str:
        """The augmentation, for the model file."""
        return (
            f"{self.joined_share:.0%} of the windows joined from stretches of one actor and emotion, {self.shuffled_share:.0%} "
            f"of these cut to pieces of {self.piece_s[0]}..{self.piece_s[1]} s in another order; speed, tempo and pitch x"
            f"{self.voice_factor[0]}..{self.voice_factor[1]}; pauses gated in {self.gated_share:.0%}; noise {self.snr_db[0]:.0f} "
            f"to {self.snr_db[1]:.0f} dB under the voice in {self.noisy_share:.0%}; automatic gain, tilt and band edges, room, "
            f"G.711 mu-law and A-law at {self.level_db[0]:.0f}..{self.level_db[1]:.0f} dBFS in {self.codec_share:.0%}, "
            f"packet loss to {self.loss[1]:.0%}; in {1 - self.level_steady_share:.0%} the level wandering by "
            f"{self.level_step_db:g} dB a half second; bands warped by up to {self.warp:.0%} in {self.warped_share:.0%}; "
            f"contrasts varied in {self.spread_share:.0%}; SpecAugment; mixup {self.mixup}"
        )


@dataclass(frozen=True)
class Workshop:
    """Makes training windows of `clips`, everything but epoch and index being fixed."""

    clips: tuple[Clip, ...]
    noises: NoiseBank
    normalisation: Normalisation
    recipe: Recipe
    seed: int

    @classmethod
    def of(cls, clips: tuple[Clip, ...], noise_folder: Path | None, recipe: Recipe, seed: int) -> Self:
        """With noises, babble of the clips themselves, and the features' spectrum measured on them."""
        noises = noise_bank([clip.samples for clip in clips[::20]], noise_folder, seed)
        return cls(clips, noises, Normalisation(recipe.floor_db, average_spectrum(clips)), recipe, seed)

    def features(self, epoch: int, indices: Sequence[int]) -> np.ndarray:
        """(len(indices), 192, 64) float16: the windows of these clips in this epoch."""
        power = np.stack([mel_power(self.window(epoch, index)) for index in indices])
        return window_features(power, self.normalisation).astype(np.float16)

    def window(self, epoch: int, index: int) -> Samples:
        """(24500,) one altered window of clip `index`."""
        generator = np.random.default_rng((self.seed, epoch, index))
        voice = (
            self._joined(index, generator)
            if generator.random() < self.recipe.joined_share
            else self._single(index, generator)
        )
        return through_line(voice, self.noises, self.recipe, generator)

    def _joined(self, index: int, generator: np.random.Generator) -> Samples:
        """A window cut from the clip and others of the same actor and emotion, with short pauses between them."""
        own = self.clips[index]
        others = [clip for clip in self.clips if clip.actor == own.actor and clip.label == own.label]
        pieces = [trimmed(vary_voice(own.samples, self.recipe, generator))]
        while sum(map(len, pieces)) < 1.5 * WINDOW:
            other = others[generator.integers(len(others))]
            pieces.append(np.zeros(int(generator.uniform(*self.recipe.pause_s) * SAMPLE_RATE), np.float32))
            pieces.append(trimmed(vary_voice(other.samples, self.recipe, generator)))
        joined = np.concatenate(pieces)
        if generator.random() < self.recipe.shuffled_share:
            joined = augment.shuffle(joined, self.recipe.piece_s, generator)
        start = int(generator.integers(len(joined) - WINDOW))
        return joined[start : start + WINDOW]

    def _single(self, index: int, generator: np.random.Generator) -> Samples:
        """A window with one clip somewhere in it, at times cut off by up to a quarter at an end; unmoved from its beginning."""
        samples = vary_voice(self.clips[index].samples, self.recipe, generator)
        if not self.recipe.moved:
            return np.pad(samples, (LEAD, max(0, WINDOW - LEAD - len(samples))))[:WINDOW]
        slack = len(samples) // 4 if generator.random() < 0.3 else 0
        lowest, highest = sorted((LEAD - slack, WINDOW - len(samples) + slack))
        place = int(generator.integers(lowest, highest + 1))
        padded = np.pad(samples, (max(0, place), max(0, WINDOW - place - len(samples))))
        return padded[max(0, -place) : max(0, -place) + WINDOW]


def trimmed(samples: Samples) -> Samples:
    """Without the quiet ends: from the first to the last 10 ms that is at most 20 dB under the voice's level."""
    loud = np.flatnonzero(augment.frame_power(samples) > augment.voice_power(samples) * 0.01)
    return samples[loud[0] * augment.LEVEL_FRAME : (loud[-1] + 1) * augment.LEVEL_FRAME] if len(loud) else samples


def vary_voice(samples: Samples, recipe: Recipe, generator: np.random.Generator) -> Samples:
    """The same sentence faster, slower, higher or lower, or as it is."""
    choice = generator.random() / max(recipe.voice_share, 1e-9)
    factor = float(generator.uniform(*recipe.voice_factor))
    if choice < 1.0:
        return augment.resample_by(samples, factor)
    if choice < 2.0:
        return augment.stretch(samples, factor)
    return augment.shift_pitch(samples, factor) if choice < 3.0 else samples


def through_line(samples: Samples, noises: NoiseBank, recipe: Recipe, generator: np.random.Generator) -> Samples:
    """A window as another room, line and codec would bring it."""
    gated = generator.random()
    depth_db = float(generator.uniform(*recipe.gate_depth_db))
    if gated < recipe.gated_share:
        samples = augment.gate(samples, depth_db, float(generator.uniform(0.03, 0.2)))
    if generator.random() < recipe.compressed_share:
        samples = augment.compress(samples, float(generator.uniform(0.1, 0.8)))
    if generator.random() < recipe.line_share:
        samples = augment.filter_by(samples, _random_response(len(samples), recipe, generator))
    if generator.random() < recipe.noisy_share:
        samples = augment.add_noise(
            samples, noises.slice(len(samples), generator), float(generator.uniform(*recipe.snr_db))
        )
    if gated > 1.0 - recipe.gated_share / 3:
        samples = augment.gate(samples, depth_db, float(generator.uniform(0.03, 0.2)))
    return _through_network(samples, recipe, generator)


def _random_response(count: int, recipe: Recipe, generator: np.random.Generator) -> np.ndarray:
    bumps_db = generator.normal(0.0, recipe.bump_db, 8).astype(np.float32)
    tilt_db, low_hz, high_hz = (
        generator.normal(0.0, recipe.tilt_db),
        generator.uniform(*recipe.low_hz),
        generator.uniform(*recipe.high_hz),
    )
    response = augment.line_response(count, tilt_db, low_hz, high_hz, bumps_db)
    if generator.random() < recipe.room_share:
        decay_s, direct_db = generator.uniform(*recipe.room_decay_s), generator.uniform(*recipe.room_direct_db)
        return response * augment.room_response(count, decay_s, direct_db, generator)
    return response


def _through_network(samples: Samples, recipe: Recipe, generator: np.random.Generator) -> Samples:
    """Level, codec and packet loss."""
    samples = augment.scale_to(samples, float(generator.uniform(*recipe.level_db)))
    codec = generator.random() / max(recipe.codec_share, 1e-9)
    if codec < 1.0:
        samples = augment.through_codec(samples, "mulaw" if codec < 0.5 else "alaw")
    if generator.random() < recipe.lossy_share:
        share, concealed = float(generator.uniform(*recipe.loss)), bool(generator.random() < 0.5)
        samples = augment.drop_packets(samples, share, generator, concealed)
    return samples


def average_spectrum(clips: Sequence[Clip]) -> Samples:
    """(64,) mel power of the average voice at level 1 (it sums to 1): every frame weighed by its power, every clip alike."""
    spectra = []
    for clip in clips:
        power = mel_power(clip.samples)
        weighted = (power * power.sum(axis=1, keepdims=True)).sum(axis=0)
        spectra.append(weighted / max(float(weighted.sum()), 1e-30))
    return np.mean(spectra, axis=0).astype(np.float32)


def targets(clips: Sequence[Clip], vote_weight: float) -> Samples:
    """(clips, 6) the intended emotion, with `vote_weight` of what listeners heard where they were asked."""
    rows = np.eye(len(LABELS), dtype=np.float32)[[LABELS.index(clip.label) for clip in clips]]
    for row, clip in zip(rows, clips, strict=True):
        if clip.votes and sum(clip.votes):
            row *= 1.0 - vote_weight
            row += vote_weight * np.array(clip.votes, np.float32) / sum(clip.votes)
    return rows


def asked_besides(clips: Sequence[Clip]) -> dict[str, Samples]:
    """(clips, classes) of what clips tell besides their emotion, by name: listeners' votes where there are any, which
    sentence it is and the speaker's sex where all clips say so. What must be told apart is less often taken for emotion."""
    heads: dict[str, Samples] = {}
    if any(clip.votes and sum(clip.votes) for clip in clips):
        heads["votes"] = targets(clips, 1.0)
    for name, values in (("sentence", [clip.sentence for clip in clips]), ("sex", [clip.sex for clip in clips])):
        kinds = sorted({value for value in values if value})
        if len(kinds) > 1 and all(values):
            heads[name] = np.eye(len(kinds), dtype=np.float32)[[kinds.index(value) for value in values if value]]
    return heads
