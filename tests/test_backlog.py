"""What a slow subscriber loses, and what it never loses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.backlog import Backlog


def test_messages_leave_in_the_order_in_which_they_came():
    backlog = Backlog(10)
    for line, lasting in [(b"start", True), (b"1", False), (b"alert", True), (b"2", False)]:
        backlog.add(line, lasting=lasting)
    assert [backlog.take()[1] for _ in range(4)] == [b"start", b"1", b"alert", b"2"]


def test_the_oldest_passing_messages_make_room_and_are_counted():
    backlog = Backlog(3)
    lost = [backlog.add(line, lasting=line == b"alert") for line in (b"alert", b"1", b"2", b"3", b"4")]
    assert lost == [0, 0, 0, 1, 1]
    assert [backlog.take() for _ in range(3)] == [(2, b"alert"), (0, b"3"), (0, b"4")]


def test_a_backlog_full_of_lasting_messages_loses_the_passing_one_that_comes():
    backlog = Backlog(2)
    backlog.add(b"start", lasting=True)
    backlog.add(b"alert", lasting=True)
    assert backlog.add(b"reading", lasting=False) == 1
    assert [backlog.take(), backlog.take()] == [(1, b"start"), (0, b"alert")]


def test_a_backlog_that_would_lose_a_lasting_message_is_abandoned():
    backlog = Backlog(2)
    for line in (b"start", b"alert"):
        backlog.add(line, lasting=True)
    assert backlog.add(b"end", lasting=True) == 3
    assert backlog.abandoned
    assert len(backlog) == 0
    assert backlog.add(b"1", lasting=False) == 1


def test_an_empty_backlog_has_nothing_to_take():
    with pytest.raises(IndexError):
        Backlog(2).take()


@given(limit=st.integers(1, 8), kinds=st.lists(st.sampled_from(["passing", "lasting", "take"]), max_size=80))
def test_nothing_is_lost_uncounted_doubled_or_reordered(limit: int, kinds: list[str]):
    backlog, added, taken, missed, lost = Backlog(limit), 0, [], 0, 0
    for kind in kinds:
        if kind != "take":
            lost += backlog.add(b"%d" % added, lasting=kind == "lasting")
            added += 1
        elif backlog:
            count, line = backlog.take()
            missed += count
            taken.append(int(line))
        assert len(backlog) <= limit
    assert taken == sorted(set(taken))
    assert len(taken) + len(backlog) + lost == added
    assert backlog.abandoned or missed <= lost
