"""A websocket connection that hands every message to its session at once, and reads no more than its budget allows.

The library's own way to receive wakes a task a message; 100 calls with 100 messages a second each would spend most of
their time there. So frames go straight from the parser to the session, and a connection is read every 40 ms only: four
messages at once cost less than four one after the other.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event, State

from monitor.errors import CallmoodError, ProtocolError, SourceError
from monitor.settings import StreamSettings
from monitor.sources.complaints import Budget, Complaints
from monitor.sources.streams import Dialect, Session

_log = logging.getLogger(__name__)

_NAP_S = 0.04
_LONGEST_WAIT_S = 5.0
"""Whoever floods is still read so often: a goodbye must be heard."""
_BURST_S = 10.0
"""So much of its budget may come at once: what waited on the network."""
_MOST_UNREAD_BYTES = 1 << 18
"""Of ours, before a peer that does not read is given up."""
_ORDERLY = (1000, 1001, 1005)
"""1005 stands for a goodbye without a code."""
_FAULTS = (1002, 1007, 1009)
"""With which the library answers a broken peer."""
_LONGEST_REASON = 120
"""Characters; a close frame has room for 123 bytes (RFC 6455, 5.5)."""


@dataclass(frozen=True)
class Hall:
    """What all connections of one listener share."""

    settings: StreamSettings
    complaints: Complaints
    now: Callable[[], float]
    came: Callable[["StreamConnection"], None]
    went: Callable[["StreamConnection"], None]


class StreamConnection(ServerConnection):
    """From its first byte to its last. It is its session's `Line`."""

    hall: Hall
    """Set by `connections_of`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        now_s = self.hall.now()
        settings = self.hall.settings
        self.peer = ""
        self.dialect: Dialect | None = None
        self.session: Session | None = None
        """None before its admission."""
        self.heard_s = self.told_s = now_s
        """Monotonic clock of the last bytes, and of the last message."""
        self._pinged_s = now_s
        self._bytes = Budget(settings.bytes_per_s, _BURST_S * settings.bytes_per_s, now_s)
        self._messages = Budget(settings.messages_per_s, _BURST_S * settings.messages_per_s, now_s)
        self._fragments: list[bytes] = []
        self._is_text = False
        self._resuming: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        address = self.remote_address
        self.peer = str(address[0]) if address else ""
        self.hall.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._resuming is not None:
            self._resuming.cancel()
        self._say_gone()
        self.hall.went(self)

    def data_received(self, data: bytes) -> None:
        self.heard_s = self.hall.now()
        self._bytes.spend(len(data))
        super().data_received(data)
        if self._resuming is None and self.session is not None and self.protocol.state is State.OPEN:
            owed_s = max(self._bytes.owed_s(self.heard_s), self._messages.owed_s(self.heard_s))
            self.transport.pause_reading()
            self._resuming = asyncio.get_running_loop().call_later(
                min(max(owed_s, _NAP_S), _LONGEST_WAIT_S), self._go_on
            )

    def process_event(self, event: Event) -> None:
        if self.session is None or not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            if isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                self._say_gone()  # nothing comes after it, whenever the peer closes its socket
            return
        self._messages.spend()
        if event.opcode is not Opcode.CONT:
            self._is_text = event.opcode is Opcode.TEXT
        if event.fin and not self._fragments:
            self._hand_over(bytes(event.data))
            return
        self._fragments.append(bytes(event.data))  # all together no longer than frame_bytes: the parser sees to it
        if event.fin:
            whole, self._fragments = b"".join(self._fragments), []
            self._hand_over(whole)

    def say(self, text: str) -> None:
        """See Line."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_text(text.encode())
            self.send_data()

    def hang_up(self, code: int, reason: str) -> None:
        """See Line."""
        if self._closing is None:
            short = reason.encode("ascii", "replace").decode()[:_LONGEST_REASON]
            self._closing = asyncio.get_running_loop().create_task(self.close(code, short))

    def tick(self, now_s: float) -> None:
        """Several times a second."""
        if self.session is None or self._gone:
            return
        settings = self.hall.settings
        if self.transport.get_write_buffer_size() > _MOST_UNREAD_BYTES:
            self._give_up(ProtocolError(f"{self.peer} does not read what it is sent"), now_s)
        elif now_s - self.heard_s > settings.idle_s:
            self._give_up(ProtocolError(f"nothing came for {settings.idle_s:g} s (streams.idle_s)"), now_s)
        elif now_s - self.told_s > settings.held_s:
            self._give_up(ProtocolError(f"no message came for {settings.held_s:g} s (streams.held_s)"), now_s)
        else:
            self._do(lambda session: session.tick(now_s), now_s)
            if now_s - max(self.heard_s, self._pinged_s) > settings.idle_s / 3 and self.protocol.state is State.OPEN:
                self._pinged_s = now_s  # whoever lives answers
                self.protocol.send_ping(b"")
                self.send_data()

    def leave(self, now_s: float) -> None:
        """We end: so does its session."""
        if self.session is not None and not self._gone:
            self._do(lambda session: session.leave(now_s), now_s)

    def _hand_over(self, data: bytes) -> None:
        now_s = self.told_s = self.heard_s
        if self._closing is None:
            if self._is_text:
                self._do(lambda session: session.text(data, now_s), now_s)
            else:
                self._do(lambda session: session.binary(data, now_s), now_s)

    def _do(self, act: Callable[[Session], None], now_s: float) -> None:
        """The edge of a connection: whatever goes wrong ends this one alone."""
        assert self.session is not None
        try:
            act(self.session)
        except CallmoodError as error:
            self._fail(error, now_s)
        except Exception as fault:
            _log.exception("a connection of %s failed", self.peer)
            self._fail(SourceError(f"a fault of ours: {fault!r}; report this"), now_s)

    def _fail(self, error: CallmoodError, now_s: float) -> None:
        assert self.session is not None
        assert self.dialect is not None
        self.hall.complaints.tell(f"{self.dialect.table} connection of {self.peer}: {error}")
        self.session.fail(error, now_s)

    def _give_up(self, error: ProtocolError, now_s: float) -> None:
        """The peer is dead, or as good as that."""
        self._fail(error, now_s)
        self.transport.abort()

    def _say_gone(self) -> None:
        if self.session is None or self._gone:
            return
        self._gone = True
        close = self.protocol.close_rcvd
        orderly = close is not None and close.code in _ORDERLY
        why = "" if orderly else f"the connection was lost (code {close.code if close else 1006})"
        sent = self.protocol.close_sent
        if sent is not None and sent.code in _FAULTS and not self.protocol.close_rcvd_then_sent:
            why = f"what came is no websocket message of at most {self.hall.settings.frame_bytes} bytes (code {sent.code})"
        self._do(lambda session: session.gone(why, self.hall.now()), self.hall.now())

    def _go_on(self) -> None:
        self._resuming = None
        self.heard_s = self.hall.now()  # it is we who did not listen
        if not self.transport.is_closing():
            self.transport.resume_reading()


def connections_of(hall: Hall) -> type[StreamConnection]:
    """The kind of connection that belongs to `hall`."""
    return type("HallConnection", (StreamConnection,), {"hall": hall})
