import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ProtocolError
from monitor.sources.sip_framing import PING, Framer
from tests.sip_texts import both, request

MESSAGES = [request("INVITE", both()), PING, request("ACK"), request("BYE").replace(b"Content-Length", b"l"), PING]


def framed(pieces: list[bytes], most_bytes: int = 10_000) -> list[bytes]:
    framer = Framer(most_bytes)
    return [message for piece in pieces for message in framer.feed(piece)]


@given(st.lists(st.integers(0, sum(map(len, MESSAGES)))))
def test_messages_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    stream = b"".join(MESSAGES)
    edges = [0, *sorted(cuts), len(stream)]
    assert framed([stream[a:b] for a, b in itertools.pairwise(edges)]) == MESSAGES


def test_a_single_line_end_between_messages_is_passed_over() -> None:
    assert framed([b"\r\n" + MESSAGES[2], b"\r", b"\n" + MESSAGES[2]]) == [MESSAGES[2], MESSAGES[2]]


@pytest.mark.parametrize("stream", [b"x" * 101, b"OPTIONS a SIP/2.0\r\nContent-Length: 99\r\n\r\n"])
def test_a_message_beyond_the_limit_is_an_error_before_it_has_come(stream: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"SIP message of more than 100 bytes: raise siprec\.message_bytes"):
        framed([stream], most_bytes=100)


@pytest.mark.parametrize(("data", "within"), [(b"", False), (b"\r\n\r", False), (b"I", True), (MESSAGES[2], False)])
def test_it_is_known_whether_a_message_has_begun(data: bytes, within: bool) -> None:
    framer = Framer(10_000)
    list(framer.feed(data))
    assert framer.within_message is within


@given(st.lists(st.binary(max_size=60)))
def test_any_stream_gives_messages_or_our_error(pieces: list[bytes]) -> None:
    try:
        found = framed(pieces, most_bytes=100)
    except ProtocolError:
        return
    assert sum(map(len, found)) <= sum(map(len, pieces))
