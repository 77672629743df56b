import numpy as np
import pytest

from monitor.audio import Block, float_to_mulaw
from monitor.errors import ProtocolError, SourceError
from monitor.identities import Identities
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened, Event
from monitor.sources.codecs import PCMU
from monitor.sources.switchboard import Claim, Seat, Switchboard

CODES = float_to_mulaw(np.full(160, 0.25, np.float32)).tobytes()
CUSTOMER = Claim("case", "test", {"customer": "by rule"}, key="case", expects=("customer", "agent"))
AGENT = Claim("case", "test", {"agent": "by rule"}, key="case", expects=("customer", "agent"))


class Board:
    """A switchboard and what it puts."""

    def __init__(self, most_calls: int = 9) -> None:
        self._queue = BlockQueue(600)
        self.board = Switchboard(self._queue, CallNames(), Identities(show=False), 0.2, most_calls)
        self._events: list[Event] = []

    @property
    def events(self) -> list[Event]:
        self._events += self._queue.take(0)
        return self._events

    def kinds(self) -> list[tuple[str, str]]:
        """Beginnings and ends, in their order."""
        return [
            ("opened", one.call) if isinstance(one, CallOpened) else ("closed", one.call)
            for one in self.events
            if isinstance(one, CallOpened | CallClosed)
        ]

    def samples(self, party: str) -> int:
        return sum(one.samples.size for one in self.events if isinstance(one, Block) and one.party == party)

    def speak(self, seat: Seat, party: str, from_s: float, pieces: int = 50) -> None:
        seat.use(PCMU)
        for number in range(pieces):
            seat.push(party, number, number * 160, CODES, from_s + 0.02 * (number + 1))  # type: ignore[arg-type]


def test_connections_of_one_key_are_one_call_which_ends_with_the_last() -> None:
    one = Board()
    customer = one.board.connect(CUSTOMER, 0.0)
    agent = one.board.connect(AGENT, 1.0)
    one.speak(customer, "customer", 0.0)
    one.speak(agent, "agent", 1.0)
    customer.leave("end", None, 2.0)
    one.board.tick(2.0)
    assert one.kinds() == [("opened", "case")]
    agent.leave("stopped", ProtocolError("why"), 2.1)
    one.board.tick(2.1)
    assert one.kinds() == [("opened", "case"), ("closed", "case")]
    closed = one.events[-1]
    assert isinstance(closed, CallClosed)
    assert (closed.reason, str(closed.fault)) == ("stopped", "why")
    assert (one.samples("customer"), one.samples("agent")) == (8_000, 8_000)
    assert one.board.counters.received == 100


def test_without_a_key_each_connection_is_a_call() -> None:
    one = Board()
    for _ in range(2):
        one.board.connect(Claim("case", "test", {"customer": ""}), 0.0)
    assert one.kinds() == [("opened", "case"), ("opened", "case-2")]


def test_the_same_key_of_another_source_is_another_call() -> None:
    one = Board()
    one.board.connect(CUSTOMER, 0.0)
    one.board.connect(Claim("case", "other", {"agent": ""}, key="case", expects=("customer", "agent")), 0.0)
    assert len(one.kinds()) == 2


def test_whoever_comes_back_in_time_goes_on_and_whoever_does_not_is_missed() -> None:
    one = Board()
    first = one.board.connect(CUSTOMER, 0.0)
    one.speak(first, "customer", 0.0)
    first.leave("error: lost", ProtocolError("lost"), 1.0, linger_s=5.0)
    one.board.tick(3.0)
    second = one.board.connect(CUSTOMER, 3.0)
    one.board.tick(7.0)
    one.speak(second, "customer", 7.0)
    second.leave("error: lost", None, 8.0, linger_s=5.0)
    one.board.tick(12.9)
    assert one.kinds() == [("opened", "case")]
    one.board.tick(13.0)
    assert one.kinds() == [("opened", "case"), ("closed", "case")]
    assert one.samples("customer") == pytest.approx(16_000, abs=400)


def test_whoever_is_taken_over_is_heard_no_more() -> None:
    one = Board()
    first = one.board.connect(CUSTOMER, 0.0)
    second = one.board.connect(Claim("case", "test", {"customer": ""}, key="case", takes_over=True), 0.0)
    one.speak(first, "customer", 0.0)
    first.leave("error: lost", None, 1.0)
    one.board.tick(1.0)
    assert (one.kinds(), one.samples("customer")) == ([("opened", "case")], 0)
    one.speak(second, "customer", 0.0)
    second.leave("end", None, 1.0)
    second.leave("again", None, 1.0)
    one.board.tick(1.1)
    assert one.kinds()[-1] == ("closed", "case")
    assert one.samples("customer") == 8_000


def test_what_nobody_is_in_ends_at_once_when_all_ends() -> None:
    one = Board()
    one.board.connect(CUSTOMER, 0.0).leave("stopped", None, 1.0, linger_s=60.0)
    one.board.end_left(1.0)
    assert one.kinds() == [("opened", "case"), ("closed", "case")]


def test_a_full_switchboard_takes_no_further_call_but_a_calls_other_party() -> None:
    one = Board(most_calls=1)
    one.board.connect(CUSTOMER, 0.0)
    assert one.board.full
    one.board.connect(AGENT, 0.0)
    with pytest.raises(SourceError, match="1 calls run, which are all that may: see max_calls"):
        one.board.connect(CUSTOMER, 0.0)


def test_a_call_awaits_the_party_that_is_missing() -> None:
    one = Board()
    assert not one.board.awaits("case")
    one.board.connect(CUSTOMER, 0.0)
    assert one.board.awaits("case")
    agent = one.board.connect(AGENT, 0.0)
    assert not one.board.awaits("case")
    agent.leave("end", None, 1.0)
    assert one.board.awaits("case")
    one.board.connect(Claim("lone", "test", {"customer": ""}), 0.0)
    assert not one.board.awaits("")


def test_a_call_on_hold_is_silent() -> None:
    one = Board()
    seat = one.board.connect(CUSTOMER, 0.0)
    one.speak(seat, "customer", 0.0)
    seat.hold()
    one.speak(seat, "customer", 1.0)
    one.board.tick(2.2)
    seat.resume()
    seat.leave("end", None, 2.2)
    one.board.tick(2.2)
    heard = np.concatenate([b.samples for b in one.events if isinstance(b, Block) and b.party == "customer"])
    assert heard.size == pytest.approx(17_600, abs=2_000)
    assert heard[:8_000].all()
    assert not heard[8_000:].any()


def test_a_fault_of_ours_in_one_call_ends_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Board()
    one.board.connect(CUSTOMER, 0.0)
    good = one.board.connect(Claim("good", "test", {"customer": ""}), 0.0)
    broken, _ = one.board._calls[0].voices["customer"]
    monkeypatch.setattr(broken, "pass_time", lambda _: 1 / 0)
    monkeypatch.setattr(broken, "finish", lambda _: 1 / 0)
    for now_s in (0.1, 0.2):
        one.board.tick(now_s)
    one.speak(good, "customer", 0.0)
    good.leave("end", None, 1.0)
    one.board.tick(1.0)
    ends = [one.reason for one in one.events if isinstance(one, CallClosed)]
    fault = "case: a fault of ours: ZeroDivisionError('division by zero'); report this"
    assert ends == [f"error: {fault}", "end"]
    assert one.samples("customer") == 8_000
