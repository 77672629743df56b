"""What Asterisk 22 sends, written from its documents; it knows nothing of callmood.

AudioSocket: https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/
chan_websocket: https://docs.asterisk.org/Configuration/Channel-Drivers/WebSocket/
"""

import asyncio
import json
import struct
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

CALL_ID = "0d9b1e2f-7c55-4a51-9d3f-5f1d7a3b6c"
"""The first digits of a call's UUIDs."""
CHANNEL_ID = "1764111600.42"
KINDS = {8: 0x10, 12: 0x11, 16: 0x12, 24: 0x13, 32: 0x14, 44.1: 0x15, 48: 0x16, 96: 0x17, 192: 0x18}
"""kHz → kind."""


def frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BH", kind, len(payload)) + payload


_OPEN: list["AudioSocketChannel"] = []


def hang_up_all() -> None:
    """Whatever a test has left."""
    for channel in _OPEN:
        channel.writer.transport.abort()
    _OPEN.clear()


class AudioSocketChannel:
    """A channel that is connected to an AudioSocket server. It speaks, and hears what comes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def play(self, pcm: bytes, khz: float = 8, pace: float = 1.0, kind: int | None = None) -> None:
        """20 ms a frame, at the pace at which it is spoken (0: at once)."""
        piece = round(khz * 20) * 2
        began_s = time.monotonic()
        for number in range(len(pcm) // piece):
            await self.say(frame(KINDS[khz] if kind is None else kind, pcm[number * piece : (number + 1) * piece]))
            if pace:
                await asyncio.sleep(max(0.0, began_s + (number + 1) * 0.02 / pace - time.monotonic()))

    async def frames(self, count: int) -> list[tuple[int, bytes]]:
        """What comes back; fewer where the server closes before."""
        found: list[tuple[int, bytes]] = []
        while len(found) < count:
            try:
                kind, length = struct.unpack(">BH", await asyncio.wait_for(self.reader.readexactly(3), 5))
                found.append((kind, await asyncio.wait_for(self.reader.readexactly(length), 5)))
            except (asyncio.IncompleteReadError, ConnectionError):
                break
        return found

    async def hung_up(self) -> int | None:
        """The last frame's kind, once the server has closed."""
        last = None
        while found := await self.frames(1):
            last = found[0][0]
        return last

    def close(self) -> None:
        """Asterisk hangs up: it just closes."""
        self.writer.close()


async def audiosocket(port: int, name: str | bytes = CALL_ID + "00") -> AudioSocketChannel:
    """Connects, and says the UUID; bytes go as they are."""
    channel = AudioSocketChannel(*await asyncio.open_connection("127.0.0.1", port))
    _OPEN.append(channel)
    await channel.say(name if isinstance(name, bytes) else frame(0x01, uuid.UUID(name).bytes))
    return channel


@dataclass
class MediaChannel:
    """A channel of chan_websocket, plain-text messages."""

    format: str = "ulaw"
    ptime_ms: int = 20
    frame_bytes: int = 160
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> str:
        return self._event(
            "MEDIA_START",
            connection_id="callmood",
            channel="WebSocket/callmood/0x7f1c2c01b2a0",
            channel_id=CHANNEL_ID,
            format=self.format,
            optimal_frame_size=self.frame_bytes,
            ptime=self.ptime_ms,
        )

    def key(self, digit: str) -> str:
        return self._event("DTMF_END", digit=digit, channel_id=CHANNEL_ID)

    def flow(self, event: str = "MEDIA_XOFF") -> str:
        return event

    def error(self, text: str) -> str:
        return self._event("ERROR", channel_id=CHANNEL_ID, error_text=text)

    def _event(self, event: str, **values: Any) -> str:
        return " ".join([event, *(f"{name}:{value}" for name, value in values.items())])


class JsonMediaChannel(MediaChannel):
    """The same with f(json)."""

    def start(self) -> str:
        return json.dumps(json.loads(super().start()) | {"channel_variables": dict(self.variables)})

    def flow(self, event: str = "MEDIA_XOFF") -> str:
        return self._event(event, channel_id=CHANNEL_ID)

    def _event(self, event: str, **values: Any) -> str:
        return json.dumps({"event": event, **values})


class EarlyMediaChannel(MediaChannel):
    """The first releases: no channel_id, no ptime."""

    def start(self) -> str:
        return (
            f"MEDIA_START connection_id:callmood channel:WebSocket/callmood/0x7f1c format:{self.format} "
            f"optimal_frame_size:{self.frame_bytes}"
        )


class Media:
    """A channel on its connection."""

    def __init__(self, connection: ClientConnection, channel: MediaChannel) -> None:
        self.connection, self.channel = connection, channel

    async def play(self, sound: bytes, pace: float = 1.0) -> None:
        piece, began_s = self.channel.frame_bytes, time.monotonic()
        for number in range(len(sound) // piece):
            await self.connection.send(sound[number * piece : (number + 1) * piece])
            if pace:
                due_s = began_s + (number + 1) * self.channel.ptime_ms / 1_000 / pace
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def hang_up(self) -> None:
        await self.connection.close()


async def media(
    url: str, channel: MediaChannel | None = None, headers: Mapping[str, str] | None = None, **options: Any
) -> Media:
    """Connects as websocket_client.conf says, and begins."""
    connection = await connect(
        url,
        additional_headers=headers or {},
        compression=None,
        subprotocols=["media"],  # type: ignore[list-item]
        **options,
    )
    made = channel or MediaChannel()
    await connection.send(made.start())
    return Media(connection, made)
