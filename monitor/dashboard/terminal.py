"""A terminal that shows whole frames and gives back keys; whatever ends it, the terminal is then as it was.

A frame is one write of the lines that have changed, between the marks of a synchronised update, so that none is seen half.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

from rich.console import COLOR_SYSTEMS, Console
from rich.segment import Segment

from monitor.dashboard.frame import Frame, Line
from monitor.dashboard.keyboard import Keyboard
from monitor.dashboard.looks import in_ascii

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?2004h"
"""Alternate screen; no cursor; a line that is too long is cut; pasted text is marked."""
_LEAVE = "\x1b[?2026l\x1b[?2004l\x1b[?7h\x1b[0m\x1b[?25h\x1b[?1049l"
_CLEAR = "\x1b[0m\x1b[2J"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""Of a synchronised update: what does not know it passes over it."""


class Terminal:
    """A context manager: inside, the terminal belongs to the dashboard. For the main thread."""

    def __init__(self, console: Console, keyboard: Keyboard | None = None) -> None:
        self._console, self._keyboard = console, keyboard or Keyboard.of_stdin()
        self._colours = COLOR_SYSTEMS.get(console.color_system or "")
        self._shown: list[str] = []
        self._size = (0, 0)
        self._signals = _Signals()

    @property
    def has_keys(self) -> bool:
        """Whether keys can come."""
        return self._keyboard.there

    def __enter__(self) -> "Terminal":
        try:
            self._signals.take()
            self._take()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _undisturbed():
            self._give_back()
            self._signals.give_back()

    def draw(self, frame: Frame) -> None:
        """Show `frame`."""
        lines = [self._ansi(line) for line in frame.lines]
        anew = frame.size != self._size
        shown = [""] * len(lines) if anew else self._shown
        pairs = zip(lines, shown, strict=True)
        changed = [f"\x1b[{row};1H{line}" for row, (line, old) in enumerate(pairs, 1) if anew or line != old]
        if changed:
            self._write(_BEGIN + (_CLEAR if anew else "") + "".join(changed) + _END)
        self._shown, self._size = lines, frame.size

    def keys(self, timeout_s: float) -> list[str]:
        """What is pressed within `timeout_s`; comes back earlier with a key, and when the terminal's size changes.

        A stop (Ctrl-Z) happens in here: it gives the terminal back, and takes it again when the program goes on.
        """
        keys = self._keyboard.keys(timeout_s, self._signals.wake)
        if self._signals.stop:
            self._give_back()
            self._signals.stop_now()
            self._take()
        elif self._signals.went_on:
            self._take()
        self._signals.forget()
        return keys

    def redraw(self) -> None:
        """Write the next frame as a whole: something else may have written over it."""
        self._size = (0, 0)

    def _take(self) -> None:
        self._keyboard.take()
        self._write(_ENTER)
        self.redraw()

    def _give_back(self) -> None:
        with suppress(OSError):  # the terminal has gone
            self._write(_LEAVE)
        self._keyboard.give_back()

    def _ansi(self, line: Line) -> str:
        segments = Segment.remove_color(line) if self._console.no_color else line
        return "".join(style.render(text, color_system=self._colours) if style else text for text, style, _ in segments)

    def _write(self, text: str) -> None:
        self._console.file.write(in_ascii(text, self._console.encoding))
        self._console.file.flush()


def size_of(console: Console) -> tuple[int, int]:
    """Terminal cells in width and height, as they are now: asked of the terminal, since COLUMNS and LINES of the environment
    do not follow when it is resized; rich's answer where there is none."""
    with suppress(OSError, ValueError):
        width, height = os.get_terminal_size(console.file.fileno())
        if width and height:
            return width, height
    return console.size


class _Signals:
    """What a terminal tells by signals: another size, a stop, that the program goes on."""

    def __init__(self) -> None:
        self.stop = self.went_on = False
        self.wake: int | None = None
        """A file to which a byte comes with every signal."""
        self._wakes: int | None = None
        self._woke = -1
        self._before: dict[signal.Signals, Any] = {}

    def take(self) -> None:
        """Only the main thread can; in another nothing is heard, and the size is looked at with every frame."""
        if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
            return
        self.wake, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)
        self._woke = signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        for kind in (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT):
            self._before[kind] = signal.signal(kind, self._hear)

    def give_back(self) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, handler)
        self._before.clear()
        if self.wake is not None and self._wakes is not None:
            signal.set_wakeup_fd(self._woke)
            os.close(self.wake)
            os.close(self._wakes)
            self.wake = self._wakes = None

    def stop_now(self) -> None:
        """Stop this process as the terminal asked for; comes back when it goes on."""
        if sys.platform != "win32":
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, self._hear)

    def forget(self) -> None:
        """What was told has been heeded."""
        self.stop = self.went_on = False

    def _hear(self, kind: int, _: FrameType | None) -> None:
        if sys.platform != "win32":
            self.stop |= kind == signal.SIGTSTP
            self.went_on |= kind == signal.SIGCONT


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not stop the terminal from being given back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before: list[Callable[[int, FrameType | None], Any] | int | None] = [
        signal.signal(kind, signal.SIG_IGN) for kind in kinds
    ]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler if handler is not None else signal.SIG_DFL)
