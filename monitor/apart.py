"""Listeners in a process of their own, on an event loop: what they hear comes into this process's queue.

Receiving and scoring must not share one interpreter: every datagram read gives the interpreter's lock away, and scoring
takes it, so that packets are lost while half the machine is idle. `tests/benchmarks/siprec_load.py` prints what is lost.

A listener that dies takes its calls with it, and that is told; scoring and the other sources go on, and `monitor.listening`
starts another process. `monitor.listeners_process` is the other side; its event loop beats, and where it has hung for long, the
process is killed, and so has died.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from contextlib import suppress
from typing import Any

from monitor.child_process import ChildProcess
from monitor.errors import CallmoodError, SourceError
from monitor.identities import Identities
from monitor.log_records import take
from monitor.sources import CallClosed, CallNames, CallOpened, Event, Intake, Listener
from monitor.watchdog import Watchdog

_log = logging.getLogger(__name__)

_LOOK_S = 0.1
HUNG_S = 15.0
"""Without a beat. What waits for a process in the system's buffers is seconds; a machine that is far too busy needs some, too."""
_LONGEST_START_S = 120.0
"""Until the first beat: what has to be loaded may lie on a slow disk."""
_LONGEST_STOP_S = 10.0


class Apart:
    """Listeners elsewhere, as one source here: until it is stopped, or all are drained."""

    def __init__(
        self,
        make: Callable[[], Sequence[Listener]],
        queue: Intake,
        identities: Identities,
        refusing: Callable[[], str] = lambda: "",
        names: CallNames | None = None,
    ) -> None:
        """`make` and `identities` go there by pickle. While it `run`s, new calls are refused as long as `refusing` says why.
        `names` get those of its calls.
        """
        self.ports: tuple[int, ...] = ()
        """Of the listeners, in their order, once it is started."""
        self.fault: SourceError | None = None
        """Why it died; none while it lives, and where it was stopped."""
        self._queue, self._refusing, self._names = queue, refusing, names or CallNames()
        self._calls: set[str] = set()
        """Those that are open there."""
        self._started: futures.Future[list[tuple[str, int]]] = futures.Future()
        self._over = threading.Event()
        """Drained, or dead."""
        self._stopping = False
        self._beats = 0
        self._waits = False
        """Whether what comes now is read at once."""
        self._hung = ""
        """What is said of a process that was killed because it hung."""
        self._process = ChildProcess("monitor.listeners_process")
        self._tell((make, identities, logging.getLogger("monitor").getEffectiveLevel()))
        self._reader = threading.Thread(target=self._read, name="listeners", daemon=True)
        self._reader.start()

    def start(self) -> list[str]:
        """What they listen on, for people. Raises what a listener raises; nothing listens then."""
        self._tell("start")
        watchdog = Watchdog(_LONGEST_START_S)
        while not futures.wait([self._started], _LOOK_S).done:
            self._watch(watchdog, _LONGEST_START_S)
        try:
            started = self._started.result()
        except CallmoodError:
            self._end()
            raise
        self.ports = tuple(port for _, port in started)
        return [address for address, _ in started]

    def drain(self) -> None:
        """Refuse new calls; when the running ones are over, `run` ends."""
        self._tell("drain")

    def run(self, _: Intake, stop: threading.Event) -> None:
        """Waits until `stop` is set or all is over, then ends what still runs: see Source."""
        told, watchdog = "", Watchdog(HUNG_S)
        while not (stop.wait(_LOOK_S) or self._over.is_set()):
            self._watch(watchdog, HUNG_S)
            if (why := self._refusing()) != told:
                told = why
                self._tell(("refuse", why))
                _log.warning("new calls are refused: %s" if why else "new calls are taken again%s", why)
        self._end()

    def _watch(self, watchdog: Watchdog, bound_s: float) -> None:
        """Kills a process that hangs."""
        if watchdog.is_hung(time.monotonic(), self._beats, self._waits) and not self._hung:
            self._hung = f"the listeners' process gave no sign of life for {bound_s:g} s: it is killed"
            self._process.kill_hung()

    def _end(self) -> None:
        """Stops; everything is in the queue afterwards."""
        self._stopping = True
        self._tell("stop")
        self._reader.join(_LONGEST_STOP_S)
        if self._reader.is_alive():
            _log.error("the listeners' process did not end within %g s", _LONGEST_STOP_S)
            self._process.kill()
        self._process.close()

    def _tell(self, message: Any) -> None:
        with suppress(OSError):  # of a process that died the reader tells
            self._process.tell(message)

    def _read(self) -> None:
        """Until the other side closes."""
        while True:
            self._waits = True
            try:
                kind, value = self._process.hear()
            except EOFError:
                break
            self._waits = False
            if kind == "beat":
                self._beats += 1
            elif kind == "events":
                self._take(*value)
            elif kind == "log":
                take(value)
            elif kind == "drained":
                self._over.set()
            elif isinstance(value, CallmoodError):
                self._started.set_exception(value)
            else:
                self._started.set_result(value)
        self._tell_end()

    def _take(self, events: list[Event], dropped_blocks: int, dropped_s: float) -> None:
        for event in events:
            if isinstance(event, CallOpened):
                self._calls.add(event.call)
                self._names.note(event.call)
            elif isinstance(event, CallClosed):
                self._calls.discard(event.call)
        self._queue.put_all(events)
        if dropped_blocks:
            self._queue.count_dropped(dropped_blocks, dropped_s)

    def _tell_end(self) -> None:
        """Nobody is left waiting; calls that were not closed are ended with the reason."""
        code = self._process.ended()
        error = SourceError(self._hung or f"the listeners' process died (code {code})")
        if not self._started.done():
            self._started.set_exception(error)
        elif not self._stopping:
            self.fault = error
            self._queue.put_all(CallClosed(call, f"error: {error}") for call in sorted(self._calls))
        self._over.set()
