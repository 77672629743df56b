"""What a subscriber says is a message of the contract or one line that says what was expected."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.conversation import decoded
from monitor.errors import RequestError
from monitor.messages import Acknowledge, NewToken, Resume

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type":"acknowledge","call":"a","alert":"a:1","by":"Kim"}', Acknowledge(call="a", alert="a:1", by="Kim")),
        ('{"type":"acknowledge","call":"a","alert":"a:1"}', Acknowledge(call="a", alert="a:1")),
        ('{"type":"token","token":"x","later":"fields"}', NewToken(token="x")),
        ('{"type":"resume","after":{"a":0}}', Resume(after={"a": 0})),
    ],
)
def test_the_messages_of_the_contract_are_understood(text: str, said: object) -> None:
    assert decoded(text) == said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Input data was truncated"),
        ("[]", "Expected `object`, got `array`"),
        ("{}", "Object missing required field `type`"),
        ('{"type":"shout"}', "Invalid value 'shout' - at `$.type`"),
        ('{"type":"resume","after":{"a":-1}}', "Expected `int` >= 0 - at `$.after[...]`"),
        (
            '{"type":"acknowledge","call":"a","alert":"b","by":"' + "x" * 81 + '"}',
            "Expected `str` of length <= 80 - at `$.by`",
        ),
        (b"\xff", "JSON is malformed: invalid character (byte 0)"),
    ],
)
def test_everything_else_says_what_was_wrong(text: str | bytes, why: str) -> None:
    with pytest.raises(RequestError) as refused:
        decoded(text)
    expected = "expected acknowledge, token or resume as JSON"
    assert str(refused.value) == f"this message means nothing here ({why}): {expected}"


@given(st.one_of(st.text(), st.binary(), _JSON.map(json.dumps)))
def test_any_text_is_a_message_or_one_printable_line(text: str | bytes) -> None:
    line = ""
    try:
        decoded(text)
    except RequestError as refused:
        line = str(refused)
    assert line.isprintable()
    assert len(line) < 250


def test_a_field_nested_a_hundred_thousand_deep_is_refused() -> None:
    with pytest.raises(RequestError):
        decoded('{"type":"token","token":"x","more":' + "[" * 100_000 + "]" * 100_000 + "}")
