"""A call over time, as lines: six emotions, what was heard, who spoke, its alerts. Pure."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from rich.segment import Segment
from rich.style import Style

from monitor.dashboard.frame import Line
from monitor.dashboard.looks import ALARM, DIM, SEVERITIES, TONES, clock, fit
from monitor.dashboard.rows import FADED, VIVID, level, tones
from monitor.messages import LABELS, Party
from monitor.snapshot import CallDetail, Cell, CourseView

_LABEL, _VALUE = 18, 6
"""Terminal cells left and right of the chart."""
_TICKS_S = (15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400)
_TICK_CELLS = 9
"""Terminal cells between two times of the axis, at least."""
_PALE = 0.25
"""Under this an emotion is one among six."""
_STEPS = "▁▂▃▄▅▆▇█"


class Axis:
    """Which seconds of the call stand in which columns."""

    def __init__(self, start_s: float, column_s: float, columns: int) -> None:
        self.start_s, self.column_s, self.columns = start_s, column_s, columns

    @classmethod
    def of(cls, detail: CallDetail, width: int, whole: bool) -> "Axis":
        caller = detail.call.caller
        course = detail.courses.get(caller.party) if caller else None
        if course is None or not course.cells:
            return cls(0.0, 1.0, 0)
        count = len(course.cells)
        if whole:
            cells = math.ceil(count / width)
            return cls(0.0, cells * course.cell_s, math.ceil(count / cells))
        first = max(0, count - width)
        return cls(first * course.cell_s, course.cell_s, count - first)

    def column(self, at_s: float) -> int:
        """Where a moment stands, the nearest column for one outside."""
        return min(max(0, int((at_s - 1e-6 - self.start_s) // self.column_s)), self.columns - 1)

    def spans(self) -> Iterable[tuple[float, float]]:
        """Each column's beginning and end, seconds of the call."""
        edges = [self.start_s + index * self.column_s for index in range(self.columns + 1)]
        return pairwise(edges)

    def times(self) -> str:
        """Moments of the call, each where it stands."""
        wanted_s = _TICK_CELLS * self.column_s
        step_s = next((step for step in _TICKS_S if step >= wanted_s), _TICKS_S[-1])
        line = ""
        for tick in range(
            math.ceil(self.start_s / step_s), math.ceil((self.start_s + self.columns * self.column_s) / step_s)
        ):
            at = round((tick * step_s - self.start_s) / self.column_s)
            if at >= len(line):
                line = f"{line:<{at}}{clock(tick * step_s)} "
        return line[: self.columns + _VALUE].rstrip()


def chart_lines(detail: CallDetail, width: int, whole: bool, faded: bool) -> list[Line]:
    """`whole`: from the call's beginning, else as much of its end as fits; `faded`: it is over, or not current."""
    axis = Axis.of(detail, max(1, width - 2 - _LABEL - 1 - _VALUE), whole)
    caller = detail.call.caller
    if caller is None or not axis.columns:
        return [[Segment("  nothing was heard yet", DIM)]]
    columns = _resampled(detail.courses[caller.party], axis)
    lines = [_row("", Segment(axis.times(), DIM))] if axis.columns else []
    if any(cell and cell.scores for cell in columns):
        lines += [_emotion(index, columns, axis, faded) for index in range(len(LABELS))]
    styles = FADED if faded else VIVID
    lines.append(_row("heard as", *tones([cell.tone if cell else None for cell in columns], styles)))
    for party, course in detail.courses.items():
        lines.append(_speech(party, _resampled(course, axis), faded))
    if detail.alerts:
        lines.append(_row("alerts", *_marks(detail, axis)))
    return lines


def _row(label: str, *segments: Segment, style: Style | None = DIM) -> Line:
    return [Segment(f"  {fit(label, _LABEL)}", style), *segments]


def _emotion(index: int, columns: Sequence[Cell | None], axis: Axis, faded: bool) -> Line:
    look = TONES[LABELS[index]]
    values = [cell.scores[index] if cell and cell.scores else None for cell in columns]
    last = next((value for value in reversed(values) if value is not None), None)
    strong = DIM if faded else look.style
    glyphs = [
        (" ", None) if value is None else (_STEPS[min(7, int(value * 8))], strong if value >= _PALE else DIM)
        for value in values
    ]
    pad = " " * (axis.columns - len(glyphs) + 1)
    value = "" if last is None or faded else f"{last:.0%}"
    return _row(f"{look.glyph} {look.word}", *_runs(glyphs), Segment(f"{pad}{value:>4}", DIM), style=look.style)


def _speech(party: Party, columns: Sequence[Cell | None], faded: bool) -> Line:
    glyphs = [(level(cell.speech_share) if cell else " ", DIM if faded else None) for cell in columns]
    last = columns[-1] if columns else None
    value = "" if last is None or faded else f"{last.speech_share:.0%}"
    return _row(f"{party} speaks", *_runs(glyphs), Segment(f" {value:>4}", DIM))


def _marks(detail: CallDetail, axis: Axis) -> Line:
    """Each alert from where its rule began to hold to where it cleared, with a mark where it was raised."""
    glyphs: list[tuple[str, Style | None]] = [(" ", None)] * axis.columns
    end_s = axis.start_s + axis.columns * axis.column_s
    for alert in sorted(detail.alerts, key=lambda alert: alert.rank, reverse=True):
        over_s = detail.call.duration_s if alert.over_s is None else alert.over_s
        if over_s <= axis.start_s or alert.start_s >= end_s:
            continue
        look = SEVERITIES[alert.severity]
        for column in range(axis.column(alert.start_s + 2e-6), axis.column(over_s) + 1):
            glyphs[column] = ("━", look.style)
        if alert.at_s > axis.start_s:
            glyphs[axis.column(alert.at_s)] = (look.glyph, ALARM if alert.severity == "critical" else look.style)
    return _runs(glyphs)


def _resampled(course: CourseView, axis: Axis) -> list[Cell | None]:
    """What a party's cells say in each column of the axis."""
    return [_between(course, start_s, end_s) for start_s, end_s in axis.spans()]


def _between(course: CourseView, start_s: float, end_s: float) -> Cell | None:
    first = int((start_s + 1e-6) // course.cell_s)
    cells = [cell for cell in course.cells[first : max(first + 1, math.ceil((end_s - 1e-6) / course.cell_s))] if cell]
    if len(cells) < 2:
        return cells[0] if cells else None
    scored = [cell.scores for cell in cells if cell.scores]
    said = [cell.tone for cell in cells]
    return Cell(
        scores=tuple(sum(values) / len(scored) for values in zip(*scored, strict=True)) if scored else None,
        speech_share=sum(cell.speech_share for cell in cells) / len(cells),
        tone=max(said, key=said.count),
    )


def _runs(glyphs: Iterable[tuple[str, Style | None]]) -> Line:
    """Equal neighbours in one segment."""
    return [
        Segment("".join(glyph for glyph, _ in run), style) for style, run in groupby(glyphs, key=lambda pair: pair[1])
    ]
