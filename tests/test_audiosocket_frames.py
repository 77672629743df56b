import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ProtocolError
from monitor.sources.audiosocket_frames import RATES, Frame, Framer, encoded

UUID = Frame(0x01, bytes(range(16)))
frames = st.lists(st.builds(Frame, st.integers(0, 255), st.binary(max_size=700)), max_size=9)


def test_frames_are_as_the_document_says() -> None:
    assert encoded(Frame(0x00, b"")) == b"\x00\x00\x00"
    assert encoded(Frame(0x10, bytes(320))) == b"\x10\x01\x40" + bytes(320)
    assert [RATES[kind] for kind in range(0x10, 0x19)] == [
        8_000,
        12_000,
        16_000,
        24_000,
        32_000,
        44_100,
        48_000,
        96_000,
        192_000,
    ]


@given(frames, st.lists(st.integers(1, 900), max_size=40))
def test_however_the_stream_is_cut_the_same_frames_come_out(sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(struct.pack(">BH", kind, len(payload)) + payload for kind, payload in [UUID, *sent])
    framer, found = Framer(65_535), []
    for cut in cuts:
        found += framer.feed(data[:cut])
        data = data[cut:]
    found += framer.feed(data)
    assert found == [UUID, *sent]


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_our_error(data: bytes) -> None:
    for first in (b"", encoded(UUID)):
        framer = Framer(50)
        try:
            found = list(framer.feed(first + data))
        except ProtocolError:
            continue
        assert sum(3 + len(one.payload) for one in found) <= len(first + data)


def test_what_came_whole_before_a_fault_is_taken() -> None:
    frames = Framer(16).feed(encoded(UUID) + encoded(Frame(3, b"1")) + b"\x10\x00\x11")
    assert (next(frames), next(frames)) == (UUID, Frame(3, b"1"))
    with pytest.raises(ProtocolError, match="a frame of 17 bytes, expected at most 16"):
        next(frames)


@pytest.mark.parametrize("data", [b"G", b"\x10\x01\x40", b"\x01\x00\x11", b"\x01\x10\x00"])
def test_the_first_bytes_tell_who_speaks_another_protocol(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"expected a UUID first \(01 00 10\), got .*: this is no AudioSocket"):
        list(Framer(65_535).feed(data))
