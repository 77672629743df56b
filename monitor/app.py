"""Starts and stops everything in order. The only file where threads and asyncio meet.

Started from the right of the diagram (websocket, pipeline, sources), stopped from its left, so that whatever a source has
captured is scored and told before the listeners go.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from monitor.apart import Apart
from monitor.board import Board
from monitor.broadcast import Broadcaster
from monitor.bus import Bus, Receiver
from monitor.errors import CallmoodError, SourceError
from monitor.identities import Identities
from monitor.messages import AlertRaised, AnyMessage, CallEnded, Error, Hello, rfc3339
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.settings import Settings
from monitor.snapshot import Health
from monitor.sources import BlockQueue, Listener, Source

_log = logging.getLogger(__name__)

_LONGEST_STOP_S = 5.0
"""A thread that has not ended by then is left behind, with a log line."""


class Node:
    """One running monitor. A context manager: inside, everything runs; `finished` is set when all is played and told."""

    def __init__(
        self, settings: Settings, model: EmotionModel, sources: Sequence[Source], receivers: Iterable[Receiver] = ()
    ) -> None:
        self.settings, self.model = settings, model
        self.board = Board()
        self.errors: list[Error] = []
        """What could not be done, as it was published."""
        self.ended: list[CallEnded] = []
        """How the calls ended; the last thousand."""
        self.alerts: list[AlertRaised] = []
        """What was raised; the last thousand."""
        self.finished = threading.Event()
        """All sources are through and everything is told, or scoring failed."""
        self._bus = Bus()
        self._identities = Identities(settings.show_identities)
        self._queue = BlockQueue(settings.queue_s)
        self._sources = sources
        self._stop = threading.Event()
        self._sources_through = threading.Event()
        self._server: _Server | None = None
        self._listening: Apart | None = None
        self._threads: list[threading.Thread] = []
        for receiver in (self._keep, self.board.receive, *receivers):
            self._bus.subscribe(receiver)

    def serve(self) -> Broadcaster:
        """Opens the websocket, before anything plays; returns it for its addresses. Raises ServiceError."""
        self._server = _Server(self.settings, self.hello)
        self._server.start()
        self._bus.subscribe(self._server.publish)
        return self._server.broadcaster

    def listen(self, make: Callable[[], Sequence[Listener]]) -> list[str]:
        """Opens listeners for calls, before anything plays; returns what they listen on. Raises CallmoodError.

        They are made by `make` in a process of their own: see `monitor.apart`.
        """
        self._listening = Apart(make, self._queue, self._identities)
        self._sources = [*self._sources, self._listening]
        return self._listening.start()

    def drain(self) -> None:
        """Refuses new calls; when the running ones are over, everything is finished. What only plays goes on."""
        if self._listening is not None:
            self._listening.drain()

    def __enter__(self) -> "Node":
        pipeline = Pipeline(self.model, self.settings, self._bus, identities=self._identities)
        self._start("pipeline", lambda: self._run_pipeline(pipeline))
        self._start("sources", self._run_sources)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the sources, lets what they captured be told, then ends the websocket. May be called twice."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_LONGEST_STOP_S)
            if thread.is_alive():
                _log.error("%s did not end within %g s", thread.name, _LONGEST_STOP_S)
        if self._server is not None:
            self._server.stop()

    def health(self) -> Health:
        """What the board cannot know of itself."""
        broadcaster = self._server.broadcaster if self._server else None
        return Health(
            model=f"{self.model.meaning.name} {self.model.meaning.version}",
            address=broadcaster.address if broadcaster else "",
            subscribers=broadcaster.subscribers if broadcaster else 0,
            dropped_s=self._queue.dropped_s,
            waiting_s=self._queue.waiting_s,
        )

    def hello(self) -> Hello:
        """The first message to every subscriber."""
        meaning = self.model.meaning
        return Hello(
            at=rfc3339(time.time()),
            node=self.settings.node,
            model=f"{meaning.name} {meaning.version}",
            window_s=self.settings.window_s,
            hop_s=self.settings.hop_s,
        )

    def _keep(self, message: AnyMessage) -> None:
        if isinstance(message, Error):
            self.errors = [*self.errors[-999:], message]
        elif isinstance(message, CallEnded):
            self.ended = [*self.ended[-999:], message]
        elif isinstance(message, AlertRaised):
            self.alerts = [*self.alerts[-999:], message]

    def _start(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_pipeline(self, pipeline: Pipeline) -> None:
        try:
            pipeline.run(self._queue, self._sources_through)
        except CallmoodError:
            self._stop.set()
        finally:
            dropped = self._queue.dropped_blocks, self._queue.dropped_s
            _log.info("scoring ends; audio that was dropped before it: %d blocks, %.1f s", *dropped)
            self.finished.set()

    def _run_sources(self) -> None:
        threads = [threading.Thread(target=self._run_source, args=(source,), daemon=True) for source in self._sources]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._sources_through.set()

    def _run_source(self, source: Source) -> None:
        try:
            source.run(self._queue, self._stop)
        except CallmoodError as error:
            self._tell(error)
        except Exception as fault:
            _log.exception("%s failed", type(source).__name__)
            text = f"{type(source).__name__} failed: {fault!r}; its calls have ended: restart callmood and report this"
            self._tell(SourceError(text))

    def _tell(self, error: CallmoodError) -> None:
        self._bus.publish(Error(at=rfc3339(time.time()), code=error.code, text=str(error)))


class _Server:
    """The broadcaster on an event loop in its own thread."""

    def __init__(self, settings: Settings, hello: Callable[[], Hello]) -> None:
        self.broadcaster = Broadcaster(settings, hello)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="websocket", daemon=True)

    def start(self) -> None:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.broadcaster.start(), self._loop).result()
        except CallmoodError:
            self.stop()
            raise

    def publish(self, message: AnyMessage) -> None:
        self._loop.call_soon_threadsafe(self.broadcaster.publish, message)

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self.broadcaster.stop(), self._loop).result(_LONGEST_STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LONGEST_STOP_S)
        self._loop.close()
