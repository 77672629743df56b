"""One subscriber of the websocket: what waits for it, and the tasks that write, listen and see whether it still lives."""

import asyncio
import logging
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed

from monitor.backlog import Backlog, Line
from monitor.memory import Told
from monitor.messages import Heartbeat, Missed, encode, rfc3339
from monitor.subscription import Subscription
from monitor.tokens import Grant

STUCK_S = 30.0
"""A subscriber that takes nothing for so long is closed."""
CLOSE_S = 5.0
"""How long one closing handshake may take."""
MOST_SAID, SAID_S = 20, 10.0
"""A subscriber that says more messages in so many seconds is closed."""

TURN = 32
"""Messages of a greeting that are sent in one go."""

ENDED, UNSUPPORTED = 1000, 1003
"""Close codes of RFC 6455: the one call has ended; a binary frame came."""
BINARY = "binary frames mean nothing here: send JSON as text"
TOO_SLOW = 4008
"""Close code of a subscriber that does not read; it may connect again."""
REFUSED = 4000
"""Plus the HTTP status that says the same: 4400, 4401, 4403, 4404, 4429, 4503."""

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
    accepted: int = 0
    """Subscriptions so far."""
    refused: Counter[str] = field(default_factory=Counter)
    """Requests and messages that were refused, by reason: host, origin, path, query, call, resume, no_token,
    token, expired, scope, limit, alert, garbage."""


class Subscriber:
    """One open connection; `serve` lives as long as it does."""

    def __init__(
        self,
        connection: ServerConnection,
        subscription: Subscription,
        grant: Grant,
        backlog: Backlog,
        counters: Counters,
        *,
        wanted: str,
        heartbeat_s: float,
        stuck_s: float = STUCK_S,
    ) -> None:
        self.topic = subscription.topic
        self.grant = grant
        self.wanted = wanted
        """Its topic for the audit log."""
        self.backlog = backlog
        self.calls: set[str] = set()
        """The calls that it heard of and that have not ended."""
        self._interval_s = subscription.min_interval_s
        self._connection, self._counters = connection, counters
        self._heartbeat_s, self._stuck_s = heartbeat_s, stuck_s
        self._woken = asyncio.Event()
        self._finishing = self._idle = self._leaving = False
        self._last_sent_s = time.monotonic()
        self._last_reading_s: dict[tuple[str, str], float] = {}
        self._said: deque[float] = deque(maxlen=MOST_SAID)
        self._writing: asyncio.Task[None]
        self._closing: asyncio.Task[None] | None = None

    def view(self, told: Told) -> Line | None:
        """What it may see of a message: whoever follows an agent gets the desktop's view."""
        return told.desktop if self.topic.kind == "agent" else told.full

    def picked(self, told: Told) -> Line | None:
        """What it gets of a message: its view, or nothing where it asked for fewer readings. Notes that its call has ended."""
        line = self.view(told)
        if told.final:
            self._finishing = self._finishing or self.topic.kind == "call"
            self.calls.discard(told.call)
            self._last_reading_s = {key: s for key, s in self._last_reading_s.items() if key[0] != told.call}
        else:
            self.calls.add(told.call)
        if told.reading is None or not self._interval_s:
            return line
        (party, end_s), call = told.reading, told.call
        key = call, party
        if end_s - self._last_reading_s.get(key, -self._interval_s) < self._interval_s:
            return None
        self._last_reading_s[key] = end_s
        return line

    def hear(self, told: Told) -> None:
        """Send what it gets of `told`; after the end of the one call that it subscribed to, say goodbye."""
        line = self.picked(told)
        if line is not None:
            self.add(line)
        if self._finishing:
            self._wake()

    def add(self, line: Line) -> None:
        """Send `line` at once if nothing is on its way; queue it else, where it may cost the oldest passing message."""
        if self._leaving or self._connection.transport.is_closing():
            return
        if self._idle and not (self.backlog.owes or self._connection.transport.get_write_buffer_size()):
            broadcast((self._connection,), line.text, text=True)
            self._note_sent()
            return
        self._counters.dropped += self.backlog.add(line)
        self._wake()

    async def serve(self, greeting: deque[Line], take: Callable[[str], Awaitable[None]]) -> None:
        """Send `greeting`, which is empty afterwards, then what is added, and hand what it says to `take`, until the connection
        ends."""
        async with asyncio.TaskGroup() as tasks:
            self._writing = tasks.create_task(self._write(greeting))
            others = [tasks.create_task(self._beat()), tasks.create_task(self._ping())]
            await self._listen(take)
            if self._closing is not None:
                await self._closing
            for task in (self._writing, *others):
                task.cancel()
        if self._closing is not None:
            await self._closing

    def expect_no_more(self) -> None:
        """Its one call has ended: say goodbye after the greeting."""
        self._finishing = True

    def finish(self) -> asyncio.Task[None]:
        """Add nothing more; the returned task is done when everything is sent."""
        self._finishing = True
        self._wake()
        return self._writing

    def leave(self, code: int, reason: str) -> None:
        """Send nothing more, and close with `code` and `reason`."""
        if self._closing is None:
            self._leaving = True
            self._closing = asyncio.get_running_loop().create_task(self._close(code, reason))

    async def _listen(self, take: Callable[[str], Awaitable[None]]) -> None:
        with suppress(ConnectionClosed):
            async for text in self._connection:
                now_s = time.monotonic()
                if len(self._said) == MOST_SAID and now_s - self._said[0] < SAID_S:
                    self._counters.refused["limit"] += 1
                    return self.leave(REFUSED + 429, f"more than {MOST_SAID} messages in {SAID_S:g} s")
                if isinstance(text, bytes):
                    self._counters.refused["garbage"] += 1
                    return self.leave(UNSUPPORTED, BINARY)
                self._said.append(now_s)
                await take(text)

    async def _write(self, greeting: deque[Line]) -> None:
        with suppress(ConnectionClosed):
            try:
                while greeting:
                    await self._send(greeting.popleft().text)
                    if len(greeting) % TURN == 0:
                        await asyncio.sleep(0)  # a send that finds room does not: others have their turn
                while await self._something_waits():
                    missed, line = self.backlog.take()
                    if missed:
                        await self._send(_missed(line, missed))
                    await self._send(line.text)
            except _TooSlowError as reason:
                self._drop(str(reason))
        if self._finishing and self.topic.kind == "call":
            self.leave(ENDED, "the call has ended")

    async def _beat(self) -> None:
        """A heartbeat where nothing else was sent for so long."""
        while True:
            left_s = self._last_sent_s + self._heartbeat_s - time.monotonic()
            if left_s <= 0:
                self.add(Line(encode(Heartbeat(at=rfc3339(time.time()))), ("", "heartbeat")))
            await asyncio.sleep(left_s if left_s > 0 else self._heartbeat_s)

    async def _ping(self) -> None:
        """A ping every heartbeat, which has to be answered in time."""
        with suppress(ConnectionClosed):
            await asyncio.sleep(random.uniform(0.0, self._heartbeat_s))  # those who came together do not ping together
            while True:
                await asyncio.sleep(self._heartbeat_s)
                try:
                    async with asyncio.timeout(self._stuck_s):
                        await (await self._connection.ping())
                except TimeoutError:
                    self._drop(f"nothing was read for {self._stuck_s:g} s")

    async def _something_waits(self) -> bool:
        """Wait for it. False after `finish`, when nothing more comes."""
        while not self.backlog:
            if self.backlog.abandoned:
                raise _TooSlowError("more waited, or was lost untold, than is kept")
            if self._finishing:
                return False
            self._woken.clear()
            self._idle = True
            await self._woken.wait()
        return True

    def _wake(self) -> None:
        self._idle = False
        self._woken.set()

    async def _send(self, text: bytes) -> None:
        try:
            async with asyncio.timeout(self._stuck_s):
                await self._connection.send(text, text=True)
        except TimeoutError:
            raise _TooSlowError(f"nothing was read for {self._stuck_s:g} s") from None
        self._note_sent()

    def _note_sent(self) -> None:
        self._counters.sent += 1
        self._last_sent_s = time.monotonic()

    def _drop(self, reason: str) -> None:
        if self._closing is None:
            logger.info("a subscriber is closed: %s", reason)
            self._counters.too_slow += 1
            self._counters.dropped += self.backlog.abandon()
            self.leave(TOO_SLOW, reason)

    async def _close(self, code: int, reason: str) -> None:
        with suppress(TimeoutError):  # `close` waits for room in a buffer that nobody may be emptying
            async with asyncio.timeout(CLOSE_S):
                await self._connection.close(code, reason)
        self._connection.transport.abort()


class _TooSlowError(Exception):
    """This subscriber cannot be served any further; the text goes into its close frame."""


def _missed(before: Line, count: int) -> bytes:
    why = "this subscriber reads too slowly"
    return encode(Missed(at=rfc3339(time.time()), call=before.call, count=count, seq=before.seq - 1, reason=why))
