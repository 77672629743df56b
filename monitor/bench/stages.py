"""What one party costs, by stage: processor time, the same stages as the pipeline's, driven by hand so that each can be timed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.alerts.rulefile import load_rules
from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.bench.voices import BLOCK, LOOP_S, loops
from monitor.board import Board
from monitor.bus import Bus
from monitor.calls import CallState, Due
from monitor.cells import Cell
from monitor.features import mel_frames
from monitor.messages import LABELS, AnyMessage, rfc3339
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallOpened
from monitor.speech import VAD_FRAME, detect

STAGES = ("blocks to cells", "voice activity", "features", "windows", "network", "readings and alerts", "bus and board")
_STEP = SAMPLE_RATE // 2
"""Samples of a party that are taken at once: two cells, 25 blocks."""


@dataclass(frozen=True)
class Cost:
    """Milliseconds of processor time for a second of one party."""

    parties: int
    """Heard together."""
    scored_windows_per_s: float
    """Of one party."""
    stages_ms: dict[str, float]
    all_but_network_ms: float
    whole_ms: float
    """Queue, pipeline and board themselves on the same audio, in which nothing is timed between the stages."""


def cost(model: EmotionModel, voices: Sequence[Samples], settings: Settings, parties: int, rounds: int = 5) -> Cost:
    """Of `parties` that are heard together, while their loops go round so many times after the first.

    Of each second of the loops the least that a round took counts: other programs on the machine only ever add.
    """
    heard = loops(voices, settings, parties)
    line, whole = _Line(model, settings, parties), _Whole(model, settings, parties)
    first, *others = [
        [(line.second(heard, second), whole.second(heard, second)) for second in one] for one in _rounds(rounds)
    ]
    unit = 1000 / parties / len(first)
    same_seconds = [*zip(*others, strict=True)]
    stages_ms = {name: unit * sum(min(spent[name] for spent, _ in same) for same in same_seconds) for name in STAGES}
    whole_ms = unit * sum(min(spent for _, spent in same) for same in same_seconds)
    return Cost(
        parties=parties,
        scored_windows_per_s=round(line.scored / parties / len(first) / (1 + rounds), 2),
        stages_ms={name: round(ms, 4) for name, ms in stages_ms.items()},
        all_but_network_ms=round(sum(stages_ms.values()) - stages_ms["network"], 4),
        whole_ms=round(whole_ms, 4),
    )


def _rounds(count: int) -> Iterator[range]:
    """The seconds of each round, the first of which only warms up."""
    length = round(LOOP_S)
    return (range(start, start + length) for start in range(0, (1 + count) * length, length))


def steps(heard: Sequence[Samples], second: int, first: int = 0) -> Iterator[list[Block]]:
    """The blocks of half a second of every party, twice; `first`: the number of the first party."""
    for start in range(second * SAMPLE_RATE, (second + 1) * SAMPLE_RATE, _STEP):
        yield [
            Block(f"bench-{number}", "customer", at, SAMPLE_RATE, loop[at % loop.size : at % loop.size + BLOCK], 0.0)
            for number, loop in enumerate(heard, first)
            for at in range(start, start + _STEP, BLOCK)
        ]


def opened(parties: int) -> list[CallOpened]:
    """As many calls, of one party each."""
    return [CallOpened(f"bench-{number}", "bench", None, {"customer": 0}, in_step=False) for number in range(parties)]


@dataclass
class _Stopwatch:
    """Processor time, of all threads of this process, by stage."""

    spent_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    _since_s: float = 0.0

    def begin(self) -> None:
        self._since_s = time.process_time()

    def lap(self, stage: str) -> None:
        now_s = time.process_time()
        self.spent_s[stage] += now_s - self._since_s
        self._since_s = now_s


def _queue_of(settings: Settings, parties: int) -> BlockQueue:
    """One that knows their calls."""
    queue = BlockQueue(settings.queue_s * parties)
    queue.put_all(opened(parties))
    queue.take(0.0)
    return queue


class _Line:
    """The way of `Pipeline.handle`, with a stopwatch between the stages."""

    def __init__(self, model: EmotionModel, settings: Settings, parties: int) -> None:
        rules = load_rules(settings.alert_rules)
        self._model = model
        self._calls = {call.call: CallState(call, model.meaning, settings, rules) for call in opened(parties)}
        self._queue, self._bus, self.scored = _queue_of(settings, parties), Bus(), 0
        self._bus.subscribe(Board().receive)

    def second(self, heard: Sequence[Samples], second: int) -> dict[str, float]:
        """Seconds of processor time a stage."""
        watch = _Stopwatch()
        for blocks in steps(heard, second):
            self._step(blocks, watch, rfc3339(second))
        return watch.spent_s

    def _step(self, blocks: Sequence[Block], watch: _Stopwatch, at: str) -> None:
        watch.begin()
        for block in blocks:
            self._queue.put(block)
        came = [event for event in self._queue.take(0.0) if isinstance(event, Block)]
        pieces = [piece for block in came for piece in self._calls[block.call].push(block)]
        watch.lap("blocks to cells")
        cells = [(call, party, item) for call, party, item in pieces if party and isinstance(item, Cell)]
        decisions = detect([(party.windows.speech, cell.samples) for _, party, cell in cells])
        watch.lap("voice activity")
        found = mel_frames([(party.windows.frames, cell.samples) for _, party, cell in cells if party.windows.frames])
        watch.lap("features")
        for (call, party, cell), decided, frames in zip(cells, decisions, found, strict=True):
            call.collect(party, party.windows.take(cell, VAD_FRAME * int(np.count_nonzero(decided)), frames))
        due = [one for call in self._calls.values() for one in call.released()]
        watch.lap("windows")
        self._tell(due, watch, at)

    def _tell(self, due: Sequence[Due], watch: _Stopwatch, at: str) -> None:
        windows = [scored for one in due if (scored := one.to_score()) is not None]
        batches = [*self._model.batches(windows)]
        watch.lap("features")
        probabilities = np.empty((len(windows), len(LABELS)), np.float32)
        for batch in batches:
            probabilities[batch.places] = self._model.run(batch)
        watch.lap("network")
        scores = iter(self._model.calibrated(probabilities).tolist())
        told: list[AnyMessage] = []
        for one in due:
            told += one.call.tell(one, next(scores) if one.scored else None, at, 0.0)
        watch.lap("readings and alerts")
        for message in told:
            self._bus.publish(message)
        watch.lap("bus and board")
        self.scored += len(windows)


class _Whole:
    """Queue, pipeline and board."""

    def __init__(self, model: EmotionModel, settings: Settings, parties: int) -> None:
        bus = Bus()
        bus.subscribe(Board().receive)
        self._queue = _queue_of(settings, parties)
        self._pipeline = Pipeline(model, replace(settings, max_calls=parties), bus)
        self._pipeline.handle(opened(parties))

    def second(self, heard: Sequence[Samples], second: int) -> float:
        """Seconds of processor time."""
        fed = [*steps(heard, second)]
        began_s = time.process_time()
        for blocks in fed:
            for block in blocks:
                self._queue.put(block)
            self._pipeline.handle(self._queue.take(0.0))
        return time.process_time() - began_s
