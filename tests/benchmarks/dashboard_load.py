"""What the dashboard costs while calls go on, and whether a node grows meanwhile.

    python -m tests.benchmarks.dashboard_load [--calls 40] [--seconds 600] [--settled 120] [--width 120] [--height 36]
                                               [--made-up]

A whole node as `callmood serve` has it (but for the listeners): the model, the websocket, the history, the dashboard on a
pseudo-terminal that is read. Two-party calls with the voices of the example calls, a reading twice a second a party; each call
ends after one to three minutes and another begins. The dashboard's share of a core is the processor time of the thread that
draws, from `settled` on. Memory and open files are looked at from `settled` to the end; where audio was dropped the machine was
too busy, and what waited is part of the memory. The last snapshot is drawn naively too (a rich table, a span a cell), for a ratio
that depends little on the machine. With `--made-up` the network is not run and scores wander at random: for a busy machine.
Prints one JSON object.
"""

import argparse
import fcntl
import io
import json
import os
import pty
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.app import Node
from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.bench.voices import voices_of
from monitor.cli.options import example_calls
from monitor.dashboard.screen import REFRESH_S, Dashboard, render
from monitor.messages import AnyMessage, Reading
from monitor.model import EmotionModel, Stream, default_path
from monitor.settings import Settings
from monitor.snapshot import Snapshot
from monitor.sources import BlockQueue, CallClosed, CallOpened
from monitor.windows import Window

BLOCK = SAMPLE_RATE // 4
"""Samples: the blocks of RTP."""
CALL_S = (60, 180)
"""Shortest and longest call."""
LOOKS = 7
"""At memory, from `settled` to the end: it shows whether what grows goes on growing."""
FRAMES = 40
"""Drawn of one snapshot, for the milliseconds a frame."""


@dataclass(frozen=True)
class Moment:
    """The process at one moment."""

    at_s: float
    draw_s: float
    """Processor time of the drawing thread so far."""
    all_s: float
    """Of the whole process."""
    rss_mb: float
    files: int
    readings: int


class MadeUp:
    """Scores that wander at random, instead of a network's."""

    def __init__(self, model: EmotionModel) -> None:
        self.meaning = model.meaning
        self._random = np.random.default_rng(0)

    def score(self, windows: list[tuple[Stream, Window]]) -> Samples:
        """(windows, 6) log probabilities."""
        drawn = self._random.dirichlet(np.full(6, 0.3), len(windows)).astype(np.float32)
        return np.asarray(np.log(drawn + 1e-6))


class Telephones:
    """A source: so many calls at once, at real pace; where one ends another begins."""

    def __init__(self, calls: int, voices: list[Samples]) -> None:
        self.started = 0
        self._random, self._voices = np.random.default_rng(0), voices
        self._lines = [self._call(number) for number in range(calls)]

    def run(self, queue: BlockQueue, stop: threading.Event) -> None:
        began_s, turn = time.monotonic(), 0
        while not stop.wait(max(0.0, began_s + turn * BLOCK / SAMPLE_RATE - time.monotonic())):
            for line in self._lines:
                self._turn(line, queue)
            turn += 1
        for line in self._lines:
            queue.put(CallClosed(line.name, "stopped"))

    def _turn(self, line: "Line", queue: BlockQueue) -> None:
        if line.start == 0:
            queue.put(CallOpened(line.name, "load", None, {"agent": 0, "customer": 1}, agent=f"agent {line.number}"))
        for party, voice, place in zip(("agent", "customer"), line.voices, line.places, strict=True):
            first = place + line.start
            samples = np.take(voice, range(first, first + BLOCK), mode="wrap")
            queue.put(Block(line.name, party, line.start, SAMPLE_RATE, samples, time.monotonic()))  # type: ignore[arg-type]
        line.start += BLOCK
        if line.start >= line.end:
            queue.put(CallClosed(line.name, "end"))
            self._lines[line.number] = self._call(line.number)

    def _call(self, number: int) -> "Line":
        voices = [self._voices[int(self._random.integers(len(self._voices)))] for _ in "ab"]
        places = [int(self._random.integers(voice.size)) for voice in voices]
        self.started += 1
        end = int(self._random.integers(*CALL_S)) * SAMPLE_RATE
        return Line(number, f"call-{self.started:04}", voices, places, end)


@dataclass
class Line:
    """One call."""

    number: int
    name: str
    voices: list[Samples]
    """The agent's and the customer's, each round and round."""
    places: list[int]
    """Where in them the call begins."""
    end: int
    start: int = 0


class Terminal:
    """A pseudo-terminal that somebody reads."""

    def __init__(self, width: int, height: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.written = 0
        file = os.fdopen(theirs, "w")
        self.console = Console(file=file, force_terminal=True, color_system="truecolor", width=width, height=height)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while piece := os.read(self._ours, 65_536):
            self.written += len(piece)


def measure(options: argparse.Namespace) -> dict[str, object]:
    model, voices = EmotionModel(default_path()), voices_of(sorted(example_calls().glob("*.flac")))
    telephones, readings = Telephones(options.calls, voices), [0]

    def count(message: AnyMessage) -> None:
        readings[0] += isinstance(message, Reading)

    scorer: Any = MadeUp(model) if options.made_up else model
    folder = tempfile.TemporaryDirectory()
    node = Node(Settings(port=0), scorer, [telephones], [count], history=Path(folder.name) / "history.db")
    node.serve()
    terminal, over, moments = Terminal(options.width, options.height), threading.Event(), list[Moment]()
    clock = time.pthread_getcpuclockid(threading.get_ident())

    def moment() -> Moment:
        draw_s, pages = time.clock_gettime(clock), int(Path("/proc/self/statm").read_text().split()[1])
        files = len(list(Path("/proc/self/fd").iterdir()))
        rss_mb = pages * os.sysconf("SC_PAGESIZE") / 2**20
        return Moment(time.monotonic(), draw_s, time.process_time(), rss_mb, files, readings[0])

    def watch() -> None:
        for wait_s in (options.settled, *[(options.seconds - options.settled) / (LOOKS - 1)] * (LOOKS - 1)):
            over.wait(wait_s)
            moments.append(moment())
        over.set()

    with node:
        threading.Thread(target=watch, daemon=True).start()
        Dashboard(node.board, node.health, terminal.console).run(over)
        snapshot, health = node.board.snapshot(time.time()), node.health()
    folder.cleanup()
    first, last = moments[0], moments[-1]
    wall_s = last.at_s - first.at_s
    frame_ms = milliseconds(lambda console: console.print(render(snapshot, health, *console.size)), options)
    naive_ms = milliseconds(lambda console: console.print(naive(snapshot)), options)
    return {
        "calls": options.calls,
        "scores": "made up" if options.made_up else "the model's",
        "calls_started": telephones.started,
        "seconds": options.seconds,
        "screen": f"{options.width}x{options.height}",
        "readings_per_s": round((last.readings - first.readings) / wall_s, 1),
        "dashboard_core_percent": round(100 * (last.draw_s - first.draw_s) / wall_s, 1),
        "node_cores": round((last.all_s - first.all_s) / wall_s, 2),
        "frame_ms": round(frame_ms, 1),
        "naive_frame_ms": round(naive_ms, 1),
        "naive_over_frame": round(naive_ms / frame_ms, 1),
        "naive_core_percent": round(naive_ms / REFRESH_S / 10, 1),
        "terminal_kb_per_s": round(terminal.written / options.seconds / 1024, 1),
        "latency_p99_ms": round(snapshot.latency_p99_ms or 0.0, 1),
        "dropped_s": health.dropped_s,
        "unstored": health.unstored,
        "rss_mb": [round(moment.rss_mb, 1) for moment in moments],
        "rss_grew_percent": round(100 * (last.rss_mb / first.rss_mb - 1), 2),
        "open_files": [first.files, last.files],
    }


def milliseconds(draw: Callable[[Console], None], options: argparse.Namespace) -> float:
    """Processor time of one frame, into memory."""
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="truecolor", width=options.width, height=options.height
    )
    draw(console)
    began_s = time.thread_time()
    for _ in range(FRAMES):
        draw(console)
    return 1000 * (time.thread_time() - began_s) / FRAMES


def naive(snapshot: Snapshot) -> Table:
    """The calls as rich makes it easiest: a table, a span of its own for every cell of the strips."""
    table = Table("call", "time", "mood", "emotion", "sure", "last two minutes", "alerts", expand=True)
    for call in snapshot.calls[:32]:
        strip = Text()
        for tone in call.caller.strip if call.caller else ():
            strip.append("█", style="red" if tone == "anger" else "green" if tone else "dim")
        party = call.caller
        told = (party.mood or "", party.tone or "", f"{party.confidence or 0:.0%}") if party else ("", "", "")
        alerts = ", ".join(alert.rule for alert in call.alerts)
        table.add_row(Text(call.name), f"{call.duration_s:.0f} s", *told, strip, Text(alerts))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("calls", 40), ("seconds", 600), ("settled", 120), ("width", 120), ("height", 36)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--made-up", action="store_true")
    options = parser.parse_args()
    if not 0 < options.settled < options.seconds:
        parser.error(f"settled must be within 1..{options.seconds - 1} s, got {options.settled}")
    sys.stdout.write(json.dumps(measure(options)) + "\n")


if __name__ == "__main__":
    main()
