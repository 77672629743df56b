"""Scoring in several processes: every call is scored in one of them, and told here.

One interpreter runs one thread at a time, so one process scores what a core and a half can, however many there are. Where a
process dies, its calls are ended honestly, and go on under other names in the one that takes its place, or in those that live.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.alerts.rules import Rule
from monitor.audio import Block
from monitor.bus import Bus
from monitor.errors import CallmoodError, PipelineError, ScorerError
from monitor.identities import Identities
from monitor.interruption import Unfinished
from monitor.messages import AnyMessage, Error, rfc3339
from monitor.model import EmotionModel
from monitor.pipeline import check, too_many
from monitor.scorer import Scorer
from monitor.scoring import Setup
from monitor.settings import Settings
from monitor.sources import Acknowledged, CallClosed, CallOpened, Event, Refused

_log = logging.getLogger(__name__)

AGAIN = "-again"
"""Ends the name under which a call goes on after the process that scored it has died."""
_LOOK_S = 0.1
_LOOK_AT_END_S = 0.01


@dataclass
class _Running:
    """A call that a source goes on with."""

    opened: CallOpened
    """As it was opened last, with the name under which it is told."""
    scorer: Scorer
    moved_s: float | None = None
    """Where it began anew, in seconds of the source's call, once the first audio after that has come."""

    @property
    def name(self) -> str:
        return self.opened.call


class Scorers:
    """Where sources put what comes (`Intake`), and what scores it (as `Pipeline` does). What it publishes comes one at a time."""

    def __init__(self, processes: int, setup: Setup, bus: Bus, unscoring: Callable[[], str] = lambda: "") -> None:
        """`unscoring` as for `Pipeline`."""
        self._setup, self._bus = setup, bus
        self._scorers = [Scorer(setup, self._publish, self._lost, unscoring) for _ in range(processes)]
        self._placing = threading.Lock()
        self._publishing = threading.Lock()
        self._running: dict[str, _Running] = {}
        """By the name that the source uses."""
        self._past: dict[str, _Running] = {}
        """The calls that ended last: one may go on under another name."""
        self._finished = False
        self._dropped_blocks, self._dropped_s = 0, 0.0

    @classmethod
    def of(
        cls,
        model: EmotionModel,
        settings: Settings,
        bus: Bus,
        identities: Identities,
        rules: Sequence[Rule],
        unscoring: Callable[[], str] = lambda: "",
    ) -> "Scorers":
        """As many processes as the settings say. Raises SettingError."""
        check(settings, model.meaning)
        setup = Setup(model.path, settings, identities, rules, _log.getEffectiveLevel())
        return cls(settings.scoring_processes, setup, bus, unscoring)

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that wait for a process to take them."""
        return sum(scorer.queue.waiting_s for scorer in self._scorers)

    @property
    def dropped_blocks(self) -> int:
        """Blocks that were dropped because they waited too long."""
        return self._dropped_blocks + sum(scorer.queue.dropped_blocks for scorer in self._scorers)

    @property
    def dropped_s(self) -> float:
        """Seconds of audio in them."""
        return self._dropped_s + sum(scorer.queue.dropped_s for scorer in self._scorers)

    @property
    def busy(self) -> float:
        """How busy the process is that would get the next call: see `Pipeline`."""
        return self._next().busy

    @property
    def cpu_s(self) -> float:
        """Processor time that the processes have taken."""
        return sum(scorer.cpu_s for scorer in self._scorers)

    @property
    def restarts(self) -> int:
        """Processes that took a dead one's place."""
        return sum(scorer.restarts for scorer in self._scorers)

    @property
    def trouble(self) -> str:
        """What is not as it should be, in one line; empty where all run."""
        down = sum(scorer.down for scorer in self._scorers)
        return f"{down} of {len(self._scorers)} processes that score do not run" if down and not self._finished else ""

    @property
    def stand_still(self) -> bool:
        """Whether none runs."""
        return all(scorer.down for scorer in self._scorers)

    def waited_s(self, now_s: float) -> float:
        """How old the oldest audio without a reading is at `now_s`, monotonic; about."""
        return max(scorer.waited_s(now_s) for scorer in self._scorers)

    def count_dropped(self, blocks: int, seconds: float) -> None:
        """See `Intake`."""
        self._dropped_blocks += blocks
        self._dropped_s += seconds

    def put(self, event: Event, wait: bool = False, stop: threading.Event | None = None) -> None:
        """See `Intake`."""
        with self._placing:
            placed = self._placed(event)
            if placed is None:
                return
            queue, event = placed[0].queue, placed[1]
            now = not wait or isinstance(
                event, CallOpened
            )  # which would begin where the call was, had it moved meanwhile
            if now:
                queue.put(event)
        if not now:
            queue.put(event, wait=True, stop=stop)

    def put_all(self, events: Iterable[Event]) -> None:
        """See `Intake`."""
        with self._placing:
            placed = [one for event in events if (one := self._placed(event))]
            for scorer in self._scorers:
                scorer.queue.put_all(event for whose, event in placed if whose is scorer)

    def run(self, finished: threading.Event) -> None:
        """Scores what comes until `finished` is set and all is told. Raises PipelineError, told too, where no process lives, and
        by a fault of ours.
        """
        try:
            for scorer in self._scorers:
                scorer.start()
            while not finished.wait(_LOOK_S):
                for scorer in self._scorers:
                    scorer.tend(time.monotonic())
                if all(scorer.given_up for scorer in self._scorers):
                    raise self._stopped("every process that scored died, again and again")
        except PipelineError:
            raise
        except Exception as fault:
            _log.exception("scoring stopped")
            raise self._stopped(repr(fault)) from fault
        finally:
            self._finished = True
            for scorer in self._scorers:
                scorer.finish()
            while not all(scorer.over for scorer in self._scorers):
                time.sleep(_LOOK_AT_END_S)
                for scorer in self._scorers:
                    scorer.tend(time.monotonic())
            for scorer in self._scorers:
                scorer.end()

    def _stopped(self, why: str) -> PipelineError:
        error = PipelineError(f"scoring stopped: {why}; nothing is read any more: restart callmood and report this")
        self._publish([_told(error)])
        return error

    def _publish(self, messages: Sequence[AnyMessage]) -> None:
        with self._publishing:
            self._bus.publish_all(messages)

    def _next(self) -> Scorer:
        """Which one gets the next call: of those that are not down the one with the fewest parties."""
        return min(self._scorers, key=lambda scorer: (scorer.given_up, scorer.down, scorer.parties))

    def _placed(self, event: Event) -> tuple[Scorer, Event] | None:
        """Who gets it, and what; None where it is for no call that runs."""
        match event:
            case Block():  # the first: there are most of them
                return self._block(event)
            case CallOpened():
                return self._open(event)
            case CallClosed():
                return self._close(event)
            case Acknowledged():
                scorers = (one.scorer for one in self._running.values() if one.name == event.call)
                return next(((scorer, event) for scorer in scorers), None)
            case _:
                return self._next(), event

    def _open(self, opened: CallOpened) -> tuple[Scorer, Event]:
        running, settings = len(self._running), self._setup.settings
        if running >= settings.max_calls:
            return self._next(), Refused(too_many(opened.call, running, settings))
        past, scorer = self._past.get(opened.goes_on), self._next()
        if past is not None and past.scorer.lives:
            opened, scorer = replace(opened, goes_on=past.name), past.scorer
        self._running[opened.call] = _Running(opened, scorer)
        scorer.take_on(opened)
        return scorer, opened

    def _close(self, closed: CallClosed) -> tuple[Scorer, Event] | None:
        running = self._running.pop(closed.call, None)
        if running is None:
            return None
        self._past[closed.call] = running
        if len(self._past) > self._setup.settings.max_calls:
            del self._past[next(iter(self._past))]
        return running.scorer, replace(closed, call=running.name)

    def _block(self, block: Block) -> tuple[Scorer, Event] | None:
        running = self._running.get(block.call)
        if running is None:
            return None
        if running.name == block.call:
            return running.scorer, block
        if running.moved_s is None:
            running.moved_s = block.start / block.sample_rate
        start = block.start - round(running.moved_s * block.sample_rate)
        return (running.scorer, block.moved(running.name, start)) if start >= 0 else None

    def _lost(self, scorer: Scorer, why: str) -> None:
        """That process is no more: what it had begun ends, and goes on elsewhere under another name; so does what waited."""
        with self._placing:
            calls, scorer.calls = scorer.calls, {}
            begun, scorer.unfinished = scorer.unfinished, {}
            waiting = scorer.queue.abandon()
            reason = f"the process that scored it {why}"
            names = {} if self._finished else self._move(scorer, calls.keys(), begun)
            at = rfc3339(time.time())
            ends = [
                one.end(f"goes on as {names[call]}: {reason}" if call in names else f"error: {reason}", at)
                for call, one in begun.items()
            ]
            for end in ends:
                _log.info("%s: call ended: %s", end.call, end.reason)
            then = "no other begins in its place" if scorer.given_up else "another begins"
            counts = f"calls ended: {len(begun)}, {len(names)} of them go on under other names"
            fault = ScorerError(f"a process that scores {why}; {counts}; {then}")
            _log.error("%s", fault)
            self._publish([*ends, _told(fault)])
            if not self._finished:
                running = {one.name for one in self._running.values()}
                over = [one for name, one in calls.items() if name not in {*begun, *running}]
                self._place_again(waiting, {one.call: self._given(one, scorer) for one in over}, reason)

    def _move(self, scorer: Scorer, calls: Collection[str], begun: Mapping[str, Unfinished]) -> dict[str, str]:
        """Gives the running `calls` of a process that died a new place; those that it had told to be over stay so. Returns the
        new names of those that it had `begun`: a call whose process has died twice is not taken up again, since it may be what
        they died of. One that was not scored begins like any other: scored where there is time by now.
        """
        names = {}
        for source_name, running in [item for item in self._running.items() if item[1].scorer is scorer]:
            opened = running.opened
            if opened.call not in calls or (opened.call in begun and opened.call != source_name):
                del self._running[source_name]
                continue
            if opened.call in begun:
                before = source_name if begun[source_name].scored else ""
                opened = replace(opened, call=source_name + AGAIN, goes_on=before)
                names[source_name] = opened.call
            self._running[source_name] = _Running(opened, self._given(opened, scorer))
        return names

    def _given(self, opened: CallOpened, dead: Scorer) -> Scorer:
        """Who has that call of a process that died from now on: its successor, where that begins at once; the others have their
        own."""
        scorer = dead if dead.begins_at_once else self._next()
        scorer.take_on(opened)
        scorer.queue.put(opened)
        return scorer

    def _place_again(self, waiting: Sequence[Event], over: Mapping[str, Scorer], why: str) -> None:
        """What waited for a process that died. Calls that are `over`, and of which nothing was told, begin and end where they are
        given."""
        for event in [one for one in waiting if not isinstance(one, CallOpened)]:
            whose = over.get(getattr(event, "call", ""))
            placed = (whose, event) if whose else self._placed(event)
            if placed is not None:
                placed[0].queue.put(placed[1])
        closed = {event.call for event in waiting if isinstance(event, CallClosed)}
        for call in over.keys() - closed:
            over[call].queue.put(CallClosed(call, f"error: {why}"))


def _told(error: CallmoodError) -> Error:
    return Error(at=rfc3339(time.time()), code=error.code, text=str(error))
