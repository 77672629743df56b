"""Blocks of any size → blocks that end with the pipeline's cells. Pure.

Nothing happens between the ends of cells, so smaller pieces cost their way through queue and pipeline and tell nothing sooner.
What completes a cell is handed on at once. Audio at another rate than the pipeline's goes on as it comes: when a resampler lets
go of a cell, nobody knows.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.cells import CELL
from monitor.messages import Party


class Gathering:
    """What waits of each party of the calls that run: less than a cell."""

    def __init__(self) -> None:
        self._calls: dict[str, defaultdict[Party, _Gathered]] = {}

    def begin(self, call: str) -> None:
        """That call's blocks are gathered until it is finished or forgotten."""
        self._calls[call] = defaultdict(_Gathered)

    def add(self, block: Block) -> Sequence[Block]:
        """What `block` makes ready, in order: mostly nothing, or one block that ends with a cell. Of a call that does not
        run it goes through as it is.
        """
        parties = self._calls.get(block.call)
        return (block,) if parties is None else parties[block.party].add(block)

    def finish(self, call: str) -> list[Block]:
        """What still waits of a call that is over."""
        parties = self._calls.pop(call, None)
        return [] if parties is None else [block for party in parties.values() for block in party.rest()]

    def forget(self, call: str) -> None:
        """Nothing waits of that call any more."""
        self._calls.pop(call, None)


class _Gathered:
    """One party's blocks that follow each other."""

    __slots__ = ("_cut", "_end", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[Block] = []
        self._end = 0
        """Where they have come to."""
        self._cut = CELL
        """Where the next cell ends."""

    def add(self, block: Block) -> Sequence[Block]:
        """See Gathering."""
        if block.sample_rate != SAMPLE_RATE:
            return [*self.rest(), block]
        start = block.start
        end = start + block.size
        if start == self._end and end < self._cut:  # mostly
            self._waiting.append(block)
            self._end = end
            return ()
        if start == self._end and end == self._cut and not self._waiting:  # a whole cell, as telephony sends it
            self._end, self._cut = end, end + CELL
            return (block,)
        before: Sequence[Block] = ()
        if start != self._end:
            before, self._cut = self.rest(), _next_cut(start)
        self._waiting.append(block)
        self._end = end
        return before if end < self._cut else [*before, *self._cut_off()]

    def rest(self) -> list[Block]:
        """All that waits, as one block; piece by piece where samples are none, so that the good ones before them count."""
        waiting, self._waiting = self._waiting, []
        if len(waiting) < 2:
            return waiting
        samples = np.concatenate([block.samples for block in waiting])
        if not math.isfinite(samples.dot(samples)):
            return waiting
        return [_block(waiting[0], waiting[0].start, samples, waiting[-1].arrived_s)]

    def _cut_off(self) -> list[Block]:
        """All up to the last cell that is complete; the rest waits on."""
        self._cut = _next_cut(self._end)
        last, at = self._waiting[-1], self._cut - CELL
        if at == self._end:
            return self.rest()
        self._waiting[-1] = _block(last, last.start, last.samples[: at - last.start], last.arrived_s)
        ready = self.rest()
        self._waiting = [_block(last, at, last.samples[at - last.start :], last.arrived_s)]
        return ready


def _next_cut(position: int) -> int:
    """The first end of a cell after `position`."""
    return position // CELL * CELL + CELL


def _block(like: Block, start: int, samples: Samples, arrived_s: float) -> Block:
    return Block(like.call, like.party, start, like.sample_rate, samples, arrived_s)
