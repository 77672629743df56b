"""Captured frames → UDP datagrams. Pure and total: what is no whole UDP datagram is None.

Link types: https://www.tcpdump.org/linktypes.html; IPv4: RFC 791, IPv6: RFC 8200, UDP: RFC 768.
"""

import ipaddress
from typing import NamedTuple

_ETHERNET, _NULL, _LOOP, _LINUX_COOKED, _LINUX_COOKED_2 = 1, 0, 108, 113, 276
_RAW = (12, 14, 101, 228, 229)
_VLAN_TAGS = (0x8100, 0x88A8, 0x9100)
_IP_TYPES = (0x0800, 0x86DD)
_UDP = 17
_EXTENSIONS = (0, 43, 60)
"""IPv6 headers that may stand before UDP: hop by hop, routing, destination."""
LINK_TYPES = (_ETHERNET, _NULL, _LOOP, _LINUX_COOKED, _LINUX_COOKED_2, *_RAW)
"""What is understood."""

Endpoint = tuple[bytes, int]
"""IP address (4 or 16 bytes) and port."""


class Datagram(NamedTuple):
    """What one UDP datagram carries."""

    sender: Endpoint
    receiver: Endpoint
    payload: bytes


def shown(endpoint: Endpoint) -> str:
    """`192.0.2.1:4000`, `[2001:db8::1]:4000`."""
    address = str(ipaddress.ip_address(endpoint[0]))
    return f"[{address}]:{endpoint[1]}" if ":" in address else f"{address}:{endpoint[1]}"


def datagram_in(frame: bytes, link_type: int) -> Datagram | None:
    """The UDP datagram in a frame; None for everything else, fragments and what was cut among it."""
    packet = _ip_packet(frame, link_type)
    if not packet:
        return None
    version = packet[0] >> 4
    if version == 4:
        return _in_ipv4(packet)
    return _in_ipv6(packet) if version == 6 else None


def _ip_packet(frame: bytes, link_type: int) -> bytes:
    """Empty where there is none."""
    if link_type in _RAW:
        return frame
    if link_type in (_NULL, _LOOP):
        return frame[4:]
    if link_type == _LINUX_COOKED:
        return frame[16:] if int.from_bytes(frame[14:16]) in _IP_TYPES else b""
    if link_type == _LINUX_COOKED_2:
        return frame[20:] if int.from_bytes(frame[0:2]) in _IP_TYPES else b""
    at = 12
    while int.from_bytes(frame[at : at + 2]) in _VLAN_TAGS:
        at += 4
    return frame[at + 2 :] if int.from_bytes(frame[at : at + 2]) in _IP_TYPES else b""


def _in_ipv4(packet: bytes) -> Datagram | None:
    header = (packet[0] & 0x0F) * 4
    if header < 20 or len(packet) < header or packet[9] != _UDP or int.from_bytes(packet[6:8]) & 0x3FFF:
        return None
    return _in_udp(packet[header : int.from_bytes(packet[2:4]) or None], packet[12:16], packet[16:20])


def _in_ipv6(packet: bytes) -> Datagram | None:
    if len(packet) < 40:
        return None
    kind, at = packet[6], 40
    while kind in _EXTENSIONS and at + 2 <= len(packet):
        kind, at = packet[at], at + 8 + 8 * packet[at + 1]
    return _in_udp(packet[at:], packet[8:24], packet[24:40]) if kind == _UDP else None


def _in_udp(segment: bytes, sender: bytes, receiver: bytes) -> Datagram | None:
    length = int.from_bytes(segment[4:6])
    if length < 8 or len(segment) < length:
        return None
    ports = int.from_bytes(segment[0:2]), int.from_bytes(segment[2:4])
    return Datagram((sender, ports[0]), (receiver, ports[1]), segment[8:length])
