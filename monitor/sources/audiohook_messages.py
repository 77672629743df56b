"""Messages of Genesys Cloud AudioHook, version 2. Pure and total: any bytes give a value or ProtocolError.

https://developer.genesys.cloud/devapps/audiohook/protocol-reference: each side counts its messages (`seq`) and says the last
that it has got of the other's (`serverseq`, `clientseq`); times are ISO 8601 durations of the audio's time (`PT1.2S`).
Audio is binary: PCMU, or 16 bit PCM with the low byte first, channels interleaved.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from monitor.errors import ProtocolError

NOBODY = "00000000-0000-0000-0000-000000000000"
"""The conversation of a connection probe."""
LONGEST_TEXT_BYTES = 65_535
CHANNELS = ("external", "internal")
"""The customer's side, and the agent's."""
FORMATS = ("PCMU", "L16")
RATE = 8_000

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DURATION = re.compile(r"PT(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?")
_LONGEST_TEXT = 256


class ClientMessage(msgspec.Struct, frozen=True):
    """What every message has."""

    version: str
    id: str
    """The session's."""
    type: str
    seq: int
    serverseq: int
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to send the audio."""

    format: str
    """`PCMU` or `L16`."""
    channels: tuple[str, ...]
    """Interleaved in this order."""

    @property
    def sample_bytes(self) -> int:
        """Of one sample of one channel."""
        return 1 if self.format == "PCMU" else 2

    def offer(self) -> dict[str, Any]:
        """As it stands in a message."""
        return {"type": "audio", "format": self.format, "channels": list(self.channels), "rate": RATE}


@dataclass(frozen=True, slots=True)
class Open:
    """What a client wants to send."""

    organization: str
    conversation: str
    customer: str
    """Their number, else their name; empty where neither is known."""
    formats: tuple[Format, ...]
    """Those of the offered ones that can be received, in the client's order."""
    continued: tuple[str, ...] = ()
    """Ids of sessions that this one goes on with."""
    wants_languages: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    """What the integration's own configuration gives along."""

    @property
    def is_probe(self) -> bool:
        """Whether it only tries the connection."""
        return self.conversation == NOBODY


_decoder = msgspec.json.Decoder(ClientMessage)


def parse_message(data: bytes) -> ClientMessage:
    """Raises ProtocolError for what is no message of a client."""
    if len(data) > LONGEST_TEXT_BYTES:
        raise ProtocolError(f"a text message of {len(data)} bytes, expected at most {LONGEST_TEXT_BYTES}")
    try:
        message = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"no well-formed client message: {error}") from None
    if message.version != "2":
        raise ProtocolError(f"version {message.version[:20]!a} of the protocol, expected 2")
    if not _UUID.fullmatch(message.id) or message.seq < 1 or message.serverseq < 0:
        raise ProtocolError(
            f"a message of the session {message.id[:40]!a} with seq {message.seq}, expected a UUID and 1 up"
        )
    return message


def parse_open(parameters: Mapping[str, Any]) -> Open:
    """Raises ProtocolError where something is missing, or none of the media can be received."""
    organization, conversation = _uuid(parameters, "organizationId"), _uuid(parameters, "conversationId")
    participant, media = parameters.get("participant"), parameters.get("media")
    if not isinstance(participant, dict) or not isinstance(media, list):
        raise ProtocolError("open without participant or media")
    continued, config = parameters.get("continuedSessions"), parameters.get("customConfig")
    sessions = continued if isinstance(continued, list) else []
    return Open(
        organization=organization,
        conversation=conversation,
        customer=_text(participant.get("ani")) or _text(participant.get("aniName")),
        formats=tuple(found for one in media[:64] if (found := _format(one))),
        continued=tuple(_text(one.get("id")) for one in sessions[:64] if isinstance(one, dict)),
        wants_languages=parameters.get("supportedLanguages") is True,
        config=config if isinstance(config, dict) else {},
    )


def choose(formats: Sequence[Format]) -> Format | None:
    """What to ask for: both channels before one, the customer's before the agent's, PCMU before 16 bit."""

    def rank(one: Format) -> tuple[int, int]:
        wanted = 0 if len(one.channels) == 2 else 1 + CHANNELS.index(one.channels[0])
        return wanted, FORMATS.index(one.format)

    return min(formats, key=rank, default=None)


def parse_duration_s(value: Any) -> float:
    """Raises ProtocolError for what is no duration such as `PT1.2S`."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) and len(value) < 40 else None
    if found is None or value == "PT":
        raise ProtocolError(f"a duration such as PT1.2S was expected, got {str(value)[:40]!a}")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 3_600 * hours + 60 * minutes + seconds


def server_message(session: str, kind: str, seq: int, clientseq: int, parameters: Mapping[str, Any]) -> str:
    """One of ours as JSON."""
    message = {
        "version": "2",
        "id": session,
        "type": kind,
        "seq": seq,
        "clientseq": clientseq,
        "parameters": parameters,
    }
    return msgspec.json.encode(message).decode()


def _format(offered: Any) -> Format | None:
    """None for what cannot be received."""
    if not isinstance(offered, dict):
        return None
    channels = offered.get("channels")
    good = offered.get("type") == "audio" and offered.get("format") in FORMATS and offered.get("rate") == RATE
    if not good or not isinstance(channels, list) or not 1 <= len(channels) <= 2:
        return None
    if not all(isinstance(one, str) and one in CHANNELS for one in channels) or len(set(channels)) != len(channels):
        return None
    return Format(offered["format"], tuple(channels))


def _uuid(parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name)
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ProtocolError(f"{name} must be a UUID, got {str(value)[:40]!a}")
    return value.lower()


def _text(value: Any) -> str:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else ""
