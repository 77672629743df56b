"""What somebody says of recorded calls: stretches of the customer's voice with a label, from a CSV file.

Further columns, as `python -m train calls` takes them, are passed over.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from monitor.alerts.rules import Expected, nearest
from monitor.errors import SettingError
from monitor.messages import LABELS

HEADER = ("call", "start_s", "end_s", "label")
KNOWN: tuple[Expected, ...] = (*LABELS, "silence")

_EXAMPLE = "growing_anger,47.51,89.02,anger"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of a call."""

    call: str
    start_s: float
    end_s: float
    label: Expected


Stretches = Mapping[str, tuple[Stretch, ...]]
"""Call → its stretches, in order of time, none over another."""


def read_stretches(path: Path) -> Stretches:
    """The labels in a file. Raises SettingError, one line, for the first mistake."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SettingError(f"{path}: cannot read the labels: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{path}: not UTF-8 ({error.reason}): save the file as CSV in UTF-8") from error
    return parse_stretches(text, str(path))


def parse_stretches(text: str, file: str) -> Stretches:
    """The labels in `text`; `file` is its name in errors. Raises SettingError."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: list[tuple[int, Stretch]] = []
    try:
        header = next(rows, [])
        if tuple(name.strip() for name in header[: len(HEADER)]) != HEADER:
            got = repr(",".join(header)) if header else "nothing"
            raise SettingError(f"{file}:1: expected the header {','.join(HEADER)}, got {got}: separate by commas")
        found += [(rows.line_num, _stretch(row, len(header), f"{file}:{rows.line_num}")) for row in rows if any(row)]
    except csv.Error as error:
        raise SettingError(f"{file}:{rows.line_num}: not CSV: {error}; expected rows such as {_EXAMPLE}") from error
    if not found:
        raise SettingError(f"{file}: no row under the header: expected rows such as {_EXAMPLE}")
    return dict(_calls(found, file))


def _stretch(row: list[str], columns: int, where: str) -> Stretch:
    if len(row) != columns:
        raise SettingError(f"{where}: {len(row)} columns, expected {columns}, such as {_EXAMPLE}")
    call, start, end, label = (cell.strip() for cell in row[: len(HEADER)])
    if not call:
        raise SettingError(
            f"{where}: call is empty: write the call's name, of a recording its file name without the ending"
        )
    start_s, end_s = _seconds("start_s", start, where), _seconds("end_s", end, where)
    if end_s <= start_s:
        raise SettingError(f"{where}: end_s must be after start_s ({start_s:g}), got {end_s:g}: swap or mend them")
    for known in KNOWN:
        if label == known:
            return Stretch(call, start_s, end_s, known)
    cure = nearest(label, KNOWN, "choose one, or leave the row out")
    raise SettingError(f"{where}: label must be one of {', '.join(KNOWN)}, got {label!r}: {cure}")


def _seconds(name: str, text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e6:
        raise SettingError(f"{where}: {name} must be seconds of the call, got {text!r}: write 83.5 for 1:23.5")
    return value


def _calls(found: list[tuple[int, Stretch]], file: str) -> Iterator[tuple[str, tuple[Stretch, ...]]]:
    found = sorted(found, key=lambda row: (row[1].call, row[1].start_s))
    for call, rows in groupby(found, key=lambda row: row[1].call):
        numbered = list(rows)
        for (above, one), (line, other) in pairwise(numbered):
            if other.start_s < one.end_s:
                overlaps = f"begins at {other.start_s:g} s, before the stretch of line {above} ends at {one.end_s:g} s"
                raise SettingError(f"{file}:{line}: {overlaps}: a call has one label at a time; mend one of them")
        yield call, tuple(stretch for _, stretch in numbered)
