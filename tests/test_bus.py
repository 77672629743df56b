from board_messages import reading, started

from monitor.bus import Bus
from monitor.messages import AnyMessage


def test_every_message_goes_to_every_receiver_as_it_comes_and_then_it_is_said_once_that_this_was_all() -> None:
    heard: list[object] = []
    bus = Bus()
    bus.subscribe(lambda message: heard.append(("first", message)), lambda: heard.append("all"))
    bus.subscribe(lambda message: heard.append(("second", message)))
    one, two, three = started(), reading(3.0), reading(3.5)
    bus.publish_all([one, two])
    bus.publish(three)
    each = [[("first", message), ("second", message)] for message in (one, two, three)]
    assert heard == [*each[0], *each[1], "all", *each[2], "all"]


def test_what_was_published_before_a_fault_is_not_left_waiting() -> None:
    heard: list[object] = []
    bus = Bus()
    bus.subscribe(heard.append, lambda: heard.append("all"))

    def breaks():
        message: AnyMessage = started()
        yield message
        raise ValueError("in the midst")

    try:
        bus.publish_all(breaks())
    except ValueError:
        heard.append("raised")
    assert heard == [started(), "all", "raised"]


def test_a_fault_afterwards_is_counted_and_the_others_are_called_all_the_same() -> None:
    heard: list[object] = []
    bus = Bus()
    bus.subscribe(heard.append, lambda: heard.index("missing"))
    bus.subscribe(heard.append, lambda: heard.append("all"))
    bus.publish(started())
    assert (heard, bus.faults) == ([started(), started(), "all"], 1)
