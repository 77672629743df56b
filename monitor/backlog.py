"""What waits for one slow subscriber: bounded, with a policy and a count. Pure."""

from array import array
from bisect import bisect_left, insort
from collections import OrderedDict, deque

import msgspec

MOST_OWED = 100_000
"""Lines that went and of which their call's next line has yet to tell: 0.8 MB."""

Key = tuple[str, str]
"""A call, and what of it a newer message replaces: the readings of one party, say."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One encoded message. Not seen by the garbage collector: a busy node keeps a hundred thousand, in no cycle."""

    text: bytes
    """UTF-8 JSON."""
    key: Key | None = None
    """A newer message of the same key makes this one old; null for what is never dropped."""
    call: str = ""
    """Empty for what is of no call."""
    seq: int = 0
    """Of the call's messages, as the subscriber counts them."""


class Backlog:
    """Lines in order, at most `limit`, of two kinds.

    A *passing* line (a reading, a gap) has a key. When there is no room, the oldest line of a key that has a newer one goes
    (of the line that comes, if it can be), else the oldest passing line of all: the newest reading of every
    call stays as long as there is room for one of each. What went is counted by call, and told when the call's next line
    leaves: whoever has taken that has all of the call until then, or was told of it. A *lasting* line (a
    call's start and end, an alert) is never dropped. Where only lasting lines are left and one more comes, or more than
    `MOST_OWED` lines are not told of yet, no honest stream is possible any more: the backlog is abandoned, and its subscriber
    has to connect anew.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Lines, at least 1."""
        self.abandoned = False
        """Nothing waits, and nothing will."""
        self._passing: OrderedDict[int, Line] = OrderedDict()
        self._places: dict[Key, deque[int]] = {}
        self._crowded: dict[Key, None] = {}
        """Keys of which more than one line waits, in the order in which they came to that."""
        self._lasting: deque[tuple[int, Line]] = deque()
        self._added = 0
        self._missed: dict[str, array[int]] = {}
        """Call → `seq` of its lines that went and are not told yet, in order."""
        self._owed = 0
        """Of all calls."""

    @property
    def owes(self) -> bool:
        """Lines went of which the next `take` of their call has to tell."""
        return self._owed > 0

    def __len__(self) -> int:
        return len(self._passing) + len(self._lasting)

    def add(self, line: Line) -> int:
        """Append `line`. Returns how many lines were lost by it, itself included; `line` is newer than all of its call."""
        if self.abandoned:
            return 1
        self._added += 1
        if line.key is None:
            self._lasting.append((self._added, line))
        else:
            self._passing[self._added] = line
            places = self._places.setdefault(line.key, deque())
            places.append(self._added)
            if len(places) > 1:
                self._crowded[line.key] = None
        if len(self) <= self.limit:
            return 0
        if not self._passing:
            return self.abandon()
        crowded = line.key if line.key in self._crowded else next(iter(self._crowded), None)
        gone = self._remove_passing(crowded or self._oldest_key())
        if gone.call:
            insort(self._missed.setdefault(gone.call, array("Q")), gone.seq)
            self._owed += 1
        return 1 if self._owed <= MOST_OWED else 1 + self.abandon()

    def take(self) -> tuple[int, Line]:
        """The oldest line that waits, and how many of its call before it were lost. Raises IndexError if empty."""
        first = next(iter(self._passing), None)
        if first is None or (self._lasting and self._lasting[0][0] < first):
            line = self._lasting.popleft()[1]
        else:
            line = self._remove_passing(self._oldest_key())
        return self._missed_before(line), line

    def _missed_before(self, line: Line) -> int:
        """How many lines of the same call went that have not been told."""
        gone = self._missed.get(line.call)
        if gone is None:
            return 0
        count = bisect_left(gone, line.seq)
        del gone[:count]
        self._owed -= count
        if not gone:
            del self._missed[line.call]
        return count

    def abandon(self) -> int:
        """Empty it for good. Returns how many lines were lost by that."""
        lost = len(self)
        self._passing.clear()
        self._places.clear()
        self._crowded.clear()
        self._lasting.clear()
        self._missed.clear()
        self._owed = 0
        self.abandoned = True
        return lost

    def _oldest_key(self) -> Key:
        key = next(iter(self._passing.values())).key
        assert key is not None, "it is passing"
        return key

    def _remove_passing(self, key: Key) -> Line:
        """The oldest passing line of `key`, taken out."""
        places = self._places[key]
        line = self._passing.pop(places.popleft())
        if len(places) < 2:
            self._crowded.pop(key, None)
        if not places:
            del self._places[key]
        return line
