"""SDP offers and answers for somebody who only listens (RFC 8866, RFC 3264, RFC 4574). Pure and total."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from monitor.errors import ProtocolError
from monitor.sources.codecs import STATIC_PAYLOAD_TYPES, Codec, find_codec, known_codecs

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
MOST_MEDIA = 16
"""m-lines of one description."""
_MOST_LINES = 1_000
_MOST_FORMATS = 64
PLAIN_RTP = ("RTP/AVP", "RTP/AVPF")
_M_LINE = re.compile(r"m=(\S{1,32}) ([0-9]{1,5})(?:/[0-9]{1,5})? (\S{1,64}) (\S.{0,1023})")
_RTPMAP = re.compile(r"([0-9]{1,3}) +([!-.0-~]{1,64})/([0-9]{1,6})(?:/([0-9]{1,2}))?")
_UNHEARD = ("0.0.0.0", "::")
"""A connection address that means hold (RFC 3264 8.4)."""


@dataclass(frozen=True, slots=True)
class Media:
    """One m-line of an offer."""

    kind: str
    """audio, video, …"""
    port: int
    """0: not, or no longer, wanted."""
    protocol: str
    formats: tuple[str, ...]
    direction: Direction
    """As the client sees it."""
    host: str = ""
    """The connection address, as it stands there."""
    label: str = ""
    rtcp_mux: bool = False
    rtpmaps: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    """Payload type → name and clock rate."""
    fmtps: Mapping[int, str] = field(default_factory=dict)

    @property
    def on_hold(self) -> bool:
        """Whether nothing is sent for now."""
        return self.direction in ("inactive", "recvonly") or self.host in _UNHEARD

    def codecs(self) -> dict[int, Codec]:
        """Payload type → codec, in the offer's order, of what can be received; empty where no audio is among it."""
        found = {int(text): codec for text in self.formats if text.isdecimal() and (codec := self._codec(int(text)))}
        usable = self.kind == "audio" and self.protocol in PLAIN_RTP and self.port
        return found if usable and any(codec.kind == "audio" for codec in found.values()) else {}

    def _codec(self, payload_type: int) -> Codec | None:
        if payload_type > 127:
            return None
        if payload_type in self.rtpmaps:
            return find_codec(*self.rtpmaps[payload_type])
        codec = STATIC_PAYLOAD_TYPES.get(payload_type)
        return codec if codec in known_codecs() else None


def parse_offer(body: bytes) -> tuple[Media, ...]:
    """The m-lines of a session description, in their order. Raises ProtocolError."""
    lines = re.split(r"\r\n|\n|\r", body.decode("utf-8", "surrogateescape"), maxsplit=_MOST_LINES)
    if not any(line.startswith("v=0") for line in lines[:2]):
        raise ProtocolError(f"no SDP: expected v=0, got {lines[0][:40]!r}")
    if len(lines) > _MOST_LINES:
        raise ProtocolError(f"more than {_MOST_LINES} lines in one SDP")
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    if not starts:
        raise ProtocolError("SDP without an m-line: expected one for each party")
    if len(starts) > MOST_MEDIA:
        raise ProtocolError(f"more than {MOST_MEDIA} m-lines in one SDP")
    session = lines[: starts[0]]
    ends = [*starts[1:], len(lines)]
    return tuple(_media(lines[a], [*session, *lines[a + 1 : b]]) for a, b in zip(starts, ends, strict=True))


@dataclass
class _Attributes:
    """What the lines of a session and of one m-line say together, the later ones in the end."""

    direction: Direction = "sendrecv"
    host: str = ""
    label: str = ""
    rtcp_mux: bool = False
    rtpmaps: dict[int, tuple[str, int]] = field(default_factory=dict)
    fmtps: dict[int, str] = field(default_factory=dict)


def _media(m_line: str, lines: list[str]) -> Media:
    match = _M_LINE.fullmatch(m_line.strip())
    formats = tuple(match[4].split()) if match else ()
    if not match or int(match[2]) > 65_535 or len(formats) > _MOST_FORMATS:
        raise ProtocolError(f"m-line must be m=audio PORT RTP/AVP FORMATS, got {m_line[:60]!r}")
    said = _Attributes()
    for line in lines:
        _read(line.strip(), said)
    return Media(match[1].lower(), int(match[2]), match[3].upper(), formats, **vars(said))


def _read(line: str, said: _Attributes) -> None:
    """Notes what a line says; lines of no concern say nothing."""
    kind, _, value = line.partition("=")
    words = value.split()
    if kind == "c" and len(words) == 3:
        said.host = words[2].partition("/")[0].lower()
    if kind != "a":
        return
    name, _, value = value.partition(":")
    match name:
        case "sendrecv" | "sendonly" | "recvonly" | "inactive":
            said.direction = name
        case "label":
            said.label = value.strip()[:256]
        case "rtcp-mux":
            said.rtcp_mux = True
        case "rtpmap" if match := _RTPMAP.fullmatch(value.strip()):
            said.rtpmaps[int(match[1])] = (match[2], int(match[3]))
        case "fmtp":
            payload_type, _, text = value.strip().partition(" ")
            if re.fullmatch(r"[0-9]{1,3}", payload_type):
                said.fmtps[int(payload_type)] = text[:256]


@dataclass(frozen=True, slots=True)
class Answered:
    """What one m-line of the offer is answered with."""

    media: Media
    port: int = 0
    """Where we listen; 0 refuses it."""
    codecs: Mapping[int, Codec] = field(default_factory=dict)


def answer(host: str, session: int, version: int, answered: Iterable[Answered]) -> bytes:
    """The description to send back. `version` rises by one with every answer of a session (RFC 3264 8)."""
    family = "IP6" if ":" in host else "IP4"
    lines = [
        "v=0",
        f"o=callmood {session} {version} IN {family} {host}",
        "s=callmood",
        f"c=IN {family} {host}",
        "t=0 0",
    ]
    for one in answered:
        lines += _answer_lines(one)
    return "\r\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


def _answer_lines(one: Answered) -> list[str]:
    media = one.media
    label = [f"a=label:{media.label}"] if media.label else []
    if not one.port:
        return [f"m={media.kind} 0 {media.protocol} {' '.join(media.formats)}", *label]
    lines = [f"m={media.kind} {one.port} {media.protocol} {' '.join(map(str, one.codecs))}"]
    for payload_type, codec in one.codecs.items():
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        lines.append(f"a=rtpmap:{payload_type} {codec.name}/{codec.clock_rate}{channels}")
        if codec.kind == "event" and media.fmtps.get(payload_type):
            lines.append(f"a=fmtp:{payload_type} {media.fmtps[payload_type]}")
    lines.append("a=inactive" if media.direction in ("inactive", "recvonly") else "a=recvonly")
    return [*lines, *(["a=rtcp-mux"] if media.rtcp_mux else []), *label]
