import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ProtocolError
from monitor.sources.rtp_packet import RtpPacket, farewells, is_rtcp, parse_rtp


def header(first: int = 0x80, second: int = 0, sequence: int = 7, timestamp: int = 9, source: int = 3) -> bytes:
    return struct.pack(">BBHII", first, second, sequence, timestamp, source)


def test_a_plain_packet_is_its_header_and_the_rest() -> None:
    assert parse_rtp(header(second=0x80 | 8) + b"audio", 1.5) == RtpPacket(8, 7, 9, 3, b"audio", 1.5)


@pytest.mark.parametrize(
    "datagram",
    [
        header(0x82) + bytes(8) + b"audio",
        header(0x90) + b"\xbe\xde\x00\x02" + bytes(8) + b"audio",
        header(0xA0) + b"audio" + b"\x00\x00\x03",
        header(0xB1) + bytes(4) + b"\x00\x00\x00\x01" + bytes(4) + b"audio" + b"\x01",
    ],
    ids=["CSRCs", "header extension", "padding", "all three"],
)
def test_what_is_not_audio_is_taken_off(datagram: bytes) -> None:
    assert parse_rtp(datagram, 0.0).payload == b"audio"


@pytest.mark.parametrize(
    ("datagram", "text"),
    [
        (b"", "an RTP packet has at least 12 bytes, got 0"),
        (header()[:11], "an RTP packet has at least 12 bytes, got 11"),
        (header(0x40), "expected RTP version 2, got 1"),
        (header(0x90) + b"ab", "an RTP header extension begins at byte 12, the packet has 14 bytes"),
        (header(0xA0) + b"\x00", "padding of an RTP packet counts at least its own byte, got 0"),
        (header(0xA0) + b"\x02", "header and padding of an RTP packet overlap: 12 and 2 bytes"),
        (header(0x8F) + b"\x02", "header and padding of an RTP packet overlap: 72 and 0 bytes"),
    ],
)
def test_what_is_no_packet_is_refused(datagram: bytes, text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_rtp(datagram, 0.0)
    assert str(caught.value) == text


def test_reports_are_told_from_audio_by_their_second_byte() -> None:
    assert [kind for kind in range(256) if is_rtcp(bytes([0x80, kind]))] == list(range(192, 224))
    assert not is_rtcp(b"\x00\xc8")
    assert not is_rtcp(b"\x80")


def test_a_farewell_is_found_behind_other_reports() -> None:
    receiver_report = struct.pack(">BBHI", 0x80, 201, 1, 5)
    bye = struct.pack(">BBHII", 0x82, 203, 2, 5, 6)
    assert farewells(receiver_report + bye) == {5, 6}
    assert farewells(receiver_report) == frozenset()
    assert farewells(struct.pack(">BBH", 0x9F, 203, 0)) == frozenset()


def test_a_report_that_is_cut_is_refused() -> None:
    with pytest.raises(ProtocolError, match="an RTCP part ends at byte 12, the packet has 8 bytes"):
        farewells(struct.pack(">BBHI", 0x81, 203, 2, 5))


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: header() + tail))
def test_any_bytes_give_a_value_or_our_error(datagram: bytes) -> None:
    with suppress(ProtocolError):
        parse_rtp(datagram, 0.0)
    with suppress(ProtocolError):
        farewells(datagram)
