"""Where a subscription stands, against the memory and the greeting of the service, without any network."""

from collections import Counter, deque

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.backlog import Backlog
from monitor.errors import RequestError
from monitor.greeting import Greeting, Hole, greeting
from monitor.memory import Memory
from monitor.messages import AnyMessage, CallMessage, Heartbeat, Hello, Missed, decode
from monitor.position import ENDED_NAMED_S, Position
from monitor.subscription import ALL_CALLS
from tests.broadcasting import AT, cleared, ended, raised, reading, started


def hello(after: dict[str, int], epoch: str = "run", begun: int = 0) -> Hello:
    return Hello(at=AT, node="n", model="m", window_s=3.0, hop_s=0.5, epoch=epoch, after=after, begun=begun)


class Line:
    """A service and a slow subscriber of all its calls, with a line between them that can be cut at any message."""

    def __init__(self, readings_kept: int) -> None:
        self.memory, self.position, self.now_s = Memory(readings_kept), Position(), 0.0
        self.way: deque[AnyMessage] = deque()
        """From the service's writer to the subscriber."""
        self.backlog = Backlog(1)
        self.last: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.exact = True
        self.greet()

    def greet(self) -> None:
        """As a newcomer: what matters begins here."""
        self.known: dict[str, int] = {}
        """Call → its last message before that; of calls that ran, and of those that were over."""
        self.got: list[tuple[str, int]] = []
        self.missed: Counter[str] = Counter()
        self.unknown: set[str] = set()
        """Calls of which nobody knows how much lacks."""

    def publish(self, letter: str) -> None:
        """The next message of the call of that letter; after its end another one begins."""
        call = self.names.setdefault(letter, letter)
        seq = self.last.get(call, 0) + 1
        if seq == 8:
            self.names[letter] = call + letter
        self.last[call] = seq
        kinds = {1: started(call), 3: raised(3, call), 5: cleared(5, call), 8: ended(8, call)}
        told = self.memory.tell(kinds.get(seq, reading(seq, call)), self.now_s)
        self.backlog.add(told.full)

    def connect(self) -> None:
        self.memory.forget(self.now_s)
        position = self.position
        try:
            start = self.resumed() if position.epoch is not None else greeting(self.memory, ALL_CALLS, None)
        except RequestError:
            position.forget()
            return self.connect()
        if position.epoch is None:
            self.greet()
            self.known = dict(self.last)
        self.exact &= not any(seq == 0 for seq in position.named(self.now_s).values())
        lines = [line.told(AT) if isinstance(line, Hole) else decode(line.full.text) for line in start.lines]
        heartbeat = [Heartbeat(at=AT)] * (position.epoch is not None)
        self.way = deque([hello(start.after, begun=start.begun), *lines, *heartbeat])
        self.backlog = Backlog(8)

    def resumed(self) -> Greeting:
        return greeting(self.memory, ALL_CALLS, self.position.named(self.now_s), begun=self.position.begun)

    def deliver(self, count: int) -> None:
        for _ in range(count):
            if self.backlog.abandoned:
                self.connect()
            if not self.way and self.backlog:
                missed, line = self.backlog.take()
                if missed:
                    self.way.append(Missed(at=AT, call=line.call, count=missed, seq=line.seq - 1, reason="slow"))
                self.way.append(decode(line.text))
            if self.way:
                self.take(self.way.popleft())

    def take(self, message: AnyMessage) -> None:
        if not self.position.take(message, self.now_s):
            return
        if isinstance(message, Missed):
            assert message.call is not None
            self.missed[message.call] += message.count
            self.unknown |= set() if message.count else {message.call}
        if isinstance(message, CallMessage) and message.seq > self.known.get(message.call, 0):
            self.got.append((message.call, message.seq))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abc"), st.sampled_from([1, 1, 3, 8])),
        st.tuples(st.sampled_from([0.0, 65.0, 400.0, 700.0]), st.text("abc", max_size=3)),
        st.integers(1, 9),
    ),
    min_size=3,
    max_size=60,
)
"""Messages of a call; the subscriber is away so many seconds, and calls come and go; so many messages reach it."""


@settings(max_examples=200)
@given(st.lists(st.sampled_from("abc"), max_size=20), STEPS, st.integers(0, 4))
def test_wherever_the_line_is_cut_nothing_comes_twice_and_whatever_lacks_is_counted(
    before: list[str], steps: list[int | tuple[str, int] | tuple[float, str]], readings_kept: int
) -> None:
    line = Line(readings_kept)
    for call in before:
        line.publish(call)
    line.connect()
    line.deliver(3)
    for step in steps:
        match step:
            case (str(letter), int(count)):
                for _ in range(count):
                    line.publish(letter)
            case (float(away_s), str(letters)):
                for letter in letters * 8:
                    line.publish(letter)
                line.now_s += away_s
                line.connect()
            case int():
                line.deliver(step)
    line.deliver(10_000)
    line.connect()  # what was dropped last is told with what comes next, or now
    line.deliver(10_000)
    assert len(line.got) == len(set(line.got))
    for call, last in line.last.items():
        if call in line.unknown:
            continue
        lacking = last - line.known.get(call, 0) - len([one for one in line.got if one[0] == call])
        assert lacking == line.missed[call] if line.exact else lacking <= line.missed[call]


def test_an_ended_call_is_named_for_two_minutes_and_what_was_wholly_heard_is_not_missed() -> None:
    position = Position()
    for message in (hello({}), started("a"), started("b"), ended(2, "a")):
        assert position.take(message, 10.0)
    forgotten = [Missed(at=AT, count=0, reason="forgotten", call=call) for call in "ab"]
    assert position.named(10.0 + ENDED_NAMED_S) == {"a": 2, "b": 1}
    assert [position.take(one, 50.0) for one in forgotten] == [False, True]
    assert position.named(50.0) == {"a": 2}
    assert position.named(10.1 + ENDED_NAMED_S) == {}


def test_a_call_that_ended_unheard_is_named_until_its_end_comes_or_the_server_knows_no_more_of_it() -> None:
    position = Position()
    for message in (hello({}), started("a"), started("b")):
        position.take(message, 0.0)
    assert position.take(hello({}), 5.0)
    assert position.take(ended(2, "a"), 5.0)
    assert position.named(5.1 + ENDED_NAMED_S) == {"a": 2, "b": 1}, "what was missed has not been told to its end"
    assert position.take(Heartbeat(at=AT), 5.0)
    assert position.named(5.0 + ENDED_NAMED_S) == {"a": 2, "b": 1}
    assert position.named(5.1 + ENDED_NAMED_S) == {"b": 1}
    assert position.take(Missed(at=AT, count=0, reason="forgotten", call="b"), 200.0)
    assert position.named(200.0) == {}


def test_a_newcomers_calls_count_as_heard_once_something_live_has_come() -> None:
    for live in (reading(6, "a"), Heartbeat(at=AT)):
        position = Position()
        position.take(hello({"a": 5}), 0.0)
        assert position.take(started("a"), 0.0)
        assert position.named(0.0) == {"a": 0}, "from its beginning"
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
