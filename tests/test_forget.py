"""What is forgotten is gone: from the file to the last byte, and from the memory of a node that runs."""

import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.errors import HistoryError
from monitor.history import erasure
from monitor.history.archive import Archive, StoredCall
from monitor.history.erasure import forget
from monitor.messages import AlertAcknowledged, AnyCallMessage, CallEnded, CallKey, CallStarted, unix_ms
from tests.broadcasting import started
from tests.stored import BEGAN_S, a_call, until, write, writing, written_at_once

MARKS = ("Ursula-4711-mark", "/secret/path/mark", "id-markmarkmark", "Kim-the-mark", "error: mark-reason")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


def marked(name: str = MARKS[0], **options: Any) -> list[AnyCallMessage]:
    """A call with texts that stand nowhere else."""
    told: list[AnyCallMessage] = []
    for message in a_call(name, **options):
        match message:
            case CallStarted():
                message = replace(message, path=MARKS[1], agent=MARKS[2])
            case AlertAcknowledged():
                message = replace(message, by=MARKS[3])
            case CallEnded():
                message = replace(message, reason=MARKS[4])
        told.append(message)
    return told


def bytes_of(path: Path) -> bytes:
    files = (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"))
    return b"".join(file.read_bytes() for file in files if file.exists())


def stored(path: Path, *names: str) -> list[StoredCall]:
    with Archive(path) as archive:
        return [archive.call(name) for name in names]


def remains(path: Path, marks: Iterable[str]) -> list[str]:
    content = bytes_of(path)
    return [mark for mark in marks if mark.encode() in content]


def test_no_byte_tells_of_it_any_more(path: Path) -> None:
    write(path, [*a_call("before", 300), *marked(count=300), *a_call("after", 300)])
    calls = stored(path, MARKS[0])
    marks = [*MARKS, calls[0].id]
    assert remains(path, marks) == marks
    assert forget(path, calls) == ""
    assert remains(path, marks) == []
    with Archive(path) as archive:
        assert [call.call for call in archive.calls()] == ["after", "before"]
        assert archive.messages("after") == a_call("after", 300)


def test_also_while_a_node_writes_and_that_node_is_told(path: Path) -> None:
    erased: list[CallKey] = []
    with writing(path, erased=erased.extend) as history:
        for message in [*marked(), started("running")]:
            history.receive(message)
        until(lambda: history.stored == 15)
        (call,) = stored(path, MARKS[0])
        forget(path, [call])
        assert remains(path, [*MARKS, call.id]) == []
        until(lambda: erased)
        history.receive(started("next"))
        until(lambda: history.stored == 16)
        assert remains(path, [*MARKS, call.id]) == [], "it does not come back with what is written later"
    assert erased == [call.key]
    assert (call.key.name, call.key.began_ms) == (MARKS[0], unix_ms(marked()[0].at))
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM erasures").fetchone() == (0,)
    database.close()


def test_a_running_call_cannot_be_forgotten(path: Path) -> None:
    with writing(path) as history:
        history.receive(started("running"))
        until(lambda: history.stored)
        with pytest.raises(HistoryError, match="call 'running' is running: forget it when it has ended"):
            forget(path, stored(path, "running"))
    forget(path, stored(path, "running"))
    with Archive(path) as archive:
        assert archive.calls() == [], "when its node has died, it can"


def test_many_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "SLICE", 7)
    write(path, [message for number in range(60) for message in a_call(f"call-mark-{number}")])
    write(path, a_call("kept"), "second")
    with Archive(path) as archive:
        calls = [call for call in archive.calls() if call.call != "kept"]
    forget(path, calls)
    assert remains(path, ["call-mark-", *(call.id for call in calls)]) == []
    with Archive(path) as archive:
        assert archive.messages("kept") == a_call("kept")


def test_a_namesake_stays(path: Path) -> None:
    write(path, a_call("twin"), "first")
    write(path, a_call("twin", began_s=BEGAN_S + 9_000), "second")
    with Archive(path) as archive:
        later, earlier = archive.calls()
    forget(path, [earlier])
    with Archive(path) as archive:
        assert archive.calls() == [later]
        assert archive.messages("twin") == a_call("twin", began_s=BEGAN_S + 9_000)
    assert remains(path, [earlier.id]) == []


def test_a_log_that_somebody_reads_is_not_called_empty(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.history.database.BUSY_S", 0.02)
    write(path, marked())
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM calls").fetchone()
    told = forget(path, stored(path, MARKS[0]))
    assert told == (
        f"{path}-wal: another program reads it, and what was deleted is still there: end that, "
        "then `callmood forget --before 1970-01-01` overwrites it"
    )
    reader.close()
    assert forget(path, []) == ""
    assert remains(path, MARKS) == []


@settings(max_examples=15)
@given(order=st.lists(st.integers(0, 11), min_size=60, max_size=240), gone=st.integers(0, 11))
def test_however_calls_were_mixed_in_the_file_no_byte_is_left(order: list[int], gone: int) -> None:
    """Pages that were split, merged and filled again hide copies: the file is searched for them."""
    names = [f"mark-of-call-{number:02d}-{'x' * (37 * number)}" for number in range(12)]
    waiting = [iter(a_call(name, 30)) for name in names]
    told = [message for number in order for message in [next(waiting[number], None)] if message is not None]
    told += [message for rest in waiting for message in rest]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        for first in range(0, len(told), 40):
            written_at_once(path, told[first : first + 40])
        calls = stored(path, names[gone])
        forget(path, calls)
        assert remains(path, [names[gone] + '"', f"{names[gone]}:1", calls[0].id]) == []
