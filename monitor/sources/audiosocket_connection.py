"""An AudioSocket connection: bytes in, silence out, and no more than its budget.

As with websockets, a connection is read every 40 ms only: several frames at once cost less than one after the other.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast

from monitor.errors import CallmoodError, ProtocolError, SourceError
from monitor.sources.audiosocket_frames import HANGUP, Frame, Framer, encoded
from monitor.sources.audiosocket_session import AudioSocketSession, Terms
from monitor.sources.complaints import Budget

_log = logging.getLogger(__name__)

_NAP_S = 0.04
_LONGEST_WAIT_S = 5.0
"""Whoever floods is still read so often: a goodbye must be heard."""
_BURST_S = 10.0
_MUCH_BYTES = 1 << 14
"""Whoever brings so much at once has more to read, and may have closed behind it."""
_QUIET_S = 0.2
"""When nothing has come for so long, nothing waits to be read."""
_CLOSE_S = 2.0
"""A peer that does not take our goodbye within so long is cut off."""


@dataclass(frozen=True)
class Hall:
    """What all connections of one listener share. `came` says why a connection may not stay; empty where it may."""

    terms: Terms
    now: Callable[[], float]
    came: Callable[["AudioSocketConnection"], str]
    went: Callable[["AudioSocketConnection"], None]


class AudioSocketConnection(asyncio.Protocol):
    """From its first byte to its last."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        settings, now_s = hall.terms.settings, hall.now()
        self.peer = ""
        self.session: AudioSocketSession | None = None
        """None where it may not stay."""
        self.transport: asyncio.Transport
        self._heard_s = self._said_s = now_s
        self._framer = Framer(settings.frame_bytes)
        self._budget = Budget(settings.bytes_per_s, _BURST_S * settings.bytes_per_s, now_s)
        self._resuming: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self.peer = str((self.transport.get_extra_info("peername") or ("?",))[0])
        if why := self._hall.came(self):
            self._hall.terms.complaints.tell(f"{self.peer} hung up on: {why}")
            self.hang_up()
        else:
            self.session = AudioSocketSession(self._hall.terms, self.hang_up, self._hall.now())

    def data_received(self, data: bytes) -> None:
        self._heard_s = now_s = self._hall.now()
        if self.session is None or self._closing is not None:
            return
        self._budget.spend(len(data))
        self._do(lambda session: self._take(session, data, now_s))
        if self._closing is None:
            self.transport.pause_reading()
            owed_s = self._budget.owed_s(now_s)
            if len(data) < _MUCH_BYTES and owed_s <= _NAP_S:
                self._say_silence(now_s)
            wait_s = min(max(owed_s, _NAP_S), _LONGEST_WAIT_S)
            self._resuming = asyncio.get_running_loop().call_later(wait_s, self._go_on)

    def connection_lost(self, error: Exception | None) -> None:
        for timer in (self._resuming, self._closing):
            if timer is not None:
                timer.cancel()
        # A switch that closes with our silence unread resets the connection: that is how it hangs up.
        orderly = error is None or isinstance(error, ConnectionResetError | BrokenPipeError)
        self._do(
            lambda session: session.gone("" if orderly else f"the connection was lost ({error})", self._hall.now())
        )
        self._hall.went(self)

    def hang_up(self) -> None:
        """Say goodbye and close. May be called twice."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().call_later(_CLOSE_S, self.transport.abort)
            self.transport.write(encoded(Frame(HANGUP, b"")))
            self.transport.close()

    def tick(self, now_s: float) -> None:
        """Several times a second."""
        settings = self._hall.terms.settings
        if self._closing is not None:
            return
        if now_s - self._heard_s > settings.held_s:
            self._fail(ProtocolError(f"nothing came for {settings.held_s:g} s (audiosocket.held_s)"))
            return
        self._do(lambda session: session.tick(now_s))
        if now_s - self._heard_s > _QUIET_S:
            self._say_silence(now_s)

    def leave(self) -> None:
        """We end."""
        self._do(lambda session: session.leave(self._hall.now()))

    def _take(self, session: AudioSocketSession, data: bytes, now_s: float) -> None:
        for frame in self._framer.feed(data):
            session.frame(frame, now_s)

    def _say_silence(self, now_s: float) -> None:
        """Where it is due. Called when nothing waits to be read: a switch that has closed would answer by a reset, which
        costs what it has not sent yet."""
        silence_s = self._hall.terms.settings.silence_s
        kind = self.session.answer_kind if self.session else None
        if not silence_s or kind is None or now_s - self._said_s < silence_s:
            return
        self._said_s = now_s
        if not self.transport.get_write_buffer_size():  # whoever does not read what was sent gets no more
            self.transport.write(_silence(kind, self._hall.terms.codec(kind).sample_rate))

    def _do(self, act: Callable[[AudioSocketSession], None]) -> None:
        """The edge of a connection: whatever goes wrong ends this one alone."""
        if self.session is None:
            return
        try:
            act(self.session)
        except CallmoodError as error:
            self._fail(error)
        except Exception as fault:
            _log.exception("a connection of %s failed", self.peer)
            self._fail(SourceError(f"a fault of ours: {fault!r}; report this"))

    def _fail(self, error: CallmoodError) -> None:
        self._hall.terms.complaints.tell(f"audiosocket connection of {self.peer}: {error}")
        if self.session is not None:
            self.session.fail(error, self._hall.now())

    def _go_on(self) -> None:
        self._resuming = None
        if not self.transport.is_closing():
            self.transport.resume_reading()


@cache
def _silence(kind: int, sample_rate: int) -> bytes:
    """20 ms of it."""
    return encoded(Frame(kind, bytes(2 * (sample_rate // 50))))
