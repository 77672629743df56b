"""Where a subscription stands, against the memory and the greeting of the service, without any network."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from monitor.greeting import greeting
from monitor.memory import Memory
from monitor.messages import AnyMessage, CallMessage, CallStarted, Heartbeat, Hello, Missed, decode
from monitor.position import ENDED_NAMED_S, Position
from monitor.subscription import ALL_CALLS
from tests.broadcasting import AT, ended, raised, reading, started


def hello(after: dict[str, int], epoch: str = "run") -> Hello:
    return Hello(at=AT, node="n", model="m", window_s=3.0, hop_s=0.5, epoch=epoch, after=after)


class Line:
    """A service and a subscriber of all its calls, with a line between them that can be cut at any message."""

    def __init__(self) -> None:
        self.memory, self.position = Memory(1_000), Position()
        self.way: deque[AnyMessage] = deque()
        self.heard: list[AnyMessage] = []
        self.last: dict[str, int] = {}
        self.running: dict[str, int] = {}
        """Of the first greeting that came to its beginning."""

    def publish(self, call: str) -> None:
        seq = self.last.get(call, 0) + 1
        if seq > 12:
            return
        self.last[call] = seq
        message = started(call) if seq == 1 else ended(seq, call) if seq == 12 else raised(seq, call, alert=f"{seq}")
        self.way.append(decode(self.memory.tell(message if seq % 3 else reading(seq, call), 0.0).full.text))

    def connect(self) -> None:
        known = self.position.epoch is not None
        start = greeting(self.memory, ALL_CALLS, self.position.named(0.0) if known else None)
        missed = [Missed(at=AT, call=call, count=count, reason=why) for call, count, why in start.missed]
        self.way = deque([hello(start.after), *missed, *(decode(told.full.text) for told in start.told)])

    def deliver(self, count: int) -> None:
        for _ in range(min(count, len(self.way))):
            message = self.way.popleft()
            if isinstance(message, Hello) and self.position.epoch is None:
                self.running = message.after
            if self.position.take(message, 0.0):
                self.heard.append(message)


STEPS = st.lists(
    st.one_of(
        st.sampled_from("abc"),
        st.just("cut"),
        st.integers(1, 9),
    ),
    max_size=120,
)


@given(st.lists(st.sampled_from("abc"), max_size=20), STEPS)
def test_wherever_the_line_is_cut_nothing_comes_twice_and_nothing_is_missing(
    before: list[str], steps: list[str | int]
) -> None:
    line = Line()
    for call in before:
        line.publish(call)
    line.connect()
    for step in steps:
        if step == "cut":
            line.connect()
        elif isinstance(step, int):
            line.deliver(step)
        else:
            line.publish(step)
    line.deliver(10_000)
    got: dict[str, list[int]] = {call: [] for call in line.last}
    for message in line.heard:
        assert not isinstance(message, Missed)
        if isinstance(message, CallMessage):
            got[message.call].append(message.seq)
    starts = {message.call for message in line.heard if isinstance(message, CallStarted)}
    for call, last in line.last.items():
        assert len(got[call]) == len(set(got[call]))
        known = line.running.get(call, 0)
        if known or last < 12 or got[call]:
            assert set(range(known + 1, last + 1)) <= set(got[call]), "what came after the first hello"
            assert call in starts


def test_an_ended_call_is_named_for_two_minutes_and_what_was_wholly_heard_is_not_missed() -> None:
    position = Position()
    for message in (hello({}), started("a"), started("b"), ended(2, "a")):
        assert position.take(message, 10.0)
    forgotten = [Missed(at=AT, count=0, reason="forgotten", call=call) for call in "ab"]
    assert position.named(10.0 + ENDED_NAMED_S) == {"a": 2, "b": 1}
    assert [position.take(one, 50.0) for one in forgotten] == [False, True]
    assert position.named(50.0) == {"a": 2}
    assert position.named(10.1 + ENDED_NAMED_S) == {}


def test_a_call_that_ended_unheard_is_named_until_its_end_comes_or_two_minutes_have_passed() -> None:
    position = Position()
    for message in (hello({}), started("a"), started("b")):
        position.take(message, 0.0)
    assert position.take(hello({}), 5.0)
    assert position.take(ended(2, "a"), 5.0)
    assert position.named(5.0 + ENDED_NAMED_S) == {"a": 2, "b": 1}
    assert position.named(5.1 + ENDED_NAMED_S) == {}


def test_a_newcomers_calls_count_as_heard_once_something_live_has_come() -> None:
    for live in (reading(6, "a"), Heartbeat(at=AT)):
        position = Position()
        position.take(hello({"a": 5}), 0.0)
        assert position.take(started("a"), 0.0)
        assert position.named(0.0) == {}
        assert position.take(live, 0.0)
        assert position.named(0.0) == {"a": 6 if live == reading(6, "a") else 5}
        assert not position.take(started("a"), 0.0)


def test_another_run_of_the_service_makes_everything_new() -> None:
    position = Position()
    for message in (hello({}), started("a"), reading(2, "a")):
        position.take(message, 0.0)
    assert position.take(hello({}, "another"), 1.0)
    assert (position.epoch, position.named(1.0)) == ("another", {})
    assert position.take(started("a"), 1.0)
    assert position.take(hello({}, ""), 1.0)
    assert position.epoch is None, "a service of contract 1.0 has none: nothing can be resumed"


def test_a_day_of_calls_leaves_no_trace() -> None:
    position = Position()
    position.take(hello({}), 0.0)
    for number in range(5_000):
        call = f"call {number}"
        position.take(started(call), float(number))
        position.take(ended(2, call), float(number))
    assert len(position.named(5_000.0)) <= ENDED_NAMED_S + 1
