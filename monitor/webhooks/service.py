"""Alerts to other systems: a receiver of the bus, and a thread with an event loop that stores and posts what it makes.

bus → composer → memory (bounded) → queue on disk → a lane for each endpoint → https
What is on disk is posted at least once, under one id, whatever happens to this program. `docs/webhooks.md` is its manual.
"""

import asyncio
import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Collection, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor import __version__
from monitor.client import trusting
from monitor.errors import SettingError
from monitor.messages import AnyMessage, rfc3339
from monitor.settings import Settings, WebhookSettings
from monitor.webhooks.body import Composer, Notice, Origin, Wanted, trial_notice
from monitor.webhooks.endpoints import Endpoint, endpoints
from monitor.webhooks.files import owned, queue_path
from monitor.webhooks.lane import Lane, SureQueue
from monitor.webhooks.post import Answer, client, post
from monitor.webhooks.queue import DeliveryQueue, forget

__all__ = ["EndpointCounts", "Webhooks", "forget", "queue_path", "trial"]

MOST_UNSTORED = 1_000
"""Notices that wait in memory while the disk takes none; past it the oldest is dropped and counted."""
LAST_TRY_S = 3.0
"""How long `stop` lets due deliveries be tried; what is left stays on disk."""
LOOKUPS_AN_ENDPOINT = 4
"""Threads that look up names: a name server that hangs for one endpoint leaves some to the others."""
EXPIRY_S = 3_600.0
"""From one look for what is too old to the next."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EndpointCounts:
    """One endpoint, for metrics: deliveries of this run, and what waits."""

    number: int
    posted: int
    failed: int
    """Tries without success."""
    given_up: int
    waiting: int


class Webhooks:
    """`start`, then `receive` every message of the bus, then `stop`. What goes wrong costs the receiver's caller nothing."""

    def __init__(self, settings: Settings, model: str, rules: Collection[str]) -> None:
        """`settings.webhooks` must stand; `model` is its name and version, `rules` those that there are. Raises
        SettingError."""
        assert settings.webhooks is not None
        _check_rules(settings.webhooks.rules, rules)
        self._settings = settings.webhooks
        self.lost = 0
        """Notices that were never stored."""
        self._composer = Composer(origin(settings, model), wanted(self._settings))
        self._unstored: deque[Notice] = deque()
        self._storing: list[Notice] = []
        """Taken from them, and on its way to the disk."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Stands between `start` and `stop`."""
        self._owned = ExitStack()
        self._fault = ""
        self._queue = SureQueue(queue_path(self._settings))
        ends, tls = endpoints(self._settings), _tls(self._settings)
        self._lanes = [Lane(end, self._queue, self._settings, tls) for end in ends]
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """What waits on disk since an earlier run goes first. Raises ServiceError where another node posts from the
        queue, or others may read it; a disk that fails is no reason: it is tried again."""
        self._owned.enter_context(owned(self._queue.path))
        loop = self._loop = asyncio.new_event_loop()
        loop.set_default_executor(ThreadPoolExecutor(LOOKUPS_AN_ENDPOINT * len(self._lanes), "webhook-names"))
        self._thread = threading.Thread(target=loop.run_forever, name="webhooks", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(), loop).result()

    def receive(self, message: AnyMessage) -> None:
        """Takes in one message, in the order of the bus, and waits for nothing."""
        notices = self._composer.see(message)
        if not notices or self._loop is None:
            return
        with self._lock:
            self._unstored.extend(notices)
            while len(self._unstored) > MOST_UNSTORED:
                self._unstored.popleft()
                self.lost += 1
        self._loop.call_soon_threadsafe(self._arrived.set)

    def reload(self) -> None:
        """Reads the secrets anew. Raises SettingError: then the old ones go on."""
        for lane, endpoint in zip(self._lanes, endpoints(self._settings), strict=True):
            lane.endpoint = endpoint

    def stop(self) -> None:
        """What is due is tried once more; the rest stays on disk. May be called twice."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()
        self._owned.close()
        if waiting := sum(lane.waiting for lane in self._lanes):
            _log.warning("%d webhooks wait in %s for the next start", waiting, self._queue.path)
        if self.lost:
            _log.error("%d webhooks were never stored", self.lost)

    def warnings(self) -> tuple[str, ...]:
        """What a supervisor should know, each in one line."""
        lines = [self._fault] if self._fault else []
        if self._queue.trouble:
            lines.append(f"webhooks cannot be stored: {self._queue.trouble}")
        if self.lost:
            lines.append(f"{self.lost} webhooks lost: they could not be stored")
        for lane in self._lanes:
            if lane.trouble:
                counts = f"{lane.waiting} wait, {lane.given_up} given up"
                lines.append(f"webhook {lane.endpoint.number}, {lane.endpoint.shown}: {lane.trouble} ({counts})")
        return tuple(lines)

    def counts(self) -> tuple[EndpointCounts, ...]:
        """Of each endpoint."""
        return tuple(
            EndpointCounts(lane.endpoint.number, lane.posted, lane.failed, lane.given_up, lane.waiting)
            for lane in self._lanes
        )

    async def _begin(self) -> None:
        for run in (self._keep(), *(lane.run() for lane in self._lanes)):
            task = asyncio.create_task(run)
            task.add_done_callback(self._done)
            self._tasks.append(task)

    def _done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (fault := task.exception()):
            self._fault = f"webhooks are not posted any more: {fault!r}: restart callmood and report this"
            _log.error("%s", self._fault, exc_info=fault)

    async def _keep(self) -> None:
        """Puts onto the disk what comes, and deletes there what is too old."""
        ends = [lane.endpoint for lane in self._lanes]
        await self._queue.surely(lambda queue: queue.welcome(ends))
        while True:
            await self._expire()
            look_s = time.monotonic() + EXPIRY_S
            while time.monotonic() < look_s:
                self._arrived.clear()
                while self._unstored or self._storing:
                    await self._queue.surely(self._store)
                await _within(look_s - time.monotonic(), self._arrived.wait())

    def _store(self, queue: DeliveryQueue) -> None:
        """Puts onto the disk what waits in memory. Raises `sqlite3.Error`: then it still does."""
        if not self._storing:
            with self._lock:
                self._storing, self._unstored = list(self._unstored), deque()
        queue.put(self._storing, [lane.endpoint for lane in self._lanes], time.time())
        self._storing = []
        for lane in self._lanes:
            over = queue.overtake(
                lane.endpoint.key, self._settings.max_waiting, "newer ones came (webhooks.max_waiting)"
            )
            lane.given_up += over
            lane.wake()

    async def _expire(self) -> None:
        before_s = time.time() - 86_400 * self._settings.days
        if waited := await self._queue.surely(lambda queue: queue.expire(before_s)):
            _log.error("%d webhooks were never delivered and are deleted after %d days", waited, self._settings.days)

    async def _end(self) -> None:
        await _within(LAST_TRY_S, self._last_tries())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.lost += len(self._unstored) + len(self._storing)
        self._queue.close()

    async def _last_tries(self) -> None:
        while self._unstored or self._storing:
            await asyncio.sleep(0.01)
        await asyncio.gather(*(lane.resting.wait() for lane in self._lanes))


def origin(settings: Settings, model: str) -> Origin:
    """Who posts, as bodies say it."""
    return Origin(name=settings.node, callmood=__version__, model=model)


def wanted(settings: WebhookSettings) -> Wanted:
    """What is posted, as the settings say it."""
    return Wanted(settings.events, settings.severities, settings.rules)


def trial(settings: Settings, model: str) -> Iterable[tuple[Endpoint, Answer]]:
    """Posts a test message to each endpoint, past the queue, and yields what came back. Raises SettingError."""
    if settings.webhooks is None:
        raise SettingError(
            "no webhooks are set: write [webhooks] into the file that --config names; see docs/webhooks.md"
        )
    tls, timeout_s = _tls(settings.webhooks), settings.webhooks.timeout_s
    for endpoint in endpoints(settings.webhooks):
        notice = trial_notice(origin(settings, model), rfc3339(time.time()))
        yield endpoint, asyncio.run(_post_once(tls, endpoint, notice, timeout_s))


async def _post_once(tls: ssl.SSLContext, endpoint: Endpoint, notice: Notice, timeout_s: float) -> Answer:
    async with client(tls) as connection:
        return await post(connection, endpoint, notice.id, notice.body, timeout_s)


def _check_rules(wanted: Iterable[str], rules: Collection[str]) -> None:
    """Raises SettingError for a rule that there is not: its alerts would be waited for in vain."""
    for rule in wanted:
        if rule not in rules:
            raise SettingError(f"webhooks.rules names {rule!r}, expected of {', '.join(sorted(rules))}")


def _tls(settings: WebhookSettings) -> ssl.SSLContext:
    return trusting(Path(settings.ca_file)) if settings.ca_file else ssl.create_default_context()


async def _within(timeout_s: float, awaited: Coroutine[Any, Any, Any]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(awaited, timeout_s)
