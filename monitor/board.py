"""The latest state of every call as an immutable snapshot. Pure: time comes with the messages and with `snapshot`."""

import threading
from collections import deque
from collections.abc import Collection

from monitor import messages
from monitor.followed import FollowedCall
from monitor.messages import AlertAcknowledged, AlertCleared, AlertRaised, CallEnded, CallKey, CallStarted, Gap, Reading
from monitor.snapshot import Fault, Snapshot, Totals

ENDED_KEPT_S = 180.0
"""How long an ended call stays in the snapshot."""
ENDED_KEPT = 200
"""Ended calls that stay at most."""
FAULTS_KEPT = 5
LATENCIES_KEPT = 4_096
"""Scored readings that the latency is measured over."""


class Board:
    """Receives every message from any thread and shows the whole as one `Snapshot`.

    What is kept of a call is bounded; of ended calls the last `ENDED_KEPT` stay for `ENDED_KEPT_S`.
    """

    def __init__(self, detailed: bool = True) -> None:
        """Not `detailed`, it knows which calls run and what became of them, and passes readings over: nobody looks."""
        self._detailed = detailed
        self._lock = threading.Lock()
        self._calls: dict[str, FollowedCall] = {}
        self._ended: dict[str, FollowedCall] = {}
        self._opened = self._over = self._alerts = self._forgotten = 0
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._faults: deque[tuple[float, str, str]] = deque(maxlen=FAULTS_KEPT)
        self._fault_count = 0
        self._failure: str | None = None
        self._missed = 0

    def receive(self, message: messages.AnyMessage) -> None:
        """Take in one message, in the order of the bus; a few microseconds. Raises ValueError where `at` is no time."""
        if not self._detailed and isinstance(message, Reading):
            return
        at_s = messages.unix_ms(message.at) / 1000
        with self._lock:
            match message:
                case Reading():
                    self._read(message, at_s)
                case messages.Error():
                    self._fail(message, at_s)
                case messages.Missed():
                    self._miss(message)
                case CallStarted():
                    self._open(message, at_s)
                case CallEnded():
                    self._end(message, at_s)
                case AlertRaised() | AlertCleared() | AlertAcknowledged() | Gap():
                    self._alerts += isinstance(message, AlertRaised) and message.severity != "info"
                    self._call(message.call, at_s).note(message, at_s)

    @property
    def running(self) -> int:
        """Calls that run."""
        return len(self._calls)

    @property
    def scored_parties(self) -> int:
        """Parties of running calls whose emotion is read."""
        with self._lock:
            return sum(party.scored for call in self._calls.values() for party in call.parties.values())

    def snapshot(self, now_s: float, opened: str | None = None) -> Snapshot:
        """Everything as it stands at `now_s`, Unix seconds on the clock of the node that made the messages; of the call
        `opened` in detail."""
        with self._lock:
            self._believe(now_s)
            self._forget(now_s)
            latencies_ms = list(self._latencies_ms)
            calls = sorted(self._calls.values(), key=lambda call: call.urgency(now_s))
            live = tuple(call.view(now_s) for call in calls)
            ended = tuple(call.view(now_s) for call in reversed(self._ended.values()))
            faults = tuple(Fault(max(0.0, now_s - at_s), code, text) for at_s, code, text in self._faults)
            counts = self._fault_count, self._missed, self._failure
            totals = Totals(self._opened, self._over, self._alerts, self._forgotten)
            asked = self._calls.get(opened or "") or self._ended.get(opened or "")
            detail = asked.detail(now_s) if asked else None
        latencies_ms.sort()
        p50_ms, p99_ms = _quantile(latencies_ms, 0.5), _quantile(latencies_ms, 0.99)
        return Snapshot(live, ended, faults, *counts, p50_ms, p99_ms, now_s, totals, detail)

    def _open(self, started: CallStarted, at_s: float) -> FollowedCall:
        self._opened += 1
        self._ended.pop(started.call, None)
        call = self._calls[started.call] = FollowedCall(started, self._opened, at_s)
        return call

    def _call(self, name: str, at_s: float) -> FollowedCall:
        """The running call of that name; one whose beginning was missed starts here."""
        if (call := self._calls.get(name)) is not None:
            return call
        return self._open(CallStarted(at="", call=name, seq=0, source="", path=None, parties={}), at_s)

    def _read(self, reading: Reading, at_s: float) -> None:
        self._call(reading.call, at_s).hear(reading, at_s)
        if reading.scores is not None:
            self._latencies_ms.append(reading.latency_ms)
        self._failure = None

    def _fail(self, error: messages.Error, at_s: float) -> None:
        self._fault_count += 1
        self._faults.append((at_s, error.code, error.text))
        if error.code == "pipeline":
            self._failure = error.text

    def _miss(self, missed: messages.Missed) -> None:
        """Where nobody knows how much was missed, its end may have been: what still runs is told anew."""
        self._missed += missed.count
        if missed.count == 0 and missed.call is not None:
            self._calls.pop(missed.call, None)
        elif missed.count == 0:
            self._calls.clear()
            self._failure = None

    def _end(self, ended: CallEnded, at_s: float) -> None:
        call = self._call(ended.call, at_s)
        call.end(ended, at_s)
        self._over += 1
        del self._calls[ended.call]
        self._ended[ended.call] = call
        while len(self._ended) > ENDED_KEPT:
            del self._ended[next(iter(self._ended))]

    def forget(self, calls: Collection[CallKey]) -> None:
        """Show nothing of these calls any more, which have ended; others of their names stay."""
        with self._lock:
            for call in calls:
                ended = self._ended.get(call.name)
                if ended is not None and ended.began_ms == call.began_ms:
                    del self._ended[call.name]
                    self._forgotten += 1

    def _believe(self, now_s: float) -> None:
        """What was told at a moment that is yet to come was told just now: the clock has been set back. Else a dead source
        would look alive, and ended calls would stay, until that moment comes."""
        for call in (*self._calls.values(), *self._ended.values()):
            call.believe(now_s)
        if self._faults and self._faults[-1][0] > now_s:
            faults = [(min(at_s, now_s), code, text) for at_s, code, text in self._faults]
            self._faults = deque(faults, maxlen=FAULTS_KEPT)

    def _forget(self, now_s: float) -> None:
        old = [name for name, call in self._ended.items() if now_s - call.ended_at_s > ENDED_KEPT_S]
        for name in old:
            del self._ended[name]


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
