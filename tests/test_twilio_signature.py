"""Signatures are made by Twilio's own package."""

import asyncio
import base64
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import HMAC_SHA256, RequestValidator
from websockets.exceptions import InvalidStatus

from monitor.errors import AccessError, SettingError
from monitor.sources.streams import Upgrade
from monitor.sources.twilio_signature import check_request, is_signed, urls
from tests.peers.media_streams import MediaStream, call
from tests.stream_house import stream_house

TOKEN, OTHER = "12345678901234567890123456789012", "other"
URL = "wss://calls.example.com/twilio"


def signed(url: str, token: str = TOKEN, algorithm: str | None = None) -> str:
    return str(RequestValidator(token).compute_signature(url, {}, algorithm))


@pytest.mark.parametrize(
    "told",
    [
        "wss://calls.example.com/twilio",
        "https://calls.example.com/twilio",
        "wss://calls.example.com:443/twilio",
        "https://calls.example.com:443/twilio",
        "wss://calls.example.com/twilio/",
        "https://calls.example.com/twilio/",
    ],
)
@pytest.mark.parametrize("known", ["wss://calls.example.com/twilio", "https://calls.example.com:443/twilio/"])
def test_a_signature_is_good_however_the_address_was_written(told: str, known: str) -> None:
    assert is_signed(known, signed(told), [OTHER, TOKEN])
    assert not is_signed(known, signed(told, OTHER), [TOKEN])


@pytest.mark.parametrize(
    "told",
    [
        "wss://calls.example.org/twilio",
        "wss://calls.example.com/twilio2",
        "wss://calls.example.com:8443/twilio",
        "ws://calls.example.com/twilio",
        "wss://calls.example.com/twilio?call=7",
    ],
)
def test_a_signature_of_another_address_is_not(told: str) -> None:
    assert not is_signed(URL, signed(told), [TOKEN])


def test_the_query_is_signed_too() -> None:
    url = URL + "?call=7&x=%20a"
    assert is_signed(url, signed(url), [TOKEN])
    assert is_signed(url, signed(url.replace("twilio?", "twilio/?")), [TOKEN])
    assert not is_signed(url, signed(URL), [TOKEN])


def test_a_shared_key_signs_with_sha_256() -> None:
    settings = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    signature = signed(URL, TOKEN, HMAC_SHA256)
    assert is_signed(URL, signature, [TOKEN], settings)
    assert not is_signed(URL, signature, [TOKEN])
    assert not is_signed(URL, signed(URL), [TOKEN], settings)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_address_and_any_signature_are_good_or_not(url: str, signature: str) -> None:
    assert is_signed(url, signature, [TOKEN]) in (True, False)


def test_ways_to_write_an_address() -> None:
    assert list(urls("ws://127.0.0.1:8766/t")) == [
        "ws://127.0.0.1:8766/t",
        "ws://127.0.0.1:8766/t/",
        "http://127.0.0.1:8766/t",
        "http://127.0.0.1:8766/t/",
    ]


def upgrade(**headers: str) -> Upgrade:
    target = headers.pop("target", "/twilio")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Upgrade(target, {"host": "10.0.0.9:8766", **named}, "10.0.0.7", secure=False)


@pytest.mark.parametrize(
    "request_",
    [
        upgrade(authorization="Bearer s3cret"),
        upgrade(authorization="s3cret"),
        upgrade(authorization="Basic " + base64.b64encode(b"key:s3cret").decode()),
        upgrade(target="/twilio?token=s3cret&call=7"),
        upgrade(x_twilio_signature=signed(URL)),
        upgrade(x_signalwire_signature=signed(URL)),
    ],
)
def test_one_good_credential_is_enough(request_: Upgrade) -> None:
    check_request(request_, "wss://calls.example.com", [TOKEN], ["old", "s3cret"])


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (upgrade(), 401, "no credentials came along, expected X-Twilio-Signature or a token"),
        (upgrade(authorization="Bearer wrong"), 403, "the token is another one than twilio.token_file has"),
        (upgrade(authorization="Basic ???"), 401, "no credentials came along"),
        (upgrade(x_twilio_signature="AAAA"), 403, "the signature is not over 'wss://calls.example.com/twilio'"),
        (upgrade(x_twilio_signature=signed(URL), target="/twilio?token=x"), 403, "the signature is not over"),
        (upgrade(x_twilio_signature="\udcff"), 403, "the signature is not over"),
    ],
)
def test_wrong_credentials_are_refused_without_showing_any(request_: Upgrade, status: int, text: str) -> None:
    with pytest.raises(AccessError) as refused:
        check_request(request_, "wss://calls.example.com", [TOKEN], ["s3cret"])
    assert refused.value.status == status
    assert str(refused.value).startswith(text)
    assert "s3cret" not in str(refused.value)
    assert TOKEN not in str(refused.value)


@pytest.fixture
def auth_token_file(tmp_path: Path) -> Path:
    file = tmp_path / "auth"
    file.write_text(f"# the account's\n{TOKEN}\n\n{OTHER}\n")
    file.chmod(0o600)
    return file


def attempt(twilio_settings: dict[str, Any], signature: str, **streams: Any) -> int:
    """The status with which a connection is answered; 101 where it becomes one."""

    async def scenario() -> int:
        async with stream_house(twilio=twilio_settings, streams=streams) as house:
            try:
                sending = await call(house.url("/twilio"), MediaStream(), {"X-Twilio-Signature": signature})
            except InvalidStatus as refused:
                return refused.response.status_code
            await house.until(lambda: house.opened)
            await sending.end()
            return 101

    return asyncio.run(scenario())


def test_connections_are_let_in_by_their_signature(auth_token_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "monitor")
    settings = {"auth_token_file": str(auth_token_file)}
    assert attempt(settings, signed(URL), public_url="wss://calls.example.com") == 101
    assert attempt(settings, signed(URL, OTHER), public_url="https://calls.example.com/") == 101
    assert attempt(settings, signed(URL, "wrong"), public_url="wss://calls.example.com") == 403
    cure = "compare streams.public_url with the address in the platform's configuration, and the auth token"
    assert (
        f"127.0.0.1 refused with 403: the signature is not over '{URL}' with our auth token: {cure}" in caplog.messages
    )
    assert TOKEN not in caplog.text


def test_tokens_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLMOOD_TWILIO_AUTH_TOKEN", TOKEN)
    assert attempt({}, signed(URL), public_url="wss://calls.example.com") == 101
    assert attempt({}, "", public_url="wss://calls.example.com") == 401


def test_a_file_that_others_can_read_is_refused(auth_token_file: Path) -> None:
    auth_token_file.chmod(0o644)
    with pytest.raises(SettingError, match="mode 0644 lets others read it"):
        attempt({"auth_token_file": str(auth_token_file)}, "")
