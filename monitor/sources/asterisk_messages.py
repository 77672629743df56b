"""Text messages of Asterisk's chan_websocket, plain or JSON. Pure and total: any bytes give a value or ProtocolError.

https://docs.asterisk.org/Configuration/Channel-Drivers/WebSocket/: `MEDIA_START connection_id:… channel:… format:ulaw …`, or
with f(json) an object with `event` and the same names, and `channel_variables`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from monitor.errors import ProtocolError
from monitor.sources.codecs import PCMA, PCMU, Codec, find_codec, linear

_LONGEST_TEXT = 256
_PREFIX = "CALLMOOD_"
"""Of channel variables that are ours."""
_RATES = {8: 8_000, 12: 12_000, 16: 16_000, 24: 24_000, 32: 32_000, 44: 44_100, 48: 48_000, 96: 96_000, 192: 192_000}
"""slin's number → Hertz."""


@dataclass(frozen=True, slots=True)
class MediaStart:
    """The first message of a connection."""

    connection: str = ""
    """The section of websocket_client.conf."""
    channel: str = ""
    channel_id: str = ""
    """Its unique id; the first releases do not send it."""
    format: str = ""
    """As Asterisk names it; empty where the message does not say."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Channel variables CALLMOOD_NAME as `name`."""


@dataclass(frozen=True, slots=True)
class Other:
    """DTMF_END, MEDIA_XOFF, MEDIA_XON, QUEUE_DRAINED, STATUS, ERROR, and what nobody knows."""

    event: str
    text: str = ""
    """What an ERROR says."""


def parse_message(data: bytes) -> MediaStart | Other:
    """Raises ProtocolError for what has no event."""
    text = data.decode("utf-8", "replace").strip()
    event, values = _json(data) if text.startswith("{") else _plain(text)
    if event != "MEDIA_START":
        return Other(event[:_LONGEST_TEXT], _text(values.get("error_text")))
    variables = values.get("channel_variables")
    named = variables.items() if isinstance(variables, dict) else ()
    ours = {name[len(_PREFIX) :].lower(): _text(value) for name, value in named if name.upper().startswith(_PREFIX)}
    return MediaStart(
        connection=_text(values.get("connection_id")),
        channel=_text(values.get("channel")),
        channel_id=_text(values.get("channel_id")),
        format=_text(values.get("format")).lower(),
        variables=ours,
    )


def codec_of(name: str) -> Codec:
    """Asterisk's name of a format → what media are encoded in. Raises ProtocolError for what cannot be decoded here."""
    if name in ("ulaw", "alaw"):
        return PCMU if name == "ulaw" else PCMA
    if (slin := re.fullmatch(r"slin(\d{0,3})", name)) and (rate := _RATES.get(int(slin[1] or 8))):
        return linear(rate, "little")
    if name in ("g722", "opus"):
        if codec := find_codec(name, 8_000 if name == "g722" else 48_000):
            return codec
        raise ProtocolError(f"{name} needs the extra codecs: pip install 'callmood[codecs]'")
    cure = "ask for it with c(ulaw) in the dial string, or format=ulaw in ARI"
    raise ProtocolError(f"media of the format {name[:40]!a}, expected ulaw, alaw, slin or slin16: {cure}")


def _json(data: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        values = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"expected an event, got JSON that is none: {error}") from None
    event = values.get("event")
    if not isinstance(event, str) or not event:
        raise ProtocolError("expected an event, got a JSON object without")
    return event, values


def _plain(text: str) -> tuple[str, Mapping[str, Any]]:
    """`EVENT name:value name:value …`; of ERROR the last value has spaces."""
    event, _, rest = text.partition(" ")
    if not re.fullmatch(r"[A-Z][A-Z_]*", event):
        raise ProtocolError(f"expected an event such as MEDIA_START, got {text[:60]!a}")
    rest, _, said = rest.partition("error_text:")
    pairs = (part.partition(":") for part in rest.split())
    return event, {name: value for name, _, value in pairs} | {"error_text": said}


def _text(value: Any) -> str:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else ""
