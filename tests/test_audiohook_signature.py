"""Signatures are made by the package http-message-signatures; over connections they are tried in test_audiohook.py."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import AccessError, SettingError
from monitor.sources import audiohook_signature
from monitor.sources.audiohook_signature import Verifier, parse_keys
from monitor.sources.streams import Upgrade
from tests.peers.audiohook_client import API_KEY, SECRET, request_headers, sign

URL = "wss://hook.example.com/audiohook?x=1"
KEYS = parse_keys([f"{API_KEY} {SECRET}"])


def upgrade(headers: dict[str, str]) -> Upgrade:
    lower = {name.lower(): value for name, value in headers.items()}
    return Upgrade("/audiohook?x=1", {"host": "hook.example.com", **lower}, "127.0.0.1", secure=True)


def test_keys_with_and_without_a_secret() -> None:
    assert parse_keys(["one c2VjcmV0", "two="]) == {"one": b"secret", "two=": None}
    assert parse_keys([]) == {}


@pytest.mark.parametrize("line", ["key not-base64!", "key c2VjcmV0 more", "k:y c2VjcmV0"])
def test_keys_that_are_none_are_refused_without_showing_them(line: str) -> None:
    with pytest.raises(SettingError) as refused:
        parse_keys(["good c2VjcmV0", line])
    assert "entry 2" in str(refused.value)
    assert line.split()[1] not in str(refused.value)


def test_a_good_signature_is_good_once() -> None:
    verifier = Verifier(KEYS, "")
    request = upgrade(sign(request_headers("session"), URL))
    verifier.check(request)
    with pytest.raises(AccessError, match="the signature's nonce was used before"):
        verifier.check(request)


def test_nonces_are_kept_for_as_long_as_they_matter_and_never_more_than_can_be_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audiohook_signature, "_MOST_NONCES", 3)
    verifier = Verifier(KEYS, "")
    for _ in range(5):
        verifier.check(upgrade(sign(request_headers("session"), URL)))
        assert len(verifier._nonces) <= 3
    clock = [0.0]
    late = Verifier(KEYS, "", lambda: clock[0])
    late._remember("key", "nonce")
    clock[0] = 17.0
    late._remember("key", "other")
    assert list(late._nonces) == [("key", "other")]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ('sig1=("@request-target" "@request-target");keyid="k";created=1', "names something twice"),
        ('sig1=("@request-target");keyid="k";created=x', "cannot be read"),
        ('sig1=("@request-target"),sig2=("@authority")', "cannot be read"),
        ("sig1=(" + 5_000 * '"a" ' + ")", "cannot be read"),
        ("", "the header Signature-Input cannot be read"),
    ],
)
def test_a_list_that_is_none_is_refused(header: str, text: str) -> None:
    request = upgrade({**request_headers("session"), "Signature-Input": header, "Signature": "sig1=:AAAA:"})
    with pytest.raises(AccessError, match=text):
        Verifier(KEYS, "").check(request)


@given(st.text(max_size=80), st.text(max_size=40), st.text(max_size=20))
def test_any_headers_are_good_or_refused(signed: str, given_: str, host: str) -> None:
    headers = {**request_headers("session"), "Signature-Input": signed, "Signature": given_, "host": host}
    with suppress(AccessError):
        Verifier(KEYS, "").check(upgrade(headers))
