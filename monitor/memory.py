"""What was told of each call, encoded once: for subscribers that come late, and for those that come back after a cut. Pure."""

import itertools
from array import array
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from monitor.backlog import Line
from monitor.desktop import desktop_view
from monitor.messages import (
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    AnyCallMessage,
    CallEnded,
    CallKey,
    CallStarted,
    Gap,
    Reading,
    encode,
    unix_ms,
)

LASTING_KEPT = 1_024
"""A call's events and alerts that are kept for whoever comes back."""
ENDED_KEPT = 1_000
"""Ended calls that are kept at most."""
ENDED_KEPT_S = 600.0
"""How long an ended call's events and alerts are kept."""
READINGS_KEPT_S = 60.0
"""How long an ended call's readings are kept."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """One message of a call, as it was published."""

    call: str
    seq: int
    desktop_seq: int
    """The same count without what is kept from desktops: a hole there would tell of it."""
    position: int
    """Counts the messages of all calls."""
    full: Line
    desktop: Line | None
    """As a desktop gets it; null where it is kept from desktops."""
    reading: tuple[str, float] | None
    """Party and end of a reading, by which readings are thinned."""
    final: bool
    """The end of the call."""


@dataclass(slots=True)
class CallMemory:
    """What is kept of one call: every event and alert, and the last readings and gaps."""

    agent: str | None
    agent_only: bool
    """No party but the agent is scored."""
    began_ms: int
    """Of its first message, Unix milliseconds."""
    number: int
    """Counts the calls by their beginnings, from 1."""
    last_seq: int = 0
    hidden: "array[int]" = field(default_factory=lambda: array("I"))
    """`seq` of what is kept from desktops, in order."""
    acknowledging: set[str] = field(default_factory=set)
    """Alerts that somebody has just said to look after."""
    ended_s: float | None = None
    """Monotonic; null while the call runs."""
    started: Told | None = None
    open_alerts: dict[str, list[Told]] = field(default_factory=dict)
    """Alert → its raising and, when somebody looks after it, its acknowledgement."""
    lasting: deque[Told] = field(default_factory=lambda: deque(maxlen=LASTING_KEPT))
    passing: deque[Told] = field(default_factory=deque)
    whole: bool = True
    """Its readings are kept, as many as of any call."""

    def keep(self, told: Told, message: AnyCallMessage) -> None:
        """Take in the call's next message."""
        self.last_seq = told.seq
        match message:
            case Reading() | Gap():
                self.passing.append(told)
                return
            case CallStarted():
                self.started = told
            case AlertRaised():
                self.open_alerts[message.alert] = [told]
            case AlertAcknowledged() if message.alert in self.open_alerts:
                self.open_alerts[message.alert].append(told)
            case AlertCleared():
                self.open_alerts.pop(message.alert, None)
                self.acknowledging.discard(message.alert)
            case CallEnded():
                self.open_alerts.clear()
                self.acknowledging.clear()
        self.lasting.append(told)

    def thin(self) -> None:
        """Keep no readings any more."""
        self.whole = False
        self.passing.clear()

    def now(self) -> Iterator[Told]:
        """What a subscriber that comes late must know: the start, and each open alert."""
        if self.started is not None:
            yield self.started
        yield from itertools.chain.from_iterable(self.open_alerts.values())

    def last(self, *, desktop: bool) -> int:
        """The last `seq`, as a desktop counts it or in full."""
        return self.desktop_seq(self.last_seq) if desktop else self.last_seq

    def desktop_seq(self, seq: int) -> int:
        """`seq` as a desktop counts it."""
        return seq - bisect_right(self.hidden, seq)

    def since(self, seq: int, *, desktop: bool) -> list[Told]:
        """Everything kept that came after message `seq`, in order: as much work as there is to tell."""
        late = [told for kept in (self.lasting, self.passing) for told in _late(kept, seq, desktop)]
        return sorted(late, key=lambda told: told.seq)


def _late(kept: deque[Told], seq: int, desktop: bool) -> Iterator[Told]:
    for told in reversed(kept):
        if (told.desktop_seq if desktop else told.seq) <= seq:
            return
        if not desktop or told.desktop is not None:
            yield told


class Memory:
    """The calls that run and those that ended lately, by name. Every message of a call passes through `tell`."""

    def __init__(self, passing_kept: int) -> None:
        self._passing_kept = passing_kept
        self._position = 0
        self._calls: OrderedDict[str, CallMemory] = OrderedDict()
        self._ended: OrderedDict[str, CallMemory] = OrderedDict()
        self._lately: OrderedDict[str, CallMemory] = OrderedDict()
        """Ended calls whose readings are kept."""
        self.begun = 0
        """Calls so far."""
        self.gone = 0
        """The highest `number` of a call of which nothing is kept any more."""

    def tell(self, message: AnyCallMessage, now_s: float) -> Told:
        """Encode and keep `message`; `now_s` monotonic."""
        self.forget(now_s)
        if isinstance(message, CallStarted):
            self._begin(message)
        call = self._calls.get(message.call) or self._begin(message)
        self._position += 1
        told = _told(message, self._position, call)
        call.keep(told, message)
        while len(call.passing) > self._passing_kept:
            call.passing.popleft()
        if told.final:
            call.ended_s = now_s
            self._ended[message.call] = self._calls.pop(message.call)
            self._lately[message.call] = call
        return told

    def call(self, name: str) -> CallMemory | None:
        """The call of that name that runs or ended lately."""
        return self._calls.get(name) or self._ended.get(name)

    def of(self, agent: str | None = None) -> dict[str, CallMemory]:
        """All calls that are kept, or those of one agent: ended ones first."""
        every = itertools.chain(self._ended.items(), self._calls.items())
        return {name: call for name, call in every if agent is None or call.agent == agent}

    def _begin(self, message: AnyCallMessage) -> CallMemory:
        agent, scored = None, {"customer"}
        if isinstance(message, CallStarted):
            agent, scored = message.agent, {party for party, info in message.parties.items() if info.scored}
            self.begun += 1
        self._drop(message.call)
        call = CallMemory(agent, scored <= {"agent"}, unix_ms(message.at), self.begun)
        self._calls[message.call] = call
        return call

    def drop(self, call: CallKey) -> None:
        """Keep nothing of a call that has ended; another of its name stays."""
        ended = self._ended.get(call.name)
        if ended is not None and ended.began_ms == call.began_ms:
            self._drop(call.name)

    def forget(self, now_s: float) -> None:
        """Drop what ended a while ago: first its readings, then all."""
        while self._lately and now_s - _ended_s(next(iter(self._lately.values()))) >= READINGS_KEPT_S:
            self._lately.popitem(last=False)[1].thin()
        while self._ended:
            name, oldest = next(iter(self._ended.items()))
            if len(self._ended) <= ENDED_KEPT and now_s - _ended_s(oldest) < ENDED_KEPT_S:
                return
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._lately.pop(name, None)
        ended = self._ended.pop(name, None)
        if ended is not None:
            self.gone = max(self.gone, ended.number)


def _ended_s(call: CallMemory) -> float:
    assert call.ended_s is not None, "it has ended"
    return call.ended_s


def _told(message: AnyCallMessage, position: int, call: CallMemory) -> Told:
    key = (message.call, f"{type(message).__name__} {message.party}") if isinstance(message, Reading | Gap) else None
    full = Line(encode(message), key, message.call, message.seq)
    seen = desktop_view(message, agent_only=call.agent_only)
    if seen is None:
        call.hidden.append(message.seq)
    desktop_seq = call.desktop_seq(message.seq)
    if seen is not None and call.hidden:
        seen = _renumbered(seen, desktop_seq, call)
    desktop = full if seen is message else None if seen is None else Line(encode(seen), key, message.call, desktop_seq)
    reading = (message.party, message.end_s) if isinstance(message, Reading) else None
    final = isinstance(message, CallEnded)
    return Told(message.call, message.seq, desktop_seq, position, full, desktop, reading, final)


def _renumbered(message: AnyCallMessage, seq: int, call: CallMemory) -> AnyCallMessage:
    if isinstance(message, AlertRaised | AlertCleared):
        return replace(message, seq=seq, evidence=[call.desktop_seq(one) for one in message.evidence])
    return replace(message, seq=seq)
