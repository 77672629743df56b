"""A keyboard at the end of a pseudo-terminal."""

import os
import pty
import termios
import threading
from collections.abc import Iterator

import pytest

from monitor.dashboard.keyboard import Keyboard

LONG_S = 20.0


@pytest.fixture
def ends() -> Iterator[list[int]]:
    """Ours and the keyboard's end; a test that closes one takes it out."""
    both = list(pty.openpty())
    yield both
    for end in both:
        os.close(end)


def test_keys_come_at_once_without_an_echo_and_the_terminal_is_as_before(ends: list[int]) -> None:
    ours, theirs = ends
    before = termios.tcgetattr(theirs)
    keyboard = Keyboard(theirs)
    keyboard.take()
    os.write(ours, b"j\x1b[A")
    keys = keyboard.keys(LONG_S)
    while len(keys) < 2:
        keys += keyboard.keys(LONG_S)
    assert keys == ["j", "up"]
    assert not termios.tcgetattr(theirs)[3] & (termios.ECHO | termios.ICANON)
    assert termios.tcgetattr(theirs)[3] & termios.ISIG
    keyboard.take()
    keyboard.give_back()
    assert termios.tcgetattr(theirs) == before


def test_escape_alone_is_a_key(ends: list[int]) -> None:
    keyboard = Keyboard(ends[1])
    keyboard.take()
    os.write(ends[0], b"\x1b")
    assert keyboard.keys(LONG_S) == ["escape"]
    keyboard.give_back()


def test_nothing_pressed_gives_nothing(ends: list[int]) -> None:
    assert Keyboard(ends[1]).keys(0.0) == []


def test_something_else_can_wake_whoever_waits_for_a_key(ends: list[int]) -> None:
    heard, wakes = os.pipe()
    threading.Timer(0.01, os.write, (wakes, b"x")).start()
    assert Keyboard(ends[1]).keys(LONG_S, heard) == []
    assert Keyboard(None).keys(0.0, heard) == []
    os.close(heard)
    os.close(wakes)


def test_a_terminal_that_has_gone_gives_no_keys_and_no_error(ends: list[int]) -> None:
    keyboard = Keyboard(ends[1])
    keyboard.take()
    os.close(ends.pop(0))
    assert (keyboard.keys(LONG_S), keyboard.there) == ([], False)
    assert keyboard.keys(0.0) == []
    keyboard.give_back()


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Keyboard.of_stdin().there
    monkeypatch.setattr("sys.stdin", None)
    assert not Keyboard.of_stdin().there
