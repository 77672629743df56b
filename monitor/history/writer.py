"""Writes the history: a receiver on the bus that queues, and a thread of its own that stores what waits, twice a second.

A disk that is full, a file that is locked, damaged or of another version: nothing of that reaches the live path. What cannot be
stored waits, bounded, and is tried again; what there is no room for is counted.
"""

import logging
import sqlite3
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from monitor.errors import HistoryError
from monitor.history.database import WriterLock, fault, make, opened
from monitor.history.erasure import delete_old
from monitor.history.ledger import Ledger, Run
from monitor.messages import AnyCallMessage, AnyMessage, CallKey, CallMessage, Gap, Reading

BATCH_S = 0.4
"""From one batch to the next."""
RETRY_S = 1.0
"""After a fault."""
MOST_WAITING = 20_000
"""Messages that may wait. Past it readings and gaps are dropped, past twice as many everything is; all of it is counted."""
SWEEP_S = 3_600.0
"""How often what is too old is deleted."""

_log = logging.getLogger(__name__)


class History:
    """The calls of one node in one file. `receive` may be called from any thread, and never waits."""

    def __init__(
        self, path: Path, run: Run, days: int, erased: Callable[[Sequence[CallKey]], None] = lambda _: None
    ) -> None:
        """`erased`: calls of this run that were deleted from the file meanwhile; called in the history's thread."""
        self.path = path
        self.stored = 0
        """Messages that are in the file."""
        self.unstored = 0
        """Messages that never will be."""
        self.failure = ""
        """Why nothing is stored just now; empty while all is well."""
        self._run, self._keep_s, self._erased = run, days * 86_400.0, erased
        self._waiting: deque[AnyCallMessage] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._tried = threading.Event()
        self._writer_lock: WriterLock | None = None
        self._database: sqlite3.Connection | None = None
        self._ledger: Ledger
        self._began_s = time.time()
        self._keys: OrderedDict[int, CallKey] = OrderedDict()
        self._next_sweep_s = 0.0
        self._one_by_one = False
        """After a fault of ours: what causes it is found, and left out."""
        self._thread = threading.Thread(target=self._write, name="history", daemon=True)

    @property
    def waiting(self) -> int:
        """Messages that are not stored yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to store."""
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until the file has been opened, or could not be; so long at most."""
        self._tried.wait(seconds)

    def receive(self, message: AnyMessage) -> None:
        """Take in a message of the bus."""
        if not isinstance(message, CallMessage):
            return
        with self._lock:
            room = MOST_WAITING if isinstance(message, Reading | Gap) else 2 * MOST_WAITING
            if len(self._waiting) < room:
                self._waiting.append(message)
            else:
                self.unstored += 1

    def stop(self, longest_s: float) -> None:
        """Store what waits, and close; so long at most."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(longest_s)

    def _write(self) -> None:
        while True:
            last = self._stop.is_set()
            stored = self._try()
            self._tried.set()
            if last:
                break
            self._stop.wait(BATCH_S if stored else RETRY_S)
        self._give_up()
        self._close()
        if self._writer_lock is not None:
            self._writer_lock.release()

    def _give_up(self) -> None:
        """What still waits is never stored."""
        with self._lock:
            lost = list(self._waiting)
            self.unstored += len(lost)
            self._waiting.clear()
        if lost:
            calls = len({message.call for message in lost})
            why = self.failure or f"{self.path}: they came after the end"
            _log.warning("%d messages of %d calls were not stored: %s", len(lost), calls, why)

    def _try(self) -> bool:
        """Store everything that waits; whether that went well."""
        try:
            if self._database is None or self._was_moved():
                self._open()
            self._store()
            self._sweep()
        except (HistoryError, sqlite3.Error, OSError) as error:
            self._fail(error)
            return False
        except Exception as fault_of_ours:  # the edge of the thread: one message must not cost those behind it
            _log.exception("the history failed")
            self._one_by_one = True
            self._fail(HistoryError(f"{self.path}: {fault_of_ours!r}; report this"))
            return False
        if self.failure:
            _log.warning("%s: calls are stored again; %d messages are not", self.path, self.unstored)
            self.failure = ""
        return True

    def _fail(self, error: Exception) -> None:
        text = str(error if isinstance(error, HistoryError) else fault(self.path, error))
        if text != self.failure:
            _log.warning("calls are not stored: %s", text)
        self.failure = text
        self._close()

    def _open(self) -> None:
        self._close()
        if self._writer_lock is None:
            make(self.path)
            self._writer_lock = WriterLock(self.path)
        self._database = opened(self.path, create=True)
        self._ledger = Ledger(self._database, self._run, self._began_s, self._keys)

    def _close(self) -> None:
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _was_moved(self) -> bool:
        """Whether the file was taken away: then another one begins."""
        return not self.path.exists()

    def _store(self) -> None:
        with self._lock:
            batch = list(self._waiting)
        if self._one_by_one:
            for message in batch:
                self._store_alone(message)
            self._one_by_one = False
        else:
            erased = self._ledger.write(batch)
            self._done(len(batch))
            if erased:
                self._erased(erased)

    def _store_alone(self, message: AnyCallMessage) -> None:
        """Store one message, or count it where that is a fault of ours."""
        try:
            self._ledger.write([message])
        except (sqlite3.Error, OSError):
            raise
        except Exception:
            _log.exception("a %s message is not stored", type(message).__name__)
            self._open()
            self._done(1, stored=False)
        else:
            self._done(1)

    def _done(self, count: int, stored: bool = True) -> None:
        """The first `count` messages no longer wait."""
        with self._lock:
            for _ in range(count):
                self._waiting.popleft()
            if stored:
                self.stored += count
            else:
                self.unstored += count

    def _sweep(self) -> None:
        if time.monotonic() < self._next_sweep_s or self._database is None:
            return
        if delete_old(self._database, time.time() - self._keep_s) == 0:
            self._next_sweep_s = time.monotonic() + SWEEP_S
