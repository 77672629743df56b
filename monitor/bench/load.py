"""How many calls this machine carries.

Parties are fed in process as 20 ms blocks at real pace, with customers' voices from the example calls looped at random
offsets, chosen so that about half of the windows hold enough speech to be scored.
"""

import resource
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from monitor.alerts.rulefile import load_rules
from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.bench.voices import BLOCK, loops
from monitor.bus import Bus
from monitor.identities import Identities
from monitor.messages import AnyMessage, CallEnded, Reading
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.scorers import Scorers
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallClosed, CallOpened, Intake

LATENCY_BAR_MS = 300.0
"""A machine carries so many parties as long as 99 of 100 windows are told within this."""
_FENCE = "bench-filled"
_POINT_S = 8.0
_SEARCH_S = 125.0
"""The search begins no point after this."""
_FINEST = 0.05
"""The search ends when it knows the largest number of parties to within this share."""


@dataclass(frozen=True)
class Load:
    """What was measured with so many parties."""

    parties: int
    scored_windows_per_s: float
    scored_share: float
    """Of all windows."""
    latency_p50_ms: float
    """From the last sample of a scored window to its message on the bus."""
    latency_p99_ms: float
    dropped: int
    """Blocks."""
    cpu_cores: float
    """Processor seconds a second."""
    rss_mb: float
    """Resident memory, its peak."""

    @property
    def carried(self) -> bool:
        """Whether this was not too much."""
        return self.dropped == 0 and self.latency_p99_ms < LATENCY_BAR_MS


def search(model: EmotionModel, voices: Sequence[Samples], settings: Settings, tell: Callable[[Load], None]) -> Load:
    """The largest load that was carried, within 150 s; every measured one is told to `tell`."""
    ends_s = time.monotonic() + _SEARCH_S
    low: Load | None = None
    parties, too_many = 64, None
    while time.monotonic() < ends_s:
        load = measure(model, voices, settings, parties, _POINT_S)
        tell(load)
        if load.carried:
            low = load
        else:
            too_many = parties
        if low and too_many and too_many - low.parties <= max(1, _FINEST * too_many):
            break
        parties = _next(low, too_many)
        if parties == 0:
            break
    return low or replace(load, parties=0)


def _next(low: Load | None, too_many: int | None) -> int:
    """The number of parties to try next: by the processor time they took, later half way."""
    if low is None:
        return (too_many or 2) // 2
    if too_many is None:
        by_processor = 1.6 / max(low.cpu_cores, 0.01)
        return round(low.parties * min(6.0, max(1.25, by_processor)))
    return (low.parties + too_many) // 2


def measure(model: EmotionModel, voices: Sequence[Samples], settings: Settings, parties: int, seconds: float) -> Load:
    """Carry `parties` for `seconds`, after their first three seconds have gone by."""
    latencies: list[float] = []
    windows = 0
    filled, measuring = threading.Event(), threading.Event()
    fences = {f"{_FENCE}-{number}" for number in range(settings.scoring_processes)}

    def note(message: AnyMessage) -> None:
        nonlocal windows
        if isinstance(message, CallEnded) and message.call in fences:
            fences.remove(message.call)
            if not fences:
                filled.set()
        if isinstance(message, Reading) and measuring.is_set():
            windows += 1
            if message.scores is not None:
                latencies.append(1000.0 * (time.monotonic() - feeder.put_s(message)))

    bus, finished = Bus(), threading.Event()
    bus.subscribe(note)
    scoring = _Scoring(model, replace(settings, max_calls=parties + len(fences)), bus)
    feeder = _Feeder(loops(voices, settings, parties), scoring.queue)
    thread = threading.Thread(target=scoring.run, args=(finished,), daemon=True)
    thread.start()
    feeder.fill(round((settings.window_s + settings.hop_s) * SAMPLE_RATE / BLOCK), sorted(fences))
    filled.wait()
    measuring.set()
    wall_s, cpu_s = time.monotonic(), scoring.cpu_s
    feeder.play(seconds)
    wall_s, cpu_s = time.monotonic() - wall_s, scoring.cpu_s - cpu_s
    measuring.clear()
    feeder.close()
    finished.set()
    thread.join()
    return Load(
        parties=parties,
        scored_windows_per_s=round(len(latencies) / wall_s, 1),
        scored_share=round(len(latencies) / max(1, windows), 3),
        latency_p50_ms=round(float(np.quantile(latencies, 0.5)), 1) if latencies else float("inf"),
        latency_p99_ms=round(float(np.quantile(latencies, 0.99)), 1) if latencies else float("inf"),
        dropped=scoring.queue.dropped_blocks,
        cpu_cores=round(cpu_s / wall_s, 2),
        rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )


class _Scoring:
    """What scores: in this process, or in as many others as the settings say."""

    def __init__(self, model: EmotionModel, settings: Settings, bus: Bus) -> None:
        self.queue: BlockQueue | Scorers
        self.run: Callable[[threading.Event], None]
        self._apart: Scorers | None = None
        if settings.scoring_processes > 1:
            rules = load_rules(settings.alert_rules)
            self.queue = self._apart = Scorers.of(model, settings, bus, Identities(show=False), rules)
            self.run = self._apart.run
        else:
            self.queue = queue = BlockQueue(settings.queue_s)
            self.run = partial(Pipeline(model, settings, bus).run, queue)

    @property
    def cpu_s(self) -> float:
        """Processor time that was taken, the feeding included."""
        return time.process_time() + (self._apart.cpu_s if self._apart else 0.0)


class _Feeder:
    """Puts one 20 ms block a party every 20 ms."""

    def __init__(self, loops: Sequence[Samples], queue: Intake) -> None:
        self._loops, self._queue = loops, queue
        self._names = {f"bench-{number}": number for number in range(len(loops))}
        self._turn = 0
        self._began_s: list[float] = []
        """Each turn, monotonic."""
        for name in self._names:
            queue.put(CallOpened(name, "bench", None, {"customer": 0}))

    def fill(self, turns: int, fences: Sequence[str]) -> None:
        """So many turns at once, without dropping; then a call without audio for each process, whose end says that all of it
        is told.
        """
        for _ in range(turns):
            self._take_turn(wait=True)
        self._queue.put_all(CallOpened(name, "bench", None, {"customer": 0}) for name in fences)
        self._queue.put_all(CallClosed(name, "end") for name in fences)

    def play(self, seconds: float) -> None:
        """Turns at real pace."""
        started_s, first = time.monotonic(), self._turn
        while (passed := (self._turn - first) * BLOCK / SAMPLE_RATE) < seconds:
            time.sleep(max(0.0, started_s + passed - time.monotonic()))
            self._take_turn(wait=False)

    def put_s(self, reading: Reading) -> float:
        """When the last sample of the reading's window was put, monotonic."""
        return self._began_s[round(reading.end_s * SAMPLE_RATE) // BLOCK - 1 + _behind(self._names[reading.call])]

    def close(self) -> None:
        """End every call."""
        for name in self._names:
            self._queue.put(CallClosed(name, "end"))

    def _take_turn(self, wait: bool) -> None:
        now_s = time.monotonic()
        self._began_s.append(now_s)
        for (name, number), loop in zip(self._names.items(), self._loops, strict=True):
            turn = self._turn - _behind(number)
            if turn >= 0:
                start = turn * BLOCK
                place = start % loop.size
                samples = loop[place : place + BLOCK]
                self._queue.put(Block(name, "customer", start, SAMPLE_RATE, samples, now_s), wait=wait)
        self._turn += 1


def _behind(number: int) -> int:
    """How many turns later than the first a party begins: up to half a second, so that not all windows end together."""
    return number % 25
