"""Voice activity: which 20 ms of a party hold speech.

WebRTC's detector, behind a gain that follows the party's own level: the detector itself hears a quiet caller as noise,
and a louder copy of the same call must read the same.
"""

import itertools
import math
from collections.abc import Sequence
from functools import cache

import _webrtcvad  # what `webrtcvad` wraps: its class is one more call a frame, and its import reads package metadata
import numpy as np
import numpy.typing as npt

from monitor.audio import SAMPLE_RATE, Samples, float_to_pcm

VAD_FRAME = SAMPLE_RATE // 50
"""Samples of one decision (20 ms)."""
_PCM_FRAME = np.dtype((np.void, 2 * VAD_FRAME))
"""Its samples in 16 bit: as a list they are `bytes`, as WebRTC's detector takes them."""
_AGGRESSIVENESS = 2
"""0..3 of WebRTC's detector: how sure it must be to say speech."""
_TARGET_RMS = 0.12
"""The loudest 20 ms are brought here before the detector listens."""
_FALL_S = 10.0
"""The tracked level halves in so many seconds without anything as loud."""
_OVER_FLOOR = 10.0 ** (5 / 10)
"""Speech stands 5 dB or more over the softest 20 ms of late, in power."""
_FLOOR_RISE_DB_S = 3.0
"""How fast that softest level is forgotten, dB a second."""
_NOTHING = 10.0 ** (-90 / 10)
"""A power up to this (-90 dBFS) before anything was heard is digital silence: it tells nothing about the line's noise."""
_DEEPEST = 10.0 ** (-45 / 10)
"""What lies 45 dB and more under the level is as soft as it gets, digital silence too: noise that comes after it soon stands
out no more."""
_FAINTEST_RMS = 10.0 ** (-62 / 20)
"""Under this level (-62 dBFS) nothing is amplified further: line noise must not become speech."""

_TOGETHER = 32
"""Pieces of 0.25 s that are looked at together: what comes between stays in the processor's cache."""

Decisions = npt.NDArray[np.bool_]
"""(n,) whether each 20 ms hold speech."""


@cache
def _drift(frames: int) -> tuple[float, float]:
    """By what level and floor change while so many frames pass."""
    passed_s = frames * VAD_FRAME / SAMPLE_RATE
    return 0.5 ** (passed_s / _FALL_S), 10.0 ** (_FLOOR_RISE_DB_S * passed_s / 10.0)


class SpeechDetector:
    """Decides on a stream, 20 ms at a time, whatever lengths it is fed."""

    def __init__(self) -> None:
        self.vad = _webrtcvad.create()
        """WebRTC's."""
        _webrtcvad.init(self.vad)
        _webrtcvad.set_mode(self.vad, _AGGRESSIVENESS)
        self._rest = np.zeros(0, np.float32)
        self._level = 0.0
        self._floor = float("inf")

    def push(self, samples: Samples) -> Decisions:
        """(n,) samples at 8 kHz → one decision for each 20 ms that is now complete."""
        return detect([(self, samples)])[0]

    def cut(self, samples: Samples) -> tuple[int, Samples, Samples]:
        """(n,) samples → how many frames are now complete, and their samples in two parts."""
        rest, count = self._rest, (self._rest.size + samples.size) // VAD_FRAME
        if not count:
            self._rest = np.concatenate([rest, samples])
            return 0, rest[:0], samples[:0]
        used = count * VAD_FRAME - rest.size
        self._rest = samples[used:].copy()  # a part of it would keep all of it
        return count, rest, samples[:used]

    def follow(self, powers: Sequence[float]) -> tuple[float, float]:
        """The next frames' powers → the gain for them, and the power that stands out of what never stops:
        line and room noise alone, at any level, is no speech."""
        fall, rise = _drift(len(powers))
        least = self._level**2 * _DEEPEST
        if least:
            softest = max(min(powers, default=self._floor), least)
        else:
            softest = min([power for power in powers if power > _NOTHING], default=self._floor)
        self._level = max(self._level * fall, float(np.float32(math.sqrt(max(powers, default=0.0)))))
        self._floor = min(self._floor * rise, softest)
        return _TARGET_RMS / max(self._level, _FAINTEST_RMS), self._floor * _OVER_FLOOR


def detect(pieces: Sequence[tuple[SpeechDetector, Samples]]) -> list[Decisions]:
    """What each detector decides on its next samples, (n,); of one stream the pieces in order."""
    some = (pieces[at : at + _TOGETHER] for at in range(0, len(pieces), _TOGETHER))
    return [decisions for together in some for decisions in _detect_together(together)]


def _detect_together(pieces: Sequence[tuple[SpeechDetector, Samples]]) -> list[Decisions]:
    """All that is not WebRTC's detector itself is done for all frames at once."""
    cuts = [detector.cut(samples) for detector, samples in pieces]
    counts = [count for count, _, _ in cuts]
    frames = np.concatenate([part for _, *parts in cuts for part in parts]).reshape(-1, VAD_FRAME)
    power = np.einsum("ij,ij->i", frames, frames) / np.float32(VAD_FRAME)
    powers = power.tolist()
    parts = [slice(end - count, end) for end, count in zip(itertools.accumulate(counts), counts, strict=True)]
    followed = [detector.follow(powers[part]) for (detector, _), part in zip(pieces, parts, strict=True)]
    gains, floors = np.repeat(np.array(followed, np.float32), counts, axis=0).T
    frames *= gains[:, None]
    vads = [detector.vad for (detector, _), count in zip(pieces, counts, strict=True) for _ in range(count)]
    pcm = float_to_pcm(frames).view(_PCM_FRAME).ravel().tolist()
    heard = map(_webrtcvad.process, vads, itertools.repeat(SAMPLE_RATE), pcm, itertools.repeat(VAD_FRAME))
    decisions = np.fromiter(heard, np.bool_, len(pcm)) & (power > floors)
    return [decisions[part] for part in parts]
