"""The keyboard of the terminal on stdin: each key at once and without an echo; afterwards as it was.

Where stdin is no terminal, and on Windows, there are no keys, and the dashboard shows without them.
"""

import os
import select
import sys
import time
from contextlib import suppress
from typing import Any

from monitor.dashboard.keys import Decoder

if sys.platform != "win32":
    import termios
    import tty

ESCAPE_S = 0.05
"""An escape after which nothing comes for so long was the key; sequences come in one piece."""
_PIECE = 4_096
"""Bytes that are read at once."""


class Keyboard:
    """Reads the keys of terminal `fd`; with None there are none, and it only waits."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._decoder = Decoder()
        self._before: list[Any] | None = None

    @classmethod
    def of_stdin(cls) -> "Keyboard":
        """The one that belongs to this process."""
        try:
            fd = sys.stdin.fileno() if sys.stdin else -1
        except (OSError, ValueError):  # somebody has put something else in its place
            fd = -1
        return cls(fd if sys.platform != "win32" and fd >= 0 and os.isatty(fd) else None)

    @property
    def there(self) -> bool:
        """Whether keys can come."""
        return self._fd is not None

    def take(self) -> None:
        """Have keys come one by one; may be called again, after a stop for example."""
        if sys.platform == "win32" or self._fd is None:
            return
        if self._before is None:
            self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd, termios.TCSANOW)

    def give_back(self) -> None:
        """As it was before the first `take`; keys that nobody has read are forgotten."""
        if sys.platform == "win32" or self._fd is None or self._before is None:
            return
        with suppress(termios.error):  # the terminal has gone
            termios.tcsetattr(self._fd, termios.TCSAFLUSH, self._before)
        self._before = None

    def keys(self, timeout_s: float, wake: int | None = None) -> list[str]:
        """What is pressed until something comes, or `timeout_s` are over, or a byte comes to the file `wake`."""
        files = [file for file in (self._fd, wake) if file is not None]
        if not files:
            time.sleep(timeout_s)
            return []
        ready, _, _ = select.select(files, [], [], timeout_s)
        if wake in ready:
            assert wake is not None
            os.read(wake, _PIECE)
        return self._read() if self._fd in ready else []

    def _read(self) -> list[str]:
        """What there is, and the rest of what has begun."""
        keys: list[str] = []
        while self._fd is not None:
            try:
                data = os.read(self._fd, _PIECE)
            except OSError:
                data = b""
            if not data:  # the terminal has gone: nothing will come
                self._fd = None
                break
            keys += self._decoder.feed(data)
            if not self._decoder.waiting:
                break
            if not select.select([self._fd], [], [], ESCAPE_S)[0]:
                keys += self._decoder.silence()
                break
        return keys
