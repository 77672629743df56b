"""Stored calls as files for other programs: JSON lines, or CSV that is safe to open in a spreadsheet. Pure."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from monitor.history.archive import StoredCall
from monitor.messages import LABELS, AnyCallMessage

Format = Literal["csv", "json"]

COLUMNS = (
    *("id", "call", "seq", "at", "type", "party", "start_s", "end_s", "state", "label", "mood", "confidence"),
    *LABELS,
    *("speech_share", "level_db", "latency_ms", "alert", "rule", "severity", "at_s", "evidence", "by"),
    *("source", "agent", "duration_s", "outcome", "reason"),
)
"""Of the CSV; a cell is empty where a message has no such field."""
_RUNS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""


def header(kind: Format) -> str:
    """The line before all others, if there is one."""
    return _line(COLUMNS) if kind == "csv" else ""


def lines(kind: Format, call: StoredCall, messages: Iterable[AnyCallMessage]) -> Iterator[str]:
    """A line a message, each with its end: the message as on the websocket, and the `id` of its call."""
    written = _csv if kind == "csv" else _json
    return (written(call, message) for message in messages)


def safe(cell: Any) -> Any:
    """A text that a spreadsheet would run gets an apostrophe in front; numbers stay, negative ones too."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_RUNS) else cell


def _json(call: StoredCall, message: AnyCallMessage) -> str:
    return json.dumps({"id": call.id} | msgspec.to_builtins(message), ensure_ascii=False, separators=(",", ":")) + "\n"


def _csv(call: StoredCall, message: AnyCallMessage) -> str:
    fields: dict[str, Any] = {"id": call.id} | msgspec.to_builtins(message)
    fields |= fields.pop("scores", None) or {}
    fields["evidence"] = " ".join(map(str, fields.get("evidence", ())))
    return _line([fields.get(name) for name in COLUMNS])


def _line(cells: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(map(safe, cells))
    return text.getvalue()
