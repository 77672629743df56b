"""The messages of one stored call, out of an open file of the history."""

import heapq
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import cast

import msgspec

from monitor.history.packing import decompress, unpack
from monitor.messages import AnyCallMessage, Reading, decode


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call lies in its file."""

    number: int
    call: str
    """Its name."""
    start_ms: int
    """Unix milliseconds of its beginning, from which its readings count."""


def messages(database: sqlite3.Connection, place: Place, after_seq: int = 0) -> Iterator[AnyCallMessage]:
    """Everything that was told of a call in order of `seq`, readings only where it is greater than `after_seq`.

    Raises ValueError where what is stored is no message.
    """
    return heapq.merge(_events(database, place), readings(database, place, after_seq), key=attrgetter("seq"))


def readings(database: sqlite3.Connection, place: Place, after_seq: int = 0) -> Iterator[Reading]:
    """The packed readings of a call. Raises ValueError where what is stored is none."""
    for table, restored in (("chunks", decompress), ("pieces", bytes)):
        wanted = f"SELECT records FROM {table} WHERE call = ? AND last_seq > ? ORDER BY number"
        for (records,) in database.execute(wanted, (place.number, after_seq)):
            for reading in unpack(restored(records), place.call, place.start_ms):
                if reading.seq > after_seq:
                    yield reading


def heard_s(database: sqlite3.Connection, place: Place) -> float:
    """How far the readings of a call have come, seconds. Raises ValueError as `readings` does."""
    for table, restored in (("pieces", bytes), ("chunks", decompress)):
        last = f"SELECT records FROM {table} WHERE call = ? ORDER BY number DESC LIMIT 1"
        for (records,) in database.execute(last, (place.number,)):
            return max(reading.end_s for reading in unpack(restored(records), place.call, place.start_ms))
    return 0.0


def _events(database: sqlite3.Connection, place: Place) -> Iterator[AnyCallMessage]:
    for (body,) in database.execute("SELECT body FROM events WHERE call = ? ORDER BY seq", (place.number,)):
        try:
            yield cast(AnyCallMessage, decode(body))
        except msgspec.DecodeError as error:
            raise ValueError(f"no message: {error}") from error
