"""A party's voice so far: the last two minutes as a strip, and the trend against its first minute. Pure."""

from collections import deque

from monitor.alerts.watches import FIRST_MINUTE_S
from monitor.messages import Reading
from monitor.snapshot import Tone, tone

CELL_S = 3.0
"""Seconds that one cell of a strip stands for."""
STRIP_CELLS = 40
"""Cells that are kept: two minutes."""
RECENT_S = 15.0
"""Time constant of the mean that is compared with the first minute."""


class Strip:
    """A party's last two minutes in cells fixed in the call's time, each what most of its readings say."""

    def __init__(self) -> None:
        self._done: deque[Tone | None] = deque(maxlen=STRIP_CELLS - 1)
        self._index: int | None = None
        self._counts: dict[Tone, int] = {}

    def add(self, reading: Reading) -> None:
        # A reading that ends on a boundary belongs to the cell that ends there.
        index = int((reading.end_s - 1e-6) // CELL_S)
        if self._index is not None and index > self._index:
            self._done.append(self._most())
            self._done.extend([None] * min(index - self._index - 1, STRIP_CELLS))
            self._counts = {}
        self._index = max(index, self._index or 0)
        said = tone(reading.state, reading.label)
        self._counts[said] = self._counts.get(said, 0) + 1

    def cells(self) -> tuple[Tone | None, ...]:
        return (*self._done, self._most()) if self._counts else tuple(self._done)

    def _most(self) -> Tone:
        return max(self._counts, key=self._counts.__getitem__)


class Trend:
    """How much more anger, disgust, fear and sadness than in the party's own first minute of scored speech."""

    def __init__(self) -> None:
        self._first_s: float | None = None
        self._last_s = self._first = self._recent = 0.0
        self._count = 0
        self.value: float | None = None
        """Difference of the mean probabilities, -1..1; null in the first minute."""

    def add(self, end_s: float, negative: float) -> None:
        """`negative`: the window's probability of the four, 0..1."""
        if self._first_s is None:
            self._first_s = end_s
        if end_s - self._first_s <= FIRST_MINUTE_S:
            self._count += 1
            self._first += (negative - self._first) / self._count
            self._recent = self._first
        else:
            elapsed_s = min(end_s - self._last_s, CELL_S)
            self._recent += (negative - self._recent) * elapsed_s / (RECENT_S + elapsed_s)
            self.value = self._recent - self._first
        self._last_s = end_s
