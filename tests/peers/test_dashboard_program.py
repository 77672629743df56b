"""The dashboard as a supervisor has it: the real program, in a real terminal."""

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.settings import Settings
from monitor.tokens import Tokens, write_secret
from tests.peers.screens import READY, ROOT, screen

CALLS = {"angry": ("won_back", 24.0), "calm": ("calm", 10.0), "sad": ("sad", 8.0)}
"""Call → the example call that it is a piece of, and from where: in the angry one an alert comes after twelve seconds."""
PIECE_S = 45.0


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pieces of the example calls."""
    folder = tmp_path_factory.mktemp("calls")
    for name, (example, start_s) in CALLS.items():
        sound, rate = soundfile.read(ROOT / "examples" / "calls" / f"{example}.flac")
        soundfile.write(folder / f"{name}.wav", sound[int(start_s * rate) :][: int(PIECE_S * rate)], rate)
    return folder


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one call of a minute in which nothing is heard."""
    folder = tmp_path_factory.mktemp("quiet")
    soundfile.write(folder / "quiet.wav", np.zeros((60 * 8_000, 2)), 8_000)
    return folder


def test_a_supervisor_sees_the_calls_opens_one_looks_after_its_alert_filters_and_quits(
    calls: Path, tmp_path: Path
) -> None:
    with screen(tmp_path) as terminal:
        before = terminal.state
        terminal.callmood("replay", str(calls), "--agent", "4711", "--as", "Maria", "--port", "0")
        text = terminal.shows(r"3 calls   3 scored   0 open alerts")
        assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in CALLS)
        terminal.shows(r"▌ angry .*\n▌   ! sustained anger for 0:\d\d  critical, customer")

        terminal.press("a")
        terminal.shows(r"▌▸angry .*[\s\S]*a again: Maria looks after the alert of angry")
        terminal.press("a")
        terminal.shows(r"✓ Maria looks after it")
        terminal.shows(r"1 open alert   1 looked after")

        terminal.press("Enter")
        for wanted in (
            r"outcome so far: ▲ angry",
            r"raised by 9 readings from 0:\d\d to 0:\d\d   anger \d\d%",
            r"✓ Maria looks after it",
            r"agent speaks +[·▁▂▃▄▅▆▇█]+",
            r"agent id-",
        ):
            terminal.shows(wanted)

        terminal.press("Escape")
        terminal.shows(r"enter open")
        terminal.type("/cal")
        text = terminal.shows(r"1 of 3 calls with 'cal'   |of 3 calls with 'cal'")
        assert "/cal█" in text
        terminal.press("Escape")
        terminal.shows(r"sad", without="of 3 calls")

        terminal.press("p")
        terminal.shows(r"PAUSED for 0:0\d: since then nothing has happened")
        terminal.press("p", "?")
        terminal.shows(r"you look after its alerts")
        terminal.press("q")
        terminal.shows(r"enter open")
        terminal.press("q")
        text = terminal.shows(READY, without="enter open")
        assert "angry: angry, 0:" in text
        assert terminal.state == before


@pytest.mark.parametrize("end", ["TERM", "C-c", "HUP"])
def test_the_terminal_is_as_before_whatever_ends_the_program(end: str, quiet: Path, tmp_path: Path) -> None:
    with screen(tmp_path) as terminal:
        before = terminal.state
        terminal.callmood("replay", str(quiet), "--port", "0")
        terminal.shows(r"1 call ")
        if end == "C-c":
            terminal.press("C-c")
        else:
            os.kill(terminal.program, getattr(signal, f"SIG{end}"))
        terminal.shows(r"quiet: unclear", without="enter open")
        assert terminal.state == before


_FAULTY = """
import sys
import monitor.dashboard.screen as dashboard
from monitor.cli import main

class Faulty(dashboard.Dashboard):
    frames = 0

    def frame(self):
        self.frames += 1
        assert self.frames < 8, "a fault of ours"
        return super().frame()

dashboard.Dashboard = Faulty
main()
"""


def test_a_fault_of_ours_gives_the_terminal_back_before_it_is_told(quiet: Path, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(_FAULTY)
    with screen(tmp_path) as terminal:
        before = terminal.state
        terminal.python(str(tmp_path / "faulty.py"), "replay", str(quiet), "--port", "0")
        terminal.shows(r"1 call ")
        terminal.shows(r"AssertionError: a fault of ours", without="enter open")
        assert terminal.state == before


def test_a_stopped_program_gives_the_terminal_back_and_takes_it_again_at_any_size(quiet: Path, tmp_path: Path) -> None:
    with screen(tmp_path) as terminal:
        before = terminal.state
        terminal.callmood("replay", str(quiet), "--port", "0")
        terminal.shows(r"1 call ")
        terminal.press("C-z")
        terminal.shows(r"Stopped", without="enter open")
        assert terminal.state == before
        terminal.type("fg")
        terminal.press("Enter")
        terminal.shows(r"^  callmood   1 call ")

        for width, height in ((80, 24), (40, 8), (20, 2), (60, 1), (119, 37)):
            terminal.resize(width, height)
            deadline = time.monotonic() + 30.0
            while not _whole(terminal.text(), width, height):
                assert time.monotonic() < deadline, terminal.text()
                time.sleep(0.05)
        terminal.press("q")
        terminal.shows(r"quiet: unclear", without="enter open")
        assert terminal.state == before


def _whole(text: str, width: int, height: int) -> bool:
    """Whether a frame of that size stands there, and nothing of another."""
    lines = text.rstrip("\n").split("\n") if height > 1 else text.split("\n")[:1]
    legible = lines[0].startswith("  callmood") and max(map(len, lines)) <= width
    keys = sum("? help" in line for line in lines)
    return legible and text.count("callmood   ") == 1 and keys == (height > 2)


def test_without_colour_and_without_unicode_everything_is_still_told(calls: Path, tmp_path: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "NO_COLOR": "1"}
    with screen(tmp_path, **plain) as terminal:
        terminal.callmood("replay", str(calls / "angry.wav"), "--port", "0", "--set", "max_calls=1")
        terminal.shows(r"\^ angry 0:\d\d +\^ anger +\d\d%")
        text = terminal.text(colours=True)
        assert text.isascii()
        assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|38|9[0-7])[;m]", text)
        terminal.press("q")
        terminal.shows(r"angry: \w+, 0:")


def test_a_terminal_that_moves_no_cursor_gets_lines(quiet: Path, tmp_path: Path) -> None:
    with screen(tmp_path, TERM="dumb") as terminal:
        terminal.type("export TERM=dumb")
        terminal.press("Enter")
        terminal.callmood("replay", str(quiet), "--pace", "fast")
        text = terminal.shows(r"quiet: unclear")
        assert "customer  silent" in text


def test_an_acknowledgement_of_one_watcher_reaches_the_server_and_the_other_watcher(
    calls: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    write_secret(secret)
    tokens = Tokens.load(Settings.load(None, [f"token_secret={secret}"]))
    assert tokens is not None
    for name, scopes in (("ines", ["calls:*", "acknowledge"]), ("other", ["calls:*"])):
        (tmp_path / f"{name}.token").write_text(tokens.make(scopes, 1.0, name))
    with (
        screen(tmp_path, "server") as server,
        screen(tmp_path, "ines") as ines,
        screen(tmp_path, "other", 80, 24) as other,
    ):
        server.callmood("replay", str(calls), "--port", "0", "--set", f"token_secret={secret}")
        address = re.search(r"ws://\S+", server.shows(r"3 calls .* ws://\S+/v1/calls"))
        assert address
        for name, watcher in (("ines", ines), ("other", other)):
            watcher.callmood("watch", address[0], "--as", name.title(), "--token-file", str(tmp_path / f"{name}.token"))
        other.shows(r"! sustained anger for")
        other.press("a", "a")
        other.shows(r"! not acknowledged: the token lacks the scope acknowledge")
        ines.shows(r"! sustained anger for")
        ines.press("Enter", "a")
        ines.shows(r"✓ Ines looks after it")
        other.shows(r"✓ Ines looks after it")
        server.shows(r"✓ Ines looks after it")
        server.press("C-c")
        ines.shows(r"NOT CONNECTED: nothing below is current[\s\S]*✓ Ines looked after it")
        for watcher in (ines, other):
            watcher.press("q")
            watcher.shows(READY, without="NOT CONNECTED")
