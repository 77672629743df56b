"""A subscriber that costs next to nothing: it keeps what comes, and when, and looks at it when all is over."""

import json
import socket
import time
from base64 import b64encode
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

_TEXT, _PING = 0x81, 0x89
"""First bytes of frames: whole ones, since the node sends no others."""


class Ear:
    """One websocket subscription. Raises SystemExit where the node does not accept it."""

    def __init__(self, address: str) -> None:
        where = urlsplit(address)
        self._socket = socket.create_connection((where.hostname or "", where.port or 0))
        lines = (
            f"GET {where.path} HTTP/1.1",
            f"Host: {where.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        )
        self._socket.sendall("".join(line + "\r\n" for line in (*lines, "")).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(65_536)
        if not answer.startswith(b"HTTP/1.1 101"):
            raise SystemExit(f"the websocket said {answer[:100]!r}")
        self._buffer = answer.partition(b"\r\n\r\n")[2]
        self._socket.setblocking(False)
        self._heard: list[tuple[float, bytes]] = []

    def take(self) -> None:
        """Whatever has come."""
        came_s = time.time()
        with suppress(BlockingIOError):
            while data := self._socket.recv(1 << 20):
                self._buffer += data
        at = 0
        while (frame := self._frame(at)) is not None:
            kind, begins, at = frame
            if kind == _TEXT:
                self._heard.append((came_s, self._buffer[begins:at]))
            elif kind == _PING:
                self._socket.sendall(bytes([0x8A, 0x80 | at - begins, 0, 0, 0, 0]) + self._buffer[begins:at])
        self._buffer = self._buffer[at:]

    def _frame(self, at: int) -> tuple[int, int, int] | None:
        """Kind, begin and end of the frame there; None where it is not all there yet."""
        if len(self._buffer) < at + 4:
            return None
        size, begins = self._buffer[at + 1], at + 2
        if size == 126:
            size, begins = int.from_bytes(self._buffer[begins : begins + 2], "big"), begins + 2
        return None if len(self._buffer) < begins + size else (self._buffer[at], begins, begins + size)

    def readings_late_ms(self, since_s: float, until_s: float) -> list[float]:
        """From a window's last sample to when its reading came, of those that came between two moments, Unix; in order."""
        messages = [(came_s, json.loads(text)) for came_s, text in self._heard if since_s <= came_s < until_s]
        return sorted(_late_ms(came_s, message) for came_s, message in messages if message["type"] == "reading")

    def close(self) -> None:
        """Hears no more."""
        self._socket.close()


def _late_ms(came_s: float, reading: dict[str, Any]) -> float:
    return 1_000 * (came_s - datetime.fromisoformat(reading["at"]).timestamp()) + reading["latency_ms"]
