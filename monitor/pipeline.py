"""The diagram as code: events of the sources in, messages out. One thread runs it; every call has its own state.

blocks → per party: resample → frames → 3 s windows → speech share
       → across parties: one batched ONNX run
       → per party: calibrate → baseline → smooth → label, mood or "uncertain" → alerts → bus
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from monitor.alerts import RULES, SUSTAINED_ANGER, Change, RuleWatch
from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.bus import Bus
from monitor.errors import AudioError, CallmoodError, PipelineError, SettingError
from monitor.messages import (
    LABELS,
    AlertCleared,
    AlertRaised,
    CallEnded,
    CallStarted,
    Error,
    Gap,
    Mood,
    Party,
    PartyInfo,
    Reading,
    State,
    rfc3339,
)
from monitor.model import EmotionModel
from monitor.readings import PartyReader, Verdict, unscored_state
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallClosed, CallOpened, Event, Refused
from monitor.windows import Lost, PartyWindows, Window

_log = logging.getLogger(__name__)

_MOST_WINDOWS = 256
"""Windows that may collect before they are scored: bounds the delay of the first when many calls are behind."""


@dataclass
class _PartyState:
    name: Party
    order: int
    windows: PartyWindows
    reader: PartyReader | None
    """None for a party that is not scored."""
    watches: list[RuleWatch] = field(default_factory=lambda: [RuleWatch(rule) for rule in RULES])
    tally: Counter[str] = field(default_factory=Counter)

    @property
    def hears_anger(self) -> bool:
        return any(watch.open and watch.rule is SUSTAINED_ANGER for watch in self.watches)


@dataclass
class _CallState:
    name: str
    in_step: bool
    parties: dict[Party, _PartyState]
    seq: int = 0
    alerts: int = 0
    open_alerts: dict[tuple[Party, str], str] = field(default_factory=dict)
    waiting: list[tuple[int, int, _PartyState, Window | Lost]] = field(default_factory=list)
    """Due, but an in-step party is behind: (time, order of the party, …)."""

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq


@dataclass(frozen=True, slots=True)
class _Due:
    """One thing to say about a call, in order; `party` None for the call's end."""

    call: _CallState
    party: _PartyState | None
    item: Window | Lost | CallClosed
    state: State | None = None
    """Of a window: why it is not scored; None where it is."""


class Pipeline:
    """Turns events into messages on `bus`. `handle` in tests and by the loop `run` of the pipeline's thread."""

    def __init__(
        self, model: EmotionModel, settings: Settings, bus: Bus, wall: Callable[[], float] = time.time
    ) -> None:
        if settings.window_s != model.meaning.window_s:
            raise SettingError(f"window_s must be the model's {model.meaning.window_s:g} s, got {settings.window_s:g}")
        self._model, self._settings, self._bus, self._wall = model, settings, bus, wall
        self._calls: dict[str, _CallState] = {}
        self._due: list[_Due] = []

    @property
    def parties(self) -> int:
        """Parties of running calls."""
        return sum(len(call.parties) for call in self._calls.values())

    def run(self, queue: BlockQueue, finished: threading.Event) -> None:
        """Handle what comes until `finished` is set and the queue is empty; a fault of ours is told, never silent."""
        try:
            while (events := queue.take(0.05)) or not finished.is_set():
                self.handle(events)
                queue.set_limit(self._settings.queue_s * max(1, self.parties))
        except Exception as fault:
            _log.exception("scoring stopped")
            error = PipelineError(
                f"scoring stopped: {fault!r}; nothing is read any more: restart callmood and report this"
            )
            self._publish_error(error)
            raise error from fault
        finally:
            queue.close()

    def handle(self, events: Iterable[Event]) -> None:
        """Take events in order and publish everything that follows from them."""
        for event in events:
            match event:
                case Block():
                    self._take_block(event)
                case CallOpened():
                    self._open(event)
                case CallClosed():
                    self._close(event)
                case Refused():
                    self._publish_error(event.error)
            if len(self._due) >= _MOST_WINDOWS:
                self._say_due()
        self._say_due()

    def _open(self, opened: CallOpened) -> None:
        if len(self._calls) >= self._settings.max_calls:
            running = f"{len(self._calls)} calls run, max_calls is {self._settings.max_calls}"
            return self._publish_error(SettingError(f"{opened.call}: refused: {running}; raise it or wait"))
        call = _CallState(opened.call, opened.in_step, {})
        for order, name in enumerate(opened.parties):
            scored = self._is_scored(name)
            windows = PartyWindows(self._settings.window_s, self._settings.hop_s, with_features=scored)
            reader = PartyReader(self._model.meaning, self._settings) if scored else None
            call.parties[name] = _PartyState(name, order, windows, reader)
        self._calls[opened.call] = call
        _log.info("%s: call started", opened.call)
        self._bus.publish(
            CallStarted(
                at=self._now(),
                call=call.name,
                seq=call.next_seq(),
                source=opened.source,
                path=opened.path,
                parties={
                    name: PartyInfo(channel=channel, scored=self._is_scored(name))
                    for name, channel in opened.parties.items()
                },
            )
        )

    def _is_scored(self, party: Party) -> bool:
        return {"customer": True, "agent": self._settings.score_agent, "mixed": self._settings.score_mixed}[party]

    def _take_block(self, block: Block) -> None:
        call = self._calls.get(block.call)
        if call is None:
            return
        party = call.parties[block.party]
        try:
            self._collect(call, party, party.windows.push(block))
        except AudioError as error:
            self._publish_error(AudioError(f"{call.name}: {block.party}: {error}"))
            self._close(CallClosed(call.name, f"error: {error}"))

    def _close(self, closed: CallClosed) -> None:
        call = self._calls.pop(closed.call, None)
        if call is None:
            return
        for party in call.parties.values():
            self._collect(call, party, party.windows.finish())
        self._release(call, everything=True)
        self._due.append(_Due(call, None, closed))

    def _collect(self, call: _CallState, party: _PartyState, items: Iterator[Window | Lost]) -> None:
        for item in items:
            moment = item.start if isinstance(item, Lost) else item.end
            call.waiting.append((moment, party.order, party, item))
        if call.waiting:
            self._release(call)

    def _release(self, call: _CallState, everything: bool = False) -> None:
        """What no party of the call can still overtake becomes due, in order of time."""
        everything = everything or not call.in_step
        horizon = min(party.windows.position for party in call.parties.values())
        ready = [w for w in call.waiting if everything or w[0] <= horizon]
        call.waiting = [] if everything else [w for w in call.waiting if w[0] > horizon]
        for _, _, party, item in sorted(ready, key=lambda w: w[:2]):
            self._due.append(_Due(call, party, item, self._state(party, item)))

    def _state(self, party: _PartyState, item: Window | Lost) -> State | None:
        if isinstance(item, Lost):
            return None
        return unscored_state(item, self._settings) if party.reader else "not_scored"

    def _say_due(self) -> None:
        """One ONNX run for all windows that need it, then every message in order."""
        due, self._due = self._due, []
        powers = [
            d.item.power for d in due if isinstance(d.item, Window) and d.state is None and d.item.power is not None
        ]
        scores = iter(self._model.score(powers))
        for one in due:
            if isinstance(one.item, CallClosed):
                self._say_end(one.call, one.item)
            elif one.party and isinstance(one.item, Lost):
                self._say_gap(one.call, one.party, one.item)
            elif one.party and isinstance(one.item, Window):
                self._say_reading(one.call, one.party, one.item, one.state, None if one.state else next(scores))

    def _say_gap(self, call: _CallState, party: _PartyState, lost: Lost) -> None:
        self._bus.publish(
            Gap(
                at=self._now(),
                call=call.name,
                seq=call.next_seq(),
                party=party.name,
                start_s=_seconds(lost.start),
                end_s=_seconds(lost.end),
                reason="lost",
            )
        )

    def _say_reading(
        self, call: _CallState, party: _PartyState, window: Window, state: State | None, scores: Samples | None
    ) -> None:
        verdict = None
        if party.reader is not None:
            if scores is None:
                assert state is not None
                verdict = party.reader.unscored(state)
            else:
                verdict = party.reader.read(window, scores, party.hears_anger)
        seq = call.next_seq()
        reading = self._reading(call, party, window, verdict, seq)
        party.tally[reading.label or reading.state] += 1
        self._bus.publish(reading)
        if verdict is not None and verdict.rolling is not None:
            self._watch(call, party, window, verdict.rolling, seq)

    def _reading(
        self, call: _CallState, party: _PartyState, window: Window, verdict: Verdict | None, seq: int
    ) -> Reading:
        scores = None if verdict is None or verdict.scores is None else verdict.scores
        return Reading(
            at=self._now(),
            call=call.name,
            seq=seq,
            party=party.name,
            start_s=_seconds(window.start),
            end_s=_seconds(window.end),
            state=verdict.state if verdict else "not_scored",
            label=verdict.label if verdict else None,
            mood=verdict.mood if verdict else None,
            confidence=None if verdict is None or verdict.confidence is None else round(verdict.confidence, 4),
            scores=None
            if scores is None
            else {name: round(float(p), 4) for name, p in zip(LABELS, scores, strict=True)},  # type: ignore[misc]
            speech_share=round(window.speech_share, 3),
            level_db=None if window.level_db is None else round(window.level_db, 1),
            latency_ms=round(1000 * max(0.0, time.monotonic() - window.arrived_s), 1),
        )

    def _watch(self, call: _CallState, party: _PartyState, window: Window, rolling: Samples, seq: int) -> None:
        end_s = _seconds(window.end)
        for watch in party.watches:
            change = watch.see(rolling, end_s, self._settings.hop_s, seq)
            if change is not None:
                self._say_alert(call, party, change, end_s)

    def _say_alert(self, call: _CallState, party: _PartyState, change: Change, at_s: float) -> None:
        key = (party.name, change.rule.name)
        if change.kind == "raised":
            call.alerts += 1
            call.open_alerts[key] = f"{call.name}:{call.alerts}"
            alert = call.open_alerts[key]
        else:
            alert = call.open_alerts.pop(key)
            if change.rule is SUSTAINED_ANGER and party.reader:
                party.reader.alert_cleared()
        kind = AlertRaised if change.kind == "raised" else AlertCleared
        self._bus.publish(
            kind(
                at=self._now(),
                call=call.name,
                seq=call.next_seq(),
                alert=alert,
                rule=change.rule.name,
                severity=change.rule.severity,
                party=party.name,
                start_s=round(change.start_s, 4),
                at_s=at_s,
                evidence=list(change.evidence),
            )
        )

    def _say_end(self, call: _CallState, closed: CallClosed) -> None:
        duration = max(party.windows.position for party in call.parties.values())
        _log.info("%s: call ended after %.1f s: %s", call.name, _seconds(duration), closed.reason)
        self._bus.publish(
            CallEnded(
                at=self._now(),
                call=call.name,
                seq=call.next_seq(),
                duration_s=_seconds(duration),
                reason=closed.reason,
                outcome=self._outcome(call),
                shares={party.name: _shares(party.tally) for party in call.parties.values()},
            )
        )

    def _outcome(self, call: _CallState) -> Mood:
        """The customer's (else the only scored party's) last mood; an open alert of sustained anger makes it angry."""
        scored = sorted(
            (party for party in call.parties.values() if party.reader), key=lambda party: party.name != "customer"
        )
        if any(party.hears_anger for party in scored):
            return "angry"
        return scored[0].reader.mood(self._settings.outcome_s) if scored and scored[0].reader else "unclear"

    def _publish_error(self, error: CallmoodError) -> None:
        self._bus.publish(Error(at=self._now(), code=error.code, text=str(error)))

    def _now(self) -> str:
        return rfc3339(self._wall())


def _seconds(samples: int) -> float:
    return round(samples / SAMPLE_RATE, 4)


def _shares(tally: Counter[str]) -> dict[str, float]:
    """Counts as shares that sum to 1; empty where nothing was read."""
    total = sum(tally.values())
    return {name: round(count / total, 4) for name, count in sorted(tally.items())}
