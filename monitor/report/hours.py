"""Calls and alerts by the hour of the day, as a chart. Pure: facts → SVG."""

from collections.abc import Sequence

from monitor.dashboard.looks import SEVERITIES
from monitor.messages import Severity
from monitor.report.chart import GUTTER, NARROW, WIDE
from monitor.report.day import HOURS, Hour
from monitor.report.palette import SEVERITY_COLOURS
from monitor.report.svg import Drawing, Frame
from monitor.report.words import counted

STACKED: tuple[Severity, ...] = ("critical", "warning", "info")
_FILLS: dict[Severity, str] = {"critical": "solid", "warning": "tint outlined", "info": "hollow outlined"}
_CALLS, _ALERTS = 54.0, 96.0
_DAY_S = HOURS * 3_600.0


def hour_chart(hours: Sequence[Hour], wide: bool = True) -> str:
    """Two rows of columns over the day: calls that began, alerts that were raised."""
    left = GUTTER if wide else 0.0
    width = WIDE if wide else NARROW
    frame = Frame(width, left, width - 6, _DAY_S)
    drawing = Drawing("wide-hours" if wide else "narrow-hours", "Calls and alerts by hour", in_words(hours), frame)
    top = 6.0 if wide else 22.0
    bottom = _row(drawing, "Calls begun", top, _CALLS, [{"calls": hour.calls} for hour in hours])
    alerts: list[dict[str, int]] = [{name: hour.alerts.get(name, 0) for name in STACKED} for hour in hours]
    bottom = _row(drawing, "Alerts raised", bottom + (14 if wide else 30), _ALERTS, alerts)
    for hour in range(0, HOURS + 1, 3 if wide else 6):
        x = frame.x(hour * 3_600.0)
        drawing.line(x, bottom, x, bottom + 4, "base")
        place = "start" if x == 0 else "end" if hour == HOURS else "middle"
        drawing.text(x, bottom + 17, f"{hour}:00", f"quiet {place}")
    return drawing.finished(bottom + 24)


def severity_swatch(severity: Severity) -> str:
    """How an alert's severity looks in the chart, for a key."""
    drawing = Drawing(f"key-{severity}", "", "", Frame(22, 0.0, 22, 1.0))
    drawing.box(5, 2, 12, 12, f"{SEVERITY_COLOURS[severity]} {_FILLS[severity]}")
    return drawing.finished(16)


def in_words(hours: Sequence[Hour]) -> str:
    """The busiest hour, and the one with the most alerts."""
    alerts = [sum(hour.alerts.values()) for hour in hours]
    if not sum(alerts):
        return "No alert was raised."
    most = alerts.index(max(alerts))
    share = f"{alerts[most]} of {sum(alerts)} alerts were" if sum(alerts) > 1 else "The one alert was"
    begun = f"{hours[most].calls} of {counted(sum(hour.calls for hour in hours), 'call')} began"
    return f"{share} raised between {most}:00 and {most + 1}:00, when {begun}."


def _row(drawing: Drawing, name: str, top: float, height: float, columns: Sequence[dict[str, int]]) -> float:
    """Stacked columns, the first kind lowest; returns where they stand."""
    frame, base = drawing.frame, top + height
    most = max(1, *(sum(column.values()) for column in columns))
    if frame.narrow:
        drawing.text(0, top - 8, name, "name")
    else:
        drawing.text(0, top + height / 2 + 4, name, "name")
    width = frame.span / HOURS
    for hour, column in enumerate(columns):
        left, y = frame.x(hour * 3_600.0) + 0.12 * width, base
        for kind, count in column.items():
            tall = (height - 14) * count / most
            y -= tall
            drawing.box(left, y, 0.76 * width, tall, _look(kind))
        if sum(column.values()):
            drawing.text(left + 0.38 * width, y - 3, str(sum(column.values())), "quiet middle")
    drawing.line(frame.left, base, frame.right, base, "base")
    return base


def _look(kind: str) -> str:
    severity = next((name for name in SEVERITIES if name == kind), None)
    return f"{SEVERITY_COLOURS[severity]} {_FILLS[severity]}" if severity else "speech"
