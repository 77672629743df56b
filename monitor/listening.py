"""Listeners that come back: their process is started again when it dies, on the same ports, ever later, and not for ever."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from monitor.apart import Apart
from monitor.errors import CallmoodError, SourceError
from monitor.identities import Identities
from monitor.sources import Before, CallNames, Intake, Listener, Refused
from monitor.watchdog import Restarts

_log = logging.getLogger(__name__)

_LOOK_S = 0.1


class Listening:
    """Listeners in a process of their own (`monitor.apart`) and in those that follow it, as one source."""

    def __init__(
        self,
        make: Callable[[Before], Sequence[Listener]],
        queue: Intake,
        identities: Identities,
        refusing: Callable[[], str] = lambda: "",
    ) -> None:
        """See Apart; `make` also gets what the listeners go on from."""
        self.restarts = 0
        """Processes that took a dead one's place."""
        self.trouble = ""
        """Why nobody listens just now, in one line; empty while somebody does."""
        self._make, self._queue, self._identities, self._refusing = make, queue, identities, refusing
        self._names = CallNames()
        self._restarts = Restarts()
        self._draining = threading.Event()
        self._began_s = time.monotonic()
        self._apart = self._made(Before())

    def start(self) -> list[str]:
        """What they listen on, for people. Raises what a listener raises; nothing listens then."""
        return self._apart.start()

    def drain(self) -> None:
        """Refuse new calls; when the running ones are over, `run` ends."""
        self._draining.set()
        self._apart.drain()

    def run(self, queue: Intake, stop: threading.Event) -> None:
        """Until it is stopped or drained, or nothing helps: see Source."""
        while True:
            self._apart.run(queue, stop)
            if self._apart.fault is None or not self._revived(self._apart.fault, stop):
                return

    def _revived(self, fault: CallmoodError, stop: threading.Event) -> bool:
        """Whether another process listens in the place of one that died; meanwhile it is told what is waited for."""
        before = Before(self._apart.ports, self._names.taken)
        then = " and its calls with it: another begins"
        while not self._over(stop):
            wait_s = self._restarts.wait_s(time.monotonic() - self._began_s)
            if wait_s is None:
                self._tell(f"{fault}; nobody listens any more after {self._restarts.tries} tries: restart callmood")
                return False
            self._tell(f"{fault}{then}" + (f" in {wait_s:g} s" if wait_s else ""))
            then = ": another begins"
            if not self._waited(wait_s, stop):
                return False
            self._began_s = time.monotonic()
            try:
                self._apart = self._made(before)
                addresses = self._apart.start()
            except CallmoodError as error:
                fault = error
                continue
            self.restarts += 1
            self.trouble = ""
            _log.warning("the listeners' process was started again: %s", "; ".join(addresses))
            if self._draining.is_set():
                self._apart.drain()
            return True
        return False

    def _over(self, stop: threading.Event) -> bool:
        return stop.is_set() or self._draining.is_set()

    def _waited(self, wait_s: float, stop: threading.Event) -> bool:
        """Whether the time has passed before a stop or a drain came."""
        until_s = time.monotonic() + wait_s
        while not self._over(stop):
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return True
            self._draining.wait(min(left_s, _LOOK_S))
        return False

    def _tell(self, text: str) -> None:
        self.trouble = text
        _log.error("%s", text)
        self._queue.put(Refused(SourceError(text)))

    def _made(self, before: Before) -> Apart:
        """Raises SourceError where the system gives no process."""
        try:
            return Apart(partial(self._make, before), self._queue, self._identities, self._refusing, self._names)
        except OSError as error:
            raise SourceError(
                f"no process can begin for the listeners ({error.strerror}); free memory or allow more processes"
            ) from error
