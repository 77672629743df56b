"""Messages into the tables of the history, a batch a transaction. It belongs to one thread, and to one open file.

Whatever goes wrong, the batch is not in the file: whoever holds it opens the file anew and writes it again.
"""

import secrets
import sqlite3
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from monitor.history.database import UNFINISHED, transaction
from monitor.history.packing import compress, count, pack
from monitor.history.retrieval import Place, messages
from monitor.interruption import interruption
from monitor.messages import (
    AlertRaised,
    AnyCallMessage,
    CallEnded,
    CallKey,
    CallStarted,
    Gap,
    Reading,
    encode,
    rfc3339,
    unix_ms,
)

CHUNK_PIECES = 120
"""So many pieces of a call become one chunk: under a minute of it."""
KEYS_KEPT = 5_000
"""Calls of this run that a deletion can still name."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a node."""

    epoch: str
    """Names it, as `hello` does."""
    node: str
    model: str
    identities: str
    """How identities are shown: a fingerprint of the pseudonyms' key, or `shown`."""


@dataclass(slots=True)
class _Running:
    """A call that goes on."""

    place: Place
    last_seq: int = 0
    stored: int = 0
    pieces: int = 0


class Ledger:
    """The calls of one run."""

    def __init__(self, database: sqlite3.Connection, run: Run, began_s: float, keys: OrderedDict[int, CallKey]) -> None:
        """`keys`: by number, this run's calls, kept by the caller while files come and go. Calls that an earlier run
        left open are marked as interrupted. Raises what sqlite3 raises.
        """
        self._database, self._keys = database, keys
        with transaction(database):
            values = (run.epoch, run.node, run.model, run.identities, round(began_s * 1000))
            database.execute(
                "INSERT OR IGNORE INTO runs (epoch, node, model, identities, began_ms) VALUES (?, ?, ?, ?, ?)", values
            )
            (self._run,) = database.execute("SELECT number FROM runs WHERE epoch = ?", (run.epoch,)).fetchone()
            interrupt(database, except_run=self._run)
        ours = "SELECT number, call, started_ms FROM calls WHERE state = 'running' AND run = ?"
        places = [Place(*row) for row in database.execute(ours, (self._run,))]
        self._is_first = True
        """Its messages may be in the file already: who writes them does not know how far the last try came."""
        self._running = {place.call: self._resumed(place) for place in places}

    def write(self, batch: Iterable[AnyCallMessage]) -> list[CallKey]:
        """Store `batch`. Returns this run's calls that were deleted since. Raises what sqlite3 raises."""
        with transaction(self._database):
            records: defaultdict[str, list[bytes]] = defaultdict(list)
            for message in batch:
                call = self._running.get(message.call)
                if call is None:
                    if self._is_first and self._has_ended(message):
                        continue
                    call = self._begin(message)
                elif message.seq <= call.last_seq:
                    continue
                call.last_seq = message.seq
                call.stored += 1
                record = pack(message, call.place.start_ms) if isinstance(message, Reading) else None
                if record is not None:
                    records[message.call].append(record)
                    continue
                self._event(message, call.place.number)
                if isinstance(message, CallEnded):
                    self._flush(call, records.pop(message.call, []))
                    self._end(call, message)
            for name, waiting in records.items():
                self._flush(self._running[name], waiting)
            deleted = self._deleted()
        self._is_first = False
        return deleted

    def _resumed(self, place: Place) -> _Running:
        seqs = [message.seq for message in messages(self._database, place)]
        pieces = "SELECT count(*) FROM pieces WHERE call = ?"
        return _Running(
            place, max(seqs, default=0), len(seqs), self._database.execute(pieces, (place.number,)).fetchone()[0]
        )

    def _has_ended(self, message: AnyCallMessage) -> bool:
        """Whether the call of `message` is whole in the file."""
        whole = "SELECT 1 FROM calls WHERE run = ? AND call = ? AND last_seq >= ?"
        return self._database.execute(whole, (self._run, message.call, message.seq)).fetchone() is not None

    def _begin(self, message: AnyCallMessage) -> _Running:
        started_ms = unix_ms(message.at)
        source, path, agent = "", None, None
        if isinstance(message, CallStarted):
            source, path, agent = message.source, message.path, message.agent
        values = (secrets.token_hex(6), self._run, message.call, source, path, agent, started_ms)
        insert = "INSERT INTO calls (id, run, call, source, path, agent, started_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
        number = self._database.execute(insert, values).lastrowid
        assert number is not None, "a row was inserted"
        self._keys[number] = CallKey(message.call, started_ms)
        while len(self._keys) > KEYS_KEPT:
            self._keys.popitem(last=False)
        call = self._running[message.call] = _Running(Place(number, message.call, started_ms))
        return call

    def _event(self, message: AnyCallMessage, number: int) -> None:
        unix_ms(message.at)  # raises now what would make the call unreadable later
        kind = type(message).__struct_config__.tag
        rule = getattr(message, "rule", None)
        insert = "INSERT INTO events (call, seq, type, rule, body) VALUES (?, ?, ?, ?, ?)"
        self._database.execute(insert, (number, message.seq, kind, rule, encode(message).decode()))
        match message:
            case AlertRaised():
                add = "CASE WHEN instr(' ' || rules, ?) THEN '' ELSE ? END"
                raised = f"UPDATE calls SET alerts = alerts + 1, rules = rules || {add} WHERE number = ?"
                self._database.execute(raised, (f" {rule} ", f"{rule} ", number))
            case Gap():
                lost = "UPDATE calls SET lost_s = lost_s + ? WHERE number = ?"
                self._database.execute(lost, (message.end_s - message.start_s, number))

    def _flush(self, call: _Running, waiting: list[bytes]) -> None:
        """Store the records that wait for a call."""
        if not waiting:
            return
        insert = "INSERT INTO pieces (call, last_seq, records) VALUES (?, ?, ?)"
        self._database.execute(insert, (call.place.number, call.last_seq, b"".join(waiting)))
        call.pieces += 1
        if call.pieces >= CHUNK_PIECES:
            gather(self._database, call.place.number)
            call.pieces = 0

    def _end(self, call: _Running, ended: CallEnded) -> None:
        del self._running[ended.call]
        gather(self._database, call.place.number)
        close_call(self._database, call.place.number, ended, "ended", call.stored)

    def _deleted(self) -> list[CallKey]:
        numbers = [
            number for (number,) in self._database.execute("SELECT call FROM erasures WHERE call != ?", (UNFINISHED,))
        ]
        if numbers:
            self._database.execute("DELETE FROM erasures WHERE call != ?", (UNFINISHED,))
        return [key for number in numbers if (key := self._keys.pop(number, None)) is not None]


def interrupt(database: sqlite3.Connection, except_run: int | None = None) -> None:
    """Mark the calls that are open, and of no run that goes on, as interrupted at the time of their last message."""
    rows = "SELECT number, call, started_ms FROM calls WHERE state = 'running' AND run IS NOT ?"
    for place in [Place(*row) for row in database.execute(rows, (except_run,))]:
        try:
            stored = list(messages(database, place))
            gather(database, place.number)
        except ValueError:  # damaged: that one call cannot be read, and the others go on
            stored = []
        ended = interruption(place.call, stored, rfc3339(place.start_ms / 1000))
        insert = "INSERT INTO events (call, seq, type, body) VALUES (?, ?, 'call_ended', ?)"
        database.execute(insert, (place.number, ended.seq, encode(ended).decode()))
        close_call(database, place.number, ended, "interrupted", len(stored) + 1)


def close_call(database: sqlite3.Connection, number: int, ended: CallEnded, state: str, stored: int) -> None:
    """Note how a call ended, and how many of its messages are stored."""
    close = (
        "UPDATE calls SET state = ?, ended_ms = ?, duration_s = ?, outcome = ?, reason = ?, last_seq = ?, stored = ? "
        "WHERE number = ?"
    )
    how = (unix_ms(ended.at), ended.duration_s, ended.outcome, ended.reason, ended.seq, stored)
    database.execute(close, (state, *how, number))


def gather(database: sqlite3.Connection, number: int) -> None:
    """A call's pieces become one chunk."""
    pieces = "SELECT records, last_seq FROM pieces WHERE call = ? ORDER BY number"
    rows = database.execute(pieces, (number,)).fetchall()
    if not rows:
        return
    records = b"".join(records for records, _ in rows)
    insert = "INSERT INTO chunks (call, last_seq, count, records) VALUES (?, ?, ?, ?)"
    database.execute(insert, (number, rows[-1][1], count(records), compress(records)))
    database.execute("DELETE FROM pieces WHERE call = ?", (number,))
