"""Whether another process still lives, by its beats. No clock: time comes with each look."""

_AWAKE_S = 0.5
"""Between two looks no more counts as waited: this process stood still itself, and so could hear nothing."""


class Watchdog:
    """Looks several times a second."""

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
