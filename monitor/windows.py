"""Blocks of any size → overlapping 3 s windows of one party; gaps; the end of a call. Pure.

Time is a sample index at 8 kHz. Everything happens in cells of 0.25 s, counted from the call's first sample, so how the
audio was cut changes nothing. Lost audio is marked and silent, a short hole concealed: time goes on.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from monitor.audio import SAMPLE_RATE, Block, Resampler, Samples
from monitor.concealment import LONGEST_S, PAST_S, conceal
from monitor.errors import AudioError
from monitor.features import BANDS, FRAME, FRAME_HOP, frame_count, mel_power
from monitor.speech import VAD_FRAME, SpeechDetector

CELL = SAMPLE_RATE // 4
"""Samples of the smallest step (0.25 s) that hops and windows are made of."""
_FULL_SCALE = 0.975
"""From here a sample counts as clipped: G.711's loudest code is 0.98 of full scale."""
_LONGEST_GAP_S = 3_600.0
"""A jump further ahead than this is a broken source, not lost audio."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Audio of a party that never came, in samples of the call."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """What one window of a party holds."""

    start: int
    """First sample."""
    end: int
    """One past the last sample."""
    speech_share: float
    """Share of the window in which the party speaks, 0..1."""
    level_db: float | None
    """RMS level, dBFS; None for digital silence."""
    clipped_share: float
    """Share of samples in runs at full scale, 0..1."""
    lost_s: float
    """Seconds of it that never came."""
    arrived_s: float
    """Monotonic clock when its last sample came."""
    power: Samples | None = field(repr=False)
    """(188, 64) mel power; None for a party that is not scored."""

    @property
    def speech_s(self) -> float:
        """Seconds of speech in it."""
        return self.speech_share * (self.end - self.start) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class _Cell:
    """What is known of one cell, summed."""

    samples: int
    squares: float
    clipped: int
    speech: int
    """Samples of speech."""
    lost: int


class PartyWindows:
    """One party's stream. `push` blocks as they come, `finish` once."""

    def __init__(self, window_s: float, hop_s: float, with_features: bool) -> None:
        self._window, self._hop = round(window_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)
        self._frames = frame_count(self._window)
        self._with_features = with_features
        self._speech = SpeechDetector()
        self._resampler: Resampler | None = None
        self._source_rate = 0
        self._expected = 0
        self._pending: list[Samples] = []
        self._pending_size = 0
        self._pending_lost: list[Lost] = []
        self._past = np.zeros(0, np.float32)
        """The end of what came, at the source's rate."""
        self._carry = np.zeros(0, np.float32)
        self._power = np.zeros((0, BANDS), np.float32)
        self._cells: deque[_Cell] = deque(maxlen=self._window // CELL)
        self._windows = 0
        self._arrived_s = 0.0
        self._done = 0

    @property
    def position(self) -> int:
        """Samples of the call that have come so far, lost ones included."""
        return self._done + self._pending_size

    def push(self, block: Block) -> Iterator[Window | Lost]:
        """What `block` completes, in order. Raises AudioError where it cannot belong to this stream."""
        samples = self._in_step(block)
        self._arrived_s = block.arrived_s
        ahead = block.start + block.samples.size - samples.size - self._expected
        if ahead > 0:
            yield from self._skip(ahead)
        if samples.size:
            self._expected += samples.size
            yield from self._append(samples)
            self._past = _end_of(self._past, samples, round(PAST_S * self._source_rate))

    def finish(self) -> Iterator[Window | Lost]:
        """The rest: the last samples in a window of their own; a call shorter than a window gets one all the same."""
        if self._resampler is not None:
            yield from self._add(self._resampler.push(np.zeros(0, np.float32), last=True))
        unread = self._pending_size or self._done % self._hop or not self._windows
        if self._pending_size:
            self._take_cell(self._pending_size)
        if unread and self._done:
            yield self._make_window()

    def _in_step(self, block: Block) -> Samples:
        """The block's samples that are new; checks rate, time and numbers."""
        if not self._source_rate:
            self._source_rate = block.sample_rate
            self._resampler = Resampler(block.sample_rate) if block.sample_rate != SAMPLE_RATE else None
        if block.sample_rate != self._source_rate:
            raise AudioError(
                f"sample rate changed in mid-stream: expected {self._source_rate} Hz, got {block.sample_rate} Hz; "
                "end the call and begin another"
            )
        ahead_s = (block.start - self._expected) / self._source_rate
        if ahead_s > _LONGEST_GAP_S:
            raise AudioError(
                f"time jumped ahead by {ahead_s:.0f} s: expected at most {_LONGEST_GAP_S:.0f} s of lost audio; "
                "check the source's timestamps"
            )
        if not np.isfinite(np.dot(block.samples, block.samples)):  # one pass over the samples instead of two
            bad = int(np.argmin(np.isfinite(block.samples)))
            raise AudioError(
                f"sample at {(block.start + bad) / block.sample_rate:.3f} s is {block.samples[bad]}: "
                "expected finite samples; export the audio again"
            )
        return block.samples[max(0, self._expected - block.start) :]

    def _skip(self, count: int) -> Iterator[Window | Lost]:
        """`count` samples of the source's rate were lost."""
        start, end = (round(at * SAMPLE_RATE / self._source_rate) for at in (self._expected, self._expected + count))
        yield Lost(start, end)
        self._pending_lost.append(Lost(start, end))
        self._expected += count
        if count <= LONGEST_S * self._source_rate:
            hidden = conceal(self._past, count, self._source_rate)
            self._past = _end_of(self._past, hidden, self._past.size)
            yield from self._append(hidden)
            return
        self._past = self._past[:0]
        while count > 0:
            piece = min(count, self._source_rate)
            count -= piece
            yield from self._append(np.zeros(piece, np.float32))

    def _append(self, samples: Samples) -> Iterator[Window | Lost]:
        return self._add(samples if self._resampler is None else self._resampler.push(samples))

    def _add(self, samples: Samples) -> Iterator[Window | Lost]:
        if samples.size:
            self._pending.append(samples)
            self._pending_size += samples.size
        while self._pending_size >= CELL:
            self._take_cell(CELL)
            if self._done >= self._window and self._done % self._hop == 0:
                yield self._make_window()

    def _take_cell(self, size: int) -> None:
        """Moves `size` pending samples into frames and sums."""
        joined = np.concatenate(self._pending) if len(self._pending) != 1 else self._pending[0]
        cell, rest = joined[:size], joined[size:]
        self._pending, self._pending_size = ([rest] if rest.size else []), rest.size
        start, self._done = self._done, self._done + size
        self._cells.append(
            _Cell(
                samples=size,
                squares=float(np.dot(cell, cell)),
                clipped=_clipped(cell),
                speech=VAD_FRAME * int(self._speech.push(cell).sum()),
                lost=self._lost_within(start, self._done),
            )
        )
        if self._with_features:
            self._add_frames(cell)

    def _lost_within(self, start: int, end: int) -> int:
        lost = sum(max(0, min(end, gap.end) - max(start, gap.start)) for gap in self._pending_lost)
        self._pending_lost = [gap for gap in self._pending_lost if gap.end > end]
        return lost

    def _add_frames(self, cell: Samples) -> None:
        joined = np.concatenate([self._carry, cell])
        count = frame_count(joined.size)
        if count:
            self._power = np.concatenate([self._power, mel_power(joined)])[-self._frames :]
        self._carry = joined[count * FRAME_HOP :]

    def _make_window(self) -> Window:
        self._windows += 1
        cells = self._cells
        samples = sum(cell.samples for cell in cells)
        squares = sum(cell.squares for cell in cells)
        return Window(
            start=self._done - samples,
            end=self._done,
            speech_share=min(1.0, sum(cell.speech for cell in cells) / samples),
            level_db=10.0 * float(np.log10(squares / samples)) if squares > 1e-12 * samples else None,
            clipped_share=sum(cell.clipped for cell in cells) / samples,
            lost_s=sum(cell.lost for cell in cells) / SAMPLE_RATE,
            arrived_s=self._arrived_s,
            power=self._whole_power() if self._with_features else None,
        )

    def _whole_power(self) -> Samples:
        """The window's frames; a short call is filled up with silence."""
        missing = self._frames - len(self._power)
        if missing <= 0:
            return self._power
        tail = mel_power(np.concatenate([self._carry, np.zeros(missing * FRAME_HOP + FRAME, np.float32)]))
        return np.concatenate([self._power, tail])[: self._frames]


def _end_of(first: Samples, then: Samples, size: int) -> Samples:
    """The last `size` samples of both, or all where there are fewer."""
    return then[-size:] if then.size >= size else np.concatenate([first, then])[-size:]


def _clipped(samples: Samples) -> int:
    """Samples in runs of three or more at full scale."""
    full = np.abs(samples) >= _FULL_SCALE
    if not full.any():
        return 0
    runs = full[:-2] & full[1:-1] & full[2:]
    return int(np.convolve(runs, np.ones(3)).astype(bool).sum())
