"""The queue of deliveries on disk: one SQLite file, mode 0600, whose rows go when they are delivered.

A rollback journal rather than a WAL: there are few writes, and what is deleted is then in no other file. Deleted rows are
overwritten (`secure_delete`). Every method but `open_queue` and `forget` raises `sqlite3.Error` where the disk is full,
or the file locked or corrupt.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monitor.errors import ServiceError
from monitor.messages import CallKey
from monitor.webhooks.body import Notice
from monitor.webhooks.endpoints import Endpoint
from monitor.webhooks.files import make_private

_STEPS = (
    """
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    shown TEXT NOT NULL,
    kind TEXT NOT NULL,
    call TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    body BLOB NOT NULL,
    queued_s REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    tries INTEGER NOT NULL DEFAULT 0,
    last TEXT NOT NULL DEFAULT '',
    UNIQUE (id, endpoint)
);
CREATE INDEX in_order ON deliveries (endpoint, state, number);
CREATE TABLE endpoints (
    endpoint TEXT PRIMARY KEY,
    failures INTEGER NOT NULL DEFAULT 0,
    due_s REAL NOT NULL DEFAULT 0,
    gone INTEGER NOT NULL DEFAULT 0
);
""",
    """
ALTER TABLE deliveries ADD COLUMN began_ms INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET began_ms = coalesce((
    SELECT strftime('%s', at) * 1000 + substr(at, 21, 3)
    FROM (SELECT json_extract(CAST(body AS TEXT), '$.data.call.started_at') AS at)
), 0) WHERE json_valid(CAST(body AS TEXT));
""",
)
"""From an empty file to the present schema, a step a version. A step that was released never changes.

`deliveries.began_ms` is when the call began, which tells it from others of its name; the second step reads it from the bodies.
"""
SCHEMA = len(_STEPS)
NO_CALL = CallKey("", 0)
"""What is of no call is stored under it."""
_COLUMNS = "number, id, endpoint, shown, kind, call, rule, severity, body, queued_s, state, tries, last"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice on its way to one endpoint."""

    number: int
    """Counts the deliveries of this queue: their order."""
    id: str
    """`webhook-id`: the same in every try, over restarts, and for every endpoint."""
    endpoint: str
    """`Endpoint.key`."""
    shown: str
    kind: str
    call: str
    rule: str
    severity: str
    body: bytes
    queued_s: float
    """Unix seconds."""
    state: Literal["waiting", "given_up"]
    tries: int
    """So far."""
    last: str
    """What came of the last try; empty before the first."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is next at an endpoint."""

    delivery: Delivery | None
    """The oldest that waits."""
    waiting: int
    failures: int
    """Tries without success since the last one that had any."""
    due_s: float
    """Not before: Unix seconds."""
    gone: bool
    """It answered that it wants no more."""


def open_queue(path: Path, patience_s: float = 5.0) -> "DeliveryQueue":
    """The queue in `path`, a new one where nothing is; `patience_s` for a lock of another program.

    Raises ServiceError where the file cannot be one, or others may read it, and `sqlite3.OperationalError` where it is
    locked or the disk is full.
    """
    make_private(path)
    queue = DeliveryQueue(sqlite3.connect(path, timeout=patience_s, isolation_level="IMMEDIATE"))
    try:
        queue.prepare()
    except (sqlite3.Error, ServiceError) as error:
        queue.close()
        if isinstance(error, sqlite3.OperationalError | ServiceError):
            raise
        raise ServiceError(f"{path}: no queue of webhooks ({error}): move it away, a new one will be made") from None
    return queue


def forget(path: Path, calls: Collection[CallKey]) -> int:
    """Deletes these calls' deliveries for good, whatever their state; returns how many. Raises ServiceError.

    After it the file is written anew, so that the calls' bytes are in no part of it that is not in use; once for all of them.
    """
    if not calls or not path.exists():
        return 0
    try:
        with closing(open_queue(path)) as queue:
            return queue.forget(calls)
    except sqlite3.Error as error:
        cure = "try again; another program may be writing, or the disk is full"
        raise ServiceError(f"{path}: nothing was forgotten: {error}: {cure}") from None


class DeliveryQueue:
    """The queue, open. Belongs to the thread that opened it."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def prepare(self) -> None:
        """Settings of the connection, and the tables where there are none. Raises ServiceError for a later schema."""
        self._database.execute("PRAGMA secure_delete = ON")
        self._database.execute("PRAGMA temp_store = MEMORY")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise ServiceError(f"the webhooks' queue has schema {version}, expected {SCHEMA}: use the newer callmood")
        if version < SCHEMA:
            steps = "".join(_STEPS[version:])
            self._database.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA}; COMMIT;")

    def close(self) -> None:
        self._database.close()

    def put(self, notices: Iterable[Notice], to: Collection[Endpoint], now_s: float) -> None:
        """All of `notices` wait for every endpoint, or none does."""
        columns = "id, endpoint, shown, kind, call, began_ms, rule, severity, body, queued_s"
        rows = [
            (one.id, end.key, end.shown, one.kind, *(one.call or NO_CALL), one.rule, one.severity, one.body, now_s)
            for one in notices
            for end in to
        ]
        with self._database:
            self._database.executemany(f"INSERT INTO deliveries ({columns}) VALUES ({', '.join('?' * 10)})", rows)

    def turn(self, endpoint: str) -> Turn:
        """What is next at the endpoint of that key."""
        found = self._database.execute(
            "SELECT failures, due_s, gone FROM endpoints WHERE endpoint = ?", (endpoint,)
        ).fetchone()
        failures, due_s, gone = found or (0, 0.0, 0)
        next_one = self._select("WHERE endpoint = ? AND state = 'waiting' ORDER BY number LIMIT 1", endpoint)
        return Turn(next(next_one, None), self.count(endpoint, "waiting"), failures, due_s, bool(gone))

    def count(self, endpoint: str, state: str) -> int:
        """Deliveries to that endpoint in that state."""
        (count,) = self._database.execute(
            "SELECT count(*) FROM deliveries WHERE endpoint = ? AND state = ?", (endpoint, state)
        ).fetchone()
        return int(count)

    def all(self) -> list[Delivery]:
        """Everything that waits or was given up, the oldest first."""
        return list(self._select("ORDER BY number"))

    def delivered(self, delivery: Delivery) -> None:
        """It arrived: nothing is kept of it."""
        with self._database:
            self._database.execute("DELETE FROM deliveries WHERE number = ?", (delivery.number,))
            self._note(delivery.endpoint, failures=0, due_s=0.0)

    def failed(self, delivery: Delivery, last: str, failures: int, due_s: float, give_up: bool) -> None:
        """The endpoint is in trouble: it has failed so often, and is left alone until `due_s`."""
        with self._database:
            self._tried(delivery, last, give_up)
            self._note(delivery.endpoint, failures, due_s)

    def refused(self, delivery: Delivery, last: str, gone: bool) -> None:
        """The endpoint works, and does not want this one, or with `gone` none any more."""
        with self._database:
            self._tried(delivery, last, give_up=True)
            self._note(delivery.endpoint, failures=0, due_s=0.0, gone=gone)

    def overtake(self, endpoint: str, most: int, last: str) -> int:
        """Gives up the oldest where more than `most` wait, and forgets the oldest of more than `most` given up."""
        over = self.count(endpoint, "waiting") - most
        oldest = "number IN (SELECT number FROM deliveries WHERE endpoint = ? AND state = ? ORDER BY number LIMIT ?)"
        with self._database:
            if over > 0:
                give_up = f"UPDATE deliveries SET state = 'given_up', last = ? WHERE {oldest}"
                self._database.execute(give_up, (last, endpoint, "waiting", over))
            surplus = self.count(endpoint, "given_up") - most
            if surplus > 0:
                self._database.execute(f"DELETE FROM deliveries WHERE {oldest}", (endpoint, "given_up", surplus))
        return max(0, over)

    def retry(self, ids: Collection[str] = ()) -> int:
        """What was given up waits again, in its old place and under its old id; with `ids` only those. How many."""
        chosen = f"AND id IN ({', '.join('?' * len(ids))})" if ids else ""
        again = f"UPDATE deliveries SET state = 'waiting', tries = 0 WHERE state = 'given_up' {chosen}"
        with self._database:
            count = self._database.execute(again, tuple(ids)).rowcount
            self._database.execute("UPDATE endpoints SET due_s = 0, gone = 0")
        return count

    def welcome(self, endpoints: Collection[Endpoint]) -> None:
        """A new start: an endpoint that wanted no more is asked again."""
        with self._database:
            for endpoint in endpoints:
                self._database.execute("UPDATE endpoints SET gone = 0 WHERE endpoint = ?", (endpoint.key,))

    def expire(self, before_s: float) -> int:
        """Deletes what was queued before that moment and did not arrive; how many of them still waited."""
        with self._database:
            waited = self._database.execute(
                "SELECT count(*) FROM deliveries WHERE queued_s < ? AND state = 'waiting'", (before_s,)
            ).fetchone()
            self._database.execute("DELETE FROM deliveries WHERE queued_s < ?", (before_s,))
        return int(waited[0])

    def forget(self, calls: Iterable[CallKey]) -> int:
        """Deletes these calls' deliveries and of no other of their names, then writes the whole file anew."""
        with self._database:
            delete = "DELETE FROM deliveries WHERE call = ? AND began_ms = ?"
            count = self._database.executemany(delete, list(calls)).rowcount
        self._database.execute("VACUUM")
        return count

    def _select(self, condition: str, *values: str) -> Iterator[Delivery]:
        for row in self._database.execute(f"SELECT {_COLUMNS} FROM deliveries {condition}", values).fetchall():
            yield Delivery(*row)

    def _tried(self, delivery: Delivery, last: str, give_up: bool) -> None:
        state = "given_up" if give_up else "waiting"
        self._database.execute(
            "UPDATE deliveries SET tries = tries + 1, last = ?, state = ? WHERE number = ?",
            (last, state, delivery.number),
        )

    def _note(self, endpoint: str, failures: int, due_s: float, gone: bool = False) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO endpoints (endpoint, failures, due_s, gone) VALUES (?, ?, ?, ?)",
            (endpoint, failures, due_s, gone),
        )
