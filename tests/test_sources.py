import threading
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audio import Block
from monitor.errors import AudioError
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened, Event, Refused

OPENED = CallOpened("call", "recording", "call.wav", {"customer": 0})
CLOSED = CallClosed("call", "end")
REFUSED = Refused(AudioError("call.wav: is none"))


def block(number: int, duration_s: float = 1.0) -> Block:
    return Block(
        "call", "customer", 8_000 * number, 8_000, np.zeros(round(8_000 * duration_s), np.float32), float(number)
    )


def numbers(events: list[Event]) -> list[int]:
    return [event.start // 8_000 for event in events if isinstance(event, Block)]


@pytest.fixture
def full() -> BlockQueue:
    """A queue for three seconds, with blocks 0, 1 and 2."""
    queue = BlockQueue(limit_s=3.0)
    queue.put(OPENED)
    queue.take(0)
    for number in range(3):
        queue.put(block(number))
    return queue


def waiting_put(queue: BlockQueue, stop: threading.Event) -> threading.Thread:
    """A thread that waits for room for block 3."""
    thread = threading.Thread(target=queue.put, args=(block(3), True, stop))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    return thread


def test_events_come_out_in_the_order_in_which_they_were_put() -> None:
    queue = BlockQueue(limit_s=10.0)
    events = [OPENED, block(0), REFUSED, block(1), CLOSED]
    for event in events:
        queue.put(event)
    assert queue.take(0) == events
    assert queue.take(0) == []


def test_no_more_is_taken_than_is_asked_for_and_the_rest_still_waits(full: BlockQueue) -> None:
    assert numbers(full.take(0, most=2)) == [0, 1]
    assert full.waiting_s == 1.0
    assert numbers(full.take(0, most=2)) == [2]
    assert full.waiting_s == 0.0


def test_a_live_block_pushes_the_oldest_out_and_that_is_counted(full: BlockQueue) -> None:
    full.put(block(3, duration_s=1.5))
    assert (full.dropped_blocks, full.dropped_s, full.waiting_s) == (2, 2.0, 2.5)
    assert numbers(full.take(0)) == [2, 3]


def test_what_comes_together_is_put_by_the_same_rules(full: BlockQueue) -> None:
    full.put_all([block(3), CLOSED, block(4)])
    assert (full.dropped_blocks, full.dropped_s, full.waiting_s) == (2, 2.0, 3.0)
    events = full.take(0)
    assert numbers(events) == [2, 3, 4]
    assert CLOSED in events


def test_a_queue_tells_how_long_its_oldest_block_has_waited(full: BlockQueue) -> None:
    assert full.waited_s(2.5) == 2.5
    full.put(block(3))
    assert full.waited_s(3.5) == 2.5, "block 0 was dropped for it"
    full.take(0)
    full.put(CLOSED)
    assert full.waited_s(9.0) == 0.0


def test_a_block_longer_than_the_bound_is_still_taken(full: BlockQueue) -> None:
    full.put(block(3, duration_s=5.0))
    assert numbers(full.take(0)) == [3]


def test_beginnings_and_ends_are_never_dropped() -> None:
    queue = BlockQueue(limit_s=1.0)
    for number in range(50):
        queue.put(OPENED)
        queue.put(block(number))
        queue.put(CLOSED)
        queue.put(REFUSED)
    events = queue.take(0)
    assert numbers(events) == [49]
    assert [events.count(event) for event in (OPENED, CLOSED, REFUSED)] == [50, 50, 50]


def test_a_recording_waits_for_room_and_loses_nothing(full: BlockQueue) -> None:
    thread = waiting_put(full, threading.Event())
    assert numbers(full.take(0)) == [0, 1, 2]
    thread.join()
    assert numbers(full.take(0)) == [3]
    assert full.dropped_blocks == 0


def test_a_wider_bound_lets_a_waiting_block_in(full: BlockQueue) -> None:
    thread = waiting_put(full, threading.Event())
    full.set_limit(4.0)
    thread.join()
    assert numbers(full.take(0)) == [0, 1, 2, 3]


def test_a_block_that_waits_is_given_up_when_stopped(full: BlockQueue) -> None:
    stop = threading.Event()
    thread = waiting_put(full, stop)
    stop.set()
    thread.join(2)
    assert not thread.is_alive()
    assert numbers(full.take(0)) == [0, 1, 2]


def test_nobody_waits_for_a_queue_that_is_closed(full: BlockQueue) -> None:
    thread = waiting_put(full, threading.Event())
    full.close()
    thread.join(2)
    assert not thread.is_alive()
    full.put(block(4), wait=True)


def test_an_end_never_waits(full: BlockQueue) -> None:
    full.put(CLOSED, wait=True)
    assert full.take(0)[-1] == CLOSED


def test_taking_waits_for_the_first_event() -> None:
    queue = BlockQueue(limit_s=1.0)
    taken: list[Event] = []
    thread = threading.Thread(target=lambda: taken.extend(queue.take(60)))
    thread.start()
    queue.put(OPENED)
    thread.join(10)
    assert taken == [OPENED]


@given(st.lists(st.integers(80, 16_000), min_size=1, max_size=60), st.floats(0.5, 5.0))
def test_no_more_waits_than_the_bound_and_everything_is_accounted_for(sizes: list[int], limit_s: float) -> None:
    queue = BlockQueue(limit_s)
    queue.put(OPENED)
    queue.take(0)
    for end, size in zip(accumulate(sizes), sizes, strict=True):
        queue.put(Block("call", "customer", end - size, 8_000, np.zeros(size, np.float32), 0.0))
        assert queue.waiting_s <= max(limit_s, max(sizes) / 8_000 + 0.25)
    queue.put(CLOSED)
    *kept, closed = queue.take(0)
    assert closed == CLOSED
    assert sum(block.samples.size for block in kept) / 8_000 + queue.dropped_s == pytest.approx(sum(sizes) / 8_000)
    assert [block.start for block in kept] == [*accumulate((b.samples.size for b in kept), initial=kept[0].start)][:-1]
    assert kept[-1].start + kept[-1].samples.size == sum(sizes), "the oldest are dropped, not the newest"


@pytest.fixture
def waiting_for_cells() -> BlockQueue:
    """A queue that has got 0.2 s of a call."""
    queue = BlockQueue(limit_s=1.0)
    queue.put(OPENED)
    for start in range(0, 1_600, 160):
        queue.put(Block("call", "customer", start, 8_000, np.full(160, start, np.float32), start / 8_000))
    return queue


def test_less_than_a_cell_waits_for_its_rest(waiting_for_cells: BlockQueue) -> None:
    assert waiting_for_cells.take(0) == [OPENED]
    assert (waiting_for_cells.waiting_s, waiting_for_cells.waited_s(9.0)) == (0.0, 0.0)
    waiting_for_cells.put(Block("call", "customer", 1_600, 8_000, np.full(480, 1_600, np.float32), 0.3))
    (block,) = waiting_for_cells.take(0)
    assert isinstance(block, Block)
    assert (block.start, block.samples.size, block.arrived_s) == (0, 2_000, 0.3)
    assert block.samples[::160].tolist() == [*range(0, 1_760, 160), *[1_600.0] * 2]


def test_what_sources_put_from_threads_of_their_own_at_one_time_is_all_there_in_the_order_of_each() -> None:
    queue, calls = BlockQueue(limit_s=1_000.0), [f"call-{number}" for number in range(8)]

    def source(call: str) -> None:
        queue.put(replace(OPENED, call=call))
        for number in range(400):
            queue.put(block(0, 0.02).moved(call, 160 * number))
        queue.put(replace(CLOSED, call=call))

    threads = [threading.Thread(target=source, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = queue.take(0)
    for call in calls:
        opened, *blocks, closed = [event for event in events if getattr(event, "call", None) == call]
        assert isinstance(opened, CallOpened)
        assert isinstance(closed, CallClosed)
        assert [(one.start, one.size) for one in blocks if isinstance(one, Block)] == [
            (2_000 * number, 2_000) for number in range(32)
        ]


def test_the_end_of_a_call_brings_what_waits_of_it(waiting_for_cells: BlockQueue) -> None:
    waiting_for_cells.put(CLOSED)
    opened, block, closed = waiting_for_cells.take(0)
    assert (opened, closed) == (OPENED, CLOSED)
    assert isinstance(block, Block)
    assert (block.start, block.samples.size) == (0, 1_600)


def test_what_comes_before_a_call_or_after_it_waits_for_nothing() -> None:
    queue, events = BlockQueue(limit_s=10.0), [block(0, 0.1), OPENED, CLOSED, block(1, 0.1)]
    queue.put_all(events)
    assert queue.take(0) == events


def test_the_end_of_a_recording_waits_for_room_too(waiting_for_cells: BlockQueue) -> None:
    waiting_for_cells.put(block(0).moved("other", 0))
    thread = threading.Thread(target=waiting_for_cells.put, args=(CLOSED, True))
    thread.start()
    taken: list[Event] = []
    while CLOSED not in taken:
        taken += waiting_for_cells.take(1)
    thread.join()
    assert [one.samples.size for one in taken if isinstance(one, Block)] == [8_000, 1_600]
    assert waiting_for_cells.dropped_blocks == 0


def test_a_call_that_is_stopped_while_it_waits_for_room_leaves_no_hole(full: BlockQueue) -> None:
    stop = threading.Event()
    stop.set()
    full.put(block(3, duration_s=1.1), True, stop)
    full.put(CLOSED, True, stop)
    *blocks, closed = full.take(0)
    assert (numbers(blocks), closed) == ([0, 1, 2], CLOSED)


def test_a_name_that_is_taken_gets_a_number() -> None:
    names = CallNames()
    assert [names.take(name) for name in ("a", "a", "b", "a", "a-2")] == ["a", "a-2", "b", "a-3", "a-2-2"]


def test_names_do_not_pile_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sources._MOST_NAMES", 2)
    names = CallNames()
    assert [names.take(name) for name in ("a", "b", "c", "a", "c")] == ["a", "b", "c", "a", "c-2"]


def test_no_two_threads_get_the_same_name() -> None:
    names = CallNames()
    taken: list[str] = []
    threads = [threading.Thread(target=lambda: taken.extend(names.take("a") for _ in range(100))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 400
