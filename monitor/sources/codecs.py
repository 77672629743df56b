"""What calls come in: the audio codecs that can be decoded here, comfort noise and telephone events of RTP. Pure.

Payload types and clock rates: RFC 3551 section 6; G.722's clock is 8,000 Hz by section 4.5.2 though it carries 16 kHz;
Opus: RFC 7587; telephone events: RFC 4733; comfort noise: RFC 3389; 16 bit PCM: RFC 3551 section 4.5.11.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from monitor.audio import Law, Samples, alaw_to_float, mulaw_to_float, pcm_to_float

Kind = Literal["audio", "noise", "event"]


@dataclass(frozen=True, slots=True)
class Codec:
    """One way to carry sound, as in SDP's rtpmap `name/clock_rate/channels`."""

    name: str
    """As registered: PCMU, PCMA, G722, opus, CN, telephone-event; compared without regard to case."""
    clock_rate: int
    """Hertz of the RTP timestamps."""
    sample_rate: int
    """Hertz of the decoded audio; 0 where there is none."""
    channels: int = 1
    """As rtpmap says; decoded audio is mono always."""
    kind: Kind = "audio"
    """`noise` is comfort noise: silence begins; `event` is a key press: skipped."""

    @property
    def measure(self) -> Callable[[bytes], int]:
        """What tells how long a payload lasts, in ticks of the RTP clock."""
        return _MEASURES.get(self.name, len)

    def ticks(self, payload: bytes) -> int:
        """How long `payload` lasts, in ticks of the RTP clock."""
        return self.measure(payload)

    @property
    def law(self) -> Law | None:
        """What decodes it where a byte is a sample (G.711); None elsewhere."""
        return _LAWS.get(self.name)

    def decoder(self) -> "Decoder":
        """A new decoder for one stream."""
        if self.law is not None:
            return _g711(self.law)
        if self.name in _LINEAR:
            return _linear(_LINEAR[self.name])
        return _PyAvDecoder(self).decode


Decoder = Callable[[Sequence[bytes]], tuple[Samples, int]]
"""Payloads in their order → mono samples, just as many as they last, and how many payloads could not be decoded
(silence stands for those)."""

PCMU = Codec("PCMU", 8_000, 8_000)
PCMA = Codec("PCMA", 8_000, 8_000)
G722 = Codec("G722", 8_000, 16_000)
OPUS = Codec("opus", 48_000, 48_000, 2)
COMFORT_NOISE = Codec("CN", 8_000, 0, kind="noise")
TELEPHONE_EVENT = Codec("telephone-event", 8_000, 0, kind="event")

_LAWS = {"PCMU": mulaw_to_float, "PCMA": alaw_to_float}
_LINEAR = {"L16": ">i2", "slin": "<i2"}
"""16 bit PCM by its byte order: RTP's, and that of what comes over TCP from a switch."""


def linear(sample_rate: int, order: Literal["big", "little"]) -> Codec:
    """16 bit PCM, mono, of that rate in Hertz."""
    return Codec("L16" if order == "big" else "slin", sample_rate, sample_rate)


STATIC_PAYLOAD_TYPES: Mapping[int, Codec] = {0: PCMU, 8: PCMA, 9: G722, 13: COMFORT_NOISE}
"""Payload types that need no rtpmap (RFC 3551 section 6). G722 stands here even where it cannot be decoded."""


@cache
def known_codecs() -> tuple[Codec, ...]:
    """What can be received here, best liked first; G722 and opus only with the extra `codecs` (PyAV)."""
    wide = (G722, OPUS) if importlib.util.find_spec("av") else ()
    return (PCMU, PCMA, *wide, COMFORT_NOISE, TELEPHONE_EVENT)


def find_codec(name: str, clock_rate: int) -> Codec | None:
    """The known codec that rtpmap's `name/clock_rate` means; telephone-event goes with any clock."""
    for codec in known_codecs():
        if codec.name.lower() == name.lower():
            if codec.kind == "event":
                return Codec(codec.name, clock_rate, 0, kind="event")
            return codec if codec.clock_rate == clock_rate else None
    return None


def opus_ticks(payload: bytes) -> int:
    """How long an Opus packet lasts at 48 kHz, by its first bytes (RFC 6716 section 3.1); 0 where it is none."""
    if not payload:
        return 0
    config, count_code = payload[0] >> 3, payload[0] & 3
    if config < 12:
        frame = (480, 960, 1_920, 2_880)[config & 3]
    elif config < 16:
        frame = (480, 960)[config & 1]
    else:
        frame = (120, 240, 480, 960)[config & 3]
    frames = (1, 2, 2, payload[1] & 63 if len(payload) > 1 else 0)[count_code]
    return frame * frames if frame * frames <= 5_760 else 0


_MEASURES: Mapping[str, Callable[[bytes], int]] = {
    "opus": opus_ticks,
    **dict.fromkeys(_LINEAR, lambda payload: len(payload) // 2),
}


def _g711(table: Callable[[Any], Samples]) -> Decoder:
    def decode(payloads: Sequence[bytes]) -> tuple[Samples, int]:
        return table(np.frombuffer(b"".join(payloads), np.uint8)), 0

    return decode


def _linear(dtype: str) -> Decoder:
    def decode(payloads: Sequence[bytes]) -> tuple[Samples, int]:
        whole = b"".join(payload[: len(payload) // 2 * 2] for payload in payloads)
        return pcm_to_float(np.frombuffer(whole, dtype).astype(np.int16)), 0

    return decode


class _PyAvDecoder:
    """G.722 and Opus by FFmpeg."""

    def __init__(self, codec: Codec) -> None:
        av: Any = importlib.import_module("av")
        self._codec = codec
        self._packet, self._failure = av.Packet, av.FFmpegError
        self._context = av.CodecContext.create(codec.name.lower(), "r")
        self._context.sample_rate = codec.sample_rate
        self._context.layout = "mono"

    def decode(self, payloads: Sequence[bytes]) -> tuple[Samples, int]:
        """See Decoder."""
        parts, failures = [], 0
        for payload in payloads:
            samples = self._one(payload)
            expected = self._codec.ticks(payload) * self._codec.sample_rate // self._codec.clock_rate
            failures += samples.size != expected
            parts.append(samples if samples.size == expected else np.zeros(expected, np.float32))
        return np.concatenate(parts) if parts else np.zeros(0, np.float32), failures

    def _one(self, payload: bytes) -> Samples:
        try:
            frames = self._context.decode(self._packet(payload))
        except self._failure:
            return np.zeros(0, np.float32)
        parts = [_mono(frame.to_ndarray()) for frame in frames]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _mono(frame: Any) -> Samples:
    """(channels, n) of int16 or float32 to (n,) float32."""
    samples: Samples = pcm_to_float(frame) if frame.dtype == np.int16 else frame
    mono: Samples = samples[0] if len(samples) == 1 else samples.mean(axis=0, dtype=np.float32)
    return mono
