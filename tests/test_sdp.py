import contextlib
import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ProtocolError
from monitor.sources.codecs import PCMA, PCMU
from monitor.sources.sdp import Answered, Media, answer, parse_offer
from tests.sip_texts import SDP, crlf

HEAD = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\n"
WIDE = importlib.util.find_spec("av") is not None


def offered(text: str) -> tuple[Media, ...]:
    return parse_offer(crlf(text))


def media(text: str) -> Media:
    return offered(HEAD + text)[0]


def test_every_stream_of_an_offer_is_read() -> None:
    first, second = offered(SDP)
    assert (first.kind, first.port, first.protocol, first.label) == ("audio", 46_000, "RTP/AVP", "96")
    assert (first.host, first.direction, first.rtcp_mux) == ("127.0.0.1", "sendonly", False)
    assert [(number, codec.name) for number, codec in first.codecs().items()] == [(0, "PCMU"), (101, "telephone-event")]
    assert [(number, codec.name) for number, codec in second.codecs().items()] == [(8, "PCMA"), (0, "PCMU")]


def test_what_the_session_says_holds_for_each_stream_that_does_not_say_otherwise() -> None:
    session = "v=0\nc=IN IP4 192.0.2.1\na=inactive\n"
    text = f"{session}m=audio 4000 RTP/AVP 0\nm=audio 4002 RTP/AVP 0\nc=IN IP6 2001:DB8::1\na=sendonly\n"
    first, second = offered(text)
    assert (first.host, first.direction) == ("192.0.2.1", "inactive")
    assert (second.host, second.direction) == ("2001:db8::1", "sendonly")


def test_a_connection_may_stand_at_the_streams_alone() -> None:
    assert media("m=audio 30026 RTP/AVP 8\nc=IN IP4 127.0.0.7\na=label:1\n").host == "127.0.0.7"


@pytest.mark.parametrize(
    ("text", "hold"),
    [
        ("a=sendonly", False),
        ("a=sendrecv", False),
        ("", False),
        ("a=inactive", True),
        ("a=recvonly", True),
        ("c=IN IP4 0.0.0.0", True),
        ("c=IN IP6 ::", True),
    ],
)
def test_hold_is_known_in_all_its_forms(text: str, hold: bool) -> None:
    assert media(f"m=audio 4000 RTP/AVP 0\n{text}\n").on_hold is hold


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("m=audio 4000 RTP/AVP 0 8", ["PCMU", "PCMA"]),
        ("m=audio 4000 RTP/AVPF 0", ["PCMU"]),
        ("m=audio 4000 RTP/AVP 96 0\na=rtpmap:96 pcma/8000/1", ["PCMA", "PCMU"]),
        ("m=audio 4000 RTP/AVP 9 111\na=rtpmap:111 opus/48000/2", ["G722", "opus"] if WIDE else []),
        ("m=audio 4000 RTP/AVP 0 13 18", ["PCMU", "CN"]),
        ("m=audio 4000 RTP/AVP 0\na=rtpmap:0 speex/8000", []),
        ("m=audio 4000 RTP/AVP 18\na=rtpmap:18 G729/8000", []),
        ("m=audio 4000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000", []),
        ("m=audio 4000 RTP/SAVP 0", []),
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 0", []),
        ("m=audio 0 RTP/AVP 0", []),
        ("m=video 4000 RTP/AVP 0", []),
        ("m=audio 4000 RTP/AVP 0 999 x ٣", ["PCMU"]),
    ],
)
def test_only_what_can_be_decoded_here_is_taken(text: str, names: list[str]) -> None:
    assert [codec.name for codec in media(text + "\n").codecs().values()] == names


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no SDP: expected v=0, got ''"),
        ("hello", "no SDP: expected v=0, got 'hello'"),
        ("v=0\ns=-\n", "SDP without an m-line: expected one for each party"),
        ("v=0\nm=audio RTP/AVP 0\n", "m-line must be m=audio PORT RTP/AVP FORMATS, got 'm=audio RTP/AVP 0'"),
        ("v=0\nm=audio 70000 RTP/AVP 0\n", "m-line must be m=audio PORT RTP/AVP FORMATS, got"),
        ("v=0\n" + 1_000 * "a=rtpmap:0 PCMU/8000\n", "more than 1000 lines in one SDP"),
        ("v=0\n" + 17 * "m=audio 4000 RTP/AVP 0\n", "more than 16 m-lines in one SDP"),
    ],
)
def test_what_is_no_offer_is_refused(text: str, error: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        offered(text)
    assert str(caught.value).startswith(error)


def test_the_answer_has_a_line_for_each_stream_in_the_offers_order() -> None:
    text = (
        HEAD + "m=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=sendonly\na=label:7\n"
        "a=rtcp-mux\nm=video 5000 RTP/AVP 31\nm=audio 4002 RTP/AVP 8 0\na=label:2\na=inactive\n"
    )
    first, video, second = offered(text)
    answered = [
        Answered(first, 20_000, first.codecs()),
        Answered(video),
        Answered(second, 20_002, {8: PCMA, 0: PCMU}),
    ]
    assert answer("192.0.2.9", 5, 2, answered).decode() == (
        "v=0\r\no=callmood 5 2 IN IP4 192.0.2.9\r\ns=callmood\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
        "m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
        "a=fmtp:101 0-15\r\na=recvonly\r\na=rtcp-mux\r\na=label:7\r\n"
        "m=video 0 RTP/AVP 31\r\n"
        "m=audio 20002 RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=inactive\r\na=label:2\r\n"
    )


@pytest.mark.skipif(not WIDE, reason="needs the extra codecs")
def test_opus_is_answered_with_its_two_channels() -> None:
    one = media("m=audio 4000 RTP/AVP 111\na=rtpmap:111 opus/48000/2\n")
    assert b"a=rtpmap:111 opus/48000/2\r\n" in answer("::1", 1, 1, [Answered(one, 20_000, one.codecs())])
    assert b"c=IN IP6 ::1\r\n" in answer("::1", 1, 1, [])


lines = st.one_of(
    st.text(max_size=30),
    st.sampled_from(SDP.splitlines()),
    st.builds(
        "m={} {} {} {}".format, st.text(max_size=5), st.integers(0, 99_999), st.text(max_size=9), st.text(max_size=9)
    ),
    st.builds("a={}:{}".format, st.sampled_from(["rtpmap", "fmtp", "label", "ptime"]), st.text(max_size=20)),
)


@given(st.lists(lines, max_size=12))
def test_any_text_is_an_offer_that_can_be_answered_or_our_error(texts: list[str]) -> None:
    try:
        found = parse_offer("\n".join(["v=0", *texts]).encode("utf-8", "surrogatepass"))
    except ProtocolError:
        return
    back = answer("127.0.0.1", 1, 1, [Answered(one, 20_000 if one.codecs() else 0, one.codecs()) for one in found])
    assert [one.kind for one in parse_offer(back)] == [one.kind for one in found]


@given(st.binary(max_size=200))
def test_any_bytes_are_an_offer_or_our_error(data: bytes) -> None:
    for one in (data, b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n" + data):
        with contextlib.suppress(ProtocolError):
            parse_offer(one)
