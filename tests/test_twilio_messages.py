import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ProtocolError
from monitor.sources.codecs import PCMA, PCMU, linear
from monitor.sources.twilio_messages import Media, Other, Start, codec_of, parse_message

START = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "streamSid": "MZ1",
        "accountSid": "AC1",
        "callSid": "CA1",
        "tracks": ["inbound", "outbound"],
        "customParameters": {"agent": "4711", "number": 7, "null": None},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    },
    "streamSid": "MZ1",
}


def parsed(message: Any) -> Any:
    return parse_message(json.dumps(message).encode())


def test_a_start_of_twilio() -> None:
    assert parsed(START) == Start(
        stream="MZ1",
        call="CA1",
        tracks=("inbound", "outbound"),
        parameters={"agent": "4711", "number": "7", "null": ""},
    )


def test_a_start_with_next_to_nothing_is_mu_law() -> None:
    start = parsed({"event": "start", "stream_id": 5})
    assert start == Start(stream="5", call="", tracks=())
    assert codec_of(start, "little") is PCMU


@pytest.mark.parametrize(
    ("tracks", "expected"),
    [
        ("both_tracks", ("inbound", "outbound")),
        ("inbound_track", ("inbound",)),
        (["outbound"], ("outbound",)),
        (["x"], ()),
        (7, ()),
    ],
)
def test_tracks_as_platforms_name_them(tracks: Any, expected: tuple[str, ...]) -> None:
    assert parsed({"event": "start", "start": {"tracks": tracks}}).tracks == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ('{"X-PH-agent": "4711"}', {"agent": "4711"}),
        ({"agent": 4711}, {"agent": "4711"}),
        ("{", {}),
        ("[1]", {}),
        (7, {}),
    ],
)
def test_custom_parameters_of_plivo(headers: Any, expected: dict[str, str]) -> None:
    assert parsed({"event": "start", "start": {}, "extra_headers": headers}).parameters == expected


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        ({"track": "inbound", "chunk": "2", "timestamp": "20", "payload": "AQI="}, Media("inbound", 2, 20, b"\1\2")),
        (
            {"track": "outbound_track", "chunk": 2, "timestamp": 20.4, "payload": "AQI="},
            Media("outbound", 2, 20, b"\1\2"),
        ),
        ({"payload": "AQI="}, Media("", None, None, b"\1\2")),
        ({"chunk": "-1", "timestamp": "1e9", "track": 3, "payload": ""}, Media("", None, None, b"")),
        ({"chunk": True, "timestamp": 1 << 60, "payload": ""}, Media("", None, None, b"")),
    ],
)
def test_media_as_platforms_write_them(media: Any, expected: Media) -> None:
    assert parsed({"event": "media", "media": media}) == expected


@pytest.mark.parametrize("event", ["connected", "stop", "dtmf", "mark", "error", "whatever"])
def test_other_messages(event: str) -> None:
    assert parsed({"event": event, "x": []}) == Other(event)


@pytest.mark.parametrize(
    ("encoding", "rate", "expected"),
    [
        ("audio/x-mulaw", 8_000, PCMU),
        ("PCMU", 8_000, PCMU),
        ("audio/x-alaw", 8_000, PCMA),
        ("audio/PCMA", 8_000, PCMA),
        ("audio/x-raw", 8_000, linear(8_000, "little")),
        ("audio/L16;rate=16000", 8_000, linear(16_000, "little")),
        ("base64", 8_000, linear(8_000, "little")),
        ("L16@24000h", 8_000, linear(24_000, "little")),
        ("audio/x-mulaw;rate=8000", 16_000, PCMU),
    ],
)
def test_encodings_as_platforms_name_them(encoding: str, rate: int, expected: object) -> None:
    assert codec_of(Start("", "", (), encoding=encoding, sample_rate=rate), "little") == expected


def test_two_channels_in_one_track_are_refused() -> None:
    with pytest.raises(ProtocolError, match="media of 2 channels, expected 1"):
        codec_of(Start("", "", (), channels=2), "little")


def test_a_codec_that_needs_the_extra_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sources.twilio_messages.find_codec", lambda *_: None)
    with pytest.raises(ProtocolError, match=r"opus needs the extra codecs: pip install 'callmood\[codecs\]'"):
        codec_of(Start("", "", (), encoding="OPUS"), "little")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"event": 1}',
        b'{"event":"media"}',
        b'{"event":"media","media":{"payload":1}}',
        b"[" * 9_999,
    ],
)
def test_what_is_no_message_is_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_message(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["tracks", "track", "mediaFormat", "customParameters", "callSid", "chunk", "payload", "timestamp"]
)


@given(st.sampled_from(["start", "media", "stop"]), st.dictionaries(NAMES, JSON, max_size=6))
def test_any_values_give_a_message_or_our_error(event: str, values: dict[str, Any]) -> None:
    data = json.dumps({"event": event, event: values}).encode("utf-8", "surrogatepass")
    try:
        message = parse_message(data)
        if isinstance(message, Start):
            codec_of(message, "big")
    except ProtocolError:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_our_error(data: bytes) -> None:
    with suppress(ProtocolError):
        parse_message(data)
