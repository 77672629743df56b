"""One call in detail, as lines: who, how it stands, six emotions over time, who speaks, its alerts and what raised them. Pure."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from monitor.frame import Line
from monitor.looks import ALARM, BOLD, DIM, MOODS, SEVERITIES, TONES, WARNING, clock, fit, plain, words
from monitor.messages import LABELS, Party
from monitor.rows import FADED, VIVID, level, mood_of, now_of, tones, trend_of
from monitor.snapshot import AlertView, CallDetail, CallView, Cell, CourseView, Evidence

_LABEL, _VALUE = 18, 6
"""Terminal cells left and right of the chart."""
_TICKS_S = (15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400)
_TICK_CELLS = 9
"""Terminal cells between two times of the axis, at least."""
_PALE = 0.25
"""Under this an emotion is one among six."""
_STEPS = "▁▂▃▄▅▆▇█"
_LEAST_SHARE = 0.005
"""Shares under this would print as 0 %."""

Part = tuple[str, Style | None]


def detail_lines(detail: CallDetail, width: int, whole: bool, stopped: bool, airy: bool) -> list[Line]:
    """All lines, however many. `whole`: from the call's beginning, else its last minutes; `stopped`: nothing is scored any
    more; `airy`: some lines stay blank."""
    axis = _Axis.of(detail, max(1, width - 2 - _LABEL - 1 - _VALUE), whole)
    caller = detail.call.caller
    faded = stopped or detail.call.ending is not None or (caller is not None and caller.stale)
    air: list[Line] = [[]] if airy else []
    now = [alert for alert in detail.alerts if alert.over_s is None]
    before = [alert for alert in detail.alerts if alert.over_s is not None]
    return [
        *_head(detail, width, stopped),
        *(air if now else []),
        *_alerts(detail, now, width),
        *air,
        *_chart(detail, axis, faded),
        *air,
        *_alerts(detail, before, width),
        *([] if detail.alerts else [[Segment("  no alert in this call", DIM)]]),
    ]


def gone_lines(name: str, width: int) -> list[Line]:
    """In place of a call that is no longer kept."""
    return [
        [Segment(fit(f"  {plain(name)}", width), BOLD)],
        [],
        [Segment(fit("  this call is over, and no longer kept here: esc goes back", width), DIM)],
    ]


class _Axis:
    """Which seconds of the call stand in which columns."""

    def __init__(self, start_s: float, column_s: float, columns: int) -> None:
        self.start_s, self.column_s, self.columns = start_s, column_s, columns

    @classmethod
    def of(cls, detail: CallDetail, width: int, whole: bool) -> "_Axis":
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


def _head(detail: CallDetail, width: int, stopped: bool) -> list[Line]:
    call = detail.call
    return [
        *_flow([(plain(call.name), BOLD), _end_of(call), *_people(call)], width),
        *_flow(_now(call, stopped), width),
        *_flow(_heard(detail, stopped), width),
    ]


def _end_of(call: CallView) -> Part:
    if call.ending is None:
        return clock(call.duration_s), None
    failed = call.ending.reason.startswith("error")
    text = f"ended {clock(call.ending.ago_s)} ago after {clock(call.duration_s)}: {plain(call.ending.reason)}"
    return text, WARNING if failed else DIM


def _people(call: CallView) -> list[Part]:
    parts: list[Part] = [(f"agent {plain(call.agent)}" if call.agent else "", None), (plain(call.source), DIM)]
    for party in call.parties:
        who = f" {plain(party.identity)}" if party.identity else ""
        parts.append((f"{party.party}{who}: {'emotion is read' if party.scored else 'speech only'}", DIM))
    return parts


def _now(call: CallView, stopped: bool) -> list[Part]:
    if call.ending is not None:
        return []
    if stopped or call.caller is None or call.caller.stale:
        return [mood_of(call, stopped, held=True), now_of(call, stopped)]
    told = {"mood": mood_of(call, stopped, held=True), "now": now_of(call, stopped), "trend": trend_of(call, stopped)}
    return [(f"{what}: {text}", style) for what, (text, style) in told.items() if text]


def _heard(detail: CallDetail, stopped: bool) -> list[Part]:
    """The outcome, and what was heard in which share of the readings."""
    parts: list[Part] = []
    if detail.outcome:
        look = MOODS[detail.outcome]
        what = "outcome so far" if detail.call.ending is None else "outcome"
        parts.append((f"{what}: {look.glyph} {look.word}", DIM if stopped else look.style))
    for tone, share in detail.shares.items():
        parts.append((f"{TONES[tone].glyph} {TONES[tone].word} {share:.0%}" if share >= _LEAST_SHARE else "", DIM))
    parts.append((f"{detail.call.lost_s:.1f} s of audio lost" if detail.call.lost_s else "", WARNING))
    return parts


def _chart(detail: CallDetail, axis: _Axis, faded: bool) -> list[Line]:
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


def _emotion(index: int, columns: Sequence[Cell | None], axis: _Axis, faded: bool) -> Line:
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


def _marks(detail: CallDetail, axis: _Axis) -> Line:
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


def _resampled(course: CourseView, axis: _Axis) -> list[Cell | None]:
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


def _alerts(detail: CallDetail, alerts: Iterable[AlertView], width: int) -> list[Line]:
    return [line for alert in alerts for line in _alert(alert, detail.call.ending is not None, width)]


def _alert(alert: AlertView, ended: bool, width: int) -> list[Line]:
    look = SEVERITIES[alert.severity]
    is_open = alert.over_s is None
    style = look.style if alert.waits or (is_open and not alert.by) else DIM
    held = f"since {clock(alert.start_s)}, raised at {clock(alert.at_s)}"
    if alert.over_s is not None:
        held += f", {'open to the end' if ended and alert.open_s else 'cleared'} at {clock(alert.over_s)}"
    parts: list[Part] = [
        (f"{look.glyph} {words(alert.rule)} for {clock(alert.open_s)}", style),
        (f"{look.word}, {alert.party}, {held}", DIM),
    ]
    if alert.by:
        parts.append(
            (f"✓ {plain(alert.by)} looks after it" if is_open else f"✓ {plain(alert.by)} looked after it", BOLD)
        )
    elif alert.waits:
        parts.append(("nobody looks after it: press a", WARNING))
    return [*_flow(parts, width), *_evidence(alert.evidence, width)]


def _evidence(evidence: Evidence, width: int) -> list[Line]:
    """Which readings raised an alert."""
    readings = evidence.readings
    if not readings:
        told = "came before this dashboard listened" if evidence.count else "are not named"
        return [[Segment(fit(f"      the readings that raised it {told}", width), DIM)]]
    number = f"{evidence.count} reading{'s' if evidence.count != 1 else ''}"
    if len(readings) < evidence.count:
        number = f"{number}, of which {len(readings)} are known here"
    span = (
        f"from {clock(readings[0][0])} to {clock(readings[-1][0])}"
        if len(readings) > 1
        else f"at {clock(readings[0][0])}"
    )
    parts: list[Part] = [(f"raised by {number} {span}", DIM)]
    means = sorted(evidence.means.items(), key=lambda mean: -mean[1])[:2]
    if means:
        parts.append((", ".join(f"{TONES[label].word} {mean:.0%}" for label, mean in means) + " on average", DIM))
    each = [(f"{_moment(end_s)}{_probably(evidence, value)}", DIM) for end_s, value in readings]
    return [*_flow(parts, width, 6), *_flow(each, width, 6)[:3]]


def _probably(evidence: Evidence, value: float | None) -> str:
    return "" if value is None or evidence.leader is None else f" {TONES[evidence.leader].glyph} {value:.0%}"


def _moment(at_s: float) -> str:
    """`1:58.5`"""
    return f"{clock(at_s)}{f'{at_s % 1.0:.2f}'[1:].rstrip('0').rstrip('.')}"


def _flow(parts: Iterable[Part], width: int, indent: int = 2) -> list[Line]:
    """The parts side by side, on as many lines as it takes; one that is longer than a line is cut."""
    lines: list[Line] = []
    left = 0
    for text, style in parts:
        if not text.strip():
            continue
        if lines and left >= cell_len(text) + 3:
            lines[-1] += [Segment("   "), Segment(text, style)]
            left -= cell_len(text) + 3
        else:
            room = max(1, width - indent)
            shown = text if cell_len(text) <= room else fit(text, room)
            lines.append([Segment(" " * indent), Segment(shown, style)])
            left = room - cell_len(shown)
    return lines


def _runs(glyphs: Iterable[tuple[str, Style | None]]) -> Line:
    """Equal neighbours in one segment."""
    return [
        Segment("".join(glyph for glyph, _ in run), style) for style, run in groupby(glyphs, key=lambda pair: pair[1])
    ]
