"""Blocks of any size → cells of 0.25 s of one party; gaps; the end of a call. Pure.

Time is a sample index at 8 kHz. Everything happens in cells, counted from the call's first sample, so how the audio was
cut changes nothing. Lost audio is marked and silent, a short hole concealed: time goes on.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monitor.audio import SAMPLE_RATE, Block, Resampler, Samples
from monitor.concealment import LONGEST_S, PAST_S, conceal
from monitor.errors import AudioError

CELL = SAMPLE_RATE // 4
"""Samples of the smallest step (0.25 s) that hops and windows are made of."""
_LONGEST_GAP_S = 3_600.0
"""A jump further ahead than this is a broken source, not lost audio."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Audio of a party that never came, in samples of the call."""

    start: int
    end: int


class Cell(NamedTuple):
    """The next samples of a party."""

    samples: Samples
    """(2000,) at 8 kHz, full scale ±1; fewer at the end of the call."""
    lost: int
    """How many of them never came."""
    arrived_s: float
    """Monotonic clock when the last of them came."""


class PartyCells:
    """One party's stream. `push` blocks as they come, `finish` once."""

    def __init__(self) -> None:
        self._resampler: Resampler | None = None
        self._source_rate = 0
        self._expected = 0
        self._pending: list[Samples] = []
        self._pending_size = 0
        self._pending_lost: list[Lost] = []
        self._past = np.zeros(0, np.float32)
        """The end of what came, at the source's rate."""
        self._past_size = 0
        """How much of it is kept."""
        self._arrived_s = 0.0
        self._done = 0

    @property
    def position(self) -> int:
        """Samples of the call that have come so far, lost ones included."""
        return self._done + self._pending_size

    def push(self, block: Block) -> list[Cell | Lost]:
        """What `block` completes, in order. Raises AudioError where it cannot belong to this stream."""
        ahead, samples = block.start - self._expected, block.samples
        self._check(block, ahead, samples)
        self._arrived_s = block.arrived_s
        found = self._skip(ahead) if ahead > 0 else []
        if ahead < 0:
            samples = samples[-ahead:]
        if samples.size:
            self._expected += samples.size
            found += self._append(samples)
            self._past = _end_of(self._past, samples, self._past_size)
        return found

    def finish(self) -> list[Cell]:
        """The rest; the last cell may be shorter."""
        cells: list[Cell] = []
        if self._resampler is not None:
            cells += self._add(self._resampler.push(np.zeros(0, np.float32), last=True))
        if self._pending_size:
            cells.append(self._cell(np.concatenate(self._pending)))
            self._pending, self._pending_size = [], 0
        return cells

    def _check(self, block: Block, ahead: int, samples: Samples) -> None:
        """Rate, time and numbers; `ahead` samples of the source's rate never came before the block."""
        if not self._source_rate:
            self._source_rate, self._past_size = block.sample_rate, round(PAST_S * block.sample_rate)
            self._resampler = Resampler(block.sample_rate) if block.sample_rate != SAMPLE_RATE else None
        if block.sample_rate != self._source_rate:
            raise AudioError(
                f"sample rate changed in mid-stream: expected {self._source_rate} Hz, got {block.sample_rate} Hz; "
                "end the call and begin another"
            )
        if ahead > _LONGEST_GAP_S * self._source_rate:
            raise AudioError(
                f"time jumped ahead by {ahead / self._source_rate:.0f} s: expected at most {_LONGEST_GAP_S:.0f} s of lost audio; "
                "check the source's timestamps"
            )
        if not math.isfinite(samples.dot(samples)):  # one pass over the samples instead of two
            bad = int(np.argmin(np.isfinite(samples)))
            raise AudioError(
                f"sample at {(block.start + bad) / block.sample_rate:.3f} s is {samples[bad]}: "
                "expected finite samples; export the audio again"
            )

    def _skip(self, count: int) -> list[Cell | Lost]:
        """`count` samples of the source's rate were lost."""
        start, end = (round(at * SAMPLE_RATE / self._source_rate) for at in (self._expected, self._expected + count))
        found: list[Cell | Lost] = [Lost(start, end)]
        self._pending_lost.append(Lost(start, end))
        self._expected += count
        if count <= LONGEST_S * self._source_rate:
            hidden = conceal(self._past, count, self._source_rate)
            self._past = _end_of(self._past, hidden, self._past.size)
            return found + self._append(hidden)
        self._past = self._past[:0]
        while count > 0:
            piece = min(count, self._source_rate)
            count -= piece
            found += self._append(np.zeros(piece, np.float32))
        return found

    def _append(self, samples: Samples) -> list[Cell]:
        return self._add(samples if self._resampler is None else self._resampler.push(samples))

    def _add(self, samples: Samples) -> list[Cell]:
        if samples.size == CELL and not self._pending:  # what comes by the queue ends with the cells
            return [self._cell(samples)]
        if samples.size:
            self._pending.append(samples)
            self._pending_size += samples.size
        if self._pending_size < CELL:
            return []
        joined = np.concatenate(self._pending)
        count = joined.size // CELL
        rest = joined[count * CELL :]
        self._pending, self._pending_size = ([rest] if rest.size else []), rest.size
        return [self._cell(joined[at : at + CELL]) for at in range(0, count * CELL, CELL)]

    def _cell(self, samples: Samples) -> Cell:
        """The next samples as one."""
        start, self._done = self._done, self._done + samples.size
        return Cell(samples, self._lost_within(start, self._done) if self._pending_lost else 0, self._arrived_s)

    def _lost_within(self, start: int, end: int) -> int:
        lost = sum(max(0, min(end, gap.end) - max(start, gap.start)) for gap in self._pending_lost)
        self._pending_lost = [gap for gap in self._pending_lost if gap.end > end]
        return lost


def _end_of(first: Samples, then: Samples, size: int) -> Samples:
    """The last `size` samples of both, or all where there are fewer."""
    return then[-size:] if then.size >= size else np.concatenate([first, then])[-size:]
