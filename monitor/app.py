"""Starts and stops everything in order.

Started from the right of the diagram (websocket, pipeline, sources), stopped from its left, so that whatever a source has
captured is scored and told before the listeners go. Websocket, history and listeners are imported where a run has them.
"""

import logging
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from monitor.alerts.rulefile import load_rules
from monitor.allocator import give_back_until
from monitor.board import Board
from monitor.bus import Bus, Receiver
from monitor.errors import CallmoodError, HistoryError, SourceError
from monitor.identities import Identities
from monitor.lateness import Lateness
from monitor.messages import AlertRaised, AnyMessage, CallEnded, CallKey, Error, Hello, rfc3339, unix_ms
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.settings import Settings
from monitor.snapshot import Health
from monitor.sources import Acknowledged, Before, BlockQueue, Listener, Source

if TYPE_CHECKING:
    from monitor.broadcast import Broadcaster
    from monitor.history.earlier import Past
    from monitor.history.writer import History
    from monitor.listening import Listening
    from monitor.scorers import Scorers
    from monitor.service_thread import ServiceThread
    from monitor.subscription import Topic
    from monitor.tokens import Tokens
    from monitor.webhooks.service import Webhooks

_log = logging.getLogger(__name__)

_DRAINING = "draining: new calls are refused, the running ones go on to their end"
_FILES_BESIDE = 256
"""Open files that are no connections of the websocket."""
_LONGEST_OPENING_S = 3.0
"""So long a subscriber that comes from an earlier run waits for the history to be opened."""
_LONGEST_STOP_S = 5.0
"""A thread that has not ended by then is left behind, with a log line."""


class Node:
    """One running monitor. A context manager: inside, everything runs; `finished` is set when all is played and told."""

    def __init__(
        self,
        settings: Settings,
        model: EmotionModel,
        sources: Sequence[Source],
        receivers: Iterable[Receiver] = (),
        history: Path | None = None,
        looked_at: bool = True,
    ) -> None:
        """`history`: the file that calls are kept in; None keeps nothing. `looked_at`: whether the board has somebody who
        looks at more than which calls run. Raises SettingError where the rules of `alert_rules` cannot hold.
        """
        self.settings, self.model = settings, model
        self._rules = load_rules(settings.alert_rules)
        self.board = Board(detailed=looked_at)
        self.errors: list[Error] = []
        """What could not be done, as it was published."""
        self.ended: list[CallEnded] = []
        """How the calls ended; the last thousand."""
        self.alerts: list[AlertRaised] = []
        """What was raised; the last thousand."""
        self.hint = ""
        """A line for whoever looks at the dashboard: what to try."""
        self.finished = threading.Event()
        """All sources are through and everything is told, or scoring failed."""
        self._keeping = threading.Lock()
        self._bus = Bus()
        self._epoch = secrets.token_urlsafe(6)
        self._identities = Identities(settings.show_identities, _pseudonyms_key(history))
        self._history = self._made_history(history) if history else None
        self._scorers = self._made_scorers() if settings.scoring_processes > 1 else None
        self._blocks = BlockQueue(settings.queue_s)
        self._queue = self._scorers or self._blocks
        self._lateness = Lateness(settings.late_s, self._waited_s, settings.when_late, settings.full_at, self._busy)
        self._scoring: Pipeline | Scorers | None = self._scorers
        self._sources = sources
        self._stop = threading.Event()
        self._sources_through = threading.Event()
        self._server: ServiceThread | None = None
        self._listening: Listening | None = None
        self._webhooks: Webhooks | None = None
        self._draining = False
        self._threads: list[threading.Thread] = []
        kept = [self._history.receive] if self._history else []
        for receiver in (self._keep, self.board.receive, *kept, *receivers):
            self._bus.subscribe(receiver)

    def serve(self, tokens: "Tokens | None" = None) -> "Broadcaster":
        """Opens the websocket, before anything plays; returns it for its addresses. Raises ServiceError, SettingError.

        `tokens` stand in for those that the settings name.
        """
        from monitor.broadcast import Broadcaster
        from monitor.handshake import Ties
        from monitor.service_thread import ServiceThread

        _raise_file_limit(self.settings.max_connections)
        ties = Ties(
            self.hello,
            lambda said: self.acknowledge(said.call, said.alert, said.by),
            self.unready,
            lambda: metrics.text(),
            self._past,
        )
        server = self._server = ServiceThread(
            Broadcaster(self.settings, ties, identities=self._identities, tokens=tokens, epoch=self._epoch)
        )
        metrics = server.metrics(self.health, self.board, ties.hello().model, lambda: self._webhooks)
        server.start()
        self._bus.subscribe(metrics.receive)
        self._bus.subscribe(server.publish, server.wake)
        return server.broadcaster

    def post_alerts(self) -> None:
        """Opens the webhooks that the settings name, before anything plays. Raises SettingError, ServiceError."""
        if self.settings.webhooks is None:
            return
        from monitor.webhooks.service import Webhooks

        webhooks = Webhooks(self.settings, self._model_name, [rule.name for rule in self._rules])
        webhooks.start()
        self._webhooks = webhooks
        self._bus.subscribe(webhooks.receive)

    def reload(self) -> None:
        """Reads certificate, keys and secrets of websocket and webhooks anew; a fault is logged, all stays as it was."""
        if self._server is not None:
            self._server.reload()
        if self._webhooks is not None:
            try:
                self._webhooks.reload()
            except CallmoodError as error:
                _log.error("the webhooks' secrets were not reloaded: %s", error)

    def listen(self, make: Callable[[Before], Sequence[Listener]]) -> list[str]:
        """Opens listeners for calls, before anything plays; returns what they listen on. Raises CallmoodError.

        They are made by `make` in a process of their own: see `monitor.listening`.
        """
        from monitor.listening import Listening

        self._listening = Listening(make, self._queue, self._identities, self._refusing)
        self._sources = [*self._sources, self._listening]
        return self._listening.start()

    def drain(self) -> None:
        """Refuses new calls; when the running ones are over, everything is finished. What only plays goes on."""
        self._draining = True
        if self._listening is not None:
            self._listening.drain()

    def __enter__(self) -> "Node":
        if self._history is not None:
            self._history.start()
        run = self._scorers.run if self._scorers is not None else partial(self._made_pipeline().run, self._blocks)
        self._start("pipeline", lambda: self._score(run))
        self._start("sources", self._run_sources)
        give_back_until(self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the sources, lets what they captured be told, then ends websocket and webhooks. May be called twice."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_LONGEST_STOP_S)
            if thread.is_alive():
                _log.error("%s did not end within %g s", thread.name, _LONGEST_STOP_S)
        if self._history is not None:
            self._history.stop(_LONGEST_STOP_S)
        if self._server is not None:
            self._server.stop()
        if self._webhooks is not None:
            self._webhooks.stop()

    def health(self) -> Health:
        """What the board cannot know of itself."""
        broadcaster = self._server.broadcaster if self._server else None
        return Health(
            model=self._model_name,
            address=broadcaster.address if broadcaster else "",
            subscribers=broadcaster.subscribers if broadcaster else 0,
            dropped_s=self._queue.dropped_s,
            waiting_s=self._queue.waiting_s,
            hint=self.hint,
            history=self._history.failure if self._history else "",
            unstored=self._history.unstored if self._history else None,
            warnings=tuple(self._warnings()),
            restarts=self._listening.restarts if self._listening else None,
            scoring_restarts=self._scorers.restarts if self._scorers else None,
        )

    def acknowledge(self, call: str, alert: str, by: str) -> None:
        """`by` looks after an open alert; nothing comes of it where the alert is not open, or somebody does already."""
        self._queue.put(Acknowledged(call, alert, by))

    def unready(self) -> str:
        """Why no further call should come to this node, in one line; empty when one may."""
        if not self._threads:
            return "starting"
        if self._stop.is_set() or self.finished.is_set():
            return "no call is scored any more: stopped, or all is played"
        if self._draining:
            return _DRAINING
        if self._listening is not None and self._listening.trouble:
            return self._listening.trouble
        if self._scorers is not None and self._scorers.stand_still:
            return self._scorers.trouble
        running = self.board.running
        if running >= self.settings.max_calls:
            return f"full: {running} calls run, max_calls is {self.settings.max_calls}"
        return self._late()

    def _warnings(self) -> Iterator[str]:
        """What is not as it should be while scoring goes on."""
        if self._draining:
            yield _DRAINING
        if self._listening is not None and self._listening.trouble:
            yield self._listening.trouble
        if self._scorers is not None and self._scorers.trouble:
            yield self._scorers.trouble
        if late := self._late():
            yield late
        if self._webhooks:
            yield from self._webhooks.warnings()

    def _waited_s(self, now_s: float) -> float:
        """How long the oldest audio without a reading has waited: in the queue, or for the network."""
        heard_s = self._scoring.waited_s(now_s) if self._scoring is not None else 0.0
        return max(self._queue.waited_s(now_s), heard_s)

    def _busy(self) -> float:
        """The share of time in which calls are scored. Recordings may take all of it."""
        return 0.0 if self._scoring is None or self._listening is None else self._scoring.busy

    def _late(self) -> str:
        return self._lateness.look(time.monotonic())

    def _refusing(self) -> str:
        """Why listeners take no further call."""
        return "" if self._takes_unscored else self._late()

    def _unscoring(self) -> str:
        """Why a call that begins is not scored. Recordings wait for their turn instead."""
        return self._late() if self._takes_unscored and self._listening is not None else ""

    @property
    def _takes_unscored(self) -> bool:
        return self.settings.when_late == "unscored"

    def hello(self) -> Hello:
        """The first message to every subscriber."""
        meaning = self.model.meaning
        return Hello(
            at=rfc3339(time.time()),
            node=self.settings.node,
            model=self._model_name,
            window_s=self.settings.window_s,
            hop_s=self.settings.hop_s,
            model_scores={name: value for name, value in meaning.scores.items() if isinstance(value, float)},
        )

    def _made_history(self, path: Path) -> "History":
        from monitor.history.ledger import Run
        from monitor.history.writer import History

        hello = self.hello()
        run = Run(self._epoch, hello.node, hello.model, self._identities.fingerprint)
        return History(path, run, self.settings.history.days, self._forget)

    def _past(self, epoch: str, topic: "Topic", resume: Mapping[str, int]) -> "Past | None":
        """For the websocket, in a thread of its own."""
        from monitor.history.earlier import past

        if self._history is None:
            return None
        self._history.wait(_LONGEST_OPENING_S)
        return past(self._history.path, epoch, self._identities.fingerprint, topic, resume, self.settings.resume)

    def _forget(self, calls: Sequence[CallKey]) -> None:
        """Calls that were deleted from the history."""
        with self._keeping:
            for call in calls:
                self._forget_told(call)
        self.board.forget(calls)
        if self._server is not None:
            self._server.forget(calls)

    def _forget_told(self, call: CallKey) -> None:
        """What is kept of `call` for the last lines; others of its name, one after the other, stay."""
        ends = (one for one in self.ended if one.call == call.name and unix_ms(one.at) >= call.began_ms)
        end = next(ends, None)
        if end is None:
            return
        span_ms = range(call.began_ms, unix_ms(end.at) + 1)
        self.ended = [one for one in self.ended if one is not end]
        self.alerts = [one for one in self.alerts if one.call != call.name or unix_ms(one.at) not in span_ms]

    @property
    def _model_name(self) -> str:
        return f"{self.model.meaning.name} {self.model.meaning.version}"

    def _keep(self, message: AnyMessage) -> None:
        with self._keeping:
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

    def _made_scorers(self) -> "Scorers":
        from monitor.scorers import Scorers

        return Scorers.of(self.model, self.settings, self._bus, self._identities, self._rules, self._unscoring)

    def _made_pipeline(self) -> Pipeline:
        pipeline = self._scoring = Pipeline(
            self.model,
            self.settings,
            self._bus,
            identities=self._identities,
            rules=self._rules,
            unscoring=self._unscoring,
        )
        return pipeline

    def _score(self, run: Callable[[threading.Event], None]) -> None:
        """Until all is played and told, or scoring failed."""
        try:
            run(self._sources_through)
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


def _pseudonyms_key(history: Path | None) -> bytes | None:
    """The lasting one beside the history; None where there is no history, or the key cannot be read."""
    if history is None:
        return None
    from monitor.history.lasting_key import lasting_key

    try:
        return lasting_key(history)
    except HistoryError as error:
        _log.warning("pseudonyms are those of this run alone: %s", error)
        return None


def _raise_file_limit(connections: int) -> None:
    """Let the process hold so many connections open, as far as the operating system allows it."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _FILES_BESIDE
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning(
            "%d open files are allowed, max_connections needs %d: raise `ulimit -Hn`, or lower it", allowed, wanted
        )
