import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.streams import Upgrade, authorities


def test_what_a_request_says() -> None:
    upgrade = Upgrade("/a/b?call=4%202&x=&call=no", {"host": "h:1"})
    assert (upgrade.path, upgrade.query) == ("/a/b", {"call": "4 2", "x": ""})
    assert upgrade.public_url("") == "ws://h:1/a/b?call=4%202&x=&call=no"
    assert (
        upgrade.public_url("wss://calls.example.com/mood/") == "wss://calls.example.com/mood/a/b?call=4%202&x=&call=no"
    )
    assert Upgrade("/", {"host": "h"}, secure=True).public_url("") == "wss://h/"


@pytest.mark.parametrize(
    ("authorization", "tokens"),
    [
        ("Bearer  t ", ["t", "q"]),
        ("bearer t", ["t", "q"]),
        ("t", ["t", "q"]),
        ("Basic " + base64.b64encode(b"user:t:u").decode(), ["t:u", "q"]),
        ("Basic !", ["q"]),
        ("Basic " + base64.b64encode(b"\xff").decode(), ["q"]),
        ("", ["q"]),
    ],
)
def test_where_a_token_may_be(authorization: str, tokens: list[str]) -> None:
    assert Upgrade("/?token=q", {"authorization": authorization}).tokens == tokens


@pytest.mark.parametrize(
    ("authority", "scheme", "ways"),
    [
        ("a.example", "wss", ["a.example", "a.example:443"]),
        ("a.example:443", "https", ["a.example:443", "a.example"]),
        ("a.example:80", "ws", ["a.example:80", "a.example"]),
        ("a.example:8443", "wss", ["a.example:8443"]),
        ("[::1]", "wss", ["[::1]", "[::1]:443"]),
        ("[::1]:8766", "ws", ["[::1]:8766"]),
    ],
)
def test_ways_to_write_an_authority(authority: str, scheme: str, ways: list[str]) -> None:
    assert list(authorities(authority, scheme)) == ways


@given(st.text(max_size=60), st.text(max_size=40))
def test_any_target_and_header_can_be_read(target: str, authorization: str) -> None:
    upgrade = Upgrade(target, {"authorization": authorization})
    assert all(upgrade.tokens)
    assert upgrade.public_url("").endswith(target)
