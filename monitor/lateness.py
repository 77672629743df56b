"""Whether scoring has fallen so far behind that no further call should come. No clock: time comes with each look."""

from collections.abc import Callable

RECOVERY_S = 5.0
"""So long nothing must have been late before further calls are taken."""


class Lateness:
    """A label that comes late is worth little, and a further call makes all of them later: so the node says when."""

    def __init__(self, bound_s: float, waited_s: Callable[[float], float], policy: str = "refuse") -> None:
        """`waited_s` tells how long the oldest audio has waited at a moment; more than `bound_s` is too late. `policy` is
        the setting `when_late`.
        """
        self._bound_s, self._waited_s = bound_s, waited_s
        self._then = "new calls are not scored: " if policy == "unscored" else ""
        self._until_s = float("-inf")

    def look(self, now_s: float) -> str:
        """Why no further call should come, in one line; empty when one may. `now_s` on the monotonic clock."""
        if self._waited_s(now_s) > self._bound_s:
            self._until_s = now_s + RECOVERY_S
        if now_s >= self._until_s:
            return ""
        return f"late: audio waits longer than {self._bound_s:g} s to be scored; {self._then}fewer calls, or more processor"
