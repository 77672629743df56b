import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.datagram_reader import MOST_AT_ONCE, Read, one_by_one, reader
from monitor.sources.datagrams import Datagrams

WAYS = [pytest.param(reader, id="quickest"), pytest.param(lambda: one_by_one, id="one by one")]
PLAIN = [bytes([0x80, number]) + random.Random(number).randbytes(170) for number in range(MOST_AT_ONCE)]


@contextmanager
def pair(host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """A sender, and the socket that it sends to."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender, socket.socket(family, socket.SOCK_DGRAM) as one:
        sender.bind((host, 0))
        one.bind((host, 0))
        one.setblocking(False)
        yield sender, one


def read(make: object, datagrams: Sequence[bytes], host: str = "127.0.0.1") -> tuple[Datagrams, object]:
    """What came, and from where it was sent."""
    take: Read = make()  # type: ignore[operator]
    with pair(host) as (sender, one):
        for datagram in datagrams:
            sender.sendto(datagram, one.getsockname())
        return take(one), sender.getsockname()


@pytest.mark.parametrize("make", WAYS)
@pytest.mark.parametrize(
    "lengths", [[], [172], [172] * 13, [172, 12, 172], [0, 1, 11, 12, 13], [171] * 3, [173] * 3, [4_000, 172]]
)
def test_what_waits_comes_in_its_order_with_where_it_came_from(make: object, lengths: list[int]) -> None:
    sent = [random.Random(length).randbytes(length) for length in lengths]
    came, address = read(make, sent)
    assert [*came.each] == sent
    assert [*came.addresses] == [address] * len(sent)
    assert came.size == sum(lengths)


@pytest.mark.parametrize("make", WAYS)
def test_packets_of_one_length_are_put_together(make: object) -> None:
    came, _ = read(make, PLAIN[:13])
    assert came.alike is not None
    assert came.alike.headers == b"".join(one[:12] for one in PLAIN[:13])
    assert came.alike.payloads == b"".join(one[12:] for one in PLAIN[:13])
    assert read(make, [*PLAIN[:3], b"short"])[0].alike is None


@pytest.mark.parametrize("make", WAYS)
def test_of_too_much_some_is_left_in_the_socket_and_nothing_is_no_fault(make: object) -> None:
    take: Read = make()  # type: ignore[operator]
    with pair() as (sender, one):
        assert len(take(one)) == 0
        for datagram in [*PLAIN, b"one more"]:
            sender.sendto(datagram, one.getsockname())
        assert [*take(one).each] == PLAIN
        assert [*take(one).each] == [b"one more"]
        assert len(take(one)) == 0


@pytest.mark.parametrize("make", WAYS)
def test_senders_are_told_apart(make: object) -> None:
    take: Read = make()  # type: ignore[operator]
    with pair() as (one_sender, one), pair() as (other, _):
        senders = [one_sender, other, one_sender]
        for sender in senders:
            sender.sendto(PLAIN[0], one.getsockname())
        assert [*take(one).addresses] == [sender.getsockname() for sender in senders]


@pytest.mark.parametrize("make", WAYS)
def test_addresses_of_ipv6_are_those_of_the_socket_module(make: object) -> None:
    try:
        came, address = read(make, PLAIN[:2], "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert [*came.addresses] == [address] * 2


@pytest.mark.parametrize("make", WAYS)
def test_what_is_longer_than_any_call_brings_comes_cut(make: object) -> None:
    came, _ = read(make, [bytes(9_000), PLAIN[0]])
    assert [len(one) for one in came.each] == [4_096, 172]


@given(st.lists(st.binary(min_size=172, max_size=172), min_size=1, max_size=9), st.data())
def test_as_many_are_equal_as_have_the_same_headers_one_after_the_other(some: list[bytes], data: st.DataObject) -> None:
    alike = Datagrams([()] * len(some), some).alike
    assert alike is not None
    first = data.draw(st.integers(0, len(some) - 1))
    wrong = data.draw(st.integers(first, len(some)))
    headers = [one[:12] if number != wrong else one[:11] + bytes([one[11] ^ 1]) for number, one in enumerate(some)]
    assert alike.equal(first, b"".join(headers[first:])) == wrong - first
    assert alike.payload(first, wrong - first) == b"".join(one[12:] for one in some[first:wrong])


def test_what_is_left_of_some_keeps_its_addresses() -> None:
    came = Datagrams([("a", 1), ("b", 2), ("c", 3)], [b"one", b"two", b"three"]).only([True, False, True])
    assert ([*came.each], [*came.addresses], came.size) == ([b"one", b"three"], [("a", 1), ("c", 3)], 8)
