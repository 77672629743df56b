"""Calls that leave the history: what is too old, and what somebody wants forgotten. What is deleted is overwritten."""

import mmap
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from monitor.errors import HistoryError
from monitor.history.archive import StoredCall
from monitor.history.database import UNFINISHED, fault, is_written, opened, transaction

SLICE = 200
"""Calls that are deleted in one transaction, so that whoever writes waits only a moment."""
SEARCHED = 50
"""Of so many calls at most the file is searched for traces; of more it is made anew at once."""
_AGAIN = "`callmood forget --before 1970-01-01` overwrites it"
_TRIES = 5
"""Each waits as long as `monitor.history.database.BUSY_S` for readers to go."""
_TELLING = 6
"""Characters of a name from which it is searched for: shorter ones are everywhere."""
_BEGINNING = 200
"""Bytes of a message that are searched for: they name its call and the moment."""


def delete(database: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Overwrite everything of these calls. Raises what sqlite3 raises."""
    for number in numbers:
        for table in ("events", "pieces", "chunks"):
            database.execute(f"DELETE FROM {table} WHERE call = ?", (number,))
        database.execute("DELETE FROM calls WHERE number = ?", (number,))


def delete_old(database: sqlite3.Connection, before_s: float) -> int:
    """Delete some of the calls that ended before `before_s` (Unix seconds), and runs without calls; how many calls.

    0 when none is left. Raises what sqlite3 raises.
    """
    before_ms = round(before_s * 1000)
    old = "SELECT number FROM calls WHERE started_ms < ? AND ended_ms < ? ORDER BY started_ms LIMIT ?"
    with transaction(database):
        numbers = [number for (number,) in database.execute(old, (before_ms, before_ms, SLICE))]
        delete(database, numbers)
        empty = "DELETE FROM runs WHERE began_ms < ? AND number < (SELECT max(number) FROM runs) AND NOT EXISTS "
        database.execute(empty + "(SELECT 1 FROM calls WHERE run = runs.number)", (before_ms,))
    return len(numbers)


def check_ended(calls: Iterable[StoredCall]) -> None:
    """Raises HistoryError where one of them is running: it cannot be forgotten yet."""
    running = next((call for call in calls if call.state == "running"), None)
    if running is not None:
        raise HistoryError(f"call {running.call!r} is running: forget it when it has ended")


def forget(path: Path, calls: Sequence[StoredCall]) -> str:
    """Delete `calls` so that no byte of the file, its log or its index tells of them, also while a node writes.

    That node is told to forget them too. Returns why the file still tells of them, and the cure; empty when it does not. Raises
    HistoryError where nothing was deleted: one of them is running, or the file cannot be written.
    """
    check_ended(calls)
    with closing(opened(path)) as database:
        try:
            unfinished = _is_unfinished(database)
            traces = _erase(database, [call.number for call in calls], is_written(path))
        except sqlite3.Error as error:
            raise fault(path, error) from error
        try:
            _clear(database, path, traces, anew=unfinished or len(calls) > SEARCHED)
        except (OSError, sqlite3.Error) as error:
            return f"{fault(path, error)}, then {_AGAIN}"
        except HistoryError as error:
            return f"{error}, then {_AGAIN}"
    return ""


def _clear(database: sqlite3.Connection, path: Path, traces: Sequence[bytes], anew: bool) -> None:
    """Nothing of what was deleted stays in a corner of the file or its log; `anew`: without looking."""
    if not anew and not traces:
        return
    database.execute("REINDEX calls_by_name")  # its pages hold names alone, and copies of them where it was split
    _empty_log(database, path)
    if anew or _is_in(path, traces):
        database.execute("VACUUM")  # pages that SQLite has split keep copies of what was moved
        _empty_log(database, path)
    database.execute("DELETE FROM erasures WHERE call = ?", (UNFINISHED,))


def _erase(database: sqlite3.Connection, numbers: Sequence[int], node_runs: bool) -> list[bytes]:
    """Delete the calls; what the file must not hold afterwards."""
    traces = []
    for first in range(0, len(numbers), SLICE):
        with transaction(database):
            some = numbers[first : first + SLICE]
            if len(numbers) <= SEARCHED:
                traces += [trace for number in some for trace in _texts(database, number)]
            delete(database, some)
            database.execute("INSERT OR IGNORE INTO erasures VALUES (?)", (UNFINISHED,))
            if node_runs:
                database.executemany("INSERT OR IGNORE INTO erasures VALUES (?)", [(number,) for number in some])
    return traces


def _is_unfinished(database: sqlite3.Connection) -> bool:
    """Whether an earlier deletion did not come to its end."""
    return database.execute("SELECT 1 FROM erasures WHERE call = ?", (UNFINISHED,)).fetchone() is not None


def _texts(database: sqlite3.Connection, number: int) -> Iterator[bytes]:
    """What tells of one call alone: its id, the beginnings of its messages, and a name of some length that no other has."""
    row = database.execute("SELECT id, call FROM calls WHERE number = ?", (number,)).fetchone()
    if row is None:
        return
    id_, name = row
    yield id_.encode()
    others = "SELECT count(*) FROM calls WHERE instr(call, ?) AND number != ?"
    if len(name) >= _TELLING and not database.execute(others, (name, number)).fetchone()[0]:
        yield name.encode()
    for (body,) in database.execute("SELECT body FROM events WHERE call = ?", (number,)):
        yield body.encode()[:_BEGINNING]


def _empty_log(database: sqlite3.Connection, path: Path) -> None:
    """What was written goes from the log into the file, and the log is cut to nothing. Raises HistoryError."""
    for _ in range(_TRIES):
        (busy, _, _) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return
    log = path.with_name(path.name + "-wal")
    raise HistoryError(f"{log}: another program reads it, and what was deleted is still there: end that")


def _is_in(path: Path, traces: Iterable[bytes]) -> bool:
    """Whether the file holds any of `traces`."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(trace) >= 0 for trace in traces)
