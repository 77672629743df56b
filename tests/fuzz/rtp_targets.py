"""RTP, RTCP, whole streams of datagrams, frames and capture files."""

import struct
import tempfile
from pathlib import Path

import numpy as np

from monitor.audio import Block
from monitor.errors import ProtocolError
from monitor.sources.capture import Capture, look_through
from monitor.sources.codecs import COMFORT_NOISE, PCMA, PCMU, TELEPHONE_EVENT, opus_ticks
from monitor.sources.frames import LINK_TYPES, datagram_in
from monitor.sources.rtp_packet import farewells, is_rtcp, parse_rtp
from monitor.sources.rtp_party import PartyAudio
from tests.captures import framed, rtp, udp, write_pcap, write_pcapng
from tests.fuzz.mutation import Target
from tests.rtp_streams import Sender

_PACKETS = [rtp(packet) for packet in Sender().packets(np.zeros(1_600, np.float32))]
_EXTENDED = b"\xb1" + _PACKETS[0][1:12] + bytes(4) + b"\xbe\xde\x00\x01" + bytes(4) + bytes(160) + b"\x02\x02"
_EVENT = struct.pack(">BBHII", 0x80, 101, 9, 160, 11) + b"\x05\x0a\x00\xa0"
_REPORTS = struct.pack(">BBHI", 0x80, 201, 1, 5) + struct.pack(">BBHII", 0x82, 203, 2, 5, 6)
_SENDERS_REPORT = struct.pack(">BBHI5I", 0x80, 200, 6, 11, 1, 2, 3, 4, 5)


def rtp_packet(data: bytes) -> None:
    """One datagram, and what is asked of it."""
    if not is_rtcp(data):
        opus_ticks(parse_rtp(data, 0.0).payload)


def rtp_stream(data: bytes) -> None:
    """A party's datagrams, two bytes of length before each; looks that time never shrinks."""
    blocks: list[Block] = []
    codecs = {0: PCMU, 8: PCMA, 13: COMFORT_NOISE, 101: TELEPHONE_EVENT}
    audio = PartyAudio("call", "customer", codecs, 0.0, 0.2, blocks.append)
    now_s = 0.0
    while len(data) > 2:
        length = int.from_bytes(data[:2])
        datagram, data = data[2 : 2 + length], data[2 + length :]
        now_s += 0.02 * (1 + length % 7)
        try:
            if is_rtcp(datagram):
                audio.push_rtcp(datagram)
            else:
                audio.push(parse_rtp(datagram, now_s))
        except ProtocolError:
            continue
        audio.pass_time(now_s)
    audio.finish(now_s)
    expected = 0
    for block in blocks:
        assert block.start >= expected, "time shrank"
        expected = block.start + block.samples.size
    assert expected / 8_000 < now_s + 15, "time ran ahead"


def frame(data: bytes) -> None:
    """A frame of every link type."""
    for link_type in LINK_TYPES:
        datagram_in(data, link_type)


class _CaptureFile:
    """Capture files go through the disk."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="callmood-fuzz-"))

    def seeds(self) -> list[bytes]:
        way = ("192.0.2.1", 4_000), ("192.0.2.9", 40_000)
        frames = [(1.0 + index, framed(udp(*way, packet), "Ethernet")[1]) for index, packet in enumerate(_PACKETS)]
        return [write(self._folder / "seed", frames, 1).read_bytes() for write in (write_pcap, write_pcapng)]

    def parse(self, data: bytes) -> object:
        path = self._folder / "fuzzed.pcap"
        path.write_bytes(data)
        return look_through(Capture(str(path)))


def _joined(datagrams: list[bytes]) -> bytes:
    return b"".join(len(datagram).to_bytes(2) + datagram for datagram in datagrams)


def targets() -> list[Target]:
    """All of this file."""
    capture = _CaptureFile()
    way = ("192.0.2.1", 4_000), ("192.0.2.9", 40_000)
    way_6 = ("2001:db8::1", 4_000), ("2001:db8::9", 40_000)
    packets = [udp(*way, _PACKETS[0]), udp(*way_6, _PACKETS[0])]
    links = ["VLAN", "cooked", "cooked 2", "loopback", "raw"]
    opus = b"\x83\x05" + bytes(40)
    return [
        Target("RTP", [*_PACKETS, _EXTENDED, _EVENT, _PACKETS[0][:12] + opus], rtp_packet),
        Target("RTCP", [_REPORTS, _SENDERS_REPORT + _REPORTS], farewells),
        Target("RTP-stream", [_joined(_PACKETS), _joined([*_PACKETS, _EVENT, _REPORTS, _EXTENDED])], rtp_stream),
        Target("frame", [framed(packet, link)[1] for packet in packets for link in links], frame),
        Target("pcap", capture.seeds(), capture.parse),
    ]
