"""Messages of Twilio Media Streams and of what speaks like it. Pure and total: any bytes give a value or ProtocolError.

Twilio: https://www.twilio.com/docs/voice/media-streams/websocket-messages. SignalWire sends the same; Telnyx and Exotel the
same in snake_case (`stream_id`, `media_format`), Plivo with `callId`. Numbers come as numbers or as text. What is there but
means nothing is passed over: senders differ in everything but `event`.
"""

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import msgspec

from monitor.errors import ProtocolError
from monitor.sources.codecs import PCMA, PCMU, Codec, find_codec, linear

Track = Literal["inbound", "outbound", ""]
"""Whose voice, seen from the platform: `inbound` is what it receives; empty where no track is named."""

_LONGEST_TEXT = 256
_MOST_PARAMETERS = 64
_RATES = (8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000)
_MOST_NUMBER = 1 << 53
_CALL_IDS = ("callSid", "call_sid", "callId", "call_id", "call_session_id", "call_control_id", "callSessionId")
_STREAM_IDS = ("streamSid", "stream_sid", "streamId", "stream_id")
_PLIVO_PREFIX = "X-PH-"
_PCMU_NAMES = ("mulaw", "mu-law", "ulaw", "pcmu", "basic")
_PCMA_NAMES = ("alaw", "a-law", "pcma")
_LINEAR_NAMES = ("l16", "raw", "pcm", "linear16", "slin", "lpcm", "base64")
"""Exotel's older form says `base64`, which is what it wraps 16 bit PCM in."""


@dataclass(frozen=True, slots=True)
class Start:
    """The first message of a stream."""

    stream: str
    """Its id; empty where there is none."""
    call: str
    """The platform's id of the call; empty likewise."""
    tracks: tuple[Track, ...]
    """Those that are to come; empty where the message does not say."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Custom ones: what the customer's own configuration gives along."""
    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8_000
    channels: int = 1


@dataclass(frozen=True, slots=True)
class Media:
    """Some audio of one track."""

    track: Track
    chunk: int | None
    """Counts them, where the sender does."""
    timestamp: int | None
    """Of the stream's time, in milliseconds, or whatever the sender counts in."""
    payload: bytes


@dataclass(frozen=True, slots=True)
class Other:
    """`connected`, `stop`, `mark`, `dtmf`, `error`, and what nobody knows."""

    event: str


class _MediaPart(msgspec.Struct, gc=False):
    payload: Any = ""
    track: Any = None
    chunk: Any = None
    timestamp: Any = None


class _Frame(msgspec.Struct, gc=False):
    event: str
    media: _MediaPart | None = None


class _StartFrame(msgspec.Struct):
    start: dict[str, Any] = {}
    streamSid: Any = None  # noqa: N815
    stream_sid: Any = None
    streamId: Any = None  # noqa: N815
    stream_id: Any = None
    extra_headers: Any = None
    """Plivo's custom parameters: an object, or one in a text; their names may have its own prefix."""


_frame = msgspec.json.Decoder(_Frame)
_start_frame = msgspec.json.Decoder(_StartFrame)


def parse_message(data: bytes) -> Start | Media | Other:
    """Raises ProtocolError for what is no JSON object with an `event`, or media without a payload in base64."""
    try:
        frame = _frame.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"expected a JSON object with an event, got {_shown(data)}: {error}") from None
    if frame.event == "media":
        return _media(frame.media)
    return _start(data) if frame.event == "start" else Other(frame.event)


def codec_of(start: Start, l16_order: Literal["big", "little"]) -> Codec:
    """What its media are encoded in. Raises ProtocolError for what cannot be decoded here."""
    name, *options = re.split("[;@]", start.encoding.lower())  # audio/x-l16;rate=16000, L16@24000h
    name = name.strip().removeprefix("audio/").removeprefix("x-")
    given = re.search(r"\d{4,6}", " ".join(options))
    rate = int(given[0]) if given else start.sample_rate
    codec: Codec | None = None
    if start.channels != 1:
        raise ProtocolError(f"media of {start.channels} channels, expected 1: let the platform send tracks")
    if name in _PCMU_NAMES and rate == 8_000:
        codec = PCMU
    elif name in _PCMA_NAMES and rate == 8_000:
        codec = PCMA
    elif name in _LINEAR_NAMES and rate in _RATES:
        codec = linear(rate, l16_order)
    elif name in ("g722", "opus"):
        codec = find_codec(name, 8_000 if name == "g722" else 48_000)
        if codec is None:
            raise ProtocolError(f"{name} needs the extra codecs: pip install 'callmood[codecs]'")
    if codec is None:
        known = "PCMU, PCMA, G722, opus or L16"
        raise ProtocolError(f"media of {start.encoding[:60]!a} at {rate} Hz, expected {known}: choose its codec there")
    return codec


def _media(part: _MediaPart | None) -> Media:
    if part is None or not isinstance(part.payload, str):
        raise ProtocolError("media without a payload")
    try:
        payload = binascii.a2b_base64(part.payload)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise ProtocolError(f"media whose payload is no base64: {part.payload[:40]!a}") from None
    return Media(_track(part.track), _number(part.chunk), _number(part.timestamp), payload)


def _start(data: bytes) -> Start:
    try:
        frame = _start_frame.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a start that cannot be read: {error}") from None
    start = frame.start
    outer = msgspec.structs.asdict(frame)
    media = _first_dict(start, "mediaFormat", "media_format")
    parameters = {**_headers(frame.extra_headers), **_first_dict(start, "customParameters", "custom_parameters")}
    tracks = start.get("tracks", start.get("track"))
    listed = tracks if isinstance(tracks, list) else [tracks]
    known = dict.fromkeys(track for one in listed[:8] if (track := _track(one)))
    both = any(isinstance(one, str) and one.startswith("both") for one in listed[:8])
    return Start(
        stream=_first_text(start, *_STREAM_IDS) or _first_text(outer, *_STREAM_IDS),
        call=_first_text(start, *_CALL_IDS),
        tracks=("inbound", "outbound") if both else tuple(known),
        parameters={
            name[:_LONGEST_TEXT]: _text(value) for name, value in list(parameters.items())[:_MOST_PARAMETERS] if name
        },
        encoding=_first_text(media, "encoding") or "audio/x-mulaw",
        sample_rate=_number(media.get("sampleRate", media.get("sample_rate"))) or 8_000,
        channels=_number(media.get("channels")) or 1,
    )


def _headers(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value.encode("utf-8", "replace"))
        except (msgspec.DecodeError, RecursionError):
            return {}
    named = value.items() if isinstance(value, dict) else ()
    return {name.removeprefix(_PLIVO_PREFIX): one for name, one in named if isinstance(name, str)}


def _track(value: Any) -> Track:
    if value == "inbound" or value == "outbound":
        return cast(Track, value)
    if isinstance(value, str):
        if value.startswith("inbound"):
            return "inbound"
        if value.startswith("outbound"):
            return "outbound"
    return ""


def _number(value: Any) -> int | None:
    """A number that may be written as text; None for what is none, or absurd."""
    if value is None:
        return None
    if isinstance(value, str):
        if not (value.isascii() and value.isdecimal() and len(value) < 17):
            return None
        return number if (number := int(value)) < _MOST_NUMBER else None
    if isinstance(value, float):
        value = round(value) if abs(value) < _MOST_NUMBER else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_NUMBER else None


def _first_dict(values: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((value for name in names if isinstance(value := values.get(name), dict)), {})


def _first_text(values: Mapping[str, Any], *names: str) -> str:
    return next((text for name in names if (text := _text(values.get(name)))), "")


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)[:_LONGEST_TEXT] if abs(value) < _MOST_NUMBER else ""
    return value[:_LONGEST_TEXT] if isinstance(value, str) else ""


def _shown(data: bytes) -> str:
    return ascii(data[:60].decode("utf-8", "replace"))
