"""RTP of many parties from one process: PCMU, a packet each 20 ms, voices of the example calls.

It runs on the cores of the node that it loads, so it costs as little as can be: what leaves together is one system call
(Linux' `sendmmsg`), and its headers go on together.
"""

import ctypes
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from monitor.audio import float_to_mulaw

CALLS = Path(__file__).parents[2] / "examples" / "calls"
_PACKET = 160
_SLICES = 2
"""A packet time is sent in so many pieces: the receiver looks every 40 ms, and a wake-up here costs what tens of packets do."""
_HEADER = np.dtype([("version", "u1"), ("kind", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("source", ">u4")])
"""RTP's."""
_ADDRESS = np.dtype([("family", "u2"), ("port", ">u2"), ("host", "4u1"), ("nothing", "8u1")])
"""`sockaddr_in`."""
_PART = np.dtype([("at", "u8"), ("size", "u8")])
"""`iovec`."""
_MESSAGE = np.dtype(
    [
        ("address", "u8"),
        ("address_size", "u4"),
        ("parts", "u8"),
        ("part_count", "u8"),
        ("control", "u8"),
        ("control_size", "u8"),
        ("flags", "u8"),
        ("sent", "u8"),
    ],
    align=True,
)
"""`mmsghdr` of a 64 bit Linux, its ends filled up."""


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
        self._voices = [np.frombuffer(voice, np.uint8) for voice in voices()]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self._socket.bind((host, 0))
        self._slices = [_Slice(self._socket) for _ in range(_SLICES)]
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
        return Stream(address, self._slices[number % _SLICES], number, voice)

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        """Something else from where the streams come from."""
        self._socket.sendto(data, address)

    def play(self, seconds: float, between: Callable[[], None] = lambda: None) -> None:
        """Sends at real pace; `between` is called 100 times a second and may add parties."""
        began_s = time.monotonic()
        for turn in range(round(seconds * 50) * _SLICES):
            self.moment_s = began_s + turn / (50 * _SLICES)
            between()
            wait_s = self.moment_s - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            self.late_s = max(self.late_s, -wait_s)
            self.sent += self._slices[turn % _SLICES].send()

    def close(self) -> None:
        """Gives the port back."""
        self._socket.close()


class Stream:
    """One party's packets, until it is silent."""

    def __init__(self, address: tuple[str, int], slice_: "_Slice", number: int, voice: Any) -> None:
        """`number` among all streams, from 0; `voice`: µ-law, bytes that stay where they are."""
        self.address, self.number, self.voice = address, number, voice
        self._slice: _Slice | None = slice_
        self._packets = 0
        slice_.add(self)

    @property
    def packets(self) -> int:
        """That were sent, 20 ms each."""
        return self._packets if self._slice is None else self._slice.packets(self)

    def end(self) -> None:
        """Sends no more. May be called twice."""
        if self._slice is not None:
            self._packets, self._slice = self._slice.drop(self), None


class _Slice:
    """The streams whose packets leave together: a row of each table a stream."""

    def __init__(self, socket_: socket.socket) -> None:
        self._socket = socket_
        self._system = ctypes.CDLL(None, use_errno=True)
        self._streams: list[Stream] = []
        self._counts = np.zeros(0, np.int64)
        """Packets sent."""
        self._headers, self._addresses = np.zeros(0, _HEADER), np.zeros(0, _ADDRESS)
        self._parts = np.zeros((0, 2), _PART)
        """Where header and payload of the next packet are."""
        self._ends, self._lengths = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        """Of each stream's voice: where in memory it ends, and how long it is."""
        self._messages = np.zeros(0, _MESSAGE)

    def add(self, stream: Stream) -> None:
        """Its first packet leaves with the next."""
        at = stream.number * 7_919 * _PACKET % stream.voice.size
        begins, size = stream.voice.ctypes.data, stream.voice.size
        host = [*socket.inet_aton(stream.address[0])]
        self._streams.append(stream)
        self._counts = _longer(self._counts, 0)
        self._headers = _longer(self._headers, (0x80, 0, 1, _PACKET, stream.number + 1))
        self._addresses = _longer(self._addresses, (int(socket.AF_INET), stream.address[1], host, [0] * 8))
        self._parts = _longer(self._parts, [(0, _HEADER.itemsize), (begins + at, _PACKET)])
        self._ends = _longer(self._ends, begins + size)
        self._lengths = _longer(self._lengths, size)
        self._point()

    def packets(self, stream: Stream) -> int:
        """How many it has sent."""
        return int(self._counts[self._streams.index(stream)])

    def drop(self, stream: Stream) -> int:
        """That stream is over; how many packets it has sent."""
        row = self._streams.index(stream)
        count = int(self._counts[row])
        del self._streams[row]
        for name in ("_counts", "_headers", "_addresses", "_parts", "_ends", "_lengths"):
            setattr(self, name, np.delete(getattr(self, name), row, axis=0))
        self._point()
        return count

    def send(self) -> int:
        """One packet of each stream; how many there are."""
        at, most = 0, len(self._streams)
        while at < most:
            place = self._messages.ctypes.data + at * _MESSAGE.itemsize
            sent = self._system.sendmmsg(self._socket.fileno(), ctypes.c_void_p(place), most - at, 0)
            if sent < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            at += sent
        self._counts += 1
        self._headers["sequence"] += 1
        self._headers["timestamp"] += _PACKET
        payloads = self._parts["at"][:, 1]
        payloads += _PACKET
        payloads -= self._lengths * (payloads == self._ends)
        return most

    def _point(self) -> None:
        """The messages name where the tables lie now."""
        count = len(self._streams)
        self._parts["at"][:, 0] = self._headers.ctypes.data + np.arange(count) * _HEADER.itemsize
        self._messages = np.zeros(count, _MESSAGE)
        self._messages["address"] = self._addresses.ctypes.data + np.arange(count) * _ADDRESS.itemsize
        self._messages["address_size"] = _ADDRESS.itemsize
        self._messages["parts"] = self._parts.ctypes.data + np.arange(count) * self._parts.strides[0]
        self._messages["part_count"] = 2


def _longer(table: Any, row: Any) -> Any:
    """`table` with one more row; of the same byte order, which numpy's own `append` does not keep."""
    longer = np.zeros((len(table) + 1, *table.shape[1:]), table.dtype)
    longer[:-1], longer[-1] = table, row
    return longer
