"""SIP messages out of a TCP stream, framed by Content-Length (RFC 3261 18.3, RFC 5626 3.5.1). Pure."""

import re
from collections.abc import Iterator

from monitor.errors import ProtocolError

PING, PONG = b"\r\n\r\n", b"\r\n"
"""What keeps a connection alive, and its answer."""
_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,10})[ \t]*\r\n", re.IGNORECASE)


class Framer:
    """Cuts a stream into messages, however the network has cut it."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._length = 0
        """Of the whole message, where its headers have come; else 0."""

    @property
    def within_message(self) -> bool:
        """Whether a message has begun that is not yet whole."""
        return not PING.startswith(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole now, and PING where the client asks whether we live.

        Raises ProtocolError where one is longer than allowed: nothing after it can be read.
        """
        self._buffer += data
        while self._buffer:
            if not self._length and self._buffer[:1] == b"\r":
                if len(self._buffer) < len(PING) and PING.startswith(self._buffer):
                    return
                ping = self._buffer.startswith(PING)
                self._take(len(PING) if ping else len(PONG))
                if ping:
                    yield PING
                continue
            if not self._length and not self._headers_have_come():
                return
            if len(self._buffer) < self._length:
                return
            yield self._take(self._length)

    def _headers_have_come(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", self._searched)
        self._searched = max(0, len(self._buffer) - 3)
        if end >= 0:
            match = _LENGTH.search(self._buffer, 0, end + 2)
            self._length = end + 4 + (int(match[1]) if match else 0)
        if max(self._length, 0 if end >= 0 else len(self._buffer)) > self._most_bytes:
            raise ProtocolError(f"SIP message of more than {self._most_bytes} bytes: raise siprec.message_bytes")
        return end >= 0

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._searched = self._length = 0
        return taken
