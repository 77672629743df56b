"""What waits for one slow subscriber: bounded, with a policy and a count."""

from collections import deque

Line = bytes
"""One encoded message."""


class Backlog:
    """Encoded messages in order, at most `limit`, of two kinds.

    A *passing* message (a reading, a gap) is soon followed by a newer one: when there is no room, the oldest passing
    message goes and is counted. A *lasting* message (a call's start and end, an alert) is never dropped. Where only
    lasting messages are left and one more comes, no honest stream is possible any more: the backlog is abandoned,
    and its subscriber has to connect anew.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Messages, at least 1."""
        self.abandoned = False
        """Nothing waits, and nothing will."""
        self._passing: deque[tuple[int, Line]] = deque()
        self._lasting: deque[tuple[int, Line]] = deque()
        self._added = 0
        self._missed = 0

    def __len__(self) -> int:
        return len(self._passing) + len(self._lasting)

    def add(self, line: Line, *, lasting: bool) -> int:
        """Append `line`. Returns how many messages were lost by it, itself included."""
        if self.abandoned:
            return 1
        (self._lasting if lasting else self._passing).append((self._added, line))
        self._added += 1
        if len(self) <= self.limit:
            return 0
        if not self._passing:
            return self.abandon()
        self._passing.popleft()
        self._missed += 1
        return 1

    def take(self) -> tuple[int, Line]:
        """How many messages were lost since the last `take`, and the oldest that waits. Raises IndexError if empty."""
        line = self._oldest().popleft()[1]
        missed, self._missed = self._missed, 0
        return missed, line

    def abandon(self) -> int:
        """Empty it for good. Returns how many messages were lost by that."""
        lost = len(self)
        self._passing.clear()
        self._lasting.clear()
        self.abandoned = True
        return lost

    def _oldest(self) -> deque[tuple[int, Line]]:
        if self._passing and self._lasting:
            return min(self._passing, self._lasting, key=lambda queue: queue[0][0])
        return self._passing or self._lasting
