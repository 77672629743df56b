"""Reads what waits in a UDP socket: in one system call where there is one for it (Linux' `recvmmsg`), else one by one.

A voice is fifty datagrams a second. Read one by one each costs a call of the system, and its address is made into text; that was
a third of what hearing a call cost.
"""

import ctypes
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache

from monitor.sources.datagrams import Address, Alike, Datagrams
from monitor.sources.rtp_packet import HEADER_BYTES

MOST_AT_ONCE = 64
"""Datagrams a look: what a flood beyond that brings waits in, or falls out of, that socket's own buffer."""
_LARGEST = 4_096
"""Bytes; longer ones are no RTP of a phone call and arrive cut."""
_USUAL = 160
"""Bytes of a payload: 20 ms of G.711. What is longer goes on elsewhere."""
_ADDRESS_BYTES = 28
"""`sockaddr_in6`; one of IPv4 has 16."""

Read = Callable[[socket.socket], Datagrams]
"""Whatever waits in a socket that does not block, at most `MOST_AT_ONCE`; a fault of the network is nothing."""


def reader() -> Read:
    """The quickest way on this system."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "recvmmsg"):
        return _ManyAtOnce().read
    return one_by_one


def one_by_one(one: socket.socket) -> Datagrams:
    """See Read."""
    came: list[tuple[bytes, Address]] = []
    with suppress(OSError):  # nothing more; or what the other side's ICMP says, which is no fault of the stream
        for _ in range(MOST_AT_ONCE):
            came.append(one.recvfrom(_LARGEST))  # noqa: PERF401, what came before the error counts
    return Datagrams([address for _, address in came], [datagram for datagram, _ in came])


class _Part(ctypes.Structure):
    """`iovec`: where a piece of a datagram goes."""

    _fields_ = (("at", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """`msghdr`"""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("address_size", ctypes.c_uint),
        ("parts", ctypes.c_void_p),
        ("part_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """`mmsghdr`"""

    _fields_ = (("header", _Header), ("size", ctypes.c_uint))


class _ManyAtOnce:
    """Memory that the system fills: headers side by side, payloads of the usual size side by side."""

    def __init__(self) -> None:
        self._recvmmsg = ctypes.CDLL(None).recvmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        sizes = (HEADER_BYTES, _USUAL, _LARGEST - HEADER_BYTES - _USUAL)
        memory = [bytearray(MOST_AT_ONCE * size) for size in sizes]
        self._headers, self._payloads, self._rests = [memoryview(one) for one in memory]
        addresses = bytearray(MOST_AT_ONCE * _ADDRESS_BYTES)
        messages = bytearray(MOST_AT_ONCE * ctypes.sizeof(_Message))
        self._addresses = memoryview(addresses)
        self._parts = (_Part * (len(sizes) * MOST_AT_ONCE))()
        self._messages = (_Message * MOST_AT_ONCE).from_buffer(messages)
        at, places = ctypes.addressof(self._parts), [_address_of(one) for one in memory]
        for number, message in enumerate(self._messages):
            header = message.header
            header.address, header.address_size = _address_of(addresses) + number * _ADDRESS_BYTES, _ADDRESS_BYTES
            header.parts = at + number * len(sizes) * ctypes.sizeof(_Part)
            header.part_count = len(sizes)
            for piece, (place, size) in enumerate(zip(places, sizes, strict=True)):
                self._parts[number * len(sizes) + piece] = _Part(place + number * size, size)
        step = ctypes.sizeof(_Message) // ctypes.sizeof(ctypes.c_uint)
        self._sizes = memoryview(messages).cast("I")[_Message.size.offset // ctypes.sizeof(ctypes.c_uint) :: step]
        self._at = ctypes.addressof(self._messages)

    def read(self, one: socket.socket) -> Datagrams:
        """See Read."""
        count = self._recvmmsg(one.fileno(), self._at, MOST_AT_ONCE, 0, None)
        if count <= 0:
            return Datagrams()
        addresses, sizes = self._came_from(count), self._sizes[:count].tolist()
        if sizes.count(HEADER_BYTES + _USUAL) == count:
            headers = bytes(self._headers[: count * HEADER_BYTES])
            return Datagrams(addresses, alike=Alike(headers, bytes(self._payloads[: count * _USUAL])))
        return Datagrams(addresses, [self._whole(number, size) for number, size in enumerate(sizes)])

    def _came_from(self, count: int) -> tuple[Address, ...]:
        every = bytes(self._addresses[: count * _ADDRESS_BYTES])
        first = every[:_ADDRESS_BYTES]
        if every == first * count:  # as it is for nearly all
            return (_address(first),) * count
        return tuple(_address(every[at : at + _ADDRESS_BYTES]) for at in range(0, len(every), _ADDRESS_BYTES))

    def _whole(self, number: int, size: int) -> bytes:
        rest = len(self._rests) // MOST_AT_ONCE
        pieces = (
            self._headers[number * HEADER_BYTES : (number + 1) * HEADER_BYTES],
            self._payloads[number * _USUAL : (number + 1) * _USUAL],
            self._rests[number * rest : (number + 1) * rest],
        )
        return b"".join(pieces)[:size]


def _address_of(memory: bytearray) -> int:
    """Where it lies; it stays there, since its size does not change."""
    return ctypes.addressof((ctypes.c_char * len(memory)).from_buffer(memory))


@lru_cache(maxsize=4_096)
def _address(raw: bytes) -> Address:
    """`sockaddr_in` or `sockaddr_in6` as the socket module says it."""
    (family,) = struct.unpack_from("=H", raw)
    if family == socket.AF_INET6:
        port, flow, host = struct.unpack_from("!HI16s", raw, 2)
        return socket.inet_ntop(family, host), port, flow, *struct.unpack_from("=I", raw, 24)
    port, host = struct.unpack_from("!H4s", raw, 2)
    return socket.inet_ntop(socket.AF_INET, host), port
