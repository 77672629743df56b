"""The documentation's pictures of the dashboard, as SVG: the same bytes at every run. Pure but for `main`."""

import argparse
import io
import re
from dataclasses import replace
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from monitor.board import Board
from monitor.dashboard.frame import Frame
from monitor.dashboard.sample import HEALTH, NOW_S, acknowledged, raised, sample, sample_board
from monitor.dashboard.screen import render
from monitor.dashboard.view import View
from monitor.snapshot import Health, Snapshot

_PIECES = re.compile(r" +|[!-~]+(?: [!-~]+)*|─+|░+|━+|.")
"""Blanks, words, lines, and each other glyph by itself: then every font keeps the columns."""
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


WIDE, NARROW = (120, 30), (80, 24)
"""Terminal cells, lines."""
_VIEW = View(name="Maria")
_FAILURE = "the model answered with five scores, expected six; start callmood again"


def pictures() -> dict[str, str]:
    """File name → SVG."""
    return {f"{name}.svg": svg(frame) for name, frame in _frames().items()}


def _frames() -> dict[str, Frame]:
    """Every screen in every state that the documentation shows."""
    told, opened_told = sample(), sample(opened="claims-07")
    calls, opened = replace(_VIEW, selected="hotline-21", row=1), replace(_VIEW, opened="claims-07")
    away = replace(
        HEALTH, dropped_s=None, waiting_s=None, subscribers=None, away="the connection broke; next try in 4 s"
    )
    typed = replace(_VIEW, filter="claims", typing=True)
    return {
        "dashboard": _drawn(told, calls),
        "dashboard_80x24": _drawn(told, calls, size=NARROW),
        "dashboard_acknowledged": _drawn(_looked_after(), replace(_VIEW, selected="claims-07")),
        "dashboard_detail": _drawn(opened_told, opened),
        "dashboard_detail_80x24": _drawn(opened_told, opened, size=NARROW),
        "dashboard_ended": _drawn(sample(opened="claims-19"), replace(_VIEW, opened="claims-19")),
        "dashboard_stale": _drawn(sample(opened="sales-14"), replace(_VIEW, opened="sales-14")),
        "dashboard_filter": _drawn(told, typed),
        "dashboard_help": _drawn(told, replace(_VIEW, helping=True)),
        "dashboard_paused": _drawn(_later(), replace(_VIEW, frozen=told)),
        "dashboard_failed": _drawn(sample(_FAILURE), _VIEW),
        "dashboard_not_connected": _drawn(told, _VIEW, away),
        "dashboard_empty": _drawn(Board().snapshot(NOW_S), _VIEW, size=NARROW),
    }


def _drawn(snapshot: Snapshot, view: View, health: Health = HEALTH, size: tuple[int, int] = WIDE) -> Frame:
    return render(snapshot, health, *size, view)


def _looked_after() -> Snapshot:
    board = sample_board()
    acknowledged(board, "claims-07", "Maria")
    return board.snapshot(NOW_S)


def _later() -> Snapshot:
    """42 s after the sample, one more alert."""
    board = sample_board()
    raised(board, "hotline-09", "distressed_caller", "warning", NOW_S + 30.0)
    return board.snapshot(NOW_S + 42.0)


def svg(frame: Frame) -> str:
    """`frame` as a terminal shows it; it fetches no font from elsewhere."""
    width, height = frame.size
    console = Console(
        record=True,
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    console.print(_Pieces(frame), end="")
    return _FONT_FACE.sub("", console.export_svg(title="callmood", unique_id="callmood"))


class _Pieces:
    """A frame cut so that a picture's text keeps its columns."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text, style, _ in self._frame.__rich_console__(console, options):
            yield from (Segment(piece, style) for piece in _PIECES.findall(text) or [text])


def main() -> None:
    """Show a sample dashboard in this terminal, or write the documentation's pictures with `--svg FOLDER`."""
    parser = argparse.ArgumentParser(prog="python -m monitor.dashboard", description=main.__doc__)
    parser.add_argument("--svg", type=Path, metavar="FOLDER", help="write the pictures there")
    folder = parser.parse_args().svg
    if folder is None:
        console = Console()
        console.print(render(sample(), HEALTH, console.width, console.height - 1), end="")
        return
    for name, picture in pictures().items():
        (folder / name).write_text(picture, encoding="utf-8")
