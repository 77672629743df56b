"""RTP of many parties from one process: PCMU, a packet each 20 ms, voices of the example calls."""

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from monitor.audio import float_to_mulaw

CALLS = Path(__file__).parents[2] / "examples" / "calls"
_PACKET = 160
_SLICES = 10
"""A packet time is sent in so many pieces, so that no burst stands for what real clients spread."""


def voices() -> list[bytes]:
    """Both channels of the example calls as µ-law, whole packets."""
    found = []
    for path in sorted(CALLS.glob("*.flac")):
        samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
        for channel in samples.T:
            codes = float_to_mulaw(np.ascontiguousarray(channel)).tobytes()
            found.append(codes[: len(codes) // _PACKET * _PACKET])
    return found


class Media:
    """The streams of one sender; all leave from one socket, each with its own SSRC."""

    def __init__(self, host: str) -> None:
        self._voices = voices()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self._socket.bind((host, 0))
        self._streams: list[Stream] = []
        self._begun = 0
        self.sent = 0
        """Packets."""
        self.moment_s = time.monotonic()
        """That is being sent: where this sender is behind its clock, in the past."""
        self.late_s = 0.0
        """The most that this sender was behind its own clock."""

    def add(self, address: tuple[str, int], agent: bool) -> "Stream":
        """One more party; agents' voices are the even ones."""
        number, self._begun = self._begun, self._begun + 1
        voice = self._voices[(number * 2 + (0 if agent else 1)) % len(self._voices)]
        self._streams.append(Stream(address, number, voice))
        return self._streams[-1]

    def drop(self, stream: "Stream") -> None:
        """That party is over."""
        self._streams.remove(stream)

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        """Something else from where the streams come from."""
        self._socket.sendto(data, address)

    def play(self, seconds: float, between: Callable[[], None] = lambda: None) -> None:
        """Sends at real pace; `between` is called 500 times a second and may add parties."""
        began_s = time.monotonic()
        for turn in range(round(seconds * 50) * _SLICES):
            self.moment_s = began_s + turn / (50 * _SLICES)
            between()
            wait_s = self.moment_s - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            self.late_s = max(self.late_s, -wait_s)
            for stream in self._streams[turn % _SLICES :: _SLICES]:
                if not stream.silent:
                    self._socket.sendto(stream.next_packet(), stream.address)
                    self.sent += 1

    def close(self) -> None:
        """Gives the port back."""
        self._socket.close()


class Stream:
    """One party's packets."""

    def __init__(self, address: tuple[str, int], number: int, voice: bytes) -> None:
        self.address = address
        self.silent = False
        """Sends no more."""
        self._voice = memoryview(voice)
        self._at = number * 7_919 * _PACKET % len(voice)
        self._packet = bytearray(12 + _PACKET)
        struct.pack_into(">BBHII", self._packet, 0, 0x80, 0, 0, 0, number + 1)
        self._count = 0

    @property
    def packets(self) -> int:
        """That were sent, 20 ms each."""
        return self._count

    def next_packet(self) -> bytearray:
        self._count += 1
        struct.pack_into(">HI", self._packet, 2, self._count & 0xFFFF, self._count * _PACKET & 0xFFFFFFFF)
        self._packet[12:] = self._voice[self._at : self._at + _PACKET]
        self._at = (self._at + _PACKET) % len(self._voice)
        return self._packet
