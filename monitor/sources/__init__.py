"""Where audio comes from: every source runs in its own thread and puts calls' beginnings, blocks and ends into one queue."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from monitor.audio import Block
from monitor.errors import CallmoodError
from monitor.gathering import Gathering
from monitor.identities import Identities
from monitor.messages import AnyMessage, CallEnded, Party


@dataclass(frozen=True, slots=True)
class CallOpened:
    """A call begins; its blocks follow."""

    call: str
    """Wished for; `CallNames.take` has made it unique."""
    source: str
    """Kind of source, as in `call_started`."""
    path: str | None
    parties: Mapping[Party, int]
    """Party → channel of the source, from 0."""
    agent: str | None = None
    """The agent's id, as the telephony or the operator names them: what `/v1/agents/ID` follows. Never shown as it is
    unless `show_identities` is set."""
    identities: Mapping[Party, str] = field(default_factory=dict)
    """Who the parties are (a SIP address, a phone number, a name), where the source says so; shown like `agent`."""
    in_step: bool = True
    """Whether the parties' blocks come side by side, as channels of one stream do: then their messages are in order of time."""
    goes_on: str = ""
    """The call, closed by now, of which it is the rest under a new name; empty where it is none's."""


@dataclass(frozen=True, slots=True)
class CallClosed:
    """A call is over; no block of it follows."""

    call: str
    reason: str
    """`end`, `stopped`, or `error: …`."""
    fault: CallmoodError | None = None
    """What went wrong, to be told as an error too."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that could not be opened as a call; the others go on."""

    error: CallmoodError


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Somebody looks after an open alert: what a person does enters where audio does, so that messages have one order."""

    call: str
    alert: str
    by: str


@dataclass(frozen=True, slots=True)
class Told:
    """A recording that was scored elsewhere: what is to be told of it."""

    messages: Sequence[AnyMessage] = field(repr=False)
    agent: str | None = None
    """As in `CallOpened`: how it is shown is decided where it is told."""

    @property
    def duration_s(self) -> float:
        """How much audio it stands for, so that what nobody has time to tell waits."""
        return sum(message.duration_s for message in self.messages if isinstance(message, CallEnded))


Event = Block | CallOpened | CallClosed | Refused | Acknowledged | Told


class Intake(Protocol):
    """Where sources put what comes, from any thread: `BlockQueue`, or what shares calls out among several of them."""

    def put(self, event: Event, wait: bool = False, stop: threading.Event | None = None) -> None:
        """Add an event; with `wait` blocks wait for room until `stop` is set (then they are not added)."""

    def put_all(self, events: Iterable[Event]) -> None:
        """Add what came together; nothing waits."""

    def count_dropped(self, blocks: int, seconds: float) -> None:
        """Blocks that were dropped on the way here count too."""


class Source(Protocol):
    """One origin of calls."""

    def run(self, queue: Intake, stop: threading.Event) -> None:
        """Put everything into `queue` until there is no more or `stop` is set; then close what was opened.

        Raises CallmoodError where nothing could be opened at all.
        """


class Listener(Protocol):
    """An origin of calls that waits for them on the event loop of a process of its own (`monitor.apart`); every method
    is called there."""

    @property
    def port(self) -> int:
        """Where it listens, once it does."""

    async def start(self, queue: "BlockQueue", identities: Identities) -> str:
        """Listen, and put what comes into `queue`; returns what it listens on, for people. Raises CallmoodError.

        Where a log line names people, `identities` says how.
        """

    def refuse(self, why: str) -> None:
        """Refuse new calls for a reason, a line that begins with a word that stands for it; take them again where it is
        empty."""

    async def drain(self) -> None:
        """Refuse new calls for good; return when the running ones are over, or have been given the time that the settings say."""

    async def stop(self) -> None:
        """End what still runs, as `stopped`, and listen no more. Called after `start`, whatever became of it."""


@dataclass(frozen=True, slots=True)
class Before:
    """What those who listen in a process's stead go on from: it died."""

    ports: tuple[int, ...] = ()
    """Where its listeners listened, in their order; empty: there was none."""
    names: tuple[str, ...] = ()
    """Of the node's calls so far, oldest first."""


_MOST_NAMES = 100_000
"""Calls after which a name may be used again."""


class CallNames:
    """Names of running and past calls, so that no two share one; of the last hundred thousand."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken: dict[str, None] = {}
        self._lock = threading.Lock()
        for name in taken:
            self.note(name)

    @property
    def taken(self) -> tuple[str, ...]:
        """Oldest first."""
        with self._lock:
            return tuple(self._taken)

    def note(self, name: str) -> None:
        """That name was taken, elsewhere."""
        with self._lock:
            self._note(name)

    def take(self, wished: str) -> str:
        """`wished`, or with `-2`, `-3`, … appended when taken."""
        with self._lock:
            name, number = wished, 1
            while name in self._taken:
                number += 1
                name = f"{wished}-{number}"
            self._note(name)
            return name

    def _note(self, name: str) -> None:
        self._taken[name] = None
        if len(self._taken) > _MOST_NAMES:
            del self._taken[next(iter(self._taken))]


class BlockQueue:
    """The bounded queue between capture threads and the pipeline.

    Blocks are gathered to the ends of the pipeline's cells before they wait here; what a party's next cell still lacks
    (less than 0.25 s) does not count as waiting. A call's end brings all that is left of it. Blocks that come before their
    call or after it, which the pipeline passes over, are not gathered. They are gathered before the lock is taken, so a call's
    events come from one thread at a time.

    Beginnings and ends of calls are never dropped. A block that finds `limit_s` of audio waiting either waits for room
    (recordings: nothing is lost) or drops the oldest block (live sources: counted in `dropped_blocks` and `dropped_s`;
    the hole is then a gap in the call).
    """

    def __init__(self, limit_s: float) -> None:
        self._events: deque[Event] = deque()
        self._gathering = Gathering()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._limit_s = limit_s
        self._waiting_s = 0.0
        self._closed = False
        self.dropped_blocks = 0
        self.dropped_s = 0.0

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that wait for the pipeline."""
        return self._waiting_s

    def waited_s(self, now_s: float) -> float:
        """How long the oldest block has waited at `now_s`, monotonic; 0 where none does."""
        with self._lock:
            oldest = next((event for event in self._events if isinstance(event, Block)), None)
        return 0.0 if oldest is None else max(0.0, now_s - oldest.arrived_s)

    def set_limit(self, limit_s: float) -> None:
        """Another bound, as calls come and go."""
        with self._lock:
            self._limit_s = limit_s
            self._changed.notify_all()

    def put(self, event: Event, wait: bool = False, stop: threading.Event | None = None) -> None:
        """Add an event; with `wait` blocks wait for room until `stop` is set (then they are not added)."""
        ready = self._ready(event)
        if not ready:
            return
        with self._lock:
            for one in ready:
                if not wait or not isinstance(one, Block | Told) or self._has_room(one, stop):
                    self._add(one)
                elif isinstance(one, Block):
                    self._gathering.forget(one.call)
            self._changed.notify_all()

    def put_all(self, events: Iterable[Event]) -> None:
        """Add what came together; nothing waits. Whoever takes is woken once."""
        ready = [one for event in events for one in self._ready(event)]
        with self._lock:
            for one in ready:
                self._add(one)
            self._changed.notify_all()

    def _ready(self, event: Event) -> Sequence[Event]:
        """What `event` brings that need not wait for more of its call."""
        if isinstance(event, Block):
            return self._gathering.add(event)
        if isinstance(event, CallOpened):
            self._gathering.begin(event.call)
        return [*self._gathering.finish(event.call), event] if isinstance(event, CallClosed) else [event]

    def _has_room(self, block: Block | Told, stop: threading.Event | None) -> bool:
        """Waits for room; False where `stop` comes first."""
        duration_s = block.duration_s
        while self._waiting_s + duration_s > self._limit_s and self._waiting_s and not self._closed:
            if stop is not None and stop.is_set():
                return False
            self._changed.wait(0.1)
        return True

    def _add(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, Block | Told):
            self._waiting_s += event.duration_s
            while self._waiting_s > self._limit_s and self._drop_oldest(event):
                pass

    def _drop_oldest(self, newest: Block | Told) -> bool:
        for index, event in enumerate(self._events):
            if isinstance(event, Block) and event is not newest:
                del self._events[index]
                duration_s = event.duration_s
                self._waiting_s -= duration_s
                self.dropped_blocks += 1
                self.dropped_s += duration_s
                return True
        return False

    def count_dropped(self, blocks: int, seconds: float) -> None:
        """Blocks that were dropped on the way here count with our own."""
        with self._lock:
            self.dropped_blocks += blocks
            self.dropped_s += seconds

    def take(self, timeout_s: float, most: int | None = None) -> list[Event]:
        """What waits, oldest first, at most so many events; after `timeout_s` without anything, an empty list."""
        with self._lock:
            if not self._events and not self._closed:
                self._changed.wait(timeout_s)
            count = len(self._events) if most is None else min(most, len(self._events))
            events = [self._events.popleft() for _ in range(count)]
            taken_s = sum(event.duration_s for event in events if isinstance(event, Block | Told))
            self._waiting_s = max(0.0, self._waiting_s - taken_s) if self._events else 0.0
            self._changed.notify_all()
            return events

    def abandon(self) -> list[Event]:
        """All that waits, to go elsewhere; no call is gathered here any more."""
        with self._lock:
            self._gathering = Gathering()
        return self.take(0.0)

    def close(self) -> None:
        """No more is taken: whoever waits for room goes on."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()
