"""What a slow subscriber loses, and what it never loses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.backlog import Backlog, Line


def passing(text: bytes, call: str = "a", seq: int = 0) -> Line:
    return Line(text, (call, "customer"), call, seq)


def lasting(text: bytes) -> Line:
    return Line(text)


def test_messages_leave_in_the_order_in_which_they_came() -> None:
    backlog = Backlog(10)
    for line in (lasting(b"start"), passing(b"1"), lasting(b"alert"), passing(b"2")):
        backlog.add(line)
    assert [backlog.take()[1].text for _ in range(4)] == [b"start", b"1", b"alert", b"2"]


def test_where_there_is_no_room_a_reading_replaces_the_oldest_of_its_call_and_the_next_of_that_call_tells_so() -> None:
    backlog = Backlog(4)
    lines = [lasting(b"alert"), passing(b"a1", "a", 1), *(passing(b"b%d" % seq, "b", seq) for seq in (1, 2, 3))]
    assert [backlog.add(line) for line in lines] == [0, 0, 0, 0, 1]
    assert backlog.owes
    taken = [backlog.take() for _ in range(4)]
    assert [(missed, line.text) for missed, line in taken] == [(0, b"alert"), (0, b"a1"), (1, b"b2"), (0, b"b3")]
    assert not backlog.owes


def test_only_what_went_before_the_line_that_leaves_is_told_with_it() -> None:
    backlog = Backlog(3)
    alert = Line(b"alert", None, "a", 2)
    for line in (passing(b"1", seq=1), alert, passing(b"3", seq=3), passing(b"4", seq=4), passing(b"5", seq=5)):
        backlog.add(line)
    assert [(missed, line.text) for missed, line in (backlog.take() for _ in range(3))] == [
        (1, b"alert"),
        (1, b"4"),
        (0, b"5"),
    ]


def test_a_reading_of_another_call_takes_the_place_of_the_oldest_of_all() -> None:
    backlog = Backlog(2)
    assert [backlog.add(passing(call.encode(), call)) for call in "abc"] == [0, 0, 1]
    assert [backlog.take()[1].text for _ in range(2)] == [b"b", b"c"]


def test_a_backlog_full_of_lasting_messages_loses_the_passing_one_that_comes() -> None:
    backlog = Backlog(2)
    backlog.add(lasting(b"start"))
    backlog.add(lasting(b"alert"))
    assert backlog.add(passing(b"reading", seq=3)) == 1
    assert [backlog.take(), backlog.take()] == [(0, lasting(b"start")), (0, lasting(b"alert"))]
    assert backlog.owes
    backlog.add(passing(b"next", seq=4))
    assert backlog.take() == (1, passing(b"next", seq=4))


def test_a_backlog_that_would_lose_a_lasting_message_is_abandoned() -> None:
    backlog = Backlog(2)
    for line in (b"start", b"alert"):
        backlog.add(lasting(line))
    assert backlog.add(lasting(b"end")) == 3
    assert backlog.abandoned
    assert len(backlog) == 0
    assert backlog.add(passing(b"1")) == 1


def test_a_backlog_that_owes_more_than_it_may_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.backlog.MOST_OWED", 2)
    backlog = Backlog(1)
    assert [backlog.add(passing(b"%d" % seq, seq=seq)) for seq in (1, 2, 3)] == [0, 1, 1]
    assert backlog.take() == (2, passing(b"3", seq=3))
    assert [backlog.add(passing(b"%d" % seq, seq=seq)) for seq in (4, 5, 6)] == [0, 1, 1], (
        "what was told is owed no more"
    )
    assert backlog.add(passing(b"7", seq=7)) == 2
    assert (backlog.abandoned, backlog.owes, len(backlog)) == (True, False, 0)


def test_an_empty_backlog_has_nothing_to_take() -> None:
    with pytest.raises(IndexError):
        Backlog(2).take()


@given(limit=st.integers(1, 8), kinds=st.lists(st.sampled_from(["a", "b", "c", "lasting", "take"]), max_size=80))
def test_nothing_is_lost_uncounted_doubled_or_reordered_and_the_newest_of_a_call_stays(
    limit: int, kinds: list[str]
) -> None:
    backlog, added, taken, missed, lost, newest = Backlog(limit), 0, [], 0, 0, {}
    for kind in kinds:
        if kind != "take":
            text = b"%d" % added
            lost += backlog.add(Line(text, None, "a", added) if kind == "lasting" else passing(text, kind, added))
            newest[kind] = added
            added += 1
        elif backlog:
            count, line = backlog.take()
            missed += count
            taken.append(int(line.text))
        assert len(backlog) <= limit
    while backlog:
        count, line = backlog.take()
        missed += count
        taken.append(int(line.text))
    assert taken == sorted(set(taken))
    assert len(taken) + lost == added
    assert backlog.abandoned or missed <= lost
    if not backlog.abandoned and kinds.count("lasting") + 3 <= limit:
        assert set(taken) >= set(newest.values())
