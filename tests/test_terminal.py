"""What is written to a terminal; `tests/peers/test_dashboard_program.py` has real ones."""

import fcntl
import io
import os
import pty
import signal
import struct
import termios

import pytest
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from monitor.dashboard.frame import Frame
from monitor.dashboard.keyboard import Keyboard
from monitor.dashboard.terminal import Terminal, size_of

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
BEGIN, END, CLEAR = "\x1b[?2026h", "\x1b[?2026l", "\x1b[2J"


class File(io.TextIOWrapper):
    """A terminal's file that keeps each write."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


def console_of(file: File, **options: object) -> Console:
    settings = {"force_terminal": True, "legacy_windows": False, "color_system": "256", "_environ": {}, **options}
    return Console(file=file, width=10, height=3, **settings)  # type: ignore[arg-type]


def frame_of(*lines: str, style: str = "", width: int = 10) -> Frame:
    return Frame([[Segment(line, Style.parse(style) if style else None)] for line in lines], width)


def drawn(*frames: Frame, encoding: str = "utf-8", **options: object) -> list[str]:
    """What each frame wrote."""
    file = File(encoding)
    with Terminal(console_of(file, **options), Keyboard(None)) as terminal:
        written = []
        for frame in frames:
            file.writes.clear()
            terminal.draw(frame)
            written.append("".join(file.writes))
            assert len(file.writes) <= 1, "one write a frame: nobody sees half of it"
    return written


def test_a_frame_is_one_synchronised_write_of_the_lines_that_changed() -> None:
    first, second, third = drawn(frame_of("a", "b"), frame_of("a", "c"), frame_of("a", "c"))
    assert first == f"{BEGIN}\x1b[0m{CLEAR}\x1b[1;1Ha         \x1b[2;1Hb         {END}"
    assert second == f"{BEGIN}\x1b[2;1Hc         {END}"
    assert third == ""


def test_another_size_draws_everything_anew() -> None:
    _, second = drawn(frame_of("a", "b"), frame_of("a", "b", width=8))
    assert second == f"{BEGIN}\x1b[0m{CLEAR}\x1b[1;1Ha       \x1b[2;1Hb       {END}"


def test_colours_are_written_as_far_as_the_terminal_has_them() -> None:
    frame = frame_of("a", style="bold red reverse")
    assert "\x1b[1;7;31ma" in drawn(frame)[0]
    assert "\x1b[1;7ma" in drawn(frame, no_color=True)[0]
    assert "\x1b[1;1Ha" in drawn(frame, color_system=None)[0]


def test_a_terminal_without_unicode_gets_letters_of_the_same_width() -> None:
    (written,) = drawn(frame_of("▲angry▁█…田", width=11), encoding="ascii")
    assert "^angry_@.??" in written


def test_the_terminal_is_taken_and_given_back_once() -> None:
    file = File()
    with Terminal(console_of(file), Keyboard(None)):
        assert file.writes == [f"{ENTER}\x1b[?25l\x1b[?7l\x1b[?2004h"]
    assert file.writes[1:] == [f"{END}\x1b[?2004l\x1b[?7h\x1b[0m\x1b[?25h{LEAVE}"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ValueError("a fault of ours")])
def test_whatever_ends_it_the_terminal_is_given_back_and_the_signals_are_as_before(fault: BaseException) -> None:
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
    before = [signal.getsignal(kind) for kind in kinds]
    file = File()
    with pytest.raises(type(fault)), Terminal(console_of(file), Keyboard(None)):
        raise fault
    assert LEAVE in file.writes[-1]
    assert [signal.getsignal(kind) for kind in kinds] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_terminal_that_cannot_be_taken_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Keyboard) -> None:
        raise KeyboardInterrupt

    file = File()
    monkeypatch.setattr(Keyboard, "take", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Terminal(console_of(file), Keyboard(None)).__enter__()
    assert LEAVE in file.writes[-1]


def test_a_terminal_that_has_gone_is_no_error_when_it_is_given_back() -> None:
    class Gone(File):
        def write(self, text: str) -> int:
            if LEAVE in text:
                raise OSError(5, "Input/output error")
            return super().write(text)

    with Terminal(console_of(Gone()), Keyboard(None)):
        pass


def test_a_new_size_wakes_whoever_waits_for_a_key() -> None:
    with Terminal(console_of(File()), Keyboard(None)) as terminal:
        signal.raise_signal(signal.SIGWINCH)
        assert terminal.keys(20.0) == []


def test_a_program_that_goes_on_draws_everything_anew() -> None:
    file = File()
    with Terminal(console_of(file), Keyboard(None)) as terminal:
        terminal.draw(frame_of("a"))
        signal.raise_signal(signal.SIGCONT)
        terminal.keys(20.0)
        file.writes.clear()
        terminal.draw(frame_of("a"))
    assert CLEAR in file.writes[0]


def test_the_size_is_the_terminals_own_not_what_the_environment_says() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as file, os.fdopen(ours, "rb"):
        console = Console(file=file, _environ={"COLUMNS": "100", "LINES": "30"})
        assert size_of(console) == (100, 30)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        assert size_of(console) == (80, 24)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        assert size_of(console) == (132, 50)
