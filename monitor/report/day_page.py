"""The pages about several calls: a day summed up, and the list of pages that were written. Facts → HTML. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from monitor.dashboard.looks import MOODS, SEVERITIES, clock, words
from monitor.messages import MOODS as ALL_MOODS
from monitor.report.call_page import Tile
from monitor.report.day import CallLine, DayFacts
from monitor.report.hours import STACKED, hour_chart, in_words, severity_swatch
from monitor.report.markup import page
from monitor.report.palette import MOOD_COLOURS
from monitor.report.words import counted


def day_page(day: DayFacts, written_at: str, pages: Mapping[str, str]) -> str:
    """The page about `day`. `pages`: id of a call → address of its own page, where it has one."""
    worst = [_row(line, pages.get(line.id)) for line in day.worst]
    values = {
        "heading": day.span.name,
        "lead": " ".join(_lead(day)),
        "tiles": list(_tiles(day)),
        "calls": day.calls,
        "outcomes": _outcomes(day),
        "worst": {"caption": "The worst first.", "rows": worst},
        "alerts": sum(day.rules.values()),
        "wide": Markup(hour_chart(day.hours)),
        "narrow": Markup(hour_chart(day.hours, wide=False)),
        "key": [(Markup(severity_swatch(severity)), SEVERITIES[severity].word) for severity in STACKED],
        "hours_text": in_words(day.hours),
        "rules": [(words(rule), count) for rule, count in day.rules.items()],
        "severities": [SEVERITIES[severity].word.capitalize() for severity in STACKED],
        "hours": list(_hours(day)),
        "rests": list(_rests(day)),
    }
    return page("day.html", values, written_at)


def index_page(heading: str, lines: Sequence[tuple[CallLine, str]], written_at: str) -> str:
    """The list of calls with the addresses of their pages, in the order given."""
    length_s = sum(line.duration_s for line, _ in lines)
    angry = sum(line.outcome == "angry" for line, _ in lines)
    alerts = sum(len(line.alerts) for line, _ in lines)
    ends = f"{angry or 'none'} angry at the end, {counted(alerts, 'alert')}"
    lead = f"{counted(len(lines), 'call')}, {clock(length_s)} together: {ends}."
    table = {"caption": "Each call leads to its own page.", "rows": [_row(line, href) for line, href in lines]}
    return page("index.html", {"heading": heading, "lead": lead, "table": table}, written_at)


def _lead(day: DayFacts) -> Iterator[str]:
    if not day.calls:
        yield "No call began in this time, or none was kept."
        return
    outcomes = day.outcomes
    told = [f"{outcomes[mood]} {MOODS[mood].word}" for mood in ALL_MOODS if mood in outcomes]
    yield f"{counted(len(day.calls), 'call')}{': ' + ', '.join(told) if told else ''}."
    yield in_words(day.hours)
    if day.running:
        yield f"{counted(day.running, 'call')} had not ended when this was written."
    if day.interrupted:
        yield f"Of {counted(day.interrupted, 'call')} the end was not heard: listening was interrupted."


def _tiles(day: DayFacts) -> Iterator[Tile]:
    yield Tile("Calls", str(len(day.calls)), f"{day.running} still going on" if day.running else "")
    yield Tile("Listened", f"{day.listened_s / 3600:.1f} h", "length of all calls")
    alerts = sum(day.rules.values())
    rate = f"{3600 * alerts / day.listened_s:.1f} an hour listened" if alerts and day.listened_s else ""
    yield Tile("Alerts", str(alerts) if alerts else "none", rate)
    yield Tile("Angry at the end", str(day.outcomes.get("angry", 0) or "none"), "calls")
    yield Tile("Lost audio", f"{day.lost_s:.1f} s" if day.lost_s else "none", "over all parties" if day.lost_s else "")


def _outcomes(day: DayFacts) -> dict[str, Any]:
    counts = day.outcomes
    ended = sum(counts.values())
    rows = [
        {
            "look": MOODS[mood],
            "colour": MOOD_COLOURS[mood],
            "count": counts.get(mood, 0),
            "share": counts.get(mood, 0) / max(1, ended),
        }
        for mood in ALL_MOODS
    ]
    return {
        "caption": f"The {counted(ended, 'call')} whose end was heard: the mood of the last of the speech.",
        "rows": rows,
    }


def _row(line: CallLine, href: str | None) -> dict[str, Any]:
    look = MOODS[line.outcome] if line.outcome else None
    return {
        "href": href,
        "call": line.call,
        "began": f"{line.began:%H:%M}, {line.began.day} {line.began:%b %Y}",
        "look": look,
        "colour": MOOD_COLOURS[line.outcome] if line.outcome else "",
        "outcome": look.word if look else "interrupted" if line.ending else "still going on",
        "length": clock(line.duration_s),
        "alerts": ", ".join(_alerts(line)) or "none",
        "lost": f"{line.lost_s:.1f} s of audio lost" if line.lost_s else "",
    }


def _alerts(line: CallLine) -> Iterator[str]:
    for rule, count in Counter(line.alerts).items():
        yield words(rule) if count == 1 else f"{count} × {words(rule)}"
    if line.critical_s:
        yield f"critical for {clock(line.critical_s)}"
    elif line.warning_s:
        yield f"warning for {clock(line.warning_s)}"


def _hours(day: DayFacts) -> Iterator[dict[str, Any]]:
    for number, hour in enumerate(day.hours):
        if hour.calls or hour.alerts:
            counts = [hour.alerts.get(severity, 0) for severity in STACKED]
            yield {"hour": f"{number}:00", "calls": hour.calls, "alerts": counts}


def _rests(day: DayFacts) -> Iterator[tuple[str, str]]:
    yield "Calls", "those that began in this time and are in the history; older ones than it keeps are deleted"
    yield "Model", ", ".join(day.models) or "no call was read"
    lost = sum(line.lost_s > 0 for line in day.calls)
    yield "Audio that was lost", f"{day.lost_s:.1f} s in {counted(lost, 'call')}" if lost else "none"
    yield "Messages that were not stored", str(day.unstored) if day.unstored else "none"
    yield "Calls whose end was not heard", str(day.interrupted) if day.interrupted else "none"
    yield "Agents", "nothing here is counted for an agent, and no agent is named"
