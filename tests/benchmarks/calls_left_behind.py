"""Whether calls that are over leave anything: a node's memory by the number of calls that came and went.

    python -m tests.benchmarks.calls_left_behind [--calls 4000] [--seconds 6]

Two-party calls go through a whole node (scoring, history, websocket) as fast as it takes them, eight at once. A node keeps the
last thousand ended calls, so its memory grows until then. Prints a line every 400 calls on stderr and one JSON object: with the
memory, what a call left from call 2,000 on. Linux.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from monitor.app import Node
from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.bench.voices import loops, voices_of
from monitor.model import EmotionModel, default_path
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallClosed, CallOpened

_EXAMPLES = Path(__file__).parents[2] / "examples" / "calls"
_AT_ONCE, _LOOK_EVERY, _FULL_AFTER = 8, 400, 2_000
_BLOCK = SAMPLE_RATE // 4


def rss_mb() -> float:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Calls:
    """A source of so many calls, a few at once."""

    def __init__(self, voices: list[Samples], calls: int, seconds: float) -> None:
        self._voices, self._calls, self._turns = voices, calls, round(4 * seconds)
        self.node: Node | None = None
        self.looks: list[tuple[int, float]] = []
        """After so many calls: megabytes."""

    def run(self, queue: BlockQueue, stop: threading.Event) -> None:
        for first in range(0, self._calls, _AT_ONCE):
            if stop.is_set():
                return
            names = [f"call-{first + number}" for number in range(_AT_ONCE)]
            for name in names:
                queue.put(CallOpened(name, "benchmark", None, {"agent": 0, "customer": 1}))
            for turn in range(self._turns):
                self._speak(queue, names, first, turn * _BLOCK)
            for name in names:
                queue.put(CallClosed(name, "end"))
            if (first + _AT_ONCE) % _LOOK_EVERY == 0:
                self._look(first + _AT_ONCE)

    def _speak(self, queue: BlockQueue, names: list[str], first: int, start: int) -> None:
        """A block of each party, from places that differ from call to call."""
        for number, name in enumerate(names):
            for side, party in enumerate(("agent", "customer")):
                voice = self._voices[(number + side) % len(self._voices)]
                place = (start + 997 * (first + number + side)) % (voice.size - _BLOCK)
                samples = voice[place : place + _BLOCK]
                queue.put(Block(name, party, start, SAMPLE_RATE, samples, time.monotonic()), wait=True)  # type: ignore[arg-type]

    def _look(self, calls: int) -> None:
        assert self.node is not None, "it runs"
        while self.node.board.running:
            time.sleep(0.01)
        self.looks.append((calls, rss_mb()))
        print(f"{calls} calls: {self.looks[-1][1]:.1f} MB", file=sys.stderr, flush=True)


def measure(calls: int, seconds: float) -> list[tuple[int, float]]:
    """The node's memory after so many calls, as they went."""
    settings = Settings(port=0)
    source = Calls(loops(voices_of(sorted(_EXAMPLES.glob("*.flac"))), settings, _AT_ONCE), calls, seconds)
    with tempfile.TemporaryDirectory() as folder:
        source.node = node = Node(
            settings, EmotionModel(default_path()), [source], (), Path(folder) / "history.db", looked_at=False
        )
        node.serve()
        with node:
            node.finished.wait()
    return source.looks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4_000)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each call")
    given = parser.parse_args()
    looks = measure(given.calls, given.seconds)
    full = [look for look in looks if look[0] >= _FULL_AFTER]
    found = {"calls": given.calls, "rss_mb": {calls: round(mb, 1) for calls, mb in looks}}
    if len(full) > 1:
        (first, first_mb), (last, last_mb) = full[0], full[-1]
        found["bytes_a_further_call"] = round((last_mb - first_mb) * 1e6 / (last - first))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
