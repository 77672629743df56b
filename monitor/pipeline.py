"""The diagram as code: events of the sources in, messages out. One thread runs it, and the network's runs lie in another;
every call has its own state.

blocks → per party: resample → cells of 0.25 s
       → across parties: frames, speech
       → per party: 3 s windows
       → across parties: the network, of what is new
       → per party: calibrate → baseline → smooth → label, mood or "uncertain" → alerts → bus
"""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from monitor.alerts.rulefile import load_rules
from monitor.alerts.rules import Rule
from monitor.audio import Block
from monitor.bus import Bus
from monitor.busyness import Busyness
from monitor.calls import CallState, Due, Piece
from monitor.cells import Cell
from monitor.errors import AudioError, CallmoodError, PipelineError, SettingError
from monitor.identities import Identities
from monitor.messages import CallStarted, Error, rfc3339
from monitor.model import EmotionModel, Meaning
from monitor.readings import Scores
from monitor.settings import Settings
from monitor.sources import Acknowledged, CallClosed, CallOpened, Event, Refused, Told
from monitor.windows import Window, hear

_log = logging.getLogger(__name__)

_MOST_AT_ONCE = 512
"""Events that are taken, and cells that may collect before they are heard: when many calls are behind, what is not taken
still counts as waiting, and the first of what is need not wait for all."""

_LOOK_S = 0.002
"""So long a wait for the next events lasts while the network scores: then what it has done is told."""

_MOST_SCORING = 2
"""Batches with the network, so that it has work while others are heard and told here."""


class _Scoring(NamedTuple):
    """What was heard together, and is with the network."""

    due: Sequence[Due]
    scores: Future[Iterator[Scores]]
    since_s: float
    """When the oldest of it came; monotonic."""


class Waiting(Protocol):
    """What waits for the pipeline: `BlockQueue`, or what comes from another process."""

    def take(self, timeout_s: float, most: int | None = None) -> list[Event]:
        """What waits, oldest first, at most so many events; after `timeout_s` without anything, an empty list."""

    def set_limit(self, limit_s: float) -> None:
        """Another bound, as calls come and go."""

    def close(self) -> None:
        """No more is taken."""


class Pipeline:
    """Turns events into messages on `bus`. `handle` in tests and by the loop `run` of the pipeline's thread."""

    def __init__(
        self,
        model: EmotionModel,
        settings: Settings,
        bus: Bus,
        wall: Callable[[], float] = time.time,
        identities: Identities | None = None,
        rules: Sequence[Rule] | None = None,
        unscoring: Callable[[], str] = lambda: "",
    ) -> None:
        """`rules`: those of the setting `alert_rules`, where they were read already. `unscoring` says why no party of a call
        that begins now is scored, in one line; empty where they are.
        """
        check(settings, model.meaning)
        self._model, self._settings, self._bus, self._wall = model, settings, bus, wall
        self._identities = identities or Identities(settings.show_identities)
        self._rules = load_rules(settings.alert_rules) if rules is None else rules
        self._unscoring = unscoring
        self._calls: dict[str, CallState] = {}
        self.parties = 0
        """Of running calls."""
        self._past_unscored: deque[str] = deque(maxlen=settings.max_calls)
        """The calls that ended last of those that were not scored: one may go on under another name."""
        self._pieces: list[Piece] = []
        self._scoring_since_s: float | None = None
        self._network_s = 0.0
        """How long the network has worked in all."""
        self._busyness = Busyness(time.monotonic())

    @property
    def busy(self) -> float:
        """The share of the time in which scoring works, 0..1: see Busyness. Of `run` alone."""
        return self._busyness.share

    @property
    def since_s(self) -> float | None:
        """When the oldest of what was heard and waits for the network came, monotonic; None where nothing does."""
        return self._scoring_since_s

    def waited_s(self, now_s: float) -> float:
        """How old that is at `now_s`; 0 where there is nothing."""
        since_s = self._scoring_since_s
        return 0.0 if since_s is None else max(0.0, now_s - since_s)

    def run(self, queue: Waiting, finished: threading.Event) -> None:
        """Handle what comes until `finished` is set and the queue is empty.

        While the network scores what was heard, in a thread of its own, the next is heard. A fault of ours is told, ends the
        run and is raised as PipelineError: it is never silent.
        """
        try:
            self.work(queue, finished)
        except Exception as fault:
            _log.exception("scoring stopped")
            error = PipelineError(
                f"scoring stopped: {fault!r}; nothing is read any more: restart callmood and report this"
            )
            self._tell_error(error)
            raise error from fault
        finally:
            self._scoring_since_s = None
            queue.close()

    def work(self, queue: Waiting, finished: threading.Event) -> None:
        """The same, but a fault is raised as it is, and told by whoever calls."""
        with ThreadPoolExecutor(1, thread_name_prefix="network") as network:
            self._work(queue, finished, network)

    def _work(self, queue: Waiting, finished: threading.Event, network: ThreadPoolExecutor) -> None:
        scoring: deque[_Scoring] = deque()
        while True:
            over = finished.is_set()  # before the look: what was put before the end is still taken
            began_s = time.monotonic()
            events = queue.take(_LOOK_S if scoring else 0.05, _MOST_AT_ONCE)
            now_s = time.monotonic()
            self._busyness.note(now_s, now_s - began_s, self._network_s, self.parties)
            if over and not events and not scoring:
                return
            for due in self._heard(events):
                self._tell_scored(scoring, _MOST_SCORING - 1)
                scoring.append(_Scoring(due, network.submit(self._score, due), _since_s(due)))
                self._scoring_since_s = scoring[0].since_s
            self._tell_scored(scoring, _MOST_SCORING)
            queue.set_limit(self._settings.queue_s * max(1, self.parties))

    def _tell_scored(self, scoring: deque[_Scoring], most: int) -> None:
        """Tells what the network has done, and waits for it while more than `most` batches are left to it."""
        while scoring and (scoring[0].scores.done() or len(scoring) > most):
            self._tell(scoring[0].due, scoring[0].scores.result())
            scoring.popleft()
            self._scoring_since_s = scoring[0].since_s if scoring else None

    def handle(self, events: Iterable[Event]) -> None:
        """Take events in order and publish everything that follows from them."""
        for due in self._heard(events):
            self._tell(due, self._score(due))

    def _heard(self, events: Iterable[Event]) -> Iterator[Sequence[Due]]:
        """Takes events in order; what is due after them, some at a time."""
        for event in events:
            match event:
                case Block():
                    self._take(event)
                case CallOpened():
                    self._open(event)
                case CallClosed():
                    self._close(event)
                case Refused():
                    self._tell_error(event.error)
                case Acknowledged():
                    self._acknowledge(event)
                case Told():
                    self._tell_again(event)
            if len(self._pieces) >= _MOST_AT_ONCE:
                yield self._hear()
        if due := self._hear():
            yield due

    def _open(self, opened: CallOpened) -> None:
        if len(self._calls) >= self._settings.max_calls:
            return self._tell_error(too_many(opened.call, len(self._calls), self._settings))
        why = self._why_unscored(opened)
        call = CallState(opened, self._model.meaning, self._settings, self._rules, unscored=bool(why))
        self._calls[opened.call] = call
        self._count_parties()
        _log.info("%s: call started", call.name)
        if why:
            _log.warning("%s: not scored: %s", call.name, why)
        self._bus.publish(call.started(self._now(), self._identities))

    def _count_parties(self) -> None:
        self.parties = sum(len(call.parties) for call in self._calls.values())

    def _why_unscored(self, opened: CallOpened) -> str:
        """In one line; empty where the call is scored. What goes on under another name is scored or not as before."""
        if not opened.goes_on:
            return self._unscoring()
        before = opened.goes_on
        return f"{before}, which it goes on from, was not" if before in self._past_unscored else ""

    def _take(self, block: Block) -> None:
        call = self._calls.get(block.call)
        if call is None:
            return
        try:
            self._pieces += call.push(block)
        except AudioError as error:
            self._close(CallClosed(call.name, f"error: {error}", AudioError(f"{call.name}: {block.party}: {error}")))

    def _close(self, closed: CallClosed) -> None:
        call = self._calls.pop(closed.call, None)
        if call is None:
            return
        self._count_parties()
        self._pieces += call.finish(closed)
        if call.unscored:
            self._past_unscored.append(call.name)
        if closed.fault is not None:
            self._tell_error(closed.fault)
        _log.info("%s: call ended: %s", call.name, closed.reason)

    def _acknowledge(self, event: Acknowledged) -> None:
        call = self._calls.get(event.call)
        message = None if call is None else call.acknowledge(event.alert, event.by, self._now())
        if message is not None:
            self._bus.publish(message)

    def _tell_again(self, told: Told) -> None:
        for message in told.messages:
            if isinstance(message, CallStarted) and told.agent is not None:
                message = replace(message, agent=self._identities.shown(told.agent))
            self._bus.publish(message)

    def _hear(self) -> list[Due]:
        """All cells that have come, those of all parties together; what they make due, in order within a call."""
        pieces, self._pieces = self._pieces, []
        windows = iter(hear([(party.windows, item) for _, party, item in pieces if party and isinstance(item, Cell)]))
        for call, party, item in pieces:
            if isinstance(item, CallClosed):
                call.close(item)
            elif party is not None:
                call.collect(party, next(windows) if isinstance(item, Cell) else item)
        return [one for call in dict.fromkeys(piece.call for piece in pieces) for one in call.released()]

    def _score(self, due: Iterable[Due]) -> Iterator[Scores]:
        """The network's runs for all windows that need it: (6,) log probabilities of each."""
        began_s = time.monotonic()
        scores = self._model.score([scored for one in due if (scored := one.to_score()) is not None]).tolist()
        self._network_s += time.monotonic() - began_s
        return iter(scores)

    def _tell(self, due: Iterable[Due], scores: Iterator[Scores]) -> None:
        """Every message in order; `scores` of those that were scored."""
        at, now_s = self._now(), time.monotonic()
        told = (one.call.tell(one, next(scores) if one.scored else None, at, now_s) for one in due)
        self._bus.publish_all(itertools.chain.from_iterable(told))

    def _tell_error(self, error: CallmoodError) -> None:
        self._bus.publish(Error(at=self._now(), code=error.code, text=str(error)))

    def _now(self) -> str:
        return rfc3339(self._wall())


def check(settings: Settings, meaning: Meaning) -> None:
    """Raises SettingError where they contradict each other."""
    if settings.window_s != meaning.window_s:
        raise SettingError(f"window_s must be the model's {meaning.window_s:g} s, got {settings.window_s:g}")


def too_many(call: str, running: int, settings: Settings) -> SettingError:
    """Why that call is not taken beside those that run."""
    return SettingError(f"{call}: refused: {running} calls run, max_calls is {settings.max_calls}; raise it or wait")


def _since_s(due: Sequence[Due]) -> float:
    """When the oldest window came, monotonic. What is left of a call that is over may have come long ago without being late."""
    over = {one.call for one in due if one.party is None}
    came_s = (one.item.arrived_s for one in due if isinstance(one.item, Window) and one.call not in over)
    return min(came_s, default=time.monotonic())
