"""RTP and RTCP packets as bytes (RFC 3550). Pure and total: any bytes give a value or ProtocolError."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from monitor.errors import ProtocolError

_HEADER = struct.Struct(">BBHII")
HEADER_BYTES = _HEADER.size
"""Of a packet that carries nothing but its payload."""
_VERSION_2 = 0x80
_RTCP_TYPES = range(192, 224)
"""Second bytes that are RTCP where both come on one port (RFC 5761 section 4)."""
_BYE = 203


class RtpPacket(NamedTuple):
    """What matters of one RTP packet (RFC 3550 section 5.1). Its marker says nothing reliable and is left out."""

    payload_type: int
    sequence: int
    """16 bits."""
    timestamp: int
    """32 bits, in ticks of the codec's clock."""
    source: int
    """SSRC, 32 bits."""
    payload: bytes
    """Without padding; may be empty."""
    arrived_s: float
    """Monotonic clock, or that of a capture file."""


def is_rtcp(datagram: bytes) -> bool:
    """Whether a datagram is RTCP rather than RTP."""
    return len(datagram) > 1 and datagram[1] in _RTCP_TYPES and datagram[0] & 0xC0 == _VERSION_2


def parse_rtp(datagram: bytes, arrived_s: float) -> RtpPacket:
    """One RTP packet; CSRCs, a header extension and padding are taken off. Raises ProtocolError."""
    if len(datagram) < HEADER_BYTES:
        raise ProtocolError(f"an RTP packet has at least {HEADER_BYTES} bytes, got {len(datagram)}")
    first, second, sequence, timestamp, source = _HEADER.unpack_from(datagram)
    if first == _VERSION_2:
        payload = datagram[HEADER_BYTES:]
    elif first & 0xC0 == _VERSION_2:
        payload = _bare_payload(datagram, first)
    else:
        raise ProtocolError(f"expected RTP version 2, got {first >> 6}")
    return RtpPacket(second & 0x7F, sequence, timestamp, source, payload, arrived_s)


def plain_headers(payload_type: int, sequence: int, timestamp: int, source: int, ticks: int, count: int) -> bytes:
    """The first 12 bytes of so many packets of `ticks` each, without marker, padding, extension and CSRCs; put together."""
    pack = _HEADER.pack
    return b"".join(
        [
            pack(_VERSION_2, payload_type, (sequence + step) & 0xFFFF, (timestamp + ticks * step) & 0xFFFFFFFF, source)
            for step in range(count)
        ]
    )


def _bare_payload(datagram: bytes, first: int) -> bytes:
    start, end = HEADER_BYTES + 4 * (first & 0x0F), len(datagram)
    if first & 0x10:
        if start + 4 > end:
            raise ProtocolError(f"an RTP header extension begins at byte {start}, the packet has {end} bytes")
        start += 4 + 4 * int.from_bytes(datagram[start + 2 : start + 4])
    if first & 0x20:
        padding = datagram[-1]
        if not padding:
            raise ProtocolError("padding of an RTP packet counts at least its own byte, got 0")
        end -= padding
    if start > end:
        raise ProtocolError(f"header and padding of an RTP packet overlap: {start} and {len(datagram) - end} bytes")
    return datagram[start:end]


def farewells(datagram: bytes) -> frozenset[int]:
    """The SSRCs that say BYE in a compound RTCP packet (RFC 3550 section 6.6). Raises ProtocolError."""
    return frozenset(
        source for kind, count, body in _rtcp_parts(datagram) if kind == _BYE for source in _sources(count, body)
    )


def _rtcp_parts(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(packet type, count, body) of each part (RFC 3550 section 6.4.1)."""
    at = 0
    while at < len(datagram):
        if at + 4 > len(datagram) or datagram[at] & 0xC0 != _VERSION_2:
            raise ProtocolError(f"expected an RTCP header of version 2 at byte {at} of {len(datagram)}")
        end = at + 4 + 4 * int.from_bytes(datagram[at + 2 : at + 4])
        if end > len(datagram):
            raise ProtocolError(f"an RTCP part ends at byte {end}, the packet has {len(datagram)} bytes")
        yield datagram[at + 1], datagram[at] & 0x1F, datagram[at + 4 : end]
        at = end


def _sources(count: int, body: bytes) -> tuple[int, ...]:
    count = min(count, len(body) // 4)
    return struct.unpack(f">{count}I", body[: 4 * count])
