"""The supervisors' terminal: `render` draws a snapshot, `Dashboard` keeps it on the screen.

`python -m monitor.dashboard` shows a sample; `--svg FOLDER` draws the pictures of the documentation.
"""

import io
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.segment import Segment

from monitor.board import Board
from monitor.looks import clock, fit, plain
from monitor.plain import line, summary
from monitor.rows import ALARM, BOLD, DIM, WARNING, Columns, Line, legend, lines_of, titles
from monitor.snapshot import Health, Snapshot

__all__ = ["Dashboard", "Frame", "line", "render", "summary"]

REFRESH_S = 0.25
"""From one frame to the next."""
FAULT_SHOWN_S = 300.0
"""How long an error stays on the screen."""

HELD = 1_000
"""Pieces of stderr that are kept while the screen is up."""
AIRY = 28
"""Lines of a terminal from which some stay blank."""

Part = tuple[str, bool]
"""A piece of the header, and whether it is a warning."""


class Frame:
    """One screen: lines of segments that rich prints as they are."""

    def __init__(self, lines: list[Line], width: int) -> None:
        self._lines = [Segment.adjust_line_length(line, width) for line in lines]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segments in self._lines:
            yield from segments
            yield Segment.line()


def render(snapshot: Snapshot, health: Health, width: int, height: int) -> Frame:
    """The whole screen in exactly `height` lines of `width` terminal cells."""
    air: list[Line] = [[]] if height >= AIRY else []
    columns = titles(Columns.of(width))
    head = [*_header(snapshot, health, width), *air, *_failure(snapshot, health, width), columns]
    hint = [[Segment(fit(f"  {plain(health.hint)}", width), DIM)]] if health.hint else []
    foot = [*air, *_notices(snapshot, health, width), *hint, legend(width)]
    stopped = snapshot.failure is not None or bool(health.away)
    body = _body(snapshot, width, max(0, height - len(head) - len(foot)), stopped)
    return Frame([*head, *body, *foot][:height], width)


class Dashboard:
    """Shows a board on a terminal, four times a second."""

    def __init__(
        self,
        board: Board,
        health: Callable[[], Health],
        console: Console | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now`: Unix seconds on the clock of the node that makes the messages."""
        self._board, self._health, self._console, self._now = board, health, console or Console(), now

    def run(self, stop: threading.Event) -> None:
        """Draw until `stop` is set or an exception (Ctrl-C, too) passes through; both leave the terminal as it was.

        What is written to stderr meanwhile would tear the screen: its end is written afterwards.
        """
        held = _Held()
        try:
            with redirect_stderr(held), self._live() as live:
                while not stop.wait(REFRESH_S):
                    live.update(self.frame(), refresh=True)
        finally:
            sys.stderr.write(held.text())

    def frame(self) -> Frame:
        """The board as it stands now, as large as the terminal is now."""
        width, height = self._console.size
        return render(self._board.snapshot(self._now()), self._health(), width, height)

    def _live(self) -> Live:
        return Live(self.frame(), console=self._console, screen=True, auto_refresh=False, redirect_stderr=False)


class _Held(io.TextIOBase):
    """Keeps the last pieces that were written."""

    def __init__(self) -> None:
        self._pieces: deque[str] = deque(maxlen=HELD)

    def write(self, text: str, /) -> int:
        self._pieces.append(text)
        return len(text)

    def text(self) -> str:
        return "".join(self._pieces)


def _header(snapshot: Snapshot, health: Health, width: int) -> list[Line]:
    calls: list[Part] = [
        (_count(len(snapshot.calls), "call"), False),
        (f"{snapshot.scored_parties} scored", False),
        (_count(snapshot.open_alerts, "open alert"), snapshot.open_alerts > 0),
        (plain(health.address), False),
    ]
    node: list[Part] = []
    if health.waiting_s is not None:
        node.append((f"waiting {health.waiting_s:.1f} s", False))
    if health.dropped_s is not None:
        node.append((f"dropped {health.dropped_s:.1f} s", health.dropped_s > 0.0))
    if health.subscribers is not None:
        node.append((_count(health.subscribers, "subscriber"), False))
    if health.history or health.unstored:
        node.insert(0, (f"history: {_count(health.unstored or 0, 'message')} not stored", True))
    node.append((plain(health.model), False))
    if snapshot.latency_p50_ms is not None and snapshot.latency_p99_ms is not None:
        node.insert(0, (f"latency {snapshot.latency_p50_ms:.0f} ms, p99 {snapshot.latency_p99_ms:.0f} ms", False))
    return [
        [Segment("  callmood", BOLD), *_parts(calls, width - 10)],
        [Segment(" " * 10), *_parts(node, width - 10)],
    ]


def _parts(parts: list[Part], width: int) -> Line:
    """The parts that fit, the first ones first."""
    line: Line = []
    for text, warns in parts:
        width -= len(text) + 3
        if text and width >= 0:
            line += [Segment("   "), Segment(text, WARNING if warns else DIM)]
    return line


def _failure(snapshot: Snapshot, health: Health, width: int) -> list[Line]:
    if health.away:
        what, why = "NOT CONNECTED", health.away
    elif snapshot.failure is not None:
        what, why = "SCORING HAS STOPPED", snapshot.failure
    else:
        return []
    texts = ("", f"{what}: nothing below is current", plain(why), "")
    return [[Segment(fit(f"  {text}", width), ALARM)] for text in texts] + [[]]


def _body(snapshot: Snapshot, width: int, height: int, stopped: bool) -> list[Line]:
    """As many calls as fit into `height` lines, then how many do not, or blanks."""
    columns = Columns.of(width)
    calls = (*snapshot.calls, *snapshot.ended)
    if not calls:
        text = "" if stopped else "  no calls yet"
        return [[], [Segment(text, DIM)], *([[]] * height)][:height]
    lines: list[Line] = []
    shown = 0
    for call in calls:
        added = lines_of(call, columns, stopped)
        last = shown + 1 == len(calls)
        if len(lines) + len(added) > height - (not last):
            break
        lines += added
        shown += 1
    hidden = [_hidden(snapshot, shown)] if shown < len(calls) else []
    return [*lines, *([[]] * (height - len(lines) - len(hidden))), *hidden]


def _hidden(snapshot: Snapshot, shown: int) -> Line:
    running = max(0, len(snapshot.calls) - shown)
    ended = len(snapshot.ended) - max(0, shown - len(snapshot.calls))
    counts = [f"{number} {what}" for number, what in ((running, "running"), (ended, "ended")) if number]
    return [Segment(f"  ▾ {_count(running + ended, 'call')} not shown: {', '.join(counts)}", BOLD)]


def _notices(snapshot: Snapshot, health: Health, width: int) -> list[Line]:
    """What goes wrong beside the calls, the last error and what was missed, where there is anything to tell."""
    texts = [f"  ! {plain(warning)}" for warning in health.warnings]
    if snapshot.faults and snapshot.faults[-1].ago_s < FAULT_SHOWN_S:
        fault = snapshot.faults[-1]
        earlier = f" ({_count(snapshot.fault_count, 'error')})" if snapshot.fault_count > 1 else ""
        texts.append(f"  ! {plain(fault.code)}, {clock(fault.ago_s)} ago{earlier}: {plain(fault.text)}")
    if snapshot.missed:
        texts.append(f"  ! {_count(snapshot.missed, 'message')} missed: what is shown may be incomplete")
    if health.history:
        texts.append(f"  ! calls are not stored: {plain(health.history)}")
    return [*([Segment(fit(text, width), WARNING)] for text in texts)]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    from monitor.pictures import main

    main()
