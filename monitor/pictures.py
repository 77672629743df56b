"""The documentation's pictures of the dashboard, as SVG: the same bytes at every run. Pure but for `main`."""

import argparse
import io
import re
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from monitor.dashboard import Frame, render
from monitor.sample import HEALTH, sample
from monitor.snapshot import Snapshot

_PIECES = re.compile(r" +|[!-~]+(?: [!-~]+)*|─+|░+|.")
"""Blanks, words, lines, and each other glyph by itself: then every font keeps the columns."""
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def pictures() -> dict[str, str]:
    """File name → SVG."""
    failure = "the model answered with five scores, expected six; start callmood again"
    return {
        "dashboard.svg": svg(sample(), 120, 28),
        "dashboard_80x24.svg": svg(sample(), 80, 24),
        "dashboard_failed.svg": svg(sample(failure), 120, 28),
    }


def svg(snapshot: Snapshot, width: int, height: int) -> str:
    """The dashboard of `snapshot` on a terminal of that size; it fetches no font from elsewhere."""
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
    console.print(_Pieces(render(snapshot, HEALTH, width, height)), end="")
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
