"""Who may connect: pages by their origin, everybody by a token, and not too many."""

import asyncio
import json
import logging
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from monitor.access import bearer, check_front, check_origins, check_reach, is_loopback, tls_context
from monitor.audit import Audit
from monitor.broadcast import Broadcaster
from monitor.errors import AccessError, CallmoodError, ServiceError, SettingError
from monitor.handshake import Ties
from monitor.identities import Identities
from monitor.messages import AlertAcknowledged, Error, Hello, TokenAccepted
from monitor.settings import Settings
from monitor.tokens import Tokens, write_secret
from tests.broadcasting import (
    TOKENS,
    address_of,
    broadcasting,
    connected,
    ended,
    fetched,
    goodbye,
    hello,
    on_a_loop,
    opened,
    raised,
    reading,
    received,
    started,
    subscribed,
    until,
)

HERE = ["127.0.0.1:8765"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:9000", "[::1]:8765"])
def test_a_program_on_this_machine_is_welcome(host: str) -> None:
    check_front([host], [], (), with_tokens=False)


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8765"])
def test_a_page_of_this_machine_is_welcome(origin: str) -> None:
    check_front(HERE, [origin], (), with_tokens=False)


FOREIGN = [
    "https://evil.example",
    "null",
    "",
    "file://",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example:8765",
    "http://evil.example/127.0.0.1",
    "http://evil@localhost",
    "http://localhost\n",
    "chrome-extension://localhost",
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("with_tokens", [False, True])
def test_any_other_page_is_refused(origin: str, with_tokens: bool) -> None:
    with pytest.raises(AccessError, match="is refused: only pages of this machine and of the setting `origins`"):
        check_front(HERE, [origin], ("https://crm.example",), with_tokens)


@pytest.mark.parametrize("host", ["evil.example:8765", "127.0.0.1.evil.example", "a@127.0.0.1", "", "10.0.0.1"])
def test_a_foreign_name_that_resolves_to_this_machine_is_refused(host: str) -> None:
    with pytest.raises(AccessError, match="is refused: this server answers to localhost"):
        check_front([host], [], (), with_tokens=False)


def test_a_page_that_the_settings_name_is_welcome_and_with_tokens_that_of_the_server_too() -> None:
    check_front(HERE, ["https://crm.example"], ("https://crm.example",), with_tokens=False)
    check_front(["mood.bank.example"], ["https://mood.bank.example"], (), with_tokens=True)
    for hosts in ([], HERE * 2, ["x; script-src *"], [""]):
        with pytest.raises(AccessError):
            check_front(hosts, [], (), with_tokens=True)
    with pytest.raises(AccessError):
        check_front(HERE, ["http://localhost", "https://crm.example"], ("https://crm.example",), with_tokens=True)


def test_the_reason_is_one_short_printable_line_whatever_was_sent() -> None:
    with pytest.raises(AccessError) as refused:
        check_front(["\x1b[2J\n" + "x" * 10_000], [], (), with_tokens=False)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("origin", ["https://crm.example/", "crm.example", "*", "https://*.example", ""])
def test_an_origin_that_no_browser_ever_sends_is_refused_at_start(origin: str) -> None:
    with pytest.raises(SettingError) as refused:
        check_origins(["https://crm.example:8443", origin])
    expected = "expected scheme, host and port alone, such as https://crm.example.com"
    assert str(refused.value) == f"origins holds {origin!r}: {expected}"


def test_a_token_comes_by_header_or_by_subprotocol() -> None:
    assert bearer(["Bearer a.b.c"], []) == "a.b.c"
    assert bearer(["bearer  a.b.c "], ["bearer.d"]) == "a.b.c"
    assert bearer(["Basic a"], ["callmood.v1", "bearer.d.e.f"]) == "d.e.f"
    assert bearer([], ["callmood.v1"]) is None


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("mood.example", False),
    ],
)
def test_what_other_machines_reach_is_known(host: str, here: bool) -> None:
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    ("changes", "with_tokens", "cure"),
    [
        ({}, False, "set tls_certificate and tls_key and token_secret or token_public_key, or host = 127.0.0.1"),
        ({}, True, "set tls_certificate and tls_key, or host = 127.0.0.1"),
        ({"tls_certificate": "c"}, False, "set token_secret or token_public_key, or host = 127.0.0.1"),
    ],
)
def test_no_other_machine_reaches_a_server_without_tls_and_tokens(
    changes: dict[str, Any], with_tokens: bool, cure: str
) -> None:
    with pytest.raises(ServiceError) as refused:
        check_reach(Settings(host="0.0.0.0", **changes), with_tokens)
    text = f"host 0.0.0.0 can be reached from other machines, expected TLS and tokens: {cure}"
    assert str(refused.value) == text
    check_reach(Settings(host="0.0.0.0", tls_certificate="c"), with_tokens=True)


@on_a_loop
async def test_the_server_itself_refuses_to_start_unprotected() -> None:
    broadcaster = Broadcaster(Settings(host="0.0.0.0", port=0), Ties(hello))
    with pytest.raises(ServiceError, match="can be reached from other machines"):
        await broadcaster.start()
    await broadcaster.stop()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
@on_a_loop
async def test_a_page_of_another_site_cannot_listen(origin: str) -> None:
    async with broadcasting() as broadcaster:
        for protocols in (None, [Subprotocol("callmood.v1")]):
            with pytest.raises(InvalidStatus) as refused:
                await connect(broadcaster.address, proxy=None, origin=Origin(origin), subprotocols=protocols)
            assert refused.value.response.status_code == 403
            assert refused.value.response.body.decode().startswith(f"origin '{origin}' is refused")  # type: ignore[union-attr]
        assert (broadcaster.counters.refused, broadcaster.subscribers) == ({"origin": 2}, 0)


@on_a_loop
async def test_a_page_served_from_this_machine_may_listen() -> None:
    async with broadcasting() as broadcaster, connected(broadcaster, origin=Origin("http://localhost:3000")) as client:
        assert isinstance(await received(client), Hello)


@on_a_loop
async def test_a_foreign_host_name_gets_neither_calls_nor_the_page_nor_metrics() -> None:
    async with broadcasting() as broadcaster:
        for path in ("/", "/v1/calls", "/metrics"):
            status, _, body = await fetched(broadcaster, path, host="rebound.example")
            assert (status, body.count("\n")) == (403, 1)


WRONG = [
    (None, "no token: send Authorization: Bearer TOKEN, or the subprotocols callmood.v1, bearer.TOKEN"),
    ("rubbish", "the token has no form of a JSON Web Token"),
    (Tokens(b"k" * 32, "HS256", "callmood").make(["calls:*"], 1), "the token is signed with another key"),
]


@pytest.mark.parametrize(("token", "why"), WRONG)
@on_a_loop
async def test_without_a_valid_token_nobody_hears_anything(
    token: str | None, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("monitor.handshake.FAILED_S", 0.01)
    async with broadcasting(tokens=TOKENS) as broadcaster:
        with pytest.raises(InvalidStatus) as refused:
            async with connected(broadcaster, token=token):
                pass
        response = refused.value.response
        assert (response.status_code, response.body) == (401, f"{why}\n".encode())
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="callmood"'
        protocols = ["callmood.v1"] + ([f"bearer.{token}"] if token else [])
        async with connected(broadcaster, subprotocols=protocols) as client:
            assert client.subprotocol == "callmood.v1"
            assert await goodbye(client) == (4401, why), "a page cannot see a status: it gets a close code"
        assert broadcaster.counters.refused == {"token" if token else "no_token": 2}
        assert broadcaster.subscribers == 0
        assert token is None or token not in caplog.text
        assert (f"127.0.0.1 is refused: {why}" in caplog.text) is bool(token), "a page tries without one first"


@on_a_loop
async def test_the_answer_to_a_wrong_token_takes_a_second() -> None:
    async with broadcasting(tokens=TOKENS) as broadcaster:
        began_s = time.monotonic()
        assert (await fetched(broadcaster, "/metrics", token="a.b.c"))[0] == 401
        assert time.monotonic() - began_s >= 1.0


@pytest.mark.parametrize(
    ("scope", "reached"),
    [
        ("calls:*", ["/v1/calls", "/v1/calls/a", "/v1/agents/1"]),
        ("call:a", ["/v1/calls/a"]),
        ("agent:1", ["/v1/agents/1"]),
        ("metrics", []),
    ],
)
@on_a_loop
async def test_a_token_reaches_what_its_scope_says(scope: str, reached: list[str]) -> None:
    token = TOKENS.make([scope], 1)
    async with broadcasting(tokens=TOKENS) as broadcaster:
        broadcaster.publish(started())
        broadcaster.publish(started("b"))
        for path in ("/v1/calls", "/v1/calls/a", "/v1/calls/b", "/v1/agents/1", "/v1/agents/2"):
            if path in reached or (scope == "calls:*"):
                async with subscribed(broadcaster, path, token=token):
                    pass
            else:
                with pytest.raises(InvalidStatus) as refused:
                    async with connected(broadcaster, path, token=token):
                        pass
                assert refused.value.response.status_code == 403
                assert b"the token does not reach" in (refused.value.response.body or b"")
        assert (await fetched(broadcaster, "/metrics", token=token))[0] == (200 if scope == "metrics" else 403)
        for path in ("/healthz", "/readyz", "/v1/schema.json", "/"):
            assert (await fetched(broadcaster, path))[0] == 200, "these say nothing of any call"


@on_a_loop
async def test_a_connection_ends_with_its_token_unless_a_new_one_comes() -> None:
    def good_for(seconds: float) -> str:
        return TOKENS.make(["calls:*"], seconds / 3600)

    async with (
        broadcasting(tokens=TOKENS) as broadcaster,
        connected(broadcaster, token=good_for(2)) as client,
        connected(broadcaster, token=good_for(2)) as other,
    ):
        first = await received(client)
        assert isinstance(first, Hello)
        assert first.expires_at is not None
        await client.send(json.dumps({"type": "token", "token": good_for(60)}))
        accepted = await received(client)
        assert isinstance(accepted, TokenAccepted)
        assert accepted.expires_at > first.expires_at
        assert await goodbye(other) == (4401, "the token has expired: connect with a new one")
        broadcaster.publish(started())
        assert await received(client) == started()


@on_a_loop
async def test_a_new_token_that_is_wrong_or_reaches_less_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.handshake.FAILED_S", 0.01)
    async with broadcasting(tokens=TOKENS) as broadcaster:
        async with subscribed(broadcaster, token=TOKENS.make(["calls:*"], 1)) as client:
            for token, text in [
                ("rubbish", "the token has no form of a JSON Web Token"),
                (TOKENS.make(["agent:1"], 1), "the token does not reach 'calls:*'"),
            ]:
                await client.send(json.dumps({"type": "token", "token": token}))
                answer = await received(client)
                assert isinstance(answer, Error)
                assert (answer.code, answer.text) == ("access", text)
            broadcaster.publish(started())
            assert await received(client) == started()
        await until(lambda: not broadcaster.subscribers)
    async with broadcasting() as broadcaster, subscribed(broadcaster) as client:
        await client.send('{"type":"token","token":"x"}')
        assert (await received(client)).text == "no tokens are asked for here"  # type: ignore[union-attr]


async def answer(client: ClientConnection, **said: str) -> Any:
    await client.send(json.dumps({"type": "acknowledge"} | said))
    return await received(client)


@on_a_loop
async def test_an_acknowledgement_reaches_everybody_who_hears_the_call() -> None:
    async with broadcasting(tokens=TOKENS) as broadcaster:
        broadcaster.publish(started())
        broadcaster.publish(raised(2))
        token = TOKENS.make(["calls:*", "acknowledge"], 1, "Kim")
        async with (
            subscribed(broadcaster, token=token) as kim,
            subscribed(broadcaster, "/v1/calls/a", token=token) as other,
        ):
            for client in (kim, other):
                assert [(await received(client)).seq for _ in range(2)] == [1, 2]  # type: ignore[union-attr]
            told = await answer(kim, call="a", alert="a:1")
            assert (told.call, told.alert, told.by) == ("a", "a:1", "Kim"), "without a name, the token's subject"
            assert await received(other) == told
            again = await answer(other, call="a", alert="a:1", by="Lou")
            assert again.text == "alert 'a:1' is looked after already"
            broadcaster.publish(raised(1002, alert="a:2"))
            for client in (kim, other):
                assert (await received(client)).seq == 1002  # type: ignore[union-attr]
            for client in (kim, other):
                await client.send('{"type":"acknowledge","call":"a","alert":"a:2"}')
            texts = set()
            for client in (kim, other):
                while not isinstance(told := await received(client), AlertAcknowledged):
                    texts.add(told.text)  # type: ignore[union-attr]
            assert texts == {"alert 'a:2' is looked after already"}, "one of two at once is told that it is late"
        async with connected(broadcaster, token=token) as late:
            assert [type(await received(late)).__name__ for _ in range(4)] == [
                "Hello",
                "CallStarted",
                "AlertRaised",
                "AlertAcknowledged",
            ]


@on_a_loop
async def test_nobody_acknowledges_without_the_scope_a_name_or_an_alert_that_is_theirs() -> None:
    async with broadcasting(tokens=TOKENS) as broadcaster:
        for message in (started("a"), raised(2, "a"), started("b"), raised(2, "b", "b:1")):
            broadcaster.publish(message)
        async with subscribed(broadcaster, "/v1/calls/b", token=TOKENS.make(["calls:*"], 1)) as client:
            await received(client), await received(client)
            assert (await answer(client, call="b", alert="b:1")).text == "the token lacks the scope acknowledge"
        async with subscribed(broadcaster, "/v1/calls/b", token=TOKENS.make(["call:b", "acknowledge"], 1)) as client:
            await received(client), await received(client)
            for said, text in [
                ({"call": "a", "alert": "a:1"}, "no alert 'a:1' is open in call 'a'"),
                ({"call": "b", "alert": "b:2"}, "no alert 'b:2' is open in call 'b'"),
                ({"call": "no", "alert": "b:1"}, "no alert 'b:1' is open in call 'no'"),
                ({"call": "b", "alert": "b:1", "by": " "}, "an acknowledgement has no name: say who in `by`"),
                (
                    {"call": "b", "alert": "b:1", "by": "\x1b[31mEve"},
                    "`by` has characters that cannot be shown: expected a name in printable text",
                ),
            ]:
                assert (await answer(client, **said)).text == text
            broadcaster.publish(raised(3, "b", "b:9"))
            assert (await received(client)).seq == 3  # type: ignore[union-attr]
            assert (await answer(client, call="b", alert="b:1", by="x" * 81)).text.startswith(
                "this message means nothing"
            )
            assert (await answer(client, call="b", alert="b:1", by="[bold]Kim")).by == "[bold]Kim"
        async with subscribed(broadcaster, token=TOKENS.make(["calls:*", "acknowledge"], 1)) as client:
            broadcaster.publish(ended(9, "b"))
            while (await received(client)) != ended(9, "b"):
                pass
            text = "no alert 'b:9' is open in call 'b'"
            assert (await answer(client, call="b", alert="b:9", by="Kim")).text == text, "its call has ended"


@on_a_loop
async def test_too_many_connections_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    token = TOKENS.make(["calls:*"], 1)
    async with broadcasting(tokens=TOKENS, max_connections_per_token=2) as broadcaster:
        async with subscribed(broadcaster, token=token), subscribed(broadcaster, token=token):
            with pytest.raises(InvalidStatus) as refused:
                async with connected(broadcaster, token=token):
                    pass
            assert refused.value.response.status_code == 429
            async with subscribed(broadcaster, token=TOKENS.make(["calls:*"], 2)):
                pass
            with pytest.raises(InvalidStatus):  # nor by waiting with the resume message
                async with connected(broadcaster, f"/v1/calls?after={broadcaster.epoch}", token=token):
                    pass
        await until(lambda: not broadcaster.subscribers)
        async with subscribed(broadcaster, token=token):
            assert broadcaster.counters.refused == {"limit": 2}
    async with broadcasting(max_connections=2) as broadcaster, subscribed(broadcaster), subscribed(broadcaster):
        status, _, body = await fetched(broadcaster, "/healthz")
        assert (status, body) == (503, "2 connections stand: see max_connections, or try again later\n")
    monkeypatch.setattr("monitor.handshake.is_loopback", lambda _: False)
    async with broadcasting(max_connections_per_address=1) as broadcaster, subscribed(broadcaster):
        status, _, body = await fetched(broadcaster, "/healthz")
        assert (status, body) == (429, "1 connections come from 127.0.0.1: close some\n")


@on_a_loop
async def test_a_thousand_connections_at_once_leave_those_that_were_first_unharmed() -> None:
    async with broadcasting(max_connections=100) as broadcaster, subscribed(broadcaster) as first:
        streams = await asyncio.gather(*(opened(broadcaster) for _ in range(1_000)), return_exceptions=True)
        await until(lambda: broadcaster.connections <= 164)
        broadcaster.publish(started())
        assert await received(first) == started()
        for stream in streams:
            if not isinstance(stream, BaseException):
                stream[1].close()
        await until(lambda: broadcaster.connections == 1)
        async with subscribed(broadcaster):
            pass


@on_a_loop
async def test_a_slow_handshake_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.broadcast.HANDSHAKE_S", 0.1)
    async with broadcasting() as broadcaster:
        reader, writer = await opened(broadcaster)
        writer.write(b"GET /v1/calls HTTP/1.1\r\nHost: lo")
        assert await reader.read() == b""
        writer.close()
        async with connected(broadcaster, "/v1/calls?after=e") as client:
            assert await goodbye(client) == (4400, "no resume message came within 0.1 s")


@on_a_loop
async def test_who_watched_what_stands_in_the_audit_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    token = TOKENS.make(["calls:*", "acknowledge"], 1, "Kim")
    async with broadcasting(tokens=TOKENS, audit_log=str(path)) as broadcaster:
        broadcaster.publish(started())
        broadcaster.publish(raised(2))
        async with subscribed(broadcaster, token=token) as client:
            await received(client), await received(client)
            await answer(client, call="a", alert="a:1")
        await until(lambda: not broadcaster.subscribers)
    assert path.stat().st_mode & 0o777 == 0o600
    notes = [json.loads(line) for line in path.read_text().splitlines()]
    assert [note["event"] for note in notes] == ["subscribed", "acknowledged", "left"]
    assert all(note["subject"] == "Kim" and note["token"] == TOKENS.grant(token).token for note in notes)
    assert (notes[0]["topic"], notes[0]["address"], notes[1]["alert"]) == ("calls:*", "127.0.0.1", "a:1")
    assert token not in path.read_text()


@on_a_loop
async def test_whoever_follows_an_agent_is_noted_with_each_call_also_with_one_that_runs_already(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    identities = Identities(show=False)
    ours = identities.shown("4711")
    async with broadcasting(identities=identities, audit_log=str(path)) as broadcaster:
        broadcaster.publish(started("first", ours))
        async with subscribed(broadcaster, "/v1/agents/4711") as client:
            for message in (reading(2, "first"), ended(3, "first"), started("second", ours)):
                broadcaster.publish(message)
            for _ in range(4):
                await received(client)
        await until(lambda: not broadcaster.subscribers)
    notes = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(note["event"], note["topic"], note.get("call")) for note in notes] == [
        ("watched", "agent:4711", "first"),
        ("subscribed", "agent:4711", None),
        ("watched", "agent:4711", "second"),
        ("left", "agent:4711", None),
    ]


@on_a_loop
async def test_in_the_general_log_an_agent_is_a_pseudonym(caplog: pytest.LogCaptureFixture) -> None:
    identities = Identities(show=False)
    with caplog.at_level(logging.INFO, "monitor"):
        async with broadcasting(identities=identities) as broadcaster, subscribed(broadcaster, "/v1/agents/4711"):
            pass
    assert f"agent:{identities.shown('4711')}" in caplog.text
    assert "4711" not in caplog.text


@on_a_loop
async def test_the_audit_log_goes_on_in_a_new_file_after_a_reload_and_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    async with broadcasting(audit_log=str(path)) as broadcaster:
        path.rename(tmp_path / "audit.1")
        broadcaster.reload()
        async with subscribed(broadcaster):
            pass
        await until(lambda: not broadcaster.subscribers)
    assert (len(path.read_text().splitlines()), (tmp_path / "audit.1").read_text()) == (2, "")
    path.chmod(0o644)
    with pytest.raises(ServiceError) as refused:
        Audit(path)
    text = f"mode 0644 lets others read the audit log, expected 0600: chmod 600 {path}"
    assert str(refused.value) == f"{path}: {text}"


@on_a_loop
async def test_a_server_with_tokens_and_no_audit_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_secret(tmp_path / "secret")
    async with broadcasting(token_secret=str(tmp_path / "secret")):
        pass
    assert [record.getMessage() for record in caplog.records] == [
        "who watched what is told by --verbose only: set audit_log to keep it"
    ]


@on_a_loop
async def test_an_audit_log_that_cannot_be_opened_is_refused_at_start(tmp_path: Path) -> None:
    broadcaster = Broadcaster(Settings(port=0, audit_log=str(tmp_path / "no" / "audit")), Ties(hello))
    with pytest.raises(ServiceError, match="cannot write the audit log: No such file or directory; see audit_log"):
        await broadcaster.start()


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """A certificate for localhost and its key, made by openssl."""
    return make_certificate(tmp_path)


def make_certificate(folder: Path, name: str = "localhost") -> dict[str, str]:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    key.chmod(0o600)
    return {"tls_certificate": str(certificate), "tls_key": str(key)}


def subject_of(client: ClientConnection) -> str:
    shown: Any = client.transport.get_extra_info("ssl_object").getpeercert()
    return str(shown["subject"][0][0][1])


def trusting(files: dict[str, str]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=files["tls_certificate"])


@on_a_loop
async def test_tls_is_reloaded_without_dropping_a_connection(tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    async with broadcasting(**files) as broadcaster:
        assert broadcaster.address.startswith("wss://127.0.0.1:")
        assert broadcaster.page_address.startswith("https://")
        async with subscribed(broadcaster, ssl=trusting(files)) as first:
            assert subject_of(first) == "localhost"
            Path(files["tls_key"]).write_text("rubbish")
            with pytest.raises(SettingError, match="cannot be used for TLS"):
                broadcaster.reload()
            async with subscribed(broadcaster, ssl=trusting(files)) as still:
                assert subject_of(still) == "localhost", "a broken file changes nothing"
            make_certificate(tmp_path, "renewed")
            broadcaster.reload()
            async with subscribed(broadcaster, ssl=trusting(files)) as second:
                assert subject_of(second) == "renewed"
                broadcaster.publish(started())
                assert await received(first) == await received(second) == started()


@on_a_loop
async def test_old_tls_is_refused(certificate: dict[str, str]) -> None:
    async with broadcasting(**certificate) as broadcaster:
        old = trusting(certificate)
        with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection(*address_of(broadcaster), ssl=old)


def test_tls_files_that_cannot_be_used_are_one_line(certificate: dict[str, str], tmp_path: Path) -> None:
    assert tls_context(Settings()) is None
    with pytest.raises(SettingError, match="tls_certificate and tls_key belong together: set both, or none"):
        tls_context(Settings(tls_certificate="c"))
    with pytest.raises(SettingError, match=r"none: cannot read the secret file: No such file"):
        tls_context(Settings(**(certificate | {"tls_key": str(tmp_path / "none")})))
    with pytest.raises(
        SettingError, match=r"cannot be used for TLS \(.*\): expected a certificate and its unencrypted key"
    ):
        tls_context(Settings(**(certificate | {"tls_certificate": certificate["tls_key"]})))
    Path(certificate["tls_key"]).chmod(0o644)
    with pytest.raises(CallmoodError, match="mode 0644 lets others read it, expected 0600: chmod 600"):
        tls_context(Settings(**certificate))


def test_refusals_are_logged_once_each_at_the_level_they_deserve(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with broadcasting() as broadcaster:
            await fetched(broadcaster, "/nothing")

    with caplog.at_level(logging.INFO, "monitor"):
        asyncio.run(run())
    assert [record.levelname for record in caplog.records if "is refused" in record.getMessage()] == ["INFO"]
