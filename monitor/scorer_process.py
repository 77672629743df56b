"""A process that scores a part of the calls: the whole pipeline, with events from `monitor.scorer` in place of a queue's."""

import gc
import os
import threading
import time
from collections import deque
from collections.abc import Callable

from monitor.allocator import give_back_until
from monitor.bus import Bus
from monitor.child_process import ParentProcess
from monitor.log_records import forward
from monitor.messages import AnyMessage
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.scoring import Answer, Load, Order, Setup, packed
from monitor.sources import Event

_TELL_S = 0.25
"""From one Load to the next; it is the sign of life, too."""
_MOST_WAITING = 512
"""Events here; the others wait where they are sent from."""


def _main() -> None:
    """Until nothing more comes, or nobody is left to tell. A fault of ours ends it."""
    line = _Line(ParentProcess())
    setup = line.begin()
    forward(setup.level, line.tell)
    bus = Bus()
    bus.subscribe(line.collect, line.tell_collected)
    pipeline = Pipeline(
        EmotionModel(setup.model),
        setup.settings,
        bus,
        identities=setup.identities,
        rules=setup.rules,
        unscoring=lambda: line.unscoring,
    )
    line.load = lambda: Load(pipeline.busy, pipeline.since_s, time.process_time())
    gc.set_threshold(20_000)
    gc.freeze()
    give_back_until(line.finished)
    pipeline.work(line, line.finished)
    line.tell(None)


class _Line:
    """Both ways between the pipeline and whoever began the process."""

    def __init__(self, parent: ParentProcess) -> None:
        self.unscoring = ""
        """See `Order`."""
        self.finished = threading.Event()
        self.load: Callable[[], Load] = lambda: Load(0.0, None, 0.0)
        self._parent = parent
        self._waiting: deque[Event] = deque()
        self._changed = threading.Condition()
        self._collected: list[AnyMessage] = []
        self._told_s = float("-inf")

    def begin(self) -> Setup:
        """What it is told first; what follows is read from now on."""
        setup: Setup = self._parent.hear()
        threading.Thread(target=self._hear, name="events", daemon=True).start()
        return setup

    def take(self, timeout_s: float, most: int | None = None) -> list[Event]:
        """See `Waiting`."""
        if (now_s := time.monotonic()) - self._told_s >= _TELL_S:
            self._told_s = now_s
            self.tell(self.load())
        with self._changed:
            if not self._waiting and not self.finished.is_set():
                self._changed.wait(timeout_s)
            count = len(self._waiting) if most is None else min(most, len(self._waiting))
            events = [self._waiting.popleft() for _ in range(count)]
            self._changed.notify_all()
            return events

    def set_limit(self, limit_s: float) -> None:
        """What waits is bounded where it waits: with whoever sends."""

    def close(self) -> None:
        """Whoever sends sees the end of the process."""

    def collect(self, message: AnyMessage) -> None:
        """Told with those that are made at the same moment."""
        self._collected.append(message)

    def tell_collected(self) -> None:
        """All of them."""
        collected, self._collected = self._collected, []
        self.tell(packed(collected))

    def tell(self, answer: Answer) -> None:
        """From any thread. Where nobody is left to tell, the process ends."""
        try:
            self._parent.tell(answer)
        except OSError:
            os._exit(1)

    def _hear(self) -> None:
        """In a thread of its own: reads no further while much waits."""
        order: Order | None
        while not self.finished.is_set():
            try:
                order = self._parent.hear()
            except EOFError:
                order = None
            with self._changed:
                self._changed.wait_for(lambda: len(self._waiting) < _MOST_WAITING)
                if order is None:
                    self.finished.set()
                else:
                    self.unscoring = order.unscoring
                    self._waiting += order.events
                self._changed.notify_all()


if __name__ == "__main__":
    _main()
