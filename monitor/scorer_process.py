"""A process that scores a part of the calls: the whole pipeline, with events from `monitor.scorer` in place of a queue's.

It is told (why calls that begin now are not scored, events), and None when nothing more comes. It tells messages, how busy it
is, and lines of the log.
"""

import gc
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import msgspec

from monitor.alerts.rules import Rule
from monitor.bus import Bus
from monitor.identities import Identities
from monitor.log_records import forward
from monitor.messages import AnyMessage
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.settings import Settings
from monitor.sources import Event

_TELL_S = 0.25
"""From one Load to the next; it is the sign of life, too."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[AnyMessage])


@dataclass(frozen=True)
class Setup:
    """What a process scores with. It goes there by pickle."""

    model: Path
    threads: int
    """Of the network."""
    settings: Settings
    identities: Identities
    rules: Sequence[Rule]
    level: int
    """Of the log."""


class Load(NamedTuple):
    """How busy a process is."""

    busy: float
    """See `Busyness`, 0..1."""
    since_s: float | None
    """When the oldest of what it has heard and not told came, monotonic; None where there is nothing."""
    cpu_s: float
    """Processor time that it has taken."""


Answer = bytes | Load | logging.LogRecord
"""What it tells; bytes are `messages`."""


def messages(answer: bytes) -> list[AnyMessage]:
    """Those that are in an answer, in order."""
    return _decoder.decode(answer)


def score_calls(connection: Connection, setup: Setup) -> None:
    """Runs in the process, until nothing more comes or nobody is left to tell. A fault of ours ends it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # whoever began it says when it ends
    line = _Line(connection)
    forward(setup.level, line.tell)
    bus = Bus()
    bus.subscribe(line.collect, line.tell_collected)
    pipeline = Pipeline(
        EmotionModel(setup.model, setup.threads),
        setup.settings,
        bus,
        identities=setup.identities,
        rules=setup.rules,
        unscoring=lambda: line.unscoring,
    )
    line.load = lambda: Load(pipeline.busy, pipeline.since_s, time.process_time())
    gc.set_threshold(20_000)
    gc.freeze()
    pipeline.work(line, line.finished)
    connection.close()


class _Line:
    """Both ways between the pipeline and whoever began the process."""

    def __init__(self, connection: Connection) -> None:
        self.unscoring = ""
        """Why calls that begin now are not scored."""
        self.finished = threading.Event()
        self.load: Callable[[], Load] = lambda: Load(0.0, None, 0.0)
        self._connection = connection
        self._sending = threading.Lock()
        self._waiting: deque[Event] = deque()
        self._collected: list[AnyMessage] = []
        self._told_s = float("-inf")

    def take(self, timeout_s: float, most: int | None = None) -> list[Event]:
        """See `Waiting`."""
        self._tell_load()
        if not self._waiting and not self.finished.is_set() and self._connection.poll(timeout_s):
            self._receive()
        while (most is None or len(self._waiting) < most) and not self.finished.is_set() and self._connection.poll(0):
            self._receive()
        count = len(self._waiting) if most is None else min(most, len(self._waiting))
        return [self._waiting.popleft() for _ in range(count)]

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
        self.tell(_encoder.encode(collected))

    def tell(self, answer: Answer) -> None:
        """From any thread. Where nobody is left to tell, the process ends."""
        try:
            with self._sending:
                self._connection.send(answer)
        except OSError:
            os._exit(1)

    def _tell_load(self) -> None:
        if (now_s := time.monotonic()) - self._told_s >= _TELL_S:
            self._told_s = now_s
            self.tell(self.load())

    def _receive(self) -> None:
        try:
            told: tuple[str, list[Event]] | None = self._connection.recv()
        except (EOFError, OSError):
            told = None
        if told is None:
            self.finished.set()
        else:
            self.unscoring, events = told
            self._waiting += events
