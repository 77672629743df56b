"""Programs in a real terminal: tmux draws, types, resizes and tells what stands on the screen."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LONG_S = 60.0
READY = r"ready>\s*$"
"""The shell's prompt, with nothing after it."""
ROOT = Path(__file__).parents[2]


class Screen:
    """One shell in one window of a tmux server of its own."""

    def __init__(self, name: str, folder: Path, width: int = 120, height: int = 36, **environment: str) -> None:
        self._tmux = ["tmux", "-L", name, "-f", "/dev/null"]
        self.folder = folder
        variables = {"PYTHONPATH": str(ROOT), "HISTFILE": "", **environment}
        options = [part for pair in variables.items() for part in ("-e", "=".join(pair))]
        size = ["-x", str(width), "-y", str(height)]
        self._run("new-session", "-d", *size, *options, "-c", str(folder), "bash --norc --noprofile -i")
        self.shows(r"[#$]\s*$")
        self.type("PS1='ready> '; clear")
        self.press("Enter")
        self.shows(rf"^{READY}")

    def type(self, text: str) -> None:
        self._run("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Keys by tmux's names: Enter, Escape, Down, C-c."""
        self._run("send-keys", *keys)

    def callmood(self, *arguments: str) -> None:
        self.python("-m", "monitor.cli", *arguments)

    def python(self, *arguments: str) -> None:
        self.type(" ".join([sys.executable, *arguments]))
        self.press("Enter")

    def command(self, text: str) -> None:
        """A command of the shell, to its end."""
        self.type(f"{text}; echo don''e")
        self.press("Enter")
        self.shows("done")
        self.press("C-l")

    def text(self, colours: bool = False) -> str:
        """What stands on the screen."""
        return self._run("capture-pane", "-p", *(["-e"] if colours else []))

    def shows(self, wanted: str, without: str = "\0") -> str:
        """Wait until `wanted`, a pattern, stands there and `without` does not; returns the screen."""
        deadline = time.monotonic() + LONG_S
        while True:
            text = self.text()
            if re.search(wanted, text) and not re.search(without, text):
                return text
            if time.monotonic() > deadline:
                raise AssertionError(f"{wanted!r} never stood on the screen:\n{text}")
            time.sleep(0.05)

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    @property
    def state(self) -> tuple[str, str]:
        """How the terminal is set, and which screen and which cursor it shows: of a program that is over, as before it."""
        self.command("stty -g > stty.txt")
        modes = "#{alternate_on} #{cursor_flag} #{wrap_flag} #{mouse_any_flag}"
        return (self.folder / "stty.txt").read_text(), self._run("display-message", "-p", modes).strip()

    @property
    def program(self) -> int:
        """Process of what runs in the shell."""
        shell = self._run("display-message", "-p", "#{pane_pid}").strip()
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[0])

    def close(self) -> None:
        self._run("kill-server")

    def _run(self, *arguments: str) -> str:
        return subprocess.run(
            [*self._tmux, *arguments], capture_output=True, text=True, check=True, timeout=LONG_S
        ).stdout


_NUMBERS = itertools.count(1)


@contextmanager
def screen(folder: Path, name: str = "one", width: int = 120, height: int = 36, **environment: str) -> Iterator[Screen]:
    """A screen while the test uses it; without tmux the test is skipped, or fails where CI=true."""
    if not shutil.which("tmux"):
        text = "tmux is missing: apt install tmux"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
    place = folder / name
    place.mkdir()
    # A server of its own each time: one that is ending refuses a new terminal.
    one = Screen(f"callmood-test-{os.getpid()}-{next(_NUMBERS)}", place, width, height, **environment)
    try:
        yield one
    finally:
        one.close()
