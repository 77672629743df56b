"""The websocket service on an event loop in a thread of its own: what other threads publish is handed over to the loop."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from monitor import __version__
from monitor.board import Board
from monitor.broadcast import Broadcaster
from monitor.errors import CallmoodError
from monitor.messages import AnyMessage, CallKey, Gap, Reading
from monitor.snapshot import Health

if TYPE_CHECKING:
    from monitor.metrics import Metrics
    from monitor.webhooks.service import Webhooks

_log = logging.getLogger(__name__)

_MOST_UNPUBLISHED = 65_536
"""Messages that may wait for the websocket's thread; past it readings are dropped and counted, the rest never is."""
_LONGEST_STOP_S = 5.0
"""So long its end is waited for."""


class ServiceThread:
    """The broadcaster on an event loop in its own thread."""

    def __init__(self, broadcaster: Broadcaster) -> None:
        self.broadcaster = broadcaster
        self.unpublished = 0
        """Messages that were dropped: readings and gaps that the loop did not take in time, and faults of our own."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="websocket", daemon=True)
        self._waiting: deque[AnyMessage] = deque()
        self._woken = False
        self._lock = threading.Lock()

    def metrics(
        self, health: Callable[[], Health], board: Board, model: str, webhooks: Callable[[], "Webhooks | None"]
    ) -> "Metrics":
        """What Prometheus reads of this server and its node."""
        from monitor.metrics import Gauges, Metrics

        broadcaster = self.broadcaster
        gauges = Gauges(
            health=health,
            parties=lambda: board.scored_parties,
            counters=broadcaster.counters,
            waiting=lambda: broadcaster.waiting,
            unpublished=lambda: self.unpublished,
            audit_lost=lambda: broadcaster.audit_lost,
            webhooks=webhooks,
        )
        return Metrics(gauges, model, __version__)

    def start(self) -> None:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.broadcaster.start(), self._loop).result()
        except CallmoodError:
            self.stop()
            raise

    def publish(self, message: AnyMessage) -> None:
        """Keep `message` for the loop until that is woken."""
        with self._lock:
            full = len(self._waiting) >= _MOST_UNPUBLISHED and isinstance(message, Reading | Gap)
            if full or self._loop.is_closed():  # scoring that did not end in time tells on after the websocket's end
                self.unpublished += 1
            else:
                self._waiting.append(message)

    def wake(self) -> None:
        """Let the loop publish what waits: once for all of it."""
        with self._lock:
            if self._waiting and not self._woken and not self._loop.is_closed():
                self._woken = True
                self._loop.call_soon_threadsafe(self._publish_waiting)

    def reload(self) -> None:
        self._loop.call_soon_threadsafe(self._reload)

    def forget(self, calls: Sequence[CallKey]) -> None:
        """Tell nobody of these calls any more."""
        self._loop.call_soon_threadsafe(self.broadcaster.forget, calls)

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._publish_waiting)
        asyncio.run_coroutine_threadsafe(self.broadcaster.stop(), self._loop).result(_LONGEST_STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LONGEST_STOP_S)
        self._loop.close()

    def _publish_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
            self._woken = False
        for message in waiting:
            try:
                self.broadcaster.publish(message)
            except Exception:  # the edge of the thread: one message must not cost those behind it
                self.unpublished += 1
                _log.exception("a %s message was not published", type(message).__name__)

    def _reload(self) -> None:
        try:
            self.broadcaster.reload()
        except CallmoodError as error:
            _log.error("nothing was reloaded: %s", error)
        else:
            _log.info("certificate and token keys were read anew")
