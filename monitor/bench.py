"""How many calls this machine carries.

Parties are fed in process as 20 ms blocks at real pace, with customers' voices from the example calls looped at random
offsets, chosen so that about half of the windows hold enough speech to be scored.
"""

import resource
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.bus import Bus
from monitor.errors import AudioError
from monitor.messages import AnyMessage, CallEnded, Reading
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.readings import unscored_state
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallClosed, CallOpened
from monitor.windows import PartyWindows, Window

LATENCY_BAR_MS = 300.0
"""A machine carries so many parties as long as 99 of 100 windows are told within this."""
_BLOCK = SAMPLE_RATE // 50
_LOOP_S = 20.0
_DRAWS = 48
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

    def note(message: AnyMessage) -> None:
        nonlocal windows
        if isinstance(message, CallEnded) and message.call == _FENCE:
            filled.set()
        if isinstance(message, Reading) and measuring.is_set():
            windows += 1
            if message.scores is not None:
                latencies.append(message.latency_ms)

    bus = Bus()
    bus.subscribe(note)
    queue, finished = BlockQueue(settings.queue_s * parties), threading.Event()
    pipeline = Pipeline(model, replace(settings, max_calls=parties + 1), bus)
    thread = threading.Thread(target=pipeline.run, args=(queue, finished), daemon=True)
    thread.start()
    feeder = _Feeder(_loops(voices, settings, parties), queue)
    feeder.fill(round((settings.window_s + settings.hop_s) * SAMPLE_RATE / _BLOCK))
    filled.wait()
    measuring.set()
    wall_s, cpu_s = time.monotonic(), time.process_time()
    feeder.play(seconds)
    wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
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
        dropped=queue.dropped_blocks,
        cpu_cores=round(cpu_s / wall_s, 2),
        rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )


class _Feeder:
    """Puts one 20 ms block a party every 20 ms."""

    def __init__(self, loops: Sequence[Samples], queue: BlockQueue) -> None:
        self._loops, self._queue = loops, queue
        self._names = [f"bench-{number}" for number in range(len(loops))]
        self._turn = 0
        for name in self._names:
            queue.put(CallOpened(name, "bench", None, {"customer": 0}))

    def fill(self, turns: int) -> None:
        """So many turns at once, without dropping; then a call without audio, whose end says that all of it is told."""
        for _ in range(turns):
            self._take_turn(wait=True)
        self._queue.put(CallOpened(_FENCE, "bench", None, {"customer": 0}))
        self._queue.put(CallClosed(_FENCE, "end"))

    def play(self, seconds: float) -> None:
        """Turns at real pace."""
        started_s, first = time.monotonic(), self._turn
        while (passed := (self._turn - first) * _BLOCK / SAMPLE_RATE) < seconds:
            time.sleep(max(0.0, started_s + passed - time.monotonic()))
            self._take_turn(wait=False)

    def close(self) -> None:
        """End every call."""
        for name in self._names:
            self._queue.put(CallClosed(name, "end"))

    def _take_turn(self, wait: bool) -> None:
        now_s = time.monotonic()
        for number, (name, loop) in enumerate(zip(self._names, self._loops, strict=True)):
            turn = self._turn - number % 25  # begins up to half a second late: not all windows end together
            if turn >= 0:
                start = turn * _BLOCK
                place = start % loop.size
                samples = loop[place : place + _BLOCK]
                self._queue.put(Block(name, "customer", start, SAMPLE_RATE, samples, now_s), wait=wait)
        self._turn += 1


def voices_of(paths: Sequence[Path]) -> list[Samples]:
    """The customers' channels (the last ones) of recordings at 8 kHz. Raises AudioError where there is none."""
    voices = []
    for path in paths:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        if sample_rate != SAMPLE_RATE:
            raise AudioError(
                f"{path}: expected {SAMPLE_RATE} Hz, got {sample_rate} Hz; the benchmark does not resample"
            )
        voices.append(np.ascontiguousarray(samples[: len(samples) // _BLOCK * _BLOCK, -1]))
    if not voices:
        raise AudioError("no recordings to feed; expected the example calls that come with callmood")
    return voices


def _loops(voices: Sequence[Samples], settings: Settings, count: int) -> list[Samples]:
    """Stretches of 20 s from random places of the voices in which about half of the windows are scored. Seeded."""
    rng = np.random.default_rng(0)
    length = round(_LOOP_S * SAMPLE_RATE)
    drawn = []
    for _ in range(_DRAWS):
        voice = voices[int(rng.integers(len(voices)))]
        start = int(rng.integers(voice.size))
        drawn.append(np.take(voice, range(start, start + length), mode="wrap"))
    best = sorted(drawn, key=lambda loop: abs(_scored_share(loop, settings) - 0.5))[: _DRAWS // 4]
    return [best[int(k)] for k in rng.integers(len(best), size=count)]


def _scored_share(loop: Samples, settings: Settings) -> float:
    """Of the windows of a loop that goes round twice."""
    stream = PartyWindows(settings.window_s, settings.hop_s, with_features=False)
    found = list(stream.push(Block("", "customer", 0, SAMPLE_RATE, np.tile(loop, 2), 0.0)))
    return float(np.mean([unscored_state(w, settings) is None for w in found if isinstance(w, Window)]))


def against_naive(
    model: EmotionModel, voices: Sequence[Samples], settings: Settings, seconds: float = 5.0
) -> dict[str, Any]:
    """Milliseconds a scored window: the whole line fed as fast as it goes, and librosa with one ONNX run a window.

    `naive_ms` is None where librosa is not installed (extra `train`).
    """
    loop = _loops(voices, settings, 1)[0]
    ours_ms = _line_ms(model, loop, settings, seconds)
    naive_ms = _naive_ms(model, loop, seconds)
    return {
        "line_ms_per_window": round(ours_ms, 2),
        "naive_ms_per_window": None if naive_ms is None else round(naive_ms, 2),
        "naive_over_line": None if naive_ms is None else round(naive_ms / ours_ms, 2),
    }


def _line_ms(model: EmotionModel, loop: Samples, settings: Settings, seconds: float) -> float:
    scored = 0

    def note(message: AnyMessage) -> None:
        nonlocal scored
        scored += isinstance(message, Reading) and message.scores is not None

    bus = Bus()
    bus.subscribe(note)
    pipeline = Pipeline(model, settings, bus)
    pipeline.handle([CallOpened(f"line-{k}", "bench", None, {"customer": 0}) for k in range(8)])
    start, started_s = 0, time.monotonic()
    while time.monotonic() < started_s + seconds:
        for place in range(0, loop.size, 25 * _BLOCK):
            pieces = [(at, loop[at : at + _BLOCK]) for at in range(place, place + 25 * _BLOCK, _BLOCK)]
            blocks = [
                Block(f"line-{k}", "customer", start + at, SAMPLE_RATE, piece, 0.0)
                for k in range(8)
                for at, piece in pieces
            ]
            pipeline.handle(blocks)
        start += loop.size
    return 1000 * (time.monotonic() - started_s) / max(1, scored)


def _naive_ms(model: EmotionModel, loop: Samples, seconds: float) -> float | None:
    try:
        import librosa
    except ImportError:
        return None
    window = np.ascontiguousarray(loop[: 3 * SAMPLE_RATE])
    count, started_s = -1, time.monotonic()
    while count < 1 or time.monotonic() < started_s + seconds:
        power = librosa.feature.melspectrogram(
            y=window, sr=SAMPLE_RATE, n_fft=512, hop_length=125, center=False, n_mels=64, fmin=60.0, fmax=3_900.0
        )
        model.score([power.T])
        count += 1
        if count == 0:
            started_s = time.monotonic()  # the first call compiles
    return 1000 * (time.monotonic() - started_s) / count


def as_json(load: Load, beside: dict[str, Any]) -> dict[str, Any]:
    """What `callmood bench --json` prints."""
    return asdict(load) | beside
