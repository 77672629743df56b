"""One process that scores a part of the calls (`monitor.scorer_process`), and what waits for it here."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from monitor.child_process import ChildProcess
from monitor.interruption import Unfinished
from monitor.log_records import take
from monitor.messages import AnyMessage, CallEnded, CallMessage, CallStarted
from monitor.scoring import Answer, Load, Order, Setup, unpacked
from monitor.sources import BlockQueue, CallOpened
from monitor.watchdog import Restarts, Watchdog

_log = logging.getLogger(__name__)

HUNG_S = 15.0
"""Without a sign of life, a process that runs is killed."""
_LONGEST_START_S = 120.0
"""Until the first one: what has to be loaded may lie on a slow disk."""
_TAKE_S = 0.05
_GATHER_S = 0.02
"""Events that come within this go together: one at a time they would cost both processes more than the audio."""
_MOST_EVENTS = 512
"""That are sent together."""
_NOTHING = Load(0.0, None, 0.0)


class Scorer:
    """Begins its process, again where it died, until it is given up. `start`, `tend` and `finish` are one thread's."""

    def __init__(
        self,
        setup: Setup,
        hear: Callable[[Sequence[AnyMessage]], None],
        lost: Callable[["Scorer", str], None],
        unscoring: Callable[[], str],
    ) -> None:
        """`hear` gets its messages, in a thread of this object's; `lost` is called there when the process has died, with why.
        `unscoring` says why calls that begin now are not scored.
        """
        self.queue = BlockQueue(setup.settings.queue_s)
        """What it is to score."""
        self.calls: dict[str, CallOpened] = {}
        """Those that it has been given, and that were not told to be over."""
        self.restarts = 0
        """Processes that took a dead one's place."""
        self.runs = False
        """Whether a process takes what waits."""
        self.down = False
        """Whether its process has died, and no other takes its place yet."""
        self.begins_at_once = False
        """Whether one takes its place without a wait: then what the dead one had is best left to it."""
        self.given_up = False
        self.unfinished: dict[str, Unfinished] = {}
        """Those of them whose beginning was told."""
        self._setup, self._hear, self._lost, self._unscoring = setup, hear, lost, unscoring
        self._load = _NOTHING
        self._sending_since_s: float | None = None
        self._finishing = threading.Event()
        self._restarts = Restarts()
        self._began_s = self._next_s = 0.0
        self._process: ChildProcess | None = None
        self._threads: list[threading.Thread] = []
        self._answers = 0
        self._waits = False
        """Whether what it tells now is heard at once."""
        self._bound_s = _LONGEST_START_S
        self._watchdog = Watchdog(self._bound_s)
        self._killed = ""
        self._told_all = False
        """Whether its process has ended as it should."""

    @property
    def parties(self) -> int:
        """Of its calls."""
        return sum(len(opened.parties) for opened in [*self.calls.values()])

    @property
    def lives(self) -> bool:
        """Whether a process runs, or begins at once."""
        return not self.down or self.begins_at_once

    @property
    def busy(self) -> float:
        """The share of the time in which it works, 0..1; 1 while it is down."""
        return 1.0 if self.down else self._load.busy

    @property
    def cpu_s(self) -> float:
        """Processor time that its process has taken, as it said last."""
        return self._load.cpu_s

    def take_on(self, opened: CallOpened) -> None:
        """A call that is its own from now on."""
        self.calls[opened.call] = opened
        self._set_limit()

    def waited_s(self, now_s: float) -> float:
        """How old the oldest audio without a reading is at `now_s`, monotonic; about."""
        if self.given_up:
            return 0.0  # what still came here is nobody's any more
        since = [moment_s for moment_s in (self._load.since_s, self._sending_since_s) if moment_s is not None]
        return max(self.queue.waited_s(now_s), *(now_s - moment_s for moment_s in since), 0.0)

    def start(self) -> None:
        """Begins the process, which takes half a second to load. Where the system gives none, it has died."""
        self._killed, self._began_s, self._answers = "", time.monotonic(), 0
        self._bound_s = _LONGEST_START_S
        self._watchdog = Watchdog(self._bound_s)
        try:
            self._process = process = ChildProcess("monitor.scorer_process")
        except OSError as error:
            return self._die(f"cannot begin ({error.strerror}): free memory or allow more processes")
        self.runs = True
        sender = threading.Thread(target=self._talk, args=(process, self._send), name="scorer", daemon=True)
        reader = threading.Thread(target=self._follow, args=(process, sender), name="scorer", daemon=True)
        self._threads = [sender, reader]
        for thread in self._threads:
            thread.start()

    def tend(self, now_s: float) -> None:
        """Several times a second: kills a process that hangs, and begins another where one has died."""
        if self.runs:
            self._watch(now_s)
        elif not self.over and now_s >= self._next_s:
            self.restarts += 1
            self.start()

    def finish(self) -> None:
        """Nothing more is put: the process ends when all is told."""
        self._finishing.set()

    @property
    def over(self) -> bool:
        """Whether no process runs, and none will."""
        return not self.runs and (self.given_up or (self._finishing.is_set() and not self.calls))

    def end(self) -> None:
        """It is over: nobody waits for room any more."""
        self.queue.close()
        for thread in self._threads:
            thread.join()

    def _watch(self, now_s: float) -> None:
        if self._answers and self._bound_s != HUNG_S:
            self._bound_s, self._watchdog = HUNG_S, Watchdog(HUNG_S)
        if self._watchdog.is_hung(now_s, self._answers, self._waits) and not self._killed and self._process:
            self._killed = f"gave no sign of life for {self._bound_s:g} s: it is killed"
            self._process.kill_hung()

    def _follow(self, process: ChildProcess, sender: threading.Thread) -> None:
        """Hears it to its end."""
        self._talk(process, self._read)
        self._end(process, sender)

    def _talk(self, process: ChildProcess, way: Callable[[ChildProcess], None]) -> None:
        """One way, until the process is no more; after a fault of ours it is killed, and so has died."""
        try:
            way(process)
        except (OSError, EOFError):
            pass
        except Exception:
            _log.exception("a process that scores is killed: no more can be told or heard of it")
            process.kill()

    def _send(self, process: ChildProcess) -> None:
        """What waits, until nothing more comes or the process is no more."""
        unscoring = ""
        process.tell(self._setup)
        while self.runs:
            finishing = self._finishing.is_set()  # before the look: what was put before it is still taken
            events = self.queue.take(_TAKE_S, _MOST_EVENTS)
            if any(isinstance(event, CallOpened) for event in events):
                unscoring = self._unscoring()
            if events:
                self._sending_since_s = time.monotonic()
                process.tell(Order(unscoring, events))
                self._sending_since_s = None
                self._finishing.wait(_GATHER_S)
            elif finishing:
                return process.tell(None)

    def _read(self, process: ChildProcess) -> None:
        """Until the process is no more."""
        while True:
            self._waits = True
            answer: Answer = process.hear()
            self._waits = False
            self._answers += 1
            if isinstance(answer, bytes):
                self._take(unpacked(answer))
            elif isinstance(answer, Load):
                self._load, self.down = answer, False
            elif answer is None:
                self._told_all = True
            else:
                take(answer)

    def _take(self, told: Sequence[AnyMessage]) -> None:
        for message in told:
            if isinstance(message, CallStarted):
                self.unfinished[message.call] = Unfinished(message.call, message.at)
            elif isinstance(message, CallEnded):
                for kept in (self.unfinished, self.calls):
                    kept.pop(message.call, None)
                self._set_limit()
            if isinstance(message, CallMessage) and (unfinished := self.unfinished.get(message.call)):
                unfinished.add(message)
        self._hear(told)

    def _set_limit(self) -> None:
        self.queue.set_limit(self._setup.settings.queue_s * max(1, self.parties))

    def _end(self, process: ChildProcess, sender: threading.Thread) -> None:
        code = process.ended()
        self._next_s = float("inf")  # no other begins before all that this one had is elsewhere
        self.runs = False
        sender.join()  # it takes nothing more of what waits
        self._sending_since_s, self._load = None, _NOTHING
        process.close()
        if self._told_all:
            self.calls = {}  # whoever began one of them and did not end it has failed
        else:
            self._die(self._killed or f"died (code {code})")

    def _die(self, why: str) -> None:
        self.down = True
        wait_s = self._restarts.wait_s(time.monotonic() - self._began_s)
        self.begins_at_once, self.given_up = wait_s == 0.0, wait_s is None
        self._lost(self, why)
        self._next_s = time.monotonic() + (wait_s or 0.0)
