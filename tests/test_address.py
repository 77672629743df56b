from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.uri import parse_uri

from monitor.address import Address
from monitor.errors import RequestError
from monitor.subscription import ALL_CALLS, Topic, parse_subscription


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("ws://127.0.0.1:8765/v1/calls", "ws://127.0.0.1:8765/v1/calls"),
        ("http://127.0.0.1:8765", "ws://127.0.0.1:8765/v1/calls"),
        (" HTTPS://calls.example/ \n", "wss://calls.example/v1/calls"),
        ("wss://[::1]:9/v1/calls/", "wss://[::1]:9/v1/calls"),
        ("https://example.com/callmood", "wss://example.com/callmood/v1/calls"),
        ("ws://h/v1/agents/47%2011?min_interval_s=5", "ws://h/v1/agents/47%2011?min_interval_s=5"),
    ],
)
def test_an_address_at_hand_becomes_that_of_a_subscription(text: str, url: str) -> None:
    assert Address.parse(text) == Address(url)
    assert Address(url).all_calls == ("/v1/agents/" not in url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:8765",
        "localhost:8765",
        "ftp://h",
        "ws://",
        "ws://h:99999",
        "ws://h:0",
        "ws://h:x",
        "ws://[::1",
        "ws://user:secret@h",
        "ws://h#x",
        "ws://h/v1/calls?after=x",
        "ws://h/v1/agents",
        "ws://h/v1/calls/a/b",
        "ws://h/v1/x",
        "ws://h\x1b[2J",
        "ws://h /v1",
    ],
)
def test_anything_else_is_one_line_with_a_cure(text: str) -> None:
    with pytest.raises(RequestError) as error:
        Address.parse(text)
    assert "secret" not in str(error.value)
    assert str(error.value).isprintable()
    assert ":" in str(error.value)


@given(st.text(min_size=1), st.sampled_from(["call", "agent"]))
def test_any_name_of_a_call_or_an_agent_reaches_the_service_as_it_is(name: str, kind: str) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return
    address = Address.parse("http://h:1", **{kind: name})  # type: ignore[arg-type]
    target = address.after("run", 7).removeprefix("ws://h:1")
    subscription = parse_subscription(target)
    assert subscription.topic == Topic(kind, name)  # type: ignore[arg-type]
    assert (address.call, subscription.seq) == ((name, 7) if kind == "call" else (None, None))


@given(st.text(), st.sampled_from(["", "ws://", "https://h", "ws://h/v1/"]))
def test_whatever_is_typed_is_an_address_that_can_be_connected_to_or_one_line(text: str, before: str) -> None:
    with suppress(RequestError):
        assert parse_uri(Address.parse(before + text).after("run", 1)).host


def test_a_name_is_not_given_twice_nor_empty() -> None:
    for address, options in (
        ("ws://h/v1/calls/a", {"call": "b"}),
        ("ws://h/v1/agents/1", {"agent": "2"}),
        ("ws://h", {"call": ""}),
    ):
        with pytest.raises(RequestError):
            Address.parse(address, **options)


def test_a_resume_point_joins_what_is_asked_already() -> None:
    target = Address.parse("ws://h/?min_interval_s=5").after("a-_b", 3).removeprefix("ws://h")
    assert target == "/v1/calls?min_interval_s=5&after=a-_b"
    assert parse_subscription(target).topic == ALL_CALLS


def test_only_tls_and_this_machine_are_private() -> None:
    private = ("wss://calls.example", "ws://127.0.0.1", "http://localhost:1", "ws://[::1]:8765")
    assert [Address.parse(text).private for text in (*private, "ws://10.0.0.1")] == [True] * 4 + [False]
