"""The supervisors' terminal: `render` draws a snapshot, `Dashboard` keeps it on the screen and heeds the keys."""

import io
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import replace

from rich.console import Console
from rich.segment import Segment

from monitor.board import Board
from monitor.dashboard.detail import detail_lines, gone_lines
from monitor.dashboard.frame import Frame, Line
from monitor.dashboard.guide import guide_lines
from monitor.dashboard.header import failure_lines, health_lines, hint_lines, key_lines, notice_lines, view_lines
from monitor.dashboard.looks import BOLD, DIM, count
from monitor.dashboard.rows import Columns, legend, lines_of, titles
from monitor.dashboard.terminal import Terminal, size_of
from monitor.dashboard.view import View, arranged, current, pressed
from monitor.snapshot import CallView, Health, Snapshot

REFRESH_S = 0.25
"""From one frame to the next."""
HELD = 1_000
"""Pieces of stderr that are kept while the screen is up."""
AIRY = 28
"""Lines of a terminal from which some stay blank."""
_LEAST_BODY = 6
"""Lines for the calls, for which what explains gives way."""

Acknowledge = Callable[[str, str, str], None]
"""Call, alert, by whom. What becomes of it comes as a message, or in `Health.answer`."""


def render(snapshot: Snapshot, health: Health, width: int, height: int, view: View | None = None) -> Frame:
    """The whole screen in exactly `height` lines of `width` terminal cells.

    `snapshot` is the latest, with the detail of the call that `view` has opened; a paused view has its own, and what fails
    meanwhile is shown all the same.
    """
    view = view or View(keys=False)
    shown = view.frozen or snapshot
    failure = failure_lines(snapshot, health, width)
    head = [*health_lines(snapshot, health, width), *_air(height), *failure, *view_lines(snapshot, view, width)]
    words_are_there = view.helping or (view.opened is not None and height < AIRY)
    explained = [] if words_are_there else [legend(width)]
    keys = key_lines(snapshot, health, view, width)
    foot = [*notice_lines(snapshot, health, width), *hint_lines(health, width), *explained, *keys]
    room = height - len(head)
    if room - len(foot) < _LEAST_BODY:
        foot = [*notice_lines(snapshot, health, width), *keys]
    if room - len(foot) < 1:
        foot = keys if view.typing or view.leaving else []
        head = [*failure[1:3], *head[:1]][: max(1, height - 1)]
    foot = [*_air(height), *foot]
    space = max(0, height - len(head) - len(foot))
    body, scroll = _body(shown, view, width, space, stopped=bool(failure))
    return Frame([*head, *body, *foot][:height], width, scroll)


def page_of(height: int) -> int:
    """Lines that a page key moves on a terminal of `height` lines."""
    return max(1, height - 10)


class Dashboard:
    """Shows a board on a terminal, four times a second."""

    def __init__(
        self,
        board: Board,
        health: Callable[[], Health],
        console: Console | None = None,
        now: Callable[[], float] = time.time,
        acknowledge: Acknowledge | None = None,
        view: View | None = None,
    ) -> None:
        """`now`: Unix seconds on the clock of the node that makes the messages; `acknowledge`: does what the key `a` asks for;
        `view`: where it begins."""
        self._board, self._health, self._now, self._acknowledge = board, health, now, acknowledge
        self._console, self._view = console or Console(), view or View()

    def run(self, stop: threading.Event) -> bool:
        """Draw until `stop` is set, or a key quits (True), or an exception (Ctrl-C, too) passes through; whatever it is, the
        terminal is then as it was.

        What is written to stderr meanwhile would tear the screen: its end is written afterwards.
        """
        held = _Held()
        try:
            with redirect_stderr(held), Terminal(self._console) as terminal:
                self._view = replace(self._view, keys=terminal.has_keys)
                while not (stop.is_set() or self._view.left):
                    terminal.draw(self.frame())
                    for key in terminal.keys(REFRESH_S):
                        if key == "redraw":
                            terminal.redraw()
                        self.press(key)
        finally:
            sys.stderr.write(held.text())
        return self._view.left

    def frame(self) -> Frame:
        """The board as it stands now, as large as the terminal is now."""
        width, height = size_of(self._console)
        snapshot = self._snapshot()
        self._view = current(self._view, snapshot)
        frame = render(snapshot, self._health(), width, height, self._view)
        self._view = replace(self._view, scroll=frame.scroll)
        return frame

    def press(self, key: str) -> None:
        """Heed a key."""
        self._view = pressed(key, self._view, self._snapshot(), page_of(size_of(self._console)[1]))
        asked, self._view = self._view.asked, replace(self._view, asked=())
        if self._acknowledge is not None:
            for call, alert in asked:
                self._acknowledge(call, alert, self._view.name)

    def _snapshot(self) -> Snapshot:
        return self._board.snapshot(self._now(), self._view.opened)


class _Held(io.TextIOBase):
    """Keeps the last pieces that were written."""

    def __init__(self) -> None:
        self._pieces: deque[str] = deque(maxlen=HELD)

    def write(self, text: str, /) -> int:
        self._pieces.append(text)
        return len(text)

    def text(self) -> str:
        return "".join(self._pieces)


def _air(height: int) -> list[Line]:
    return [[]] if height >= AIRY else []


def _body(snapshot: Snapshot, view: View, width: int, height: int, stopped: bool) -> tuple[list[Line], int]:
    """Exactly `height` lines: the help, a call in detail, or the calls; and how many lines are passed over."""
    if view.helping:
        return _scrolled(guide_lines(width), view.scroll, height)
    if view.opened is None:
        return _calls(snapshot, view, width, height, stopped), 0
    detail = snapshot.detail
    if detail is None or detail.call.name != view.opened:
        return _scrolled(gone_lines(view.opened, width), 0, height)
    return _scrolled(detail_lines(detail, width, view.whole, stopped, height >= AIRY - 8), view.scroll, height)


def _scrolled(lines: list[Line], passed: int, height: int) -> tuple[list[Line], int]:
    """`height` of the lines, from `passed` on as far as there are so many, and a word about the rest; where they begin."""
    first = min(passed, max(0, len(lines) - height))
    shown = lines[first : first + height]
    below = len(lines) - first - len(shown)
    if below and shown:
        shown[-1] = [Segment(f"  ▾ {count(below + 1, 'line')} more below", BOLD)]
    return [*shown, *([[]] * (height - len(shown)))], first


def _calls(snapshot: Snapshot, view: View, width: int, height: int, stopped: bool) -> list[Line]:
    """The titles and as many calls as fit, the chosen one among them, then how many do not."""
    if height < 1:
        return []
    calls = arranged(snapshot, view)
    if not calls:
        text = "" if stopped else "  no calls yet" if not view.filter else "  no call has these words"
        return [[], [Segment(text, DIM)], *([[]] * height)][:height]
    columns = Columns.of(width, agents=any(call.agent for call in (*snapshot.calls, *snapshot.ended)))
    head = [titles(columns)] if height > 1 else []
    height -= len(head)
    blocks = [lines_of(call, columns, stopped, call.name == view.selected) for call in calls]
    first, last = _window(blocks, _chosen(calls, view), height)
    lines = [line for block in blocks[first:last] for line in block]
    hidden = [_hidden([*calls[:first], *calls[last:]])] if last - first < len(calls) else []
    return [*head, *lines, *([[]] * (height - len(lines) - len(hidden))), *hidden]


def _chosen(calls: Sequence[CallView], view: View) -> int:
    """Where the chosen call stands; the first where none is chosen."""
    return next((row for row, call in enumerate(calls) if call.name == view.selected), 0)


def _window(blocks: Sequence[Sequence[Line]], chosen: int, height: int) -> tuple[int, int]:
    """The first and the one after the last block that are shown: from the top while the chosen one fits, else around it.
    A line is kept for how many do not fit."""
    room = height if sum(map(len, blocks)) <= height else height - 1
    first = 0
    if sum(map(len, blocks[: chosen + 1])) > room:
        first, above = chosen, len(blocks[chosen])
        while first and above + len(blocks[first - 1]) <= (room + 1) // 2:
            first -= 1
            above += len(blocks[first])
    last, used = first, 0
    while last < len(blocks) and used + len(blocks[last]) <= room:
        used += len(blocks[last])
        last += 1
    while first and used + len(blocks[first - 1]) <= room:
        first -= 1
        used += len(blocks[first])
    return first, last


def _hidden(calls: Sequence[CallView]) -> Line:
    """What is not shown for want of room."""
    ended = sum(call.ending is not None for call in calls)
    counts = [f"{number} {what}" for number, what in ((len(calls) - ended, "running"), (ended, "ended")) if number]
    return [Segment(f"  ▾ {count(len(calls), 'call')} not shown: {', '.join(counts)}", BOLD)]
