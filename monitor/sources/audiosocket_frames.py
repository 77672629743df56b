"""Asterisk's AudioSocket: bytes → frames. Pure and total: any bytes give frames or ProtocolError.

A frame is a byte of kind, two of length (big endian), and so much payload; the first one is the call's UUID
(https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from monitor.errors import ProtocolError

HANGUP, UUID, DTMF, ERROR = 0x00, 0x01, 0x03, 0xFF
RATES: Mapping[int, int] = {
    0x10: 8_000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}
"""Kind of audio → Hertz: 16 bit PCM, little endian, mono."""
UUID_BYTES = 16
_HEADER = 3
_FIRST = bytes([UUID, 0, UUID_BYTES])


class Frame(NamedTuple):
    """One frame."""

    kind: int
    payload: bytes


def encoded(frame: Frame) -> bytes:
    """As it is sent; the payload has at most 65,535 bytes."""
    return bytes([frame.kind]) + len(frame.payload).to_bytes(2) + frame.payload


class Framer:
    """What has come of one connection and is no whole frame yet."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._data = b""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Whole frames. Raises ProtocolError where the first one is no UUID, or one is longer than `most_bytes`."""
        data, at = self._data + data, 0
        if not self._begun and data[:_HEADER] != _FIRST[: len(data)]:
            raise ProtocolError(
                f"expected a UUID first (01 00 10), got {data[:_HEADER].hex(' ')}: this is no AudioSocket"
            )
        try:
            while len(data) - at >= _HEADER:
                length = int.from_bytes(data[at + 1 : at + _HEADER])
                if length > self._most_bytes:
                    raise ProtocolError(f"a frame of {length} bytes, expected at most {self._most_bytes}")
                end = at + _HEADER + length
                if len(data) < end:
                    break
                frame = Frame(data[at], data[at + _HEADER : end])
                at, self._begun = end, True
                yield frame
        finally:
            self._data = data[at:]
