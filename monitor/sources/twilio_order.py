"""What the numbers on media messages mean, though no two platforms mean the same. Pure.

Chunks count from 1, a track each, or all tracks together. Timestamps are milliseconds, or ticks, or samples, and are
rounded. What comes out is RTP's: a sequence number that rises by 1 from one message of a track to the next, and a
timestamp in ticks that rises by as much as the audio lasts, unless the sender says that some is not there.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from monitor.sources.codecs import Codec

_REMEMBERED = 256
"""Chunks a track."""
_FAR = 3_000
"""A chunk so far from the last begins a count of its own."""
_TOLERANCE_S = 0.12
"""By so much a stated time may differ from the counted one and mean the same: rounding, and clocks that differ."""
_LONGEST_JUMP_S = 3_600.0
"""A longer pause is none: its count has begun anew."""
_NEAR = 0.25
"""By so much of its length a step of timestamps may miss a piece's duration and still speak for a unit."""
_ENOUGH_VOTES = 8


class Chunks:
    """Chunk numbers → sequence numbers of each track, holes kept: those that belong to another track are none."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Count] = {}

    def sequence(self, track: str, chunk: int | None) -> int:
        """Of the next message of `track`; without a chunk it follows the last."""
        count = self._tracks.get(track)
        if count is None:
            count = self._tracks[track] = _Count()
        elif chunk == count.last + 1:  # as nearly all are
            count.last = chunk
            count.seen.append(chunk)
            count.sequence += 1
            return count.sequence
        if chunk is None or not count.seen or abs(chunk - count.last) > _FAR:
            count.sequence += 1
            if chunk is not None:
                count.last = chunk
                count.seen.append(chunk)
            return count.sequence
        steps = self._steps(track, count.last, chunk)
        sequence = count.sequence + steps
        count.seen.append(chunk)
        if steps > 0:
            count.last, count.sequence = chunk, sequence
        return sequence

    def _steps(self, track: str, last: int, chunk: int) -> int:
        """From `last` to `chunk`, numbers that the others have left out; negative where it comes late."""
        if chunk == last:
            return 0
        low, high = sorted((last, chunk))
        foreign = 0
        if high - low > 1 and self._shared():
            foreign = sum(low < one < high for one in self._of_others(track))
        steps = high - low - foreign
        return steps if chunk > last else -steps

    def _shared(self) -> bool:
        """Whether the tracks count together: no number was used twice."""
        counts = list(self._tracks.values())
        numbers = [number for count in counts for number in set(count.seen)]
        return len(counts) > 1 and len(numbers) == len(set(numbers))

    def _of_others(self, track: str) -> Iterable[int]:
        return (one for name, count in self._tracks.items() if name != track for one in set(count.seen))


class _Count:
    def __init__(self) -> None:
        self.last = 0
        self.sequence = 0
        self.seen: deque[int] = deque(maxlen=_REMEMBERED)


class Timeline:
    """Stated times of one track → timestamps in ticks of its codec's clock."""

    def __init__(self, codec: Codec) -> None:
        units = {codec.clock_rate / 1_000, 1.0, codec.clock_rate / codec.sample_rate}
        self._votes = dict.fromkeys(sorted(units, reverse=True), 0)
        """Ticks that one unit of the stated time may be → how often that was right."""
        self._unit: float | None = None
        """What it is, once that is sure."""
        self._tolerance = round(_TOLERANCE_S * codec.clock_rate)
        self._furthest = round(_LONGEST_JUMP_S * codec.clock_rate)
        self._last = _Piece(0, None, 0, 0)
        """The latest."""
        self._anchor: tuple[int, int] | None = None
        """A stated time, and the timestamp that it is."""

    def timestamp(self, sequence: int, stated: int | None, ticks: int) -> int:
        """Where a piece of `ticks` begins; `sequence` is what `Chunks` says of it."""
        last = self._last
        steps = sequence - last.sequence
        counted = last.begins + (last.ticks * steps if steps else 0)
        begins = counted
        if stated is not None:
            if self._unit is None and steps == 1 and last.stated is not None:
                self._vote(stated - last.stated, last.ticks)
            begins = self._agreed(stated, counted)
        if steps > 0:
            self._last = _Piece(sequence, stated, begins, ticks)
        return begins

    def _vote(self, step: int, ticks: int) -> None:
        for unit, votes in self._votes.items():
            if ticks and abs(step * unit - ticks) <= _NEAR * ticks:
                self._votes[unit] = votes + 1
                self._unit = unit if votes + 1 >= _ENOUGH_VOTES else None
                return

    def _agreed(self, stated: int, counted: int) -> int:
        """What the sender says, where it differs by more than rounding from what was counted."""
        unit = self._unit or max(self._votes, key=lambda unit: self._votes[unit])
        if self._anchor is None or not self._votes[unit]:
            self._anchor = stated, counted
            return counted
        says = self._anchor[1] + round((stated - self._anchor[0]) * unit)
        if abs(says - counted) <= self._tolerance:
            return counted
        if not -self._tolerance <= says - counted <= self._furthest:
            self._anchor = stated, counted  # another count has begun
            return counted
        return says


class _Piece(NamedTuple):
    sequence: int
    stated: int | None
    begins: int
    ticks: int
