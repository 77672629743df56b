import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from monitor.client import trusting
from monitor.webhooks.endpoints import Endpoint
from monitor.webhooks.post import LONGEST_RETRY_AFTER_S, Answer, client, post, retry_after_s, signed, wait_s
from tests.test_access import make_certificate
from tests.webhook_receivers import DRIP, HALF, RUBBISH, STALL, Receiver, endpoint_of, receiving, secret_in

BODY = b'{"type":"webhook.test"}'


SYSTEM = ssl.create_default_context()


def posted(endpoint: Endpoint, timeout_s: float = 5.0, tls: ssl.SSLContext = SYSTEM) -> Answer:
    async def scenario() -> Answer:
        async with client(tls) as connection:
            return await post(connection, endpoint, "msg_1", BODY, timeout_s)

    return asyncio.run(scenario())


def test_the_signature_is_that_of_the_libraries_own_example() -> None:
    """The vector of the reference libraries' tests."""
    import base64

    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(), st.binary(min_size=24, max_size=64), st.binary(min_size=24, max_size=64))
def test_any_body_is_verified_by_either_secret_of_a_receiver(body: str, old: bytes, new: bytes) -> None:
    try:
        raw = body.encode()
    except UnicodeEncodeError:
        return
    headers = signed("msg_1", int(datetime.now(UTC).timestamp()), raw, [new, old])
    for secret in (old, new):
        Webhook(secret).verify(raw, headers, json_parse=False)


@pytest.mark.parametrize(
    ("answer", "verdict", "text"),
    [
        (200, "delivered", "200 OK"),
        (204, "delivered", "204 No Content"),
        (302, "refused", "302 Found: redirects are not followed, name the new address in webhooks.urls"),
        (400, "refused", "400 Bad Request"),
        (401, "refused", "401 Unauthorized"),
        (404, "refused", "404 Not Found"),
        (408, "failed", "408 Request Timeout"),
        (410, "gone", "410 Gone"),
        (429, "failed", "429 Too Many Requests"),
        (500, "failed", "500 Internal Server Error"),
        (501, "refused", "501 Not Implemented"),
        (503, "failed", "503 Service Unavailable"),
        (599, "failed", "599"),
        (HALF, "failed", "the connection broke: peer closed connection without sending complete message body"),
        (RUBBISH, "failed", "the connection broke: illegal status line"),
    ],
)
def test_what_an_answer_means(tmp_path: Path, answer: object, verdict: str, text: str) -> None:
    with receiving(secret_in(tmp_path)[1], (answer, {"Location": "/other"})) as receiver:
        got = posted(endpoint_of(tmp_path, receiver))
    assert (got.verdict, got.text[: len(text)]) == (verdict, text)
    assert receiver.got.qsize() == 1


def test_a_request_is_what_a_receiver_expects(tmp_path: Path) -> None:
    with receiving(secret_in(tmp_path)[1]) as receiver:
        posted(endpoint_of(tmp_path, receiver))
        got = receiver.next()
    assert (got.id, got.event, got.path) == ("msg_1", {"type": "webhook.test"}, "/alerts?key=hidden")
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("callmood/")


@pytest.mark.parametrize("answer", [STALL, DRIP])
def test_an_answer_must_come_whole_in_time_however_it_drips(tmp_path: Path, answer: str) -> None:
    with receiving(secret_in(tmp_path)[1], answer) as receiver:
        got = posted(endpoint_of(tmp_path, receiver), timeout_s=0.3)
    assert (got.verdict, got.text) == ("failed", "no whole answer within 0.3 s")
    assert got.took_s < 2


def test_nobody_there_is_a_failure_with_the_systems_words(tmp_path: Path) -> None:
    with receiving(secret_in(tmp_path)[1]) as receiver:
        endpoint = endpoint_of(tmp_path, receiver)
    got = posted(endpoint)
    assert (got.verdict, got.text) == ("failed", "cannot connect: Connection refused")


def test_https_to_a_port_that_speaks_none_is_a_failure(tmp_path: Path) -> None:
    with receiving(secret_in(tmp_path)[1]) as receiver:
        receiver.url = receiver.url.replace("http:", "https:")
        assert posted(endpoint_of(tmp_path, receiver)).text == "cannot connect: TLS: wrong version number"


def test_only_a_trusted_certificate_is_posted_to(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with receiving(secret_in(tmp_path)[1], certificate=certificate) as receiver:
        endpoint = endpoint_of(tmp_path, receiver)
        got = posted(endpoint)
        assert (got.verdict, got.text.rpartition(": ")[0]) == (
            "failed",
            "cannot connect: its certificate is not trusted",
        )
        assert receiver.got.empty()
        assert posted(endpoint, tls=trusting(Path(certificate["tls_certificate"]))).verdict == "delivered"


def test_a_certificate_of_another_name_is_not_trusted(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with receiving(secret_in(tmp_path)[1], certificate=certificate, host="127.0.0.2") as receiver:
        got = posted(endpoint_of(tmp_path, receiver), tls=trusting(Path(certificate["tls_certificate"])))
    assert got.text.startswith("cannot connect: its certificate is not trusted: IP address mismatch")
    assert receiver.got.empty()


def test_proxies_of_the_environment_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(secret_in(tmp_path)[1]) as proxy, receiving(secret_in(tmp_path)[1]) as receiver:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert posted(endpoint_of(tmp_path, receiver)).verdict == "delivered"
        assert proxy.got.empty()


def test_an_endless_answer_is_read_no_further_than_it_is_shown(tmp_path: Path) -> None:
    with receiving(secret_in(tmp_path)[1], (200, {"Content-Length": "1000000000000"})) as receiver:
        assert posted(endpoint_of(tmp_path, receiver), timeout_s=0.3).verdict == "failed"


@pytest.mark.parametrize(
    ("text", "pause_s"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Wed, 25 Nov 2026 12:01:00 GMT", 60.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("99999999999999999999", LONGEST_RETRY_AFTER_S),
        ("Wed, 25 Nov 2099 12:00:00 GMT", LONGEST_RETRY_AFTER_S),
        ("Wed, 25 Nov 2026 12:01:00 -0000", 0.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("²", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, pause_s: float) -> None:
    assert retry_after_s(text, datetime(2026, 11, 25, 12, tzinfo=UTC)) == pause_s


@given(st.integers(1, 10_000), st.floats(0.01, 600), st.floats(0.01, 86_400), st.floats(0, 1))
def test_waits_double_up_to_the_longest_and_are_spread_over_their_upper_half(
    failures: int, first_s: float, longest_s: float, share: float
) -> None:
    pause_s = wait_s(failures, first_s, longest_s, share)
    whole_s = wait_s(failures, first_s, longest_s, 1.0)
    assert whole_s / 2 <= pause_s <= whole_s <= longest_s
    assert whole_s == pytest.approx(min(longest_s, first_s * 2.0 ** min(failures - 1, 60)))


def test_the_receiver_of_these_tests_refuses_what_is_signed_otherwise(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    receiver = Receiver(secret_in(other)[1])
    receiver.close()
    with receiving(secret_in(other)[1]) as stranger:
        stranger._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        assert posted(endpoint_of(tmp_path, stranger)).verdict == "failed"
        assert stranger.got.empty()
