"""The history as it is read."""

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from monitor.errors import HistoryError
from monitor.history.archive import Archive
from tests.broadcasting import ended, reading, started
from tests.stored import BEGAN_S, a_call, until, write, writing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


def test_every_message_comes_back_equal_and_in_order(path: Path) -> None:
    one, other = a_call("a", 700), a_call("b", 9)
    odd = replace(reading(2, "c"), end_s=3.00005)
    rest = [started("c"), odd, ended(3, "c")]
    write(path, [*(message for pair in zip(one, other, strict=False) for message in pair), *one[len(other) :], *rest])
    with Archive(path) as archive:
        assert archive.messages("a") == one
        assert archive.messages("b") == other
        assert archive.messages("c") == rest, "what a record has no room for is kept as it is"


def test_a_call_is_summed_up(path: Path) -> None:
    told = a_call("a", 8, agent="id-7")
    write(path, told)
    with Archive(path) as archive:
        (call,) = archive.calls()
    assert (call.call, call.source, call.path, call.agent) == ("a", "recording", None, "id-7")
    assert (call.started_s, call.ended_s) == (BEGAN_S + 0.25, BEGAN_S + 3.5)
    assert (call.state, call.outcome, call.reason, call.duration_s) == ("ended", "angry", "end", 4.0)
    assert (call.alerts, call.rules, call.lost_s, call.unstored) == (1, ("sustained_anger",), 1.5, 0)
    assert (call.model, call.node) == ("tiny 1", "test")
    assert len(call.id) == 12


def test_a_running_call_can_be_read_while_it_is_written(path: Path) -> None:
    told = a_call("a", 8, whole=False)
    with writing(path) as history:
        for message in told:
            history.receive(message)
        until(lambda: history.stored == len(told))
        with Archive(path) as archive:
            (call,) = archive.calls()
            assert (call.state, call.outcome, call.ended_s, call.duration_s) == ("running", None, None, 4.5 + 3)
            assert archive.messages("a") == told


def test_calls_are_found_by_time_outcome_rule_and_agent(path: Path) -> None:
    calm = [started("calm", "id-1"), ended(2, "calm")]
    write(path, [*a_call("angry", agent="id-2"), *a_call("later", began_s=BEGAN_S + 60), *calm])
    with Archive(path) as archive:
        assert [call.call for call in archive.calls()] == ["later", "angry", "calm"], "the last first"
        assert [call.call for call in archive.calls(limit=1)] == ["later"]
        assert [call.call for call in archive.calls(since_s=BEGAN_S + 30)] == ["later"]
        assert [call.call for call in archive.calls(until_s=BEGAN_S + 30)] == ["angry", "calm"]
        assert [call.call for call in archive.calls(outcome="calm")] == ["calm"]
        assert [call.call for call in archive.calls(alert="sustained_anger")] == ["later", "angry"]
        assert archive.calls(alert="anger") == []
        assert [call.call for call in archive.calls(agents=("id-1", "1"))] == ["calm"]


def test_a_name_that_comes_again_another_day_is_told_apart_by_the_id(path: Path) -> None:
    write(path, a_call("a"), "monday")
    write(path, a_call("a", 3, BEGAN_S + 86_400), "tuesday")
    with Archive(path) as archive:
        tuesday, monday = archive.calls()
        assert archive.messages(monday.id) == a_call("a")
        assert archive.messages(tuesday.id[:8]) == a_call("a", 3, BEGAN_S + 86_400)
        with pytest.raises(HistoryError) as caught:
            archive.messages("a")
        times = f"{tuesday.id} (2026-09-22T14:13Z), {monday.id} (2026-09-21T14:13Z)"
        assert str(caught.value) == f"several calls are 'a': name one by its id: {times}"
        with pytest.raises(HistoryError, match=r"no call 'nothing' is in .*history\.db: `callmood calls` lists them"):
            archive.call("nothing")


def test_a_missing_a_foreign_and_a_newer_file_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no history is there: `callmood serve` and `callmood live` keep one"):
        Archive(path)
    assert not path.parent.exists(), "looking makes nothing"
    (tmp_path / "text").write_text("x" * 5_000)
    with pytest.raises(HistoryError, match="text: file is not a database; no history of callmood: move it away"):
        Archive(tmp_path / "text")
    foreign = tmp_path / "foreign"
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE songs (name)")
    database.close()
    with pytest.raises(HistoryError, match="foreign: a database of something else"):
        Archive(foreign)
    write(path, a_call())
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(HistoryError, match="a history of version 99, and this callmood knows 2: update callmood"):
        Archive(path)


def test_damaged_contents_are_said_to_be(path: Path) -> None:
    write(path, a_call())
    database = sqlite3.connect(path)
    database.execute("UPDATE events SET body = 'x' WHERE seq = 1")
    database.commit()
    database.close()
    with Archive(path) as archive, pytest.raises(HistoryError, match="what is stored of a call is damaged: no message"):
        archive.messages("a")
