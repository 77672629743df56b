"""One screen as lines of segments that rich prints as they are. Pure."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions
from rich.segment import Segment

Line = list[Segment]
"""Segments, not markup or `Text`: text from outside cannot be parsed, and forty rows cost little."""


class Frame:
    """One screen of `width` terminal cells and as many lines as there are `lines`."""

    def __init__(self, lines: list[Line], width: int, scroll: int = 0) -> None:
        self.scroll = scroll
        """Lines of a longer text that are passed over: never more than there are."""
        self.lines = [Segment.adjust_line_length(line, width) for line in lines]
        self.width = width

    @property
    def size(self) -> tuple[int, int]:
        """Terminal cells, lines."""
        return self.width, len(self.lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segments in self.lines:
            yield from segments
            yield Segment.line()
