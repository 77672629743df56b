"""The history as it is written: off the live path, whatever becomes of the disk."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from msgspec.structs import replace

from monitor.errors import HistoryError
from monitor.history import database, writer
from monitor.history.archive import Archive
from monitor.history.database import STEPS, VERSION, is_written, opened
from monitor.history.writer import History
from monitor.messages import AnyMessage, CallEnded, Error, decode, rfc3339, unix_ms
from tests.broadcasting import AT, ended, raised, reading, started
from tests.stored import BEGAN_S, a_call, run, until, write, writing
from tests.test_windows import speech_like
from tests.tiny_model import write_tiny_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


def names(path: Path) -> list[str]:
    with Archive(path) as archive:
        return [call.call for call in archive.calls()]


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_only_its_owner_reads_it_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with writing(path) as written:
            written.receive(started())
            until(lambda: written.stored)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    kept = ["history.db", "history.db-shm", "history.db-wal", "history.db.lock"]
    assert modes == dict.fromkeys(kept, 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_may_read_is_closed_to_them(path: Path) -> None:
    write(path, a_call())
    path.chmod(0o644)
    opened(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_open_when_the_last_node_died_is_interrupted_at_its_last_message(path: Path) -> None:
    told = [*a_call("whole"), *a_call("cut", 8, whole=False)]
    write(path, told, "first")
    with Archive(path) as archive:
        assert [call.state for call in archive.calls()] == ["interrupted", "ended"], "nobody writes it any more"
    write(path, [], "second")
    with Archive(path) as archive:
        cut, whole = archive.calls()
        assert (whole.state, whole.unstored) == ("ended", 0)
        assert (cut.state, cut.outcome, cut.reason) == ("interrupted", "unclear", "interrupted")
        assert (cut.ended_s, cut.duration_s, cut.unstored) == (BEGAN_S + 13 / 4, 7.5, 0)
        *before, end = archive.messages("cut")
    assert before == a_call("cut", 8, whole=False)
    assert isinstance(end, CallEnded)
    assert (end.seq, end.at, end.reason) == (14, rfc3339(BEGAN_S + 13 / 4), "interrupted")
    assert end.shares == {"agent": {"not_scored": 1.0}, "customer": {"anger": 1.0}}


def test_a_call_without_a_reading_and_one_without_a_start_are_kept_too(path: Path) -> None:
    write(path, [started("short"), reading(5, "late")], "first")
    write(path, [], "second")
    with Archive(path) as archive:
        late, short = sorted(archive.calls(), key=lambda call: call.call)
        assert (short.ended_s, short.duration_s, short.unstored) == (unix_ms(AT) / 1000, 0.0, 0)
        assert (late.source, late.agent, late.unstored) == ("", None, 4)


def test_a_damaged_call_does_not_keep_the_others_from_being_stored(path: Path) -> None:
    write(path, a_call("bad", whole=False))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE pieces SET records = x'00ff'")
    connection.commit()
    connection.close()
    write(path, a_call("good"), "second")
    with Archive(path) as archive:
        assert archive.messages("good") == a_call("good")
        assert archive.call("bad").state == "interrupted"


def test_a_second_node_neither_writes_the_file_nor_ends_the_first_ones_calls(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.01)
    with writing(path, "first") as first:
        first.receive(started("ours"))
        until(lambda: first.stored)
        with writing(path, "second") as second:
            assert (
                second.failure == f"{path}: another callmood writes this history: give this one its own by history.file"
            )
            second.receive(started("theirs"))
            with Archive(path) as archive:
                assert [(call.call, call.state) for call in archive.calls()] == [("ours", "running")]
            first.stop(5.0)
            until(lambda: second.stored)
            assert (second.failure, second.unstored) == ("", 0), (
                "when the first is gone it takes over, and has lost nothing"
            )
    told = [record.message for record in caplog.records]
    assert told == [f"calls are not stored: {path}: another callmood writes this history: give this one its own by "
                    "history.file", f"{path}: calls are stored again; 0 messages are not"]  # fmt: skip
    assert sorted(names(path)) == ["ours", "theirs"]


class Disk:
    """Lets the writer's file grow to so many pages, or says another fault at each opening."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages = 1 << 30
        self.fault: Exception | None = None
        monkeypatch.setattr(writer, "opened", self._opened)
        monkeypatch.setattr(writer, "RETRY_S", 0.01)
        monkeypatch.setattr(writer, "BATCH_S", 0.01)

    def _opened(self, path: Path, **options: Any) -> sqlite3.Connection:
        if self.fault is not None:
            raise self.fault
        connection = opened(path, **options)
        connection.execute(f"PRAGMA max_page_count = {self.pages}")
        return connection


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_full_disk_costs_nothing_when_there_is_room_again_in_time(path: Path, disk: Disk) -> None:
    disk.pages = 40
    told = a_call("a", 3_000)
    with writing(path) as written:
        for message in told:
            written.receive(message)
        until(lambda: written.failure)
        assert written.failure == f"{path}: database or disk is full; make room"
        disk.pages = 1 << 30
        until(lambda: not written.failure)
    with Archive(path) as archive:
        assert archive.messages("a") == told


def test_what_there_is_no_room_for_is_counted_and_events_outlast_readings(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", 10)
    disk.fault = HistoryError("no disk")
    with writing(path) as written:
        for message in [started(), *(reading(seq) for seq in range(2, 30)), raised(30), ended(31)]:
            written.receive(message)
        assert (written.waiting, written.unstored, written.failure) == (12, 19, "no disk")
        for seq in range(2, 30):
            written.receive(raised(seq, "b"))
        assert (written.waiting, written.unstored) == (20, 39), "that has a bound too"
        disk.fault = None
        until(lambda: not written.failure)
        assert (written.waiting, written.unstored) == (0, 39)
    with Archive(path) as archive:
        stored = archive.call("a")
        assert [message.seq for message in archive.messages("a")] == [*range(1, 11), 30, 31]
    assert (stored.unstored, stored.state, stored.alerts) == (19, "ended", 1)


@pytest.mark.usefixtures("disk")
def test_what_a_full_disk_kept_out_until_the_end_is_logged_and_its_call_is_interrupted_where_it_broke_off(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_full(*_: Any) -> list[Any]:
        raise sqlite3.OperationalError("database or disk is full")

    told = a_call("a")
    with writing(path) as written:
        for message in told[:5]:
            written.receive(message)
        until(lambda: written.stored == 5)
        monkeypatch.setattr(writer.Ledger, "write", is_full)
        for message in [*told[5:], started("b")]:
            written.receive(message)
    assert written.unstored == 10
    assert caplog.messages[-1] == f"10 messages of 2 calls were not stored: {path}: database or disk is full; make room"
    monkeypatch.undo()
    write(path, [], "second")
    with Archive(path) as archive:
        (call,) = archive.calls()
        assert archive.messages(call.id)[:-1] == told[:5]
    assert (call.state, call.outcome, call.ended_s) == ("interrupted", "unclear", BEGAN_S + 5 / 4)


@pytest.mark.usefixtures("disk")
def test_a_fault_in_the_middle_of_a_batch_stores_nothing_twice(path: Path, monkeypatch: Any) -> None:
    told, faults = a_call("a", 300), iter([True, False, True])
    whole = writer.Ledger.write

    def write_and_fail(ledger: Any, batch: list[Any]) -> list[str]:
        result = whole(ledger, batch)
        if batch and next(faults, False):
            raise sqlite3.OperationalError("disk I/O error")  # after the commit, when it is in the file already
        return result

    monkeypatch.setattr(writer.Ledger, "write", write_and_fail)
    with writing(path) as written:
        for part in (told[:100], told[100:200], told[200:]):
            for message in part:
                written.receive(message)
            until(lambda: not written.waiting)
    with Archive(path) as archive:
        assert archive.messages("a") == told
        assert archive.call("a").unstored == 0


@pytest.mark.usefixtures("disk")
def test_a_fault_after_the_last_message_stores_no_call_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = iter([True])
    whole = writer.Ledger.write

    def write_and_fail(ledger: Any, batch: list[Any]) -> list[str]:
        result = whole(ledger, batch)
        if batch and next(faults, False):
            raise sqlite3.OperationalError("disk I/O error")
        return result

    monkeypatch.setattr(writer.Ledger, "write", write_and_fail)
    write(path, a_call())
    with Archive(path) as archive:
        assert archive.messages("a") == a_call()


@pytest.mark.usefixtures("disk")
def test_a_message_that_cannot_be_stored_costs_none_of_those_behind_it(path: Path) -> None:
    with writing(path) as written:
        for message in [
            *a_call("a"),
            started("\ud800"),
            started("b"),
            replace(reading(2, "b"), at="soon"),
            *a_call("c"),
        ]:
            written.receive(message)
        until(lambda: not written.waiting and not written.failure)
        assert (written.stored, written.unstored) == (29, 2)
    with Archive(path) as archive:
        assert [archive.messages(name) for name in "ac"] == [a_call("a"), a_call("c")]


@pytest.mark.usefixtures("disk")
def test_a_locked_file_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    with writing(path) as written:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for message in a_call():
            written.receive(message)
        until(lambda: written.failure)
        assert written.failure == f"{path}: database is locked; another program holds it: end that, or wait"
        other.execute("COMMIT")
        other.close()
        until(lambda: not written.failure)
    with Archive(path) as archive:
        assert archive.messages("a") == a_call()


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (
            lambda path: path.write_bytes(b"no database" * 500),
            "file is not a database; no history of callmood: move it",
        ),
        (
            lambda path: path.mkdir(),
            "unable to open database file; it cannot be opened: look at its folder's owner and",
        ),
    ],
)
def test_a_file_that_is_none_is_not_touched_and_when_it_is_moved_away_all_is_stored(
    path: Path, spoil: Callable[[Path], Any], text: str
) -> None:
    path.parent.mkdir()
    spoil(path)
    with writing(path) as written:
        assert text in written.failure
        for message in a_call():
            written.receive(message)
        path.rename(path.with_name("spoilt"))
        until(lambda: written.stored)
    assert path.with_name("spoilt").is_dir() or path.with_name("spoilt").read_bytes() == b"no database" * 500
    with Archive(path) as archive:
        assert archive.messages("a") == a_call()


@pytest.mark.usefixtures("disk")
def test_a_file_that_is_damaged_is_said_to_be(path: Path) -> None:
    write(path, a_call("a", 5_000))
    content = bytearray(path.read_bytes())
    content[4_096:] = os.urandom(len(content) - 4_096)
    path.write_bytes(content)
    with writing(path) as written:
        written.receive(started("b"))
        until(lambda: written.failure)
        assert written.failure == (
            f"{path}: database disk image is malformed; it is damaged: move it away, and see docs/history.md on how to save "
            "what can be read"
        )


def test_a_folder_that_may_not_be_made_costs_only_the_history(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, where a folder should be")
    with writing(tmp_path / "state" / "history.db") as written:
        assert "Not a directory" in written.failure or "File exists" in written.failure
        written.receive(started())
    assert written.unstored == 1


def test_a_file_of_version_1_is_migrated_with_everything_in_it(path: Path) -> None:
    path.parent.mkdir()
    old = sqlite3.connect(path)
    old.executescript(STEPS[0])
    old.execute("PRAGMA user_version = 1")
    old.execute("INSERT INTO runs VALUES (7, 'old', 'node', 'model 1', 'key', 0)")
    old.execute(
        "INSERT INTO calls (number, id, run, call, source, started_ms, state, ended_ms, duration_s, outcome, reason, "
        "last_seq, stored) VALUES (3, '00ff00ff00ff', 7, 'kept', 'sip', 1000, 'ended', 2000, 1.0, 'calm', 'end', 1, 1)"
    )
    body = '{"type":"call_started","at":"2026-01-31T12:00:00.250Z","call":"kept","seq":1,"source":"sip","path":null,"parties":{}}'
    old.execute("INSERT INTO events (call, seq, type, body) VALUES (3, 1, 'call_started', ?)", (body,))
    old.commit()
    old.close()
    write(path, a_call())
    with Archive(path) as archive:
        assert [call.call for call in archive.calls()] == ["a", "kept"]
        assert [message.seq for message in archive.messages("00ff00ff00ff")] == [1]
    (version,) = sqlite3.connect(path).execute("PRAGMA user_version").fetchone()
    assert version == VERSION == 2


def test_a_file_of_a_newer_version_is_left_alone_and_the_live_path_goes_on(path: Path) -> None:
    write(path, a_call())
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with writing(path) as written:
        assert written.failure.endswith(
            "a history of version 99, and this callmood knows 2: update callmood, or set history.file to another place"
        )
        written.receive(started())
    assert path.read_bytes() == before


def test_what_is_too_old_is_deleted_at_the_start_and_every_hour(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = time.time()
    days = [(f"{age}", now_s - age * 86_400) for age in (40, 31, 29, 1)]
    write(path, [message for name, began_s in days for message in a_call(name, began_s=began_s)])
    with writing(path, "second", days=30) as written:
        until(lambda: len(names(path)) == 2)
        assert names(path) == ["1", "29"]
        monkeypatch.setattr(writer, "SWEEP_S", 0.0)
        written._next_sweep_s = 0.0
        written._keep_s = 86_400 * 10.0
        until(lambda: len(names(path)) == 1)
    assert names(path) == ["1"]


def test_a_running_call_is_not_too_old(path: Path) -> None:
    with writing(path, days=30) as written:
        written.receive(started("long"))  # in January
        until(lambda: written.stored)
        assert names(path) == ["long"]


def test_what_is_not_of_a_call_is_not_stored(path: Path) -> None:
    error: AnyMessage = Error(at=AT, code="audio", text="a fault")
    with writing(path) as written:
        written.receive(error)
        assert (written.waiting, written.stored) == (0, 0)


def test_a_receiver_never_waits_for_the_disk(path: Path) -> None:
    path.parent.mkdir()
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    written = History(path, run(), 30)
    written.start()
    began_s = time.monotonic()
    for seq in range(1, 1_000):
        written.receive(reading(seq))
    assert time.monotonic() - began_s < 0.5
    held.close()
    written.stop(10.0)
    assert written.stored == 999


def test_kill_9_in_mid_call_loses_at_most_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    write_tiny_model(tmp_path / "tiny.onnx")
    soundfile.write(tmp_path / "a.wav", speech_like(60.0), 8_000)
    options = ["--set", f"model={tmp_path / 'tiny.onnx'}", "--set", f"history.file={path}", "--channels", "customer"]
    command = [sys.executable, "-m", "monitor.cli", "replay", str(tmp_path / "a.wav"), "--json", *options]
    told = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as process:
        assert process.stdout is not None
        for line in process.stdout:
            message = decode(line)
            told.append(message)
            if getattr(message, "seq", 0) == 8:
                break
        process.send_signal(signal.SIGKILL)
        killed_s = time.time()
        told += [decode(line) for line in process.stdout]
        process.wait()
    assert not is_written(path), "the lock went with the process"
    write(path, [], "next")
    with Archive(path) as archive:
        (call,) = archive.calls()
        *stored, end = archive.messages("a")
    assert (call.state, call.reason, end.seq) == ("interrupted", "interrupted", len(stored) + 1)
    assert stored == told[1 : 1 + len(stored)], "what is there is what was told, from the first message on"
    lost = told[1 + len(stored) :]
    assert all(killed_s - unix_ms(message.at) / 1000 < 1.0 for message in lost)
    assert call.ended_s == unix_ms(stored[-1].at) / 1000
