"""How long a client waits before it tries again."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

LONGEST_WAIT_S = 30.0
SPREAD = 0.2
"""A wait is varied by as much: a thousand desktops must not come back at once."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What waiting rests on; tests have one of their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    """0..1."""


class Waits:
    """1, 2, 4, … up to 30 s."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance, self._tries = chance, 0

    def begin_anew(self) -> None:
        """It worked."""
        self._tries = 0

    def next_s(self) -> float:
        """How long to wait now that it did not."""
        wait_s = min(2.0**self._tries, LONGEST_WAIT_S)
        self._tries = min(self._tries + 1, 10)
        return wait_s * (1.0 + SPREAD * (2.0 * self._chance() - 1.0))
