"""Whether another process still lives, by its beats, and when one that died is started again. No clock."""

WAITS_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Before each start of a process whose predecessors died young, one after the other; after the last there is no other."""
SOUND_S = 60.0
"""A process that has lived so long died of something new."""

_AWAKE_S = 0.5
"""Between two looks no more counts as waited: this process stood still itself, and so could hear nothing."""


class Watchdog:
    """Looks several times a second; time comes with each look."""

    def __init__(self, bound_s: float) -> None:
        """So long nothing may come; seconds."""
        self._bound_s = bound_s
        self._looked_s: float | None = None
        self._beats = -1
        self._silent_s = 0.0

    def is_hung(self, now_s: float, beats: int, listening: bool) -> bool:
        """`beats` are those that have come so far; `listening`: whether one that comes now is heard at once. Monotonic."""
        waited_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, _AWAKE_S)
        self._looked_s = now_s
        if beats != self._beats:
            self._beats, self._silent_s = beats, 0.0
        elif listening:
            self._silent_s += waited_s
        return self._silent_s >= self._bound_s


class Restarts:
    """When a process that died is started again."""

    def __init__(self) -> None:
        self._young = 0
        """Deaths in a row of processes that had not lived long."""

    @property
    def tries(self) -> int:
        """After so many in a row it is given up."""
        return len(WAITS_S)

    def wait_s(self, lived_s: float) -> float | None:
        """How long to wait before the next start, after a process that lived so long; None: it is given up."""
        self._young = 1 if lived_s >= SOUND_S else self._young + 1
        return WAITS_S[self._young - 1] if self._young <= len(WAITS_S) else None
