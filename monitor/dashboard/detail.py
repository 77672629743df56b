"""One call in detail, as lines: who, how it stands, its course, its alerts and what raised them. Pure."""

from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from monitor.dashboard.chart import chart_lines
from monitor.dashboard.frame import Line
from monitor.dashboard.looks import BOLD, DIM, MOODS, SEVERITIES, TONES, WARNING, clock, count, fit, plain, words
from monitor.dashboard.rows import mood_of, now_of, trend_of
from monitor.snapshot import AlertView, CallDetail, CallView, Evidence

_LEAST_SHARE = 0.005
"""Shares under this would print as 0 %."""

Part = tuple[str, Style | None]


def detail_lines(detail: CallDetail, width: int, whole: bool, stopped: bool, airy: bool) -> list[Line]:
    """All lines, however many. `whole`: from the call's beginning, else its last minutes; `stopped`: nothing is scored any
    more; `airy`: some lines stay blank."""
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
        *chart_lines(detail, width, whole, faded),
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
        (f"{look.word}, {alert.party or 'whole call'}, {held}", DIM),
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
    number = count(evidence.count, "reading")
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
