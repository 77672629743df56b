import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.frames import LINK_TYPES, Datagram, datagram_in, shown
from tests.captures import framed, udp

SENDER, RECEIVER = ("192.0.2.1", 4_000), ("198.51.100.7", 40_000)
SENDER_6, RECEIVER_6 = ("2001:db8::1", 4_000), ("2001:db8::2", 40_000)


@pytest.mark.parametrize("link", ["Ethernet", "VLAN", "two VLANs", "cooked", "cooked 2", "loopback", "raw"])
@pytest.mark.parametrize(("sender", "receiver"), [(SENDER, RECEIVER), (SENDER_6, RECEIVER_6)], ids=["IPv4", "IPv6"])
def test_the_datagram_of_every_link_is_found(link: str, sender: tuple, receiver: tuple) -> None:
    link_type, frame = framed(udp(sender, receiver, b"sound"), link)
    datagram = datagram_in(frame, link_type)
    assert datagram is not None
    assert datagram.payload == b"sound"
    shown_sender = "192.0.2.1:4000" if sender == SENDER else "[2001:db8::1]:4000"
    assert (shown(datagram.sender), datagram.receiver[1]) == (shown_sender, 40_000)


def test_padding_after_the_packet_is_left_out() -> None:
    assert datagram_in(udp(SENDER, RECEIVER, b"sound") + bytes(18), 101).payload == b"sound"


def test_headers_before_udp_are_passed_over() -> None:
    packet = bytearray(udp(SENDER_6, RECEIVER_6, b"sound"))
    packet[6] = 0
    packet[40:40] = b"\x3c\x00" + bytes(6) + b"\x11\x00" + bytes(6)
    assert datagram_in(bytes(packet), 101).payload == b"sound"


@pytest.mark.parametrize(
    "change",
    [
        lambda packet: packet[:-1],
        lambda packet: packet[:9] + b"\x06" + packet[10:],
        lambda packet: packet[:6] + b"\x20\x00" + packet[8:],
        lambda packet: packet[:6] + b"\x00\x01" + packet[8:],
        lambda packet: b"\x75" + packet[1:],
        lambda packet: packet[:0],
    ],
    ids=["cut", "TCP", "first fragment", "later fragment", "version 7", "nothing"],
)
def test_what_is_no_whole_datagram_is_none(change) -> None:
    assert datagram_in(change(udp(SENDER, RECEIVER, b"sound")), 101) is None


@given(st.binary(max_size=120), st.sampled_from(LINK_TYPES))
def test_any_frame_gives_a_datagram_or_none(frame: bytes, link_type: int) -> None:
    datagram = datagram_in(frame, link_type)
    assert datagram is None or isinstance(datagram, Datagram)
