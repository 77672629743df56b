"""CSV files that say what is expressed where in recordings; wrong rows are found, named by line, and left out."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import soundfile

from monitor.audio import Samples
from monitor.messages import LABELS, PARTIES, Label, Party
from train.corpus import CorpusError

CHANNELS: dict[int, tuple[Party, ...]] = {1: ("customer",), 2: ("agent", "customer")}
"""Who is on which channel, as `callmood replay` takes a recording."""


@dataclass(frozen=True, slots=True)
class Row:
    """A stretch of a recording that has a label."""

    line: int
    """Of the CSV file, from 1; the header is the first."""
    name: str
    """Of the recording: what stands in its first column."""
    label: Label
    speaker: str
    """Empty where the file does not say."""
    party: Party
    start_s: float
    end_s: float | None
    """None: to the recording's end."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a file are called."""

    name: str
    start: str
    end: str
    required: tuple[str, ...]
    optional: tuple[str, ...]


RECORDINGS = Columns("path", "start", "end", ("path", "speaker", "label"), ("start", "end", "party"))
"""Of `fit --data`."""
CALLS = Columns("call", "start_s", "end_s", ("call", "start_s", "end_s", "label"), ("speaker", "party"))
"""Of a folder of calls: its labels.csv."""


def read_rows(path: Path, columns: Columns, wrong: dict[int, str]) -> list[Row]:
    """The sound rows in the file's order; `wrong` gets line → why not. Raises `CorpusError` for what is no such file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read ({error}), expected a CSV file in UTF-8") from error
    reader = csv.DictReader(text.splitlines())
    known = columns.required + columns.optional
    if missing := [name for name in columns.required if name not in (reader.fieldnames or ())]:
        raise CorpusError(f"{path} lacks the column {', '.join(missing)}, expected a first line of {','.join(known)}")
    if other := [name for name in reader.fieldnames or () if name not in known]:
        raise CorpusError(f"{path} has the unknown column {other[0]!r}, expected some of {','.join(known)}")
    rows = []
    for values in reader:
        try:
            rows.append(_row(values, reader.line_num, columns))
        except CorpusError as error:
            wrong[reader.line_num] = str(error)
    return list(_without_overlaps(rows, wrong))


def _row(values: Mapping[str | None, str | None], line: int, columns: Columns) -> Row:
    def value(name: str) -> str:
        return (values.get(name) or "").strip()

    if None in values:
        raise CorpusError("has more fields than columns")
    if empty := [name for name in columns.required if not value(name)]:
        raise CorpusError(f"{empty[0]} is empty")
    label, party = value("label").lower(), value("party").lower() or "customer"
    if label not in LABELS:
        raise CorpusError(f"label is {value('label')!r}, expected one of {', '.join(LABELS)}")
    if party not in PARTIES:
        raise CorpusError(f"party is {value('party')!r}, expected one of {', '.join(PARTIES)}")
    start_s = _seconds(value(columns.start) or "0", columns.start)
    end_s = _seconds(value(columns.end), columns.end) if value(columns.end) else None
    if end_s is not None and end_s <= start_s:
        raise CorpusError(f"{columns.end} is {end_s:g}, expected more than {columns.start} {start_s:g}")
    found = cast(Label, label), value("speaker"), cast(Party, party), start_s, end_s
    return Row(line, value(columns.name), *found)


def _seconds(text: str, name: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds < math.inf:
        raise CorpusError(f"{name} is {text!r}, expected seconds such as 12.5")
    return seconds


def _without_overlaps(rows: Iterable[Row], wrong: dict[int, str]) -> Iterator[Row]:
    """Without rows that overlap an earlier line of the same party of the same recording."""
    taken: dict[tuple[str, Party], list[Row]] = {}
    for row in rows:
        others = taken.setdefault((row.name, row.party), [])
        over = next((other for other in others if _overlap(row, other)), None)
        if over is not None:
            wrong[row.line] = f"overlaps line {over.line}"
        else:
            others.append(row)
            yield row


def _overlap(one: Row, other: Row) -> bool:
    ends = [math.inf if row.end_s is None else row.end_s for row in (one, other)]
    return one.start_s < ends[1] and other.start_s < ends[0]


def read_recording(path: Path) -> tuple[dict[Party, Samples], int]:
    """A recording's parties and its sample rate in hertz. Raises `CorpusError` for what is no recording of a call."""
    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        reason = "no such file" if not path.is_file() else str(error)
        raise CorpusError(f"{path} cannot be read ({reason}), expected WAV, FLAC, OGG or MP3") from error
    if samples.shape[1] not in CHANNELS:
        raise CorpusError(f"{path} has {samples.shape[1]} channels, expected one (customer) or two (agent, customer)")
    if not len(samples):
        raise CorpusError(f"{path} is empty, expected some audio")
    named = zip(CHANNELS[samples.shape[1]], samples.T, strict=True)
    return {party: np.ascontiguousarray(own) for party, own in named}, sample_rate


def listed(path: Path, wrong: Mapping[int, str]) -> list[str]:
    """One line a wrong row, for people."""
    return [f"{path}:{line}: {reason}" for line, reason in sorted(wrong.items())]
