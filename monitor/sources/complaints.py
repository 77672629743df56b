"""What peers do wrong, in the log: soon, and never more than a reader can take."""

import logging
from collections.abc import Callable

from monitor.sources.audiofile import printable

_A_SECOND = 2.0
_AT_ONCE = 20.0


class Budget:
    """So many a second, and so many at once. Pure."""

    def __init__(self, a_second: float, at_once: float, now_s: float) -> None:
        self._a_second, self._at_once, self._left = a_second, at_once, at_once
        self._seen_s = now_s

    def owed_s(self, now_s: float) -> float:
        """Seconds until one more is within the budget; 0 where it is now."""
        self._left = min(self._at_once, self._left + (now_s - self._seen_s) * self._a_second)
        self._seen_s = now_s
        return max(0.0, 1 - self._left) / self._a_second

    def spend(self, count: int = 1) -> None:
        """So many have been taken, be they owed."""
        self._left -= count


class Complaints:
    """Warnings of one logger, a line each; what is left out is counted and told with the next."""

    def __init__(self, log: logging.Logger, now: Callable[[], float]) -> None:
        self._log, self._now = log, now
        self._budget = Budget(_A_SECOND, _AT_ONCE, now())
        self._left_out = 0

    def tell(self, text: str) -> None:
        """One warning, unless there have been too many; what peers wrote may stand in it."""
        if self._budget.owed_s(self._now()):
            self._left_out += 1
            return
        self._budget.spend()
        left_out = f" ({self._left_out} such warnings before it were left out)" if self._left_out else ""
        self._left_out = 0
        self._log.warning("%s%s", printable(text), left_out)
