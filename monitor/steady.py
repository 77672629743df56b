"""A wall clock for what waits: it does not step when the machine's is set, as long as the process runs."""

import time
from collections.abc import Callable


def steady_clock(
    wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """Unix seconds, right at this moment, that then go on by the monotonic clock: moments that are kept on disk mean the
    same after a restart, and none comes an hour late because the clock was set back by one."""
    ahead_s = wall() - monotonic()
    return lambda: ahead_s + monotonic()
