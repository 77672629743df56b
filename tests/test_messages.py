import msgspec
import pytest

from monitor.messages import CallStarted, Error, PartyInfo, Reading, decode, encode, rfc3339

READING = Reading(
    at="2026-01-31T12:00:00.250Z",
    call="42",
    seq=7,
    party="customer",
    start_s=0.0,
    end_s=3.0,
    state="speech",
    label="anger",
    mood="calm",
    confidence=0.5,
    scores={"anger": 0.5, "disgust": 0.1, "fear": 0.1, "happy": 0.1, "neutral": 0.1, "sad": 0.1},
    speech_share=0.9,
    level_db=-20.0,
    latency_ms=12.5,
)


def test_a_message_is_one_line_of_json_with_its_type_first() -> None:
    assert encode(READING) == (
        b'{"type":"reading","v":1,"at":"2026-01-31T12:00:00.250Z","call":"42","seq":7,"party":"customer",'
        b'"start_s":0.0,"end_s":3.0,"state":"speech","label":"anger","mood":"calm","confidence":0.5,'
        b'"scores":{"anger":0.5,"disgust":0.1,"fear":0.1,"happy":0.1,"neutral":0.1,"sad":0.1},'
        b'"speech_share":0.9,"level_db":-20.0,"latency_ms":12.5}'
    )


@pytest.mark.parametrize(
    "message",
    [
        READING,
        Error(at="2026-01-31T12:00:00.250Z", code="audio", text="line one\nline two"),
        CallStarted(
            at="2026-01-31T12:00:00.250Z",
            call="[bold]x",
            seq=1,
            source="recording",
            path=None,
            parties={"agent": PartyInfo(channel=0, scored=False)},
        ),
    ],
)
def test_decoding_inverts_encoding(message: Reading) -> None:
    line = encode(message)
    assert b"\n" not in line
    assert decode(line) == message


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert decode(encode(READING)[:-1] + b',"later":1}') == READING


@pytest.mark.parametrize("line", [b'{"type":"other"}', b'{"type":"reading","v":2}', b"{", b"[]"])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(line)


@pytest.mark.parametrize(
    ("unix_s", "text"), [(0.0, "1970-01-01T00:00:00.000Z"), (1_769_860_800.2509, "2026-01-31T12:00:00.250Z")]
)
def test_times_are_utc_with_milliseconds(unix_s: float, text: str) -> None:
    assert rfc3339(unix_s) == text
