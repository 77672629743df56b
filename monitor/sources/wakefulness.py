"""Whether this process has just stood still: the machine slept, or somebody stopped it. Pure."""

_STOOD_STILL_S = 0.5
"""So long without a look, where one comes many times a second."""


class Wakefulness:
    """What ended while a process stood still ended then, not when it woke, though it hears of it only now."""

    def __init__(self, now_s: float) -> None:
        self._looked_s = self._awake_s = now_s

    def look(self, now_s: float) -> None:
        """It is awake; monotonic. The look at which it wakes counts from the next one on: first whoever signals an end is
        heard.
        """
        if now_s - self._looked_s < _STOOD_STILL_S:
            self._awake_s = now_s
        self._looked_s = now_s

    def ended_s(self, now_s: float) -> float:
        """When what is said at `now_s` to have ended did so."""
        return now_s if now_s - self._awake_s < _STOOD_STILL_S else self._awake_s
