"""A party's voice over its whole call, in cells that grow coarser as it lasts, and what single readings said. Pure.

Kept in arrays, so that hundreds of calls are few objects for the garbage collector: Python's own, whose numbers are quick
one by one, and numpy looks at them.
"""

from array import array
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from monitor.messages import LABELS, PARTIES, STATES, Reading
from monitor.recent import CELL_S
from monitor.snapshot import Cell, CourseView, Evidence, Tone, tone

CELLS_KEPT = 240
"""12 minutes in cells of 3 s; a longer call in cells twice, four times, … as long."""
READINGS_KEPT = 128
"""Of a call, both parties: half a minute at the default hop; an alert's evidence is looked up here when it is raised."""

_TONES: tuple[Tone, ...] = (*LABELS, *(state for state in STATES if state != "speech"))
_INDEX = {tone: index for index, tone in enumerate(_TONES)}
_SIX = len(LABELS)
_SCORED, _SHARE, _HEARD, _TONED = _SIX, _SIX + 1, _SIX + 2, _SIX + 3
_COLUMNS = _TONED + len(_TONES)
"""Sums of the six scores; readings with scores; sum of the speech shares; readings; readings of each tone."""
_FIRST_ROWS = 16
_WIDTH = 4 + _SIX
_UNSCORED = (0.0,) * _SIX


class Course:
    """One party's readings, added up in at most `CELLS_KEPT` cells."""

    def __init__(self) -> None:
        self._cell_s = CELL_S
        self._sums = array("f", bytes(4 * _FIRST_ROWS * _COLUMNS))
        self._count = 0

    def add(self, reading: Reading) -> None:
        # A reading that ends on a boundary belongs to the cell that ends there.
        while (index := max(0, int((reading.end_s - 1e-6) // self._cell_s))) >= CELLS_KEPT:
            self._coarsen()
        while (index + 1) * _COLUMNS > len(self._sums):
            self._sums.extend(array("f", bytes(4 * len(self._sums))))
        self._count = max(self._count, index + 1)
        sums, row = self._sums, index * _COLUMNS
        if reading.scores is not None:
            for column, label in enumerate(LABELS, row):
                sums[column] += reading.scores[label]
            sums[row + _SCORED] += 1
        sums[row + _SHARE] += reading.speech_share
        sums[row + _HEARD] += 1
        sums[row + _TONED + _INDEX[tone(reading.state, reading.label)]] += 1

    def view(self) -> CourseView:
        return CourseView(self._cell_s, tuple(map(_cell, self._rows()[: self._count].tolist())))

    def shares(self) -> dict[Tone, float]:
        """Tone → share of all readings, the largest first; empty before the first."""
        counts = self._rows()[:, _TONED:].sum(axis=0)
        total = counts.sum()
        shares = {name: float(count / total) for name, count in zip(_TONES, counts, strict=True) if count}
        return dict(sorted(shares.items(), key=lambda share: -share[1]))

    def _coarsen(self) -> None:
        """Two cells become one; there are as many rows as before."""
        pairs = self._rows().reshape(-1, 2, _COLUMNS).sum(axis=1)
        self._sums = array("f", pairs.tobytes() + bytes(pairs.nbytes))
        self._count = (self._count + 1) // 2
        self._cell_s *= 2

    def _rows(self) -> npt.NDArray[np.float32]:
        """(cells, columns) a view: while it lives the array cannot grow."""
        return np.frombuffer(self._sums, np.float32).reshape(-1, _COLUMNS)


def _cell(row: list[float]) -> Cell | None:
    heard = row[_HEARD]
    if not heard:
        return None
    scores = tuple(total / row[_SCORED] for total in row[:_SIX]) if row[_SCORED] else None
    tones = row[_TONED:]
    return Cell(scores, row[_SHARE] / heard, _TONES[tones.index(max(tones))])


class Readings:
    """The last readings of a call."""

    def __init__(self) -> None:
        self._rows = array("d", bytes(8 * READINGS_KEPT * _WIDTH))
        """A row a reading: seq, party, end_s, whether scored, the six scores."""
        self._count = 0

    def add(self, reading: Reading) -> None:
        scores = [reading.scores[label] for label in LABELS] if reading.scores else _UNSCORED
        head = reading.seq, PARTIES.index(reading.party), reading.end_s, reading.scores is not None
        row = self._count % READINGS_KEPT * _WIDTH
        self._rows[row : row + _WIDTH] = array("d", (*head, *scores))
        self._count += 1

    def forget(self) -> None:
        """Nothing more is heard or raised: the memory is given back."""
        self._rows, self._count = array("d"), 0

    def evidence(self, seqs: Iterable[int]) -> Evidence:
        """What is known of the readings with these numbers."""
        wanted = sorted(set(seqs))
        kept = np.frombuffer(self._rows).reshape(-1, _WIDTH)[: min(self._count, READINGS_KEPT)]
        rows = kept[np.isin(kept[:, 0], wanted)]
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        scored = rows[rows[:, 3] > 0.0]
        mean = scored[:, 4:].mean(axis=0) if len(scored) else None
        if mean is None:
            return Evidence(len(wanted), tuple((float(end_s), None) for end_s in rows[:, 2]), None, {})
        leader = int(mean.argmax())
        means = {label: float(score) for label, score in zip(LABELS, mean, strict=True)}
        readings = tuple((float(row[2]), float(row[4 + leader]) if row[3] else None) for row in rows)
        return Evidence(len(wanted), readings, LABELS[leader], means)
