"""A sender of media streams as the platforms' documents describe them; it knows nothing of callmood.

Twilio: https://www.twilio.com/docs/voice/media-streams/websocket-messages
SignalWire: https://developer.signalwire.com/compatibility-api/cxml/voice/stream
Telnyx: https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming
Exotel: https://developer.exotel.com/docs/agentstream/websocket-protocol
Plivo: https://www.plivo.com/docs/voice/xml/the-stream-element
"""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

STREAM, CALL, ACCOUNT = "MZ" + 32 * "1", "CA" + 32 * "2", "AC" + 32 * "3"
TELNYX_CALL = "v2:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ"


@dataclass
class MediaStream:
    """One stream of Twilio's. Others override what they do differently."""

    tracks: tuple[str, ...] = ("inbound", "outbound")
    parameters: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8_000
    call: str = CALL
    number: int = 0
    """Of the last message."""
    chunks: dict[str, int] = field(default_factory=dict)
    """Of the last media of each track."""

    def connected(self) -> dict[str, Any]:
        return {"event": "connected", "protocol": "Call", "version": "1.0.0"}

    def start(self) -> dict[str, Any]:
        media_format = {"encoding": self.encoding, "sampleRate": self.sample_rate, "channels": 1}
        start = {
            "accountSid": ACCOUNT,
            "streamSid": STREAM,
            "callSid": self.call,
            "tracks": list(self.tracks),
            "mediaFormat": media_format,
            "customParameters": dict(self.parameters),
        }
        return {"event": "start", "sequenceNumber": self._next(), "start": start, "streamSid": STREAM}

    def media(self, track: str, payload: bytes, at_ms: int) -> dict[str, Any]:
        self.chunks[track] = self.chunks.get(track, 0) + 1
        media = {
            "track": track,
            "chunk": str(self.chunks[track]),
            "timestamp": str(at_ms),
            "payload": base64.b64encode(payload).decode(),
        }
        return {"event": "media", "sequenceNumber": self._next(), "media": media, "streamSid": STREAM}

    def dtmf(self, digit: str = "1") -> dict[str, Any]:
        dtmf = {"track": "inbound_track", "digit": digit}
        return {"event": "dtmf", "sequenceNumber": self._next(), "streamSid": STREAM, "dtmf": dtmf}

    def mark(self) -> dict[str, Any]:
        return {"event": "mark", "sequenceNumber": self._next(), "streamSid": STREAM, "mark": {"name": "m"}}

    def stop(self) -> dict[str, Any]:
        stop = {"accountSid": ACCOUNT, "callSid": self.call}
        return {"event": "stop", "sequenceNumber": self._next(), "streamSid": STREAM, "stop": stop}

    def _next(self) -> str:
        self.number += 1
        return str(self.number)


class SharedChunks(MediaStream):
    """A platform that counts the media of all tracks together."""

    def media(self, track: str, payload: bytes, at_ms: int) -> dict[str, Any]:
        self.chunks = dict.fromkeys((*self.chunks, track), max(self.chunks.values(), default=0))
        return super().media(track, payload, at_ms)


class TelcoBridge(MediaStream):
    """A telephone company's own sender: only `inbound` comes though both are named, and timestamps count samples."""

    def media(self, track: str, payload: bytes, at_ms: int) -> dict[str, Any]:
        return super().media(track, payload, at_ms * 8)


class Telnyx(MediaStream):
    """snake_case; the start names no tracks; numbers as text."""

    def connected(self) -> dict[str, Any]:
        return {"event": "connected", "version": "1.0.0"}

    def start(self) -> dict[str, Any]:
        media_format = {"encoding": self.encoding, "sample_rate": self.sample_rate, "channels": 1}
        start = {
            "user_id": "3E6F995F-85F7-4705-9741-53B116D28237",
            "call_control_id": TELNYX_CALL,
            "call_session_id": "2dc1b3c8-f9e0-11ea-bc5a-02420a0f7768",
            "from": "+13122010094",
            "to": "+13122123456",
            "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
            "custom_parameters": dict(self.parameters),
            "media_format": media_format,
        }
        return {"event": "start", "sequence_number": self._next(), "start": start, "stream_id": "32DE0DEA-53CB"}

    def media(self, track: str, payload: bytes, at_ms: int) -> dict[str, Any]:
        message = super().media(track, payload, at_ms)
        return {
            "event": "media",
            "sequence_number": message["sequenceNumber"],
            "media": message["media"],
            "stream_id": "32DE0DEA-53CB",
        }

    def stop(self) -> dict[str, Any]:
        stop = {"user_id": "3E6F995F", "call_control_id": TELNYX_CALL}
        return {"event": "stop", "sequence_number": self._next(), "stop": stop, "stream_id": "32DE0DEA-53CB"}


class Exotel(MediaStream):
    """snake_case, 16 bit PCM in pieces of 100 ms, no tracks."""

    def connected(self) -> dict[str, Any]:
        return {"event": "connected"}

    def start(self) -> dict[str, Any]:
        start = {
            "stream_sid": STREAM,
            "call_sid": CALL,
            "account_sid": ACCOUNT,
            "from": "+919876543210",
            "to": "+918047491899",
            "custom_parameters": dict(self.parameters),
            "media_format": {"encoding": "audio/x-raw", "sample_rate": "8000", "bit_rate": "16"},
        }
        return {"event": "start", "sequence_number": self._next(), "stream_sid": STREAM, "start": start}

    def media(self, track: str, payload: bytes, at_ms: int) -> dict[str, Any]:
        message = super().media(track, payload, at_ms)
        del message["media"]["track"]
        return message | {"stream_sid": STREAM}


class Plivo(MediaStream):
    """`streamId`, `callId`, numbers as numbers; no `connected`."""

    def connected(self) -> dict[str, Any]:
        return {"event": "incomingCall"}

    def start(self) -> dict[str, Any]:
        start = {
            "callId": "38f7d5b2-5a1d",
            "streamId": "d9b1e2f0",
            "accountId": "MA123",
            "tracks": list(self.tracks),
            "mediaFormat": {"encoding": self.encoding, "sampleRate": self.sample_rate},
        }
        return {"sequenceNumber": 0, "event": "start", "start": start, "extra_headers": "{}"}

    def media(self, track: str, payload: bytes, at_ms: int) -> dict[str, Any]:
        message = super().media(track, payload, at_ms)
        message["media"] |= {"chunk": self.chunks[track], "timestamp": str(at_ms)}
        return message | {"streamId": "d9b1e2f0"}


class Sending:
    """A stream on its connection."""

    def __init__(self, connection: ClientConnection, stream: MediaStream) -> None:
        self.connection, self.stream = connection, stream
        self.at_ms = 0

    async def send(self, message: Any) -> None:
        """One message; text goes as it is."""
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def begin(self) -> None:
        await self.send(self.stream.connected())
        await self.send(self.stream.start())

    async def play(
        self, sounds: Mapping[str, bytes], piece_bytes: int = 160, piece_ms: int = 20, pace: float = 1.0
    ) -> None:
        """Each track's bytes, piece by piece, at the pace at which it is spoken (0: at once)."""
        began_s = time.monotonic()
        pieces = max(len(sound) for sound in sounds.values()) // piece_bytes
        for number in range(pieces):
            for track, sound in sounds.items():
                payload = sound[number * piece_bytes : (number + 1) * piece_bytes]
                if payload:
                    await self.send(self.stream.media(track, payload, self.at_ms))
            self.at_ms += piece_ms
            if pace:
                await asyncio.sleep(max(0.0, began_s + (number + 1) * piece_ms / 1_000 / pace - time.monotonic()))

    async def end(self) -> None:
        await self.send(self.stream.stop())
        await self.connection.wait_closed()


async def call(url: str, stream: MediaStream, headers: Mapping[str, str] | None = None, **options: Any) -> Sending:
    """Connects, and begins."""
    connection = await connect(url, additional_headers=headers or {}, compression=None, **options)
    sending = Sending(connection, stream)
    await sending.begin()
    return sending
