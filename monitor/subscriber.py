"""One subscriber of the websocket: what waits for it, and the two tasks that write and listen."""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed

from monitor.backlog import Backlog, Line
from monitor.errors import ServiceError
from monitor.messages import Error, Missed, encode, rfc3339

STUCK_S = 30.0
"""A subscriber that takes nothing for so long is closed."""
CLOSE_S = 5.0
"""How long one closing handshake may take."""
TOO_SLOW = 4008
"""Close code of a subscriber that does not read; it may connect again."""

logger = logging.getLogger(__name__)


@dataclass
class Counters:
    """What a broadcaster did since its start."""

    sent: int = 0
    """Messages handed to subscribers' connections."""
    dropped: int = 0
    """Messages that subscribers did not get because they were slow."""
    too_slow: int = 0
    """Subscribers closed because they did not read."""
    refused: int = 0
    """Requests refused for their `Host` or `Origin`."""


class Subscriber:
    """One open connection; `serve` lives as long as it does."""

    def __init__(
        self, connection: ServerConnection, call: str | None, backlog: Backlog, counters: Counters, stuck_s: float
    ) -> None:
        self.call = call
        """The one call that it wants; None for all."""
        self.backlog = backlog
        self._connection = connection
        self._counters = counters
        self._stuck_s = stuck_s
        self._woken = asyncio.Event()
        self._finishing = False
        self._idle = False
        self._writing: asyncio.Task[None]

    def add(self, line: Line, *, lasting: bool) -> None:
        """Send `line` at once if nothing is on its way; queue it else, where it may cost the oldest passing message."""
        if self._idle and not self._connection.transport.get_write_buffer_size():
            broadcast((self._connection,), line.decode())  # text; before websockets 17 bytes are always binary
            self._counters.sent += 1
            return
        self._counters.dropped += self.backlog.add(line, lasting=lasting)
        self._wake()

    async def serve(self, greeting: Iterable[Line]) -> None:
        """Send `greeting`, then what is added, until the connection ends."""
        async with asyncio.TaskGroup() as tasks:
            self._writing = tasks.create_task(self._write(greeting))
            await self._listen()
            self._writing.cancel()

    def finish(self) -> asyncio.Task[None]:
        """Add nothing more; the returned task is done when everything is sent."""
        self._finishing = True
        self._wake()
        return self._writing

    async def _listen(self) -> None:
        """A client has nothing to say in this version: it is told so, once."""
        told = False
        with suppress(ConnectionClosed):
            async for _ in self._connection:
                if not told:
                    self.add(_nothing_to_say(), lasting=False)
                told = True

    async def _write(self, greeting: Iterable[Line]) -> None:
        with suppress(ConnectionClosed):
            try:
                for line in greeting:
                    await self._send(line)
                while await self._something_waits():
                    missed, line = self.backlog.take()
                    if missed:
                        await self._send(_missed(missed))
                    await self._send(line)
            except _TooSlowError as reason:
                await self._drop(str(reason))

    async def _something_waits(self) -> bool:
        """Wait for it. False after `finish`, when nothing more comes."""
        while not self.backlog:
            if self.backlog.abandoned:
                raise _TooSlowError("more calls and alerts waited than are kept")
            if self._finishing:
                return False
            self._woken.clear()
            self._idle = True
            await self._woken.wait()
        return True

    def _wake(self) -> None:
        self._idle = False
        self._woken.set()

    async def _send(self, line: Line) -> None:
        try:
            async with asyncio.timeout(self._stuck_s):
                await self._connection.send(line, text=True)
        except TimeoutError:
            raise _TooSlowError(f"nothing was read for {self._stuck_s:g} s") from None
        self._counters.sent += 1

    async def _drop(self, reason: str) -> None:
        logger.info("a subscriber is closed: %s", reason)
        self._counters.too_slow += 1
        self._counters.dropped += self.backlog.abandon()
        with suppress(TimeoutError):  # `close` waits for room in a buffer that nobody may be emptying
            async with asyncio.timeout(CLOSE_S):
                await self._connection.close(TOO_SLOW, reason)
        self._connection.transport.abort()


class _TooSlowError(Exception):
    """This subscriber cannot be served any further; the text goes into its close frame."""


def _missed(count: int) -> Line:
    return encode(Missed(at=rfc3339(time.time()), count=count, reason="this subscriber reads too slowly"))


def _nothing_to_say() -> Line:
    text = "this version takes no messages from subscribers; they are passed over"
    return encode(Error(at=rfc3339(time.time()), code=ServiceError.code, text=text))
