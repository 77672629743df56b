"""Reads the history: which calls there were, and every message of each. It changes nothing, also while a node writes."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec

from monitor.errors import HistoryError
from monitor.history import retrieval
from monitor.history.database import fault, is_written, opened
from monitor.history.retrieval import Place
from monitor.messages import AnyCallMessage, CallKey, Mood, rfc3339, unix_ms

CallProgress = Literal["running", "ended", "interrupted"]

_SHORTEST_ID = 4
"""So many characters of an id may stand for it where no other begins with them."""
_UNKNOWN: Mood = "unclear"
"""The outcome of a call that was interrupted."""
_COLUMNS = (
    "calls.number, calls.id, calls.call, source, path, agent, started_ms, state, ended_ms, duration_s, outcome, reason, "
    "alerts, rules, lost_s, last_seq, stored, model, node"
)


class StoredCall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call as the history knows it."""

    id: str
    """Unique over all runs: 12 hexadecimal digits."""
    call: str
    """Its name, which another call may have had in another run."""
    source: str
    """Kind of source; empty where its beginning was not stored."""
    path: str | None
    """Of a recording."""
    agent: str | None
    """The agent's id or pseudonym, as it was shown."""
    started_s: float
    """Unix seconds."""
    state: CallProgress
    """`interrupted`: callmood ended, by a crash or a cut of power, while it ran."""
    ended_s: float | None
    """Unix seconds, of the last message of one that was interrupted; null while it runs."""
    duration_s: float
    """How much of it was heard, seconds; of a running call, so far."""
    outcome: Mood | None
    """Null while it runs; `unclear` where it was interrupted."""
    reason: str | None
    """Why it ended; null while it runs."""
    alerts: int
    """Alerts that were raised."""
    rules: tuple[str, ...]
    """Those of the alerts, in order, each once."""
    lost_s: float
    """Audio that never came or was dropped, seconds over all parties."""
    last_seq: int | None
    """Messages that were told of it; null while it runs."""
    unstored: int
    """Messages that the history lacks, as where the disk was full."""
    model: str
    """Name and version of the model that read it."""
    node: str
    """Name of the node."""
    number: int
    """Counts the calls of this file; for other tables of it."""

    @property
    def key(self) -> CallKey:
        """As what is elsewhere of it names it: another call may have its name."""
        return CallKey(self.call, round(self.started_s * 1000))


class Archive:
    """The history in one file. A context manager; every method raises HistoryError where the file cannot be read."""

    def __init__(self, path: Path) -> None:
        """Raises HistoryError where there is none, or one of a newer version."""
        self.path = path
        self._database = opened(path)
        self._database.execute("PRAGMA query_only = ON")

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is read after this."""
        self._database.close()

    def calls(
        self,
        since_s: float | None = None,
        until_s: float | None = None,
        outcome: str | None = None,
        alert: str | None = None,
        limit: int | None = None,
        agents: tuple[str, ...] = (),
    ) -> list[StoredCall]:
        """Calls, the last that began first; at most `limit`.

        Those that began at `since_s` or later and before `until_s` (Unix seconds), with that outcome, in which an alert of the
        rule `alert` was raised, of one of `agents` (as they are shown).
        """
        wheres, values = ["1"], list[Any]()

        def where(condition: str, *given: Any) -> None:
            wheres.append(condition)
            values.extend(given)

        if since_s is not None:
            where("started_ms >= ?", round(since_s * 1000))
        if until_s is not None:
            where("started_ms < ?", round(until_s * 1000))
        if outcome is not None:
            where("coalesce(outcome, ?) = ?", "" if is_written(self.path) else _UNKNOWN, outcome)
        if alert is not None:
            where("instr(' ' || rules, ?)", f" {alert} ")
        if agents:
            where(f"agent IN ({', '.join('?' * len(agents))})", *agents)
        order = "ORDER BY started_ms DESC, calls.number DESC LIMIT ?"
        return self._select(f"{' AND '.join(wheres)} {order}", *values, -1 if limit is None else limit)

    def run(self, epoch: str) -> tuple[int, str] | None:
        """Number of the run that `epoch` names, and how it showed identities; None where it is unknown or goes on."""
        query = (
            "SELECT number, identities FROM runs WHERE epoch = ? "
            "AND NOT EXISTS (SELECT 1 FROM calls WHERE run = runs.number AND state = 'running')"
        )
        with self._reading():
            row: tuple[int, str] | None = self._database.execute(query, (epoch,)).fetchone()
        return row

    def calls_of_run(
        self, run: int, names: Iterable[str], began_from_s: float | None, limit: int, agent: str | None = None
    ) -> list[StoredCall]:
        """At most `limit` calls of a run, the last that began first: those of `names`, and with `began_from_s` (Unix seconds)
        those that began then or later, or were interrupted; of one agent only, as it is shown, where one is given.
        """
        late = "" if began_from_s is None else f"started_ms >= {began_from_s * 1000:.0f} OR state = 'interrupted' OR "
        which = f"calls.run = ? AND ({late}calls.call IN (SELECT value FROM json_each(?)))"
        values: list[Any] = [run, json.dumps(list(names))]
        if agent is not None:
            which, values = f"{which} AND agent = ?", [*values, agent]
        return self._select(f"{which} ORDER BY started_ms DESC LIMIT ?", *values, limit)

    def call(self, id_or_name: str) -> StoredCall:
        """The call of that id, of an unmistakable beginning of it, or the only one of that name. Raises HistoryError."""
        found = self._select("calls.id = ?", id_or_name)
        found = found or self._select("calls.call = ? ORDER BY started_ms DESC LIMIT 4", id_or_name)
        if not found and len(id_or_name) >= _SHORTEST_ID:
            found = self._select("calls.id >= ? AND calls.id < ? LIMIT 4", id_or_name, id_or_name + "g")
        if len(found) == 1:
            return found[0]
        if not found:
            raise HistoryError(f"no call {id_or_name!r} is in {self.path}: `callmood calls` lists them")
        some = ", ".join(f"{call.id} ({rfc3339(call.started_s)[:16]}Z)" for call in found)
        raise HistoryError(f"several calls are {id_or_name!r}: name one by its id: {some}")

    def messages(self, id_or_name: str) -> list[AnyCallMessage]:
        """Everything that was told of a call, in order of `seq`. Raises HistoryError as `call` does."""
        return self.messages_of(self.call(id_or_name))

    def messages_of(self, call: StoredCall, after_seq: int = 0) -> list[AnyCallMessage]:
        """Everything that was told of `call` in order of `seq`, readings only where it is greater than `after_seq`."""
        with self._reading():
            return list(retrieval.messages(self._database, _place(call), after_seq))

    def told_at_s(self, call: StoredCall, seq: int) -> float:
        """When message `seq` of `call` was told, Unix seconds; one that is not stored, with the next that is."""
        at_s = call.started_s
        with self._reading():
            for message in retrieval.messages(self._database, _place(call), seq - 1):
                at_s = unix_ms(message.at) / 1000
                if message.seq >= seq:
                    break
        return at_s

    def _select(self, condition: str, *values: Any) -> list[StoredCall]:
        query = f"SELECT {_COLUMNS} FROM calls JOIN runs ON runs.number = calls.run WHERE {condition}"
        with self._reading():
            rows = self._database.execute(query, values).fetchall()
            goes_on = any(row[7] == "running" for row in rows) and is_written(self.path)
            return [self._stored(row, goes_on) for row in rows]

    def _stored(self, row: tuple[Any, ...], goes_on: bool) -> StoredCall:
        number, id_, call, source, path, agent, started_ms, state, ended_ms, duration_s, outcome, reason, *rest = row
        alerts, rules, lost_s, last_seq, stored, model, node = rest
        if state == "running" and not goes_on:
            state, outcome = "interrupted", _UNKNOWN  # its node is gone, and none has been started since
        return StoredCall(
            id=id_,
            call=call,
            source=source,
            path=path,
            agent=agent,
            started_s=started_ms / 1000,
            state=state,
            ended_s=None if ended_ms is None else ended_ms / 1000,
            duration_s=retrieval.heard_s(self._database, Place(number, call, started_ms))
            if duration_s is None
            else duration_s,
            outcome=outcome,
            reason=reason,
            alerts=alerts,
            rules=tuple(rules.split()),
            lost_s=lost_s,
            last_seq=last_seq,
            unstored=0 if last_seq is None else last_seq - stored,
            model=model,
            node=node,
            number=number,
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One moment of the file, while a node goes on writing."""
        try:
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN")
            try:
                yield
            finally:
                self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise fault(self.path, error) from error
        except ValueError as error:
            raise HistoryError(
                f"{self.path}: what is stored of a call is damaged: {error}; see docs/history.md"
            ) from error


def _place(call: StoredCall) -> Place:
    return Place(call.number, call.call, round(call.started_s * 1000))
