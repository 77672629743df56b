import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ProtocolError
from monitor.sources.asterisk_messages import MediaStart, Other, codec_of, parse_message
from monitor.sources.codecs import PCMA, PCMU, linear

PLAIN = (
    b"MEDIA_START connection_id:media_connection1 channel:WebSocket/media_connection1/0x5140001a0 channel_id:1764.7 "
    b"format:ulaw optimal_frame_size:160 ptime:20"
)
JSON = {
    "event": "MEDIA_START",
    "connection_id": "media_connection1",
    "channel": "WebSocket/media_connection1/0x5140001a0",
    "channel_id": "1764.7",
    "format": "ulaw",
    "optimal_frame_size": 160,
    "ptime": 20,
    "channel_variables": {"DIALEDPEERNUMBER": "c(ulaw)", "CALLMOOD_CALL": "7", "CALLMOOD_PARTY": "agent"},
}
START = MediaStart("media_connection1", "WebSocket/media_connection1/0x5140001a0", "1764.7", "ulaw")


def test_both_ways_of_writing_say_the_same() -> None:
    assert parse_message(PLAIN) == START
    other = parse_message(json.dumps(JSON).encode())
    assert other == MediaStart(
        START.connection, START.channel, START.channel_id, "ulaw", {"call": "7", "party": "agent"}
    )


@pytest.mark.parametrize(
    ("data", "event", "text"),
    [
        (b"MEDIA_XOFF", "MEDIA_XOFF", ""),
        (b"DTMF_END digit:5 channel_id:1.2", "DTMF_END", ""),
        (b"MEDIA_BUFFERING_COMPLETED my id", "MEDIA_BUFFERING_COMPLETED", ""),
        (b"ERROR channel_id:1.2 error_text:not supported: here", "ERROR", "not supported: here"),
        (b'{"event":"DTMF_END","channel_id":"1.2","digit":"5"}', "DTMF_END", ""),
        (b'{"event":"ERROR","error_text":"no such"}', "ERROR", "no such"),
        (b'{"event":"STATUS","queue_length":4,"queue_full":false}', "STATUS", ""),
    ],
)
def test_events_that_are_no_start(data: bytes, event: str, text: str) -> None:
    assert parse_message(data) == Other(event, text)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("ulaw", PCMU),
        ("alaw", PCMA),
        ("slin", linear(8_000, "little")),
        ("slin16", linear(16_000, "little")),
        ("slin44", linear(44_100, "little")),
        ("slin192", linear(192_000, "little")),
    ],
)
def test_asterisks_names_of_formats(name: str, codec: object) -> None:
    assert codec_of(name) == codec


@pytest.mark.parametrize("name", ["", "slin9", "slin16x", "slin0", "gsm", "siren7", "ULAW\n"])
def test_other_formats_are_refused_with_the_cure(name: str) -> None:
    with pytest.raises(ProtocolError, match=r"expected ulaw, alaw, slin or slin16: ask for it with c\(ulaw\)"):
        codec_of(name)


words = st.text(st.characters(codec="utf-8"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | words, lambda one: st.dictionaries(words, one), max_leaves=6
)


@given(st.binary(max_size=200) | st.binary(max_size=90).map(lambda tail: PLAIN + tail))
def test_any_bytes_give_a_message_or_our_error(data: bytes) -> None:
    try:
        message = parse_message(data)
        if isinstance(message, MediaStart):
            codec_of(message.format)
    except ProtocolError:
        pass


@given(st.dictionaries(st.sampled_from([*JSON]) | words, values))
def test_any_json_gives_a_message_or_our_error(changed: dict[str, object]) -> None:
    try:
        message = parse_message(json.dumps({**JSON, **changed}).encode())
    except ProtocolError:
        return
    assert isinstance(message, MediaStart | Other)
