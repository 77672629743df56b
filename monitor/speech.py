"""Voice activity: which 20 ms of a party hold speech.

WebRTC's detector, behind a gain that follows the party's own level: the detector itself hears a quiet caller as noise,
and a louder copy of the same call must read the same.
"""

import numpy as np
import numpy.typing as npt
import webrtcvad

from monitor.audio import SAMPLE_RATE, Samples, float_to_pcm

VAD_FRAME = SAMPLE_RATE // 50
"""Samples of one decision (20 ms)."""
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
_FAINTEST_RMS = 10.0 ** (-62 / 20)
"""Under this level (-62 dBFS) nothing is amplified further: line noise must not become speech."""


class SpeechDetector:
    """Decides on a stream, 20 ms at a time, whatever lengths it is fed."""

    def __init__(self) -> None:
        self._vad = webrtcvad.Vad(_AGGRESSIVENESS)
        self._rest = np.zeros(0, np.float32)
        self._level = 0.0
        self._floor = np.inf

    def push(self, samples: Samples) -> npt.NDArray[np.bool_]:
        """(n,) samples at 8 kHz → one decision for each 20 ms that is now complete."""
        joined = np.concatenate([self._rest, samples])
        count = joined.size // VAD_FRAME
        self._rest = joined[count * VAD_FRAME :]
        frames = joined[: count * VAD_FRAME].reshape(count, VAD_FRAME)
        if not count:
            return np.zeros(0, np.bool_)
        power = np.einsum("ij,ij->i", frames, frames) / np.float32(VAD_FRAME)
        pcm = float_to_pcm(frames * self._gain(power)).tobytes()
        step = 2 * VAD_FRAME
        heard = [self._vad.is_speech(pcm[at : at + step], SAMPLE_RATE) for at in range(0, len(pcm), step)]
        return np.array(heard, np.bool_) & self._over_floor(power)

    def _over_floor(self, power: Samples) -> npt.NDArray[np.bool_]:
        """Which frames stand out of what never stops: line and room noise alone, at any level, is no speech."""
        rise = 10.0 ** (_FLOOR_RISE_DB_S * power.size * VAD_FRAME / SAMPLE_RATE / 10.0)
        self._floor = min(self._floor * rise, float(power.min()))
        return power > np.float32(self._floor * _OVER_FLOOR)

    def _gain(self, power: Samples) -> np.float32:
        fall = 0.5 ** (power.size * VAD_FRAME / (SAMPLE_RATE * _FALL_S))
        self._level = max(self._level * fall, float(np.sqrt(power.max())))
        return np.float32(_TARGET_RMS / max(self._level, _FAINTEST_RMS))
