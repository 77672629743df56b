"""Capture files made by hand, for tests."""

import ipaddress
import struct
from collections.abc import Iterable
from pathlib import Path

from monitor.sources.rtp_packet import RtpPacket

Endpoint = tuple[str, int]


def rtp(packet: RtpPacket) -> bytes:
    """On the wire."""
    kind = packet.payload_type
    return struct.pack(">BBHII", 0x80, kind, packet.sequence, packet.timestamp, packet.source) + packet.payload


def udp(sender: Endpoint, receiver: Endpoint, payload: bytes) -> bytes:
    """An IP packet, of the version that the addresses have."""
    source, target = (ipaddress.ip_address(host) for host, _ in (sender, receiver))
    segment = struct.pack(">HHHH", sender[1], receiver[1], 8 + len(payload), 0) + payload
    if source.version == 4:
        header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 17, 0)
    else:
        header = struct.pack(">IHBB", 6 << 28, len(segment), 17, 64)
    return header + source.packed + target.packed + segment


def framed(packet: bytes, link: str) -> tuple[int, bytes]:
    """(link type, frame)."""
    kind = struct.pack(">H", 0x86DD if packet[0] >> 4 == 6 else 0x0800)
    return {
        "Ethernet": (1, bytes(12) + kind + packet),
        "VLAN": (1, bytes(12) + b"\x81\x00\x00\x05" + kind + packet),
        "two VLANs": (1, bytes(12) + b"\x88\xa8\x00\x05\x81\x00\x00\x06" + kind + packet),
        "cooked": (113, bytes(14) + kind + packet),
        "cooked 2": (276, kind + bytes(18) + packet),
        "loopback": (0, b"\x02\x00\x00\x00" + packet),
        "raw": (101, packet),
    }[link]


def write_pcap(path: Path, frames: Iterable[tuple[float, bytes]], link_type: int = 101) -> Path:
    """(seconds, frame)."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, link_type)
    for moment_s, frame in frames:
        micros = round(moment_s * 1_000_000)
        data += struct.pack("<IIII", micros // 1_000_000, micros % 1_000_000, len(frame), len(frame)) + frame
    path.write_bytes(data)
    return path


def write_pcapng(path: Path, frames: Iterable[tuple[float, bytes]], link_type: int = 101) -> Path:
    """(seconds, frame)."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    data = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    data += block(1, struct.pack("<HHI", link_type, 0, 65_535))
    for moment_s, frame in frames:
        micros = round(moment_s * 1_000_000)
        head = struct.pack("<IIIII", 0, micros >> 32, micros & 0xFFFFFFFF, len(frame), len(frame))
        data += block(6, head + frame)
    path.write_bytes(data)
    return path
