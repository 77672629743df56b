"""A party's voice over its whole call, in cells that grow coarser as it lasts, and what single readings said. Pure.

numpy, so that hundreds of calls are few objects for the garbage collector.
"""

from collections.abc import Iterable

import numpy as np

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
_SCORED, _SHARE, _HEARD = _SIX, _SIX + 1, _SIX + 2
_COLUMNS = _HEARD + 1 + len(_TONES)
"""Sums of the six scores; readings with scores; sum of the speech shares; readings; readings of each tone."""
_FIRST_ROWS = 16


class Course:
    """One party's readings, added up in at most `CELLS_KEPT` cells."""

    def __init__(self) -> None:
        self._cell_s = CELL_S
        self._sums = np.zeros((_FIRST_ROWS, _COLUMNS), np.float32)
        self._count = 0

    def add(self, reading: Reading) -> None:
        # A reading that ends on a boundary belongs to the cell that ends there.
        while (index := max(0, int((reading.end_s - 1e-6) // self._cell_s))) >= CELLS_KEPT:
            self._coarsen()
        while index >= len(self._sums):
            self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
        self._count = max(self._count, index + 1)
        row = self._sums[index]
        if reading.scores is not None:
            row[:_SIX] += [reading.scores[label] for label in LABELS]
            row[_SCORED] += 1
        row[_SHARE] += reading.speech_share
        row[_HEARD] += 1
        row[_HEARD + 1 + _INDEX[tone(reading.state, reading.label)]] += 1

    def view(self) -> CourseView:
        return CourseView(self._cell_s, tuple(map(_cell, self._sums[: self._count].tolist())))

    def shares(self) -> dict[Tone, float]:
        """Tone → share of all readings, the largest first; empty before the first."""
        counts = self._sums[:, _HEARD + 1 :].sum(axis=0)
        total = counts.sum()
        shares = {name: float(count / total) for name, count in zip(_TONES, counts, strict=True) if count}
        return dict(sorted(shares.items(), key=lambda share: -share[1]))

    def _coarsen(self) -> None:
        """Two cells become one; there are as many rows as before."""
        pairs = self._sums.reshape(-1, 2, _COLUMNS).sum(axis=1)
        self._sums = np.concatenate([pairs, np.zeros_like(pairs)])
        self._count = (self._count + 1) // 2
        self._cell_s *= 2


def _cell(row: list[float]) -> Cell | None:
    heard = row[_HEARD]
    if not heard:
        return None
    scores = tuple(total / row[_SCORED] for total in row[:_SIX]) if row[_SCORED] else None
    tones = row[_HEARD + 1 :]
    return Cell(scores, row[_SHARE] / heard, _TONES[tones.index(max(tones))])


class Readings:
    """The last readings of a call."""

    def __init__(self) -> None:
        self._rows = np.zeros((READINGS_KEPT, 4 + _SIX))
        """seq, party, end_s, whether scored, the six scores."""
        self._count = 0

    def add(self, reading: Reading) -> None:
        scores = [reading.scores[label] for label in LABELS] if reading.scores else [0.0] * _SIX
        head = reading.seq, PARTIES.index(reading.party), reading.end_s, reading.scores is not None
        self._rows[self._count % READINGS_KEPT] = [*head, *scores]
        self._count += 1

    def forget(self) -> None:
        """Nothing more is heard or raised: the memory is given back."""
        self._rows, self._count = self._rows[:0].copy(), 0

    def evidence(self, seqs: Iterable[int]) -> Evidence:
        """What is known of the readings with these numbers."""
        wanted = sorted(set(seqs))
        kept = self._rows[: min(self._count, READINGS_KEPT)]
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
