"""Cells → overlapping 3 s windows: what is heard in them. Pure.

The cells of many parties are heard together: one call of numpy for all of them, where one for each would cost several
times what it computes. What is heard in a cell does not depend on those beside it.
"""

import math
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np

from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.cells import CELL, Cell, Lost, PartyCells
from monitor.features import FRAME, FRAME_HOP, LEAD, Frames, FrameStream, frame_count, frames_of, mel_frames, mel_power
from monitor.speech import VAD_FRAME, SpeechDetector, detect

CELL_FRAMES = frame_count(CELL + LEAD)
"""Frames that a cell completes, the first one of a call too."""
_FULL_SCALE = 0.975
"""From here a sample counts as clipped: G.711's loudest code is 0.98 of full scale."""
_LEAST_RUN = 3
"""Samples in a row at full scale that are clipped."""
_LOUD = 0.1
"""Quarters of a second within 10 dB of the window's loudest are compared with each other ..."""
_ALIKE = 0.982
"""... and are one and the same sound where the cosine between their spectral shapes is over this, the mean of all pairs."""


class Window(msgspec.Struct, frozen=True):
    """What one window of a party holds."""

    start: int
    """First sample."""
    end: int
    """One past the last sample."""
    speech_share: float
    """Share of the window in which the party speaks, 0..1; 0 where a scored party's line has one and the same sound whenever it
    has any, which no voice has for 3 s: steady noise, a ringing tone, a fax machine, whatever the detector takes it for."""
    level_db: float | None
    """RMS level, dBFS; None for digital silence."""
    clipped_share: float
    """Share of samples in runs at full scale, 0..1."""
    lost_s: float
    """Seconds of it that never came."""
    arrived_s: float
    """Monotonic clock when its last sample came."""
    frames: tuple[Frames, ...] | None
    """The frames that each of its 12 cells completes, 16 of them, which overlapping windows share; None for a party that is not
    scored."""

    @property
    def power(self) -> Samples | None:
        """(192, 64) mel power; None for a party that is not scored. Put together anew each time."""
        return None if self.frames is None else np.concatenate([cell.power for cell in self.frames])

    @property
    def cells(self) -> int:
        """How many cells of the party lie before its end."""
        return -(-self.end // CELL)

    @property
    def speech_s(self) -> float:
        """Seconds of speech in it."""
        return self.speech_share * (self.end - self.start) / SAMPLE_RATE


class PartyWindows:
    """One party's stream: of a running call `cells` and `hear`, alone `push` blocks as they come and `finish` once."""

    def __init__(self, window_s: float, hop_s: float, with_features: bool) -> None:
        self.cells = PartyCells()
        """What cuts its blocks."""
        self.speech = SpeechDetector()
        self.frames = FrameStream() if with_features else None
        self._window, self._hop = round(window_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)
        self._heard: list[float] = []
        """Of each cell of the next window the sum of its samples' squares, and how many of them are clipped, are speech, were
        lost: four numbers a cell, side by side."""
        self._cells: deque[Frames] = deque(maxlen=self._window // CELL)
        self._windows = 0
        self._arrived_s = 0.0
        self._done = 0

    def push(self, block: Block) -> list[Window | Lost]:
        """What `block` completes, in order. Raises AudioError where it cannot belong to this stream."""
        pieces = self.cells.push(block)
        windows = iter(hear([(self, piece) for piece in pieces if isinstance(piece, Cell)]))
        items = (next(windows) if isinstance(piece, Cell) else piece for piece in pieces)
        return [item for item in items if item is not None]

    def finish(self) -> list[Window]:
        """The rest: the last samples in a window of their own; a call shorter than a window gets one all the same."""
        windows = [*hear([(self, cell) for cell in self.cells.finish()]), self.last()]
        return [window for window in windows if window is not None]

    def take(self, cell: Cell, speech: int, frames: Frames | None) -> Window | None:
        """The window that the next cell completes; it has `speech` samples of speech, and completes `frames`."""
        samples, lost, self._arrived_s = cell
        squares = float(samples.dot(samples))
        self._heard += squares, _clipped(samples, squares), speech, lost
        del self._heard[: -4 * (self._window // CELL)]
        if frames is not None:
            self._cells.append(frames)
        self._done += samples.size
        return self._make_window() if self._done >= self._window and self._done % self._hop == 0 else None

    def last(self) -> Window | None:
        """The window that is left when the call is over."""
        return self._make_window() if self._done and (self._done % self._hop or not self._windows) else None

    def _make_window(self) -> Window:
        self._windows += 1
        squares, clipped, speech, lost = [sum(self._heard[number::4]) for number in range(4)]
        start = (-(-self._done // CELL) - len(self._heard) // 4) * CELL  # the call's last cell may be shorter
        samples = self._done - start
        frames = None if self.frames is None else self._whole(self.frames)
        return Window(
            start=start,
            end=self._done,
            speech_share=0.0 if speech and frames and _is_one_sound(frames) else min(1.0, speech / samples),
            level_db=10.0 * math.log10(squares / samples) if squares > 1e-12 * samples else None,
            clipped_share=clipped / samples,
            lost_s=lost / SAMPLE_RATE,
            arrived_s=self._arrived_s,
            frames=frames,
        )

    def _whole(self, frames: FrameStream) -> tuple[Frames, ...]:
        """The window's frames; where a call ends within a cell, or is short, they are filled up with silence."""
        missing = self._window // CELL * CELL_FRAMES - sum([len(cell.power) for cell in self._cells])
        if not missing:
            return tuple(self._cells)
        tail = mel_power(np.concatenate([frames.rest, np.zeros(missing * FRAME_HOP + FRAME, np.float32)]))
        whole = np.concatenate([*(cell.power for cell in self._cells), tail[:missing]])
        return tuple(frames_of(power) for power in whole.reshape(-1, CELL_FRAMES, whole.shape[1]))


def _is_one_sound(cells: Sequence[Frames]) -> bool:
    """Whether all that is loud in a window, two cells and more, has the same spectral shape."""
    least = _LOUD * max([cell.energy for cell in cells])
    shapes = [cell.spectral_shape for cell in cells if cell.energy >= least]
    mean = np.add.reduce(shapes) / len(shapes)
    return len(shapes) > 1 and float(mean.dot(mean)) > _ALIKE


def hear(cells: Sequence[tuple[PartyWindows, Cell]]) -> list[Window | None]:
    """The window that each cell completes; of a party the cells in order, of different parties in any."""
    speech = detect([(party.speech, cell.samples) for party, cell in cells])
    frames = iter(mel_frames([(party.frames, cell.samples) for party, cell in cells if party.frames is not None]))
    return [
        party.take(cell, VAD_FRAME * int(np.count_nonzero(heard)), None if party.frames is None else next(frames))
        for (party, cell), heard in zip(cells, speech, strict=True)
    ]


def _clipped(samples: Samples, squares: float) -> int:
    """Samples in runs of three or more at full scale; `squares` is the sum of theirs, which tells most cells at once."""
    if squares < 0.99 * _LEAST_RUN * _FULL_SCALE**2:
        return 0
    full = np.abs(samples) >= _FULL_SCALE
    if not full.any():
        return 0
    runs = full[:-2] & full[1:-1] & full[2:]
    return int(np.convolve(runs, np.ones(_LEAST_RUN)).astype(bool).sum())
