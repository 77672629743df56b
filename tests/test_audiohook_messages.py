import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ProtocolError
from monitor.sources.audiohook_messages import (
    Format,
    Open,
    choose,
    parse_duration_s,
    parse_message,
    parse_open,
    server_message,
)
from tests.test_twilio_messages import JSON

UUID = "e160e428-53e2-487c-977d-96989bf5c99d"
MESSAGE = {"version": "2", "id": UUID, "type": "ping", "seq": 3, "serverseq": 1, "position": "PT1S", "parameters": {}}
STEREO = {"type": "audio", "format": "PCMU", "channels": ["external", "internal"], "rate": 8000}
OPENING = {
    "organizationId": UUID,
    "conversationId": UUID,
    "participant": {"ani": "+1", "aniName": "Ann"},
    "media": [STEREO],
}


def test_a_message_of_a_client() -> None:
    message = parse_message(json.dumps(MESSAGE).encode())
    assert (message.id, message.type, message.seq, message.serverseq, message.parameters) == (UUID, "ping", 3, 1, {})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": "3"}, "version '3' of the protocol, expected 2"),
        ({"id": "7"}, "a message of the session '7' with seq 3, expected a UUID and 1 up"),
        ({"seq": 0}, "with seq 0, expected a UUID and 1 up"),
        ({"serverseq": -1}, "expected a UUID and 1 up"),
        ({"seq": "1"}, "no well-formed client message: Expected `int`, got `str`"),
        ({"parameters": None}, "no well-formed client message"),
        ({"type": "x" * 70_000}, "a text message of 70"),
    ],
)
def test_what_is_no_message_of_a_client_says_why(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_message(json.dumps(MESSAGE | change).encode())
    assert text in str(caught.value)


def test_what_a_client_wants_to_send() -> None:
    continued = [{"id": UUID, "serverseq": 1, "clientseq": 2}, 7]
    assert parse_open({**OPENING, "continuedSessions": continued, "customConfig": {"agent": "4711"}}) == Open(
        organization=UUID,
        conversation=UUID,
        customer="+1",
        formats=(Format("PCMU", ("external", "internal")),),
        continued=(UUID,),
        config={"agent": "4711"},
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"organizationId": 5}, "organizationId must be a UUID, got '5'"),
        ({"conversationId": None}, "conversationId must be a UUID, got 'None'"),
        ({"participant": []}, "open without participant or media"),
        ({"media": {}}, "open without participant or media"),
    ],
)
def test_an_opening_that_is_none_says_why(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_open(OPENING | change)
    assert str(caught.value) == text


def test_of_nothing_nothing_is_chosen() -> None:
    assert choose(()) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT1.2S", 1.2), ("PT0S", 0), ("PT1M2S", 62), ("PT2H", 7_200), ("PT0.000001S", 1e-6)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "PT", "PT-1S", "1.2", "P1D", "PT1,5S", None, 5, "PT" + 50 * "1" + "S"])
def test_what_is_no_duration_is_an_error_of_ours(text: Any) -> None:
    with pytest.raises(ProtocolError, match=r"a duration such as PT1\.2S was expected"):
        parse_duration_s(text)


def test_what_is_said_reads_back() -> None:
    text = server_message(UUID, "disconnect", 4, 9, {"reason": "error", "info": "a \x1b[31m fault"})
    assert json.loads(text) == {
        "version": "2",
        "id": UUID,
        "type": "disconnect",
        "seq": 4,
        "clientseq": 9,
        "parameters": {"reason": "error", "info": "a \x1b[31m fault"},
    }


@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(list(MESSAGE)), JSON).map(lambda d: json.dumps(d).encode())
)
def test_any_bytes_give_a_message_or_our_error(data: bytes) -> None:
    with suppress(ProtocolError):
        parse_message(data)


@given(st.dictionaries(st.sampled_from([*OPENING, "continuedSessions", "customConfig", "supportedLanguages"]), JSON))
def test_any_parameters_give_an_opening_or_our_error(parameters: dict[str, Any]) -> None:
    with suppress(ProtocolError):
        choose(parse_open({**OPENING, **parameters}).formats)


@given(JSON)
def test_any_value_is_a_duration_or_our_error(value: Any) -> None:
    with suppress(ProtocolError):
        assert parse_duration_s(value) >= 0
