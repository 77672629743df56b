"""A capture file, and the RTP calls in it.

Streams are told apart by address and SSRC; an SSRC that follows another on the same addresses is the same party. Two
streams that run against each other between the same addresses are a call, and so are two that one host sends to another
side by side, as recording clients do.
"""

import importlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from monitor.errors import AudioError, ProtocolError, SettingError
from monitor.sources.audiofile import printable
from monitor.sources.codecs import STATIC_PAYLOAD_TYPES, Codec, find_codec, known_codecs
from monitor.sources.frames import LINK_TYPES, Datagram, Endpoint, datagram_in, shown
from monitor.sources.rtp_packet import is_rtcp, parse_rtp

_LARGEST_READ = 1 << 20
_MOST_STREAMS = 2_000
"""Of what looks like RTP; more are passed over."""
_FEWEST_PACKETS = 10
"""Of a stream: fewer may be anything whose bytes look like RTP by chance."""
_NEAR = 20
_OVERLAP_S = 0.5
"""SSRCs of the same addresses that sound together for longer are streams of their own."""
_LONGEST_PAUSE_S = 60.0
"""After a longer one the same addresses are another call."""
_TOGETHER_S = 2.0
"""Streams of one host to another that begin within this are a call."""
_RTPMAP = re.compile(rb"a=rtpmap:(\d{1,3}) ([\w.-]{1,40})/(\d{4,6})")


class Capture:
    """The datagrams of a capture file, read anew each time. Raises SettingError without dpkt, AudioError for another file."""

    def __init__(self, path: str) -> None:
        if importlib.util.find_spec("dpkt") is None:
            raise SettingError(f"{printable(path)}: captures need dpkt, which is missing: pip install 'callmood[pcap]'")
        self._path = path

    def datagrams(self) -> Iterator[tuple[float, Datagram]]:
        """(seconds, datagram) in the order of the file. Raises AudioError where it is broken, after what stands before."""
        dpkt: Any = importlib.import_module("dpkt")
        with Path(self._path).open("rb") as file:
            try:
                reader = dpkt.pcap.UniversalReader(_Bounded(file))
                link_type = reader.datalink()
                if link_type not in LINK_TYPES:
                    kinds = "Ethernet, Linux cooked, loopback or raw IP"
                    raise AudioError(f"{printable(self._path)}: link type {link_type} is not known, expected {kinds}")
                for moment, frame in reader:
                    datagram = datagram_in(frame, link_type)
                    if datagram is not None:
                        yield float(moment), datagram
            except (dpkt.Error, ValueError, ArithmeticError) as error:
                reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
                raise AudioError(
                    f"{printable(self._path)}: not a capture that can be read ({reason}); capture it again"
                ) from error


class _Bounded:
    """A file of which no length inside it makes us read more than a frame may have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, count: int) -> bytes:
        if not 0 <= count <= _LARGEST_READ:
            raise ValueError(f"a block of {count} bytes")
        return self._file.read(count)

    def seek(self, position: int) -> int:
        return self._file.seek(position)


Key = tuple[Endpoint, Endpoint, int]
"""Sender, receiver, SSRC."""


@dataclass
class Stream:
    """One party's RTP in a capture."""

    sender: Endpoint
    receiver: Endpoint
    sources: list[int]
    """SSRCs, in the order in which they came."""
    first_s: float
    last_s: float
    """Clock of the capture."""
    packets: int = 0
    near: int = 0
    """Packets whose number is close to the one before."""
    last_sequence: int = 0
    codec: str = ""

    @property
    def sound(self) -> bool:
        """Whether it is RTP rather than what looks like it by chance."""
        return self.packets >= _FEWEST_PACKETS and self.near >= 0.8 * (self.packets - 1)

    def __str__(self) -> str:
        return f"{shown(self.sender)} > {shown(self.receiver)} SSRC 0x{self.sources[0]:08x} ({self.codec})"


@dataclass
class Contents:
    """What a capture holds."""

    calls: list[list[Stream]]
    """Each with its streams, in the order in which they begin."""
    codecs: Mapping[int, Codec]
    """Payload types, of SDP in the capture too."""
    unknown: dict[int, int] = field(default_factory=dict)
    """Packets of payload types that nothing explains."""


def look_through(capture: Capture) -> Contents:
    """Reads a capture once. Raises AudioError where nothing of it can be read."""
    known = known_codecs()
    codecs = {number: codec for number, codec in STATIC_PAYLOAD_TYPES.items() if codec in known}
    streams: dict[Key, Stream] = {}
    unknown: dict[int, int] = {}
    try:
        for moment_s, datagram in capture.datagrams():
            if b"a=rtpmap:" in datagram.payload:
                codecs |= _agreed_in(datagram.payload)
            else:
                _note(streams, unknown, codecs, moment_s, datagram)
    except AudioError:
        if not streams:
            raise
    sound = sorted(_joined(stream for stream in streams.values() if stream.sound), key=lambda stream: stream.first_s)
    return Contents(_calls(sound), codecs, unknown)


def _agreed_in(sdp: bytes) -> dict[int, Codec]:
    found = {}
    for number, name, clock_rate in _RTPMAP.findall(sdp):
        codec = find_codec(name.decode(), int(clock_rate))
        if codec is not None and int(number) < 128:
            found[int(number)] = codec
    return found


def _note(
    streams: dict[Key, Stream],
    unknown: dict[int, int],
    codecs: Mapping[int, Codec],
    moment_s: float,
    datagram: Datagram,
) -> None:
    if is_rtcp(datagram.payload):
        return
    try:
        packet = parse_rtp(datagram.payload, moment_s)
    except ProtocolError:
        return
    codec = codecs.get(packet.payload_type)
    if codec is None or codec.kind != "audio":
        if codec is None and packet.payload_type >= 96:
            unknown[packet.payload_type] = unknown.get(packet.payload_type, 0) + 1
        return
    key = (datagram.sender, datagram.receiver, packet.source)
    stream = streams.get(key)
    if stream is None:
        if len(streams) >= _MOST_STREAMS:
            return
        begins_s = moment_s - codec.ticks(packet.payload) / codec.clock_rate
        stream = streams[key] = Stream(*key[:2], [packet.source], begins_s, moment_s, codec=codec.name)
    elif abs((packet.sequence - stream.last_sequence + 0x8000 & 0xFFFF) - 0x8000) <= _NEAR:
        stream.near += 1
    stream.packets += 1
    stream.last_s, stream.last_sequence = moment_s, packet.sequence


def _joined(streams: Iterator[Stream]) -> list[Stream]:
    """SSRCs that follow each other on the same addresses are one stream."""
    joined: list[Stream] = []
    latest: dict[tuple[Endpoint, Endpoint], Stream] = {}
    for stream in sorted(streams, key=lambda stream: stream.first_s):
        before = latest.get((stream.sender, stream.receiver))
        if before is not None and -_OVERLAP_S < stream.first_s - before.last_s < _LONGEST_PAUSE_S:
            before.sources += stream.sources
            before.last_s = max(before.last_s, stream.last_s)
        else:
            joined.append(stream)
            latest[stream.sender, stream.receiver] = stream
    return joined


def _calls(streams: list[Stream]) -> list[list[Stream]]:
    calls = []
    while streams:
        first, *streams = streams
        other = _other(first, streams)
        if other is not None:
            streams.remove(other)
        calls.append([first] if other is None else _in_order(first, other))
    return calls


def _other(first: Stream, streams: list[Stream]) -> Stream | None:
    """The stream that makes a call with `first`."""
    sounding = [stream for stream in streams if stream.first_s < first.last_s]
    for stream in sounding:
        if (stream.sender, stream.receiver) == (first.receiver, first.sender):
            return stream
    for stream in sounding:
        hosts = stream.sender[0], stream.receiver[0]
        if hosts == (first.sender[0], first.receiver[0]) and stream.first_s - first.first_s < _TOGETHER_S:
            return stream
    return None


def _in_order(first: Stream, other: Stream) -> list[Stream]:
    """Side by side by their ports, as SDP lists them; against each other by their beginning."""
    if first.receiver[0] == other.receiver[0] and first.sender != other.receiver:
        return sorted((first, other), key=lambda stream: (stream.receiver[1], stream.sender[1]))
    return [first, other]
