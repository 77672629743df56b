"""What waits for one slow subscriber: bounded, with a policy and a count. Pure."""

from collections import OrderedDict, deque

import msgspec

Key = tuple[str, str]
"""A call, and what of it a newer message replaces: the readings of one party, say."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One encoded message. Not seen by the garbage collector: a busy node keeps a hundred thousand, in no cycle."""

    text: bytes
    """UTF-8 JSON."""
    key: Key | None = None
    """A newer message of the same key makes this one old; null for what is never dropped."""


class Backlog:
    """Lines in order, at most `limit`, of two kinds.

    A *passing* line (a reading, a gap) has a key. When there is no room, the oldest line of a key that has a newer one goes
    (of the line that comes, if it can be), else the oldest passing line of all, and is counted: the newest reading of every
    call stays as long as there is room for one of each. A *lasting* line (a
    call's start and end, an alert) is never dropped. Where only lasting lines are left and one more comes, no honest stream is
    possible any more: the backlog is abandoned, and its subscriber has to connect anew.
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
        self._missed = 0

    def __len__(self) -> int:
        return len(self._passing) + len(self._lasting)

    def add(self, line: Line) -> int:
        """Append `line`. Returns how many lines were lost by it, itself included."""
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
        if line.key is not None and line.key in self._crowded:
            self._remove_passing(line.key)
        else:
            self._remove_passing(next(iter(self._crowded), None) or self._oldest_key())
        self._missed += 1
        return 1

    def take(self) -> tuple[int, Line]:
        """How many lines were lost since the last `take`, and the oldest that waits. Raises IndexError if empty."""
        first = next(iter(self._passing), None)
        if first is None or (self._lasting and self._lasting[0][0] < first):
            line = self._lasting.popleft()[1]
        else:
            line = self._remove_passing(self._oldest_key())
        missed, self._missed = self._missed, 0
        return missed, line

    def abandon(self) -> int:
        """Empty it for good. Returns how many lines were lost by that."""
        lost = len(self)
        self._passing.clear()
        self._places.clear()
        self._crowded.clear()
        self._lasting.clear()
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
