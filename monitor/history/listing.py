"""Stored calls as lines: for people, in columns; for programs, as JSON. Pure."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from monitor.dashboard.looks import clock, plain, words
from monitor.history.archive import StoredCall
from monitor.messages import rfc3339

_TITLES = ("id", "call", "began", "duration", "agent", "outcome", "alerts", "state")
_WIDEST = 40
"""Longer texts are cut in the middle; `--json` has them whole."""


def listed(calls: Sequence[StoredCall]) -> Iterator[str]:
    """A line of titles, and one a call, in columns; times are this machine's."""
    rows = [_TITLES, *map(_row, calls)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def as_json(calls: Sequence[StoredCall]) -> Iterator[str]:
    """One JSON object a call; times are UTC, RFC 3339."""
    for call in calls:
        fields = msgspec.structs.asdict(call)
        for name in ("started", "ended"):
            at_s = fields.pop(f"{name}_s")
            fields[f"{name}_at"] = None if at_s is None else rfc3339(at_s)
        del fields["number"]
        yield json.dumps(fields)


def _row(call: StoredCall) -> tuple[str, ...]:
    began = f"{datetime.fromtimestamp(call.started_s):%Y-%m-%d %H:%M:%S}"
    alerts = f"{call.alerts} ({', '.join(map(words, call.rules))})" if call.alerts else ""
    name, agent = (_short(plain(text or "")) for text in (call.call, call.agent))
    unstored = f", {call.unstored} messages missing" if call.unstored else ""
    return call.id, name, began, clock(call.duration_s), agent, call.outcome or "", alerts, call.state + unstored


def _short(text: str) -> str:
    """Names often differ in their ends."""
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST // 2]}…{text[1 - _WIDEST // 2 :]}"
