"""Samples: the block that sources hand on, PCM and G.711 to float32, and the resampler. Pure."""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from monitor.messages import Party

Samples = npt.NDArray[np.float32]
"""Mono samples, full scale ±1."""

Law = Callable[[npt.NDArray[np.uint8]], Samples]
"""What decodes G.711: `mulaw_to_float` or `alaw_to_float`."""

SAMPLE_RATE = 8_000
"""Hertz; the phone band, in which everything is scored."""


class Block(msgspec.Struct, frozen=True, gc=False):
    """Some samples of one party as they came, of any length. Not seen by the garbage collector: thousands come a second, in no
    cycle."""

    call: str
    party: Party
    start: int
    """Index of the first sample since the call began, at `sample_rate`: a jump ahead is lost audio."""
    sample_rate: int
    """Hertz."""
    audio: Samples | bytes
    """(n,) full scale ±1, which the source does not touch again; or, with a `law`, n codes of G.711."""
    arrived_s: float
    """Monotonic clock when the last sample came."""
    law: Law | None = None
    """Of the codes, which are decoded where they are used: on their way there they have a quarter of the bytes."""

    @property
    def samples(self) -> Samples:
        """(n,) full scale ±1; codes are decoded at every call."""
        audio = self.audio
        return self.law(np.frombuffer(audio, np.uint8)) if self.law else audio  # type: ignore[return-value]

    @property
    def size(self) -> int:
        """How many samples it has."""
        return len(self.audio)

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return self.size / self.sample_rate

    def come_at(self, arrived_s: float) -> "Block":
        """The same, come at another moment."""
        return replace(self, arrived_s=arrived_s)

    def moved(self, call: str, start: int) -> "Block":
        """The same, of another call and at another place in it."""
        return replace(self, call=call, start=start)

    def __repr__(self) -> str:
        """Without the audio: what a caller said belongs into no log."""
        return f"Block({self.call!r}, {self.party!r}, {self.start}, {self.sample_rate} Hz, {self.size} samples)"

    def __reduce__(self) -> tuple[Any, ...]:
        """Many blocks go from process to process: pickled by their fields, they cost a third."""
        audio = self.audio if self.law else self.samples.tobytes()
        return _unpickled, (self.call, self.party, self.start, self.sample_rate, audio, self.arrived_s, self.law)


def _unpickled(
    call: str, party: Party, start: int, sample_rate: int, audio: bytes, arrived_s: float, law: Law | None
) -> Block:
    return Block(call, party, start, sample_rate, audio if law else np.frombuffer(audio, np.float32), arrived_s, law)


def pcm_to_float(pcm: npt.NDArray[np.int16]) -> Samples:
    """16 bit PCM of any shape to float32, full scale ±1."""
    return pcm.astype(np.float32) / np.float32(32_768)


def float_to_pcm(samples: Samples) -> npt.NDArray[np.int16]:
    """float32 to 16 bit PCM, clipped at full scale."""
    scaled: Samples = samples * np.float32(32_768)
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -32_768, 32_767, out=scaled).astype(np.int16)


@cache
def _mulaw_table() -> Samples:
    """ITU-T G.711 µ-law: the sample (±1) of each of the 256 codes."""
    codes = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((codes & 0x0F) << 3) + 0x84) << ((codes >> 4) & 7)) - 0x84
    return pcm_to_float(np.where(codes & 0x80, -magnitude, magnitude).astype(np.int16))


@cache
def _alaw_table() -> Samples:
    """ITU-T G.711 A-law: the sample (±1) of each of the 256 codes."""
    codes = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (codes >> 4) & 7, (codes & 0x0F) << 4
    magnitude = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    return pcm_to_float(np.where(codes & 0x80, magnitude, -magnitude).astype(np.int16))


def mulaw_to_float(codes: npt.NDArray[np.uint8]) -> Samples:
    """G.711 µ-law codes to float32, full scale ±1."""
    return _mulaw_table().take(codes, mode="clip")  # no code is beyond: the quickest way


def alaw_to_float(codes: npt.NDArray[np.uint8]) -> Samples:
    """G.711 A-law codes to float32, full scale ±1."""
    return _alaw_table().take(codes, mode="clip")


@cache
def _encoder(decoder_table: bytes) -> tuple[Samples, npt.NDArray[np.uint8]]:
    """Decision thresholds between neighbouring codes of a companding table, and the codes in that order."""
    table = np.frombuffer(decoder_table, np.float32)
    order = np.argsort(table, kind="stable").astype(np.uint8)
    thresholds: Samples = (table[order][:-1] + table[order][1:]) / np.float32(2)
    return thresholds, order


def float_to_mulaw(samples: Samples) -> npt.NDArray[np.uint8]:
    """float32 to the nearest G.711 µ-law codes."""
    thresholds, order = _encoder(_mulaw_table().tobytes())
    return order[np.searchsorted(thresholds, samples, side="right")]


def float_to_alaw(samples: Samples) -> npt.NDArray[np.uint8]:
    """float32 to the nearest G.711 A-law codes."""
    thresholds, order = _encoder(_alaw_table().tobytes())
    return order[np.searchsorted(thresholds, samples, side="right")]


class Resampler:
    """A stream at `sample_rate` Hz to `SAMPLE_RATE`, the same samples however it is cut into blocks.

    Quality MQ of soxr: 26 ms of standing delay. Not made where the rates are equal: see `resampler`.
    """

    def __init__(self, sample_rate: int) -> None:
        import soxr

        self._stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="MQ")

    def push(self, samples: Samples, last: bool = False) -> Samples:
        """What is ready after `samples` (n,); with `last` all the rest, and nothing may be pushed after it."""
        return self._stream.resample_chunk(samples, last=last)  # type: ignore[no-any-return]


def level_db(samples: Samples) -> float | None:
    """RMS level in dBFS (a full-scale square wave is 0); None for digital silence or no samples."""
    power = float(np.dot(samples, samples)) / samples.size if samples.size else 0.0
    return 10.0 * float(np.log10(power)) if power > 1e-12 else None
