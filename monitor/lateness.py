"""Whether so much is to be scored that no further call should come. No clock: time comes with each look."""

from collections.abc import Callable

RECOVERY_S = 5.0
"""So long nothing must have been late, nor the node full, before further calls are taken."""


class Lateness:
    """A label that comes late is worth little, and a further call makes all of them later: so the node says when."""

    def __init__(
        self,
        bound_s: float,
        waited_s: Callable[[float], float],
        policy: str = "refuse",
        full_at: float = 1.0,
        busy: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`waited_s` tells how long the oldest audio has waited at a moment; more than `bound_s` is too late. `busy` tells the
        share of time in which scoring works; over `full_at` a further call would make what runs late, though nothing is yet.
        `policy` is the setting `when_late`.
        """
        self._bound_s, self._waited_s, self._full_at, self._busy = bound_s, waited_s, full_at, busy
        then = "new calls are not scored: " if policy == "unscored" else ""
        then += "fewer calls, or more processor"
        self._late = f"late: audio waits longer than {bound_s:g} s to be scored; {then}"
        self._full = f"full: scoring is busy more than {full_at:.0%} of the time; {then}"
        self._late_until_s = self._full_until_s = float("-inf")

    def look(self, now_s: float) -> str:
        """Why no further call should come, in one line; empty when one may. `now_s` on the monotonic clock."""
        if self._waited_s(now_s) > self._bound_s:
            self._late_until_s = now_s + RECOVERY_S
        if self._busy() > self._full_at:
            self._full_until_s = now_s + RECOVERY_S
        if now_s < self._late_until_s:
            return self._late
        return self._full if now_s < self._full_until_s else ""
