"""What stands above and below the calls: the node's health, failures, what the view leaves out, what the keys do. Pure."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from monitor.dashboard.frame import Line
from monitor.dashboard.looks import ALARM, BOLD, CHOSEN, DIM, WARNING, clock, count, fit, plain
from monitor.dashboard.view import NOTICE_S, View, arranged, since
from monitor.snapshot import Health, Snapshot

_NAME = "  callmood"
_WIDE = 100
"""Terminal cells from which the model has room beside the node's measurements."""
FAULT_SHOWN_S = 300.0
"""How long an error stays on the screen."""

Part = tuple[str, Style | None]
"""A piece of a line."""

_LIST_KEYS = ("↑↓ move", "enter open", "a look after", "/ filter", "s sort", "p pause", "? help", "q quit")
_DETAIL_KEYS = ("esc back", "a look after", "w whole call", "↑↓ scroll", "p pause", "? help", "q quit")
"""The last two stay where there is little room."""


def health_lines(snapshot: Snapshot, health: Health, width: int) -> list[Line]:
    """The node in two lines: what it listens to, and how it does."""
    carers = snapshot.open_alerts - snapshot.waiting_alerts
    calls: list[Part] = [
        (count(len(snapshot.calls), "call"), DIM),
        (f"{snapshot.scored_parties} scored", DIM),
        (count(snapshot.open_alerts, "open alert"), WARNING if snapshot.waiting_alerts else DIM),
        (f"{carers} looked after" if carers else "", DIM),
    ]
    node: list[Part] = []
    if health.history or health.unstored:
        lacks = f"history lacks {count(health.unstored, 'message')}" if health.unstored else "history fails"
        node.append((lacks, WARNING))
    if health.restarts:
        node.append((f"listeners restarted {count(health.restarts, 'time')}", WARNING))
    if health.scoring_restarts:
        node.append((f"scoring restarted {count(health.scoring_restarts, 'time')}", WARNING))
    if snapshot.latency_p50_ms is not None and snapshot.latency_p99_ms is not None:
        node.append((f"latency {snapshot.latency_p50_ms:.0f} ms, p99 {snapshot.latency_p99_ms:.0f} ms", DIM))
    if health.waiting_s is not None:
        node.append((f"waiting {health.waiting_s:.1f} s", DIM))
    if health.dropped_s is not None:
        node.append((f"dropped {health.dropped_s:.1f} s", WARNING if health.dropped_s > 0.0 else DIM))
    if health.subscribers is not None:
        node.append((count(health.subscribers, "subscriber"), DIM))
    model, address = (plain(health.model), DIM), (plain(health.address), DIM)
    if width < _WIDE:
        return [
            [Segment(_NAME, BOLD), *_fitting([*calls, model], width - len(_NAME))],
            [Segment("  "), *_fitting([*node, address], width)[1:]],
        ]
    return [
        [Segment(_NAME, BOLD), *_fitting([*calls, address], width - len(_NAME))],
        [Segment(" " * len(_NAME)), *_fitting([*node, model], width - len(_NAME))],
    ]


def failure_lines(snapshot: Snapshot, health: Health, width: int) -> list[Line]:
    """Why nothing that is shown is current; nothing while it is."""
    if health.away:
        what, why = "NOT CONNECTED", health.away
    elif snapshot.failure is not None:
        what, why = "SCORING HAS STOPPED", snapshot.failure
    else:
        return []
    texts = ("", f"{what}: nothing below is current", plain(why), "")
    return [[Segment(fit(f"  {text}", width), ALARM)] for text in texts] + [[]]


def view_lines(snapshot: Snapshot, view: View, width: int) -> list[Line]:
    """What the view hides: that it is paused and what has happened since, calls that the filter keeps back, another order."""
    lines: list[Line] = []
    happened = since(view, snapshot)
    if view.frozen is not None and happened is not None:
        parts = [
            count(happened.alerts, "alert") if happened.alerts else "",
            f"{count(happened.begun, 'call')} began" if happened.begun else "",
            f"{happened.ended} ended" if happened.ended else "",
        ]
        told = ", ".join(part for part in parts if part) or "nothing has happened"
        text = f"  PAUSED for {clock(snapshot.now_s - view.frozen.now_s)}: since then {told}   p goes on"
        lines.append([Segment(fit(text, width), ALARM if happened.alerts else CHOSEN)])
    if view.opened is None and (view.filter or view.typing or view.sort != "urgency"):
        lines.append(_filtered(view.frozen or snapshot, view, width))
    return lines


def _filtered(snapshot: Snapshot, view: View, width: int) -> Line:
    parts: list[Part] = []
    if view.filter or view.typing:
        calls = arranged(snapshot, view)
        everything = len(snapshot.calls) + len(snapshot.ended)
        parts.append((f"{len(calls)} of {count(everything, 'call')} with '{plain(view.filter)}'", BOLD))
        hidden = snapshot.waiting_alerts - sum(alert.waits for call in calls for alert in call.alerts)
        parts.append((f"{count(hidden, 'alert')} in calls that are not shown" if hidden else "", ALARM))
    parts.append((f"sorted by {view.sort}" if view.sort != "urgency" else "", BOLD))
    return [Segment("  "), *_fitting(parts, width)[1:]]


def notice_lines(snapshot: Snapshot, health: Health, width: int) -> list[Line]:
    """The last error, what does not work beside scoring, and what was missed, where there is anything to tell."""
    texts = []
    if snapshot.faults and snapshot.faults[-1].ago_s < FAULT_SHOWN_S:
        fault = snapshot.faults[-1]
        earlier = f" ({count(snapshot.fault_count, 'error')})" if snapshot.fault_count > 1 else ""
        texts.append(f"{plain(fault.code)}, {clock(fault.ago_s)} ago{earlier}: {plain(fault.text)}")
    if health.history:
        texts.append(f"calls are not stored: {plain(health.history)}")
    texts += [plain(warning) for warning in health.warnings]
    if snapshot.missed:
        texts.append(f"{count(snapshot.missed, 'message')} missed: what is shown may be incomplete")
    return [[Segment(fit(f"  ! {text}", width), WARNING)] for text in texts]


def hint_lines(health: Health, width: int) -> list[Line]:
    return [[Segment(fit(f"  {plain(health.hint)}", width), DIM)]] if health.hint else []


def key_lines(snapshot: Snapshot, health: Health, view: View, width: int) -> list[Line]:
    """One line: what is being typed or asked, else what the last key did, else what the keys do; nothing without keys."""
    if not view.keys:
        return []
    if view.leaving:
        question = f"listen to {count(len(snapshot.calls), 'call')} no more? q quits, any other key goes back"
        return [[Segment(fit(f"  {question}", width), ALARM)]]
    if view.typing:
        keys = Segment("   enter keeps, esc shows all", DIM)
        return [
            [
                Segment(f"  /{fit(plain(view.filter), min(cell_len(plain(view.filter)), max(0, width - 36)))}█", BOLD),
                keys,
            ]
        ]
    if health.answer:
        return [[Segment(fit(f"  ! {plain(health.answer)}", width), WARNING)]]
    if view.notice and 0.0 <= snapshot.now_s - view.notice_at_s < NOTICE_S:
        return [[Segment(fit(f"  {plain(view.notice)}", width), BOLD)]]
    if view.helping:
        return [[Segment(fit("  any key goes back", width), DIM)]]
    return [[Segment(fit(_keys(_LIST_KEYS if view.opened is None else _DETAIL_KEYS, width), width), DIM)]]


def _keys(keys: Sequence[str], width: int) -> str:
    first, last = list(keys[:-2]), list(keys[-2:])
    while first and cell_len("  ".join(["", *first, *last])) > width:
        first.pop()
    wide, narrow = (f"  {(' ' * blanks).join([*first, *last])}" for blanks in (3, 2))
    return wide if cell_len(wide) <= width else narrow


def _fitting(parts: Iterable[Part], width: int) -> Line:
    """The parts that fit, the first ones first."""
    line: Line = []
    for text, style in parts:
        width -= cell_len(text) + 3
        if text and width >= 0:
            line += [Segment("   "), Segment(text, style)]
    return line
