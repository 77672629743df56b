"""RTP made by hand, for tests: a sender's packets, and what a party's blocks say."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.audio import Block, Samples, float_to_mulaw, mulaw_to_float
from monitor.sources.codecs import COMFORT_NOISE, PCMA, PCMU, TELEPHONE_EVENT, Codec
from monitor.sources.rtp_packet import RtpPacket
from monitor.sources.rtp_party import PartyAudio

CODECS: dict[int, Codec] = {0: PCMU, 8: PCMA, 13: COMFORT_NOISE, 101: TELEPHONE_EVENT}


def tones(seconds: float, rate: int = 8_000) -> Samples:
    """A tone whose pitch rises, so that every moment is told from every other; as it comes out of µ-law."""
    time_s = np.arange(round(seconds * rate)) / rate
    sound = 0.5 * np.sin(2 * np.pi * (200 + 150 * time_s) * time_s)
    return mulaw_to_float(float_to_mulaw(sound.astype(np.float32)))


@dataclass(frozen=True)
class Sender:
    """Cuts sound into packets that arrive as they end."""

    first_sequence: int = 65_500
    first_timestamp: int = 0xFFFF_FF00
    source: int = 11
    begins_s: float = 0.0
    """When it begins to speak, of the call."""
    sizes: Sequence[int] = (160,)
    """Samples a packet, round and round."""
    payload_type: int = 0

    def packets(self, sound: Samples) -> list[RtpPacket]:
        """PCMU."""
        codes = float_to_mulaw(sound).tobytes()
        made: list[RtpPacket] = []
        at = 0
        while at < len(codes):
            payload = codes[at : at + self.sizes[len(made) % len(self.sizes)]]
            at += len(payload)
            made.append(
                RtpPacket(
                    self.payload_type,
                    (self.first_sequence + len(made)) & 0xFFFF,
                    (self.first_timestamp + at - len(payload)) & 0xFFFF_FFFF,
                    self.source,
                    payload,
                    self.begins_s + at / 8_000,
                )
            )
        return made


class Heard:
    """The blocks of a party."""

    def __init__(self, opened_s: float = 0.0, jitter_s: float = 0.2, codecs: dict[int, Codec] | None = None) -> None:
        self.blocks: list[Block] = []
        self.audio = PartyAudio("call", "customer", codecs or CODECS, opened_s, jitter_s, self.blocks.append)

    def take(self, packets: Iterable[RtpPacket], ends_s: float | None = None) -> "Heard":
        """In the order of their arrival; then the call ends, by default with the last."""
        last_s = 0.0
        for packet in sorted(packets, key=lambda packet: packet.arrived_s):
            self.audio.push(packet)
            last_s = packet.arrived_s
        self.audio.finish(last_s if ends_s is None else ends_s)
        return self

    @property
    def samples(self) -> Samples:
        """From the call's beginning, zeros where there is no block."""
        rate = self.blocks[0].sample_rate
        whole = np.zeros(max(block.start + block.samples.size for block in self.blocks), np.float32)
        for block in self.blocks:
            assert block.sample_rate == rate
            whole[block.start : block.start + block.samples.size] = block.samples
        return whole

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Stretches that no block covers, in samples."""
        found, expected = [], 0
        for block in self.blocks:
            assert block.start >= expected, "time must not shrink"
            if block.start > expected:
                found.append((expected, block.start))
            expected = block.start + block.samples.size
        return found


class WaitingSocket:
    """A socket in which datagrams wait, without an operating system."""

    def __init__(self) -> None:
        self.datagrams: deque[tuple[bytes, tuple[str, int]]] = deque()

    def recvfrom(self, _: int) -> tuple[bytes, tuple[str, int]]:
        if not self.datagrams:
            raise BlockingIOError
        return self.datagrams.popleft()

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 20_000


def delayed(packet: RtpPacket, seconds: float) -> RtpPacket:
    """The same, later."""
    return packet._replace(arrived_s=packet.arrived_s + seconds)
