"""The websocket listener itself: who gets in, how much they may send, and how it ends."""

import asyncio
import json
import logging
import socket
import ssl
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from monitor.audio import float_to_mulaw
from monitor.errors import CallmoodError, ServiceError, SettingError
from monitor.identities import Identities
from monitor.settings import Settings, StreamSettings
from monitor.sources import BlockQueue, CallNames
from monitor.sources.stream_listener import StreamListener
from monitor.sources.streams import Line, Upgrade
from monitor.sources.switchboard import Switchboard
from tests.peers.media_streams import CALL, MediaStream, call
from tests.sip_client import tone
from tests.stream_house import StreamHouse, stream_house

SOUND = float_to_mulaw(np.resize(tone(440), 4_000)).tobytes()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Tests are written as coroutines."""
    asyncio.run(scenario())


async def status(url: str, **options: Any) -> tuple[int, str, Any]:
    """How a handshake is refused: status, text and headers."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, **options)
    response = refused.value.response
    return response.status_code, response.body.decode().strip(), response.headers


async def plain(house: StreamHouse, path: str, line: str = "") -> str:
    """The answer to a plain HTTP request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.listener.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n".encode())
    answer = (await asyncio.wait_for(reader.read(), 5)).decode()
    writer.close()
    return answer


def test_what_it_listens_on_is_said() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}, audiohook={}) as house:
            base = f"ws://127.0.0.1:{house.listener.port}"
            assert house.said == f"streams: {base}/twilio, {base}/audiohook"
        async with stream_house(twilio={}, streams={"host": "::1"}) as house:
            assert house.said == f"streams: ws://[::1]:{house.listener.port}/twilio"

    run(scenario)


def test_another_path_a_plain_request_and_a_stranger_are_refused() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            code, text, _ = await status(house.url("/elsewhere"))
            assert (code, text) == (404, "no source of calls has the path '/elsewhere': there are /twilio")
            assert (await plain(house, "/twilio")).startswith("HTTP/1.1 426 Upgrade Required")
            assert (await plain(house, "/healthz")).endswith("\r\n\r\nok\n")
            await (await call(house.url("/twilio/"), MediaStream())).end()
        async with stream_house(twilio={}, streams={"allow": ("192.0.2.0/24",)}) as house:
            assert (await status(house.url("/twilio")))[:2] == (403, "127.0.0.1 is not in streams.allow")
            assert house.listener.refused == 1

    run(scenario)


def test_a_foreign_name_for_this_machine_is_refused_without_credentials() -> None:
    """DNS rebinding: a page of evil.example whose name resolves to 127.0.0.1."""

    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            with socket.create_connection(("127.0.0.1", house.listener.port)) as one:
                code, text, _ = await status("ws://evil.example/twilio", sock=one)
            assert (code, text.partition(":")[0]) == (403, "host 'evil.example' is refused")

    run(scenario)


def test_when_full_further_connections_get_503_and_running_ones_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}, streams={"max_connections": 1}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            code, text, headers = await status(house.url("/twilio"))
            assert (code, text, headers["Retry-After"]) == (503, "full", "10")
            assert (await plain(house, "/healthz")).startswith("HTTP/1.1 503")
            await sending.end()
            await house.until(lambda: house.closed)
            await (await call(house.url("/twilio"), MediaStream())).end()
            assert "127.0.0.1 refused with 503: full" in caplog.messages

    run(scenario)


def test_calls_have_a_limit_of_their_own() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}, max_calls=1) as house:
            waiting = await connect(house.url("/twilio"))
            await call(house.url("/twilio"), MediaStream())
            await house.until(lambda: house.opened)
            assert (await status(house.url("/twilio")))[:2] == (503, "full")
            await waiting.send(json.dumps(MediaStream().start()))
            await waiting.wait_closed()
            assert waiting.close_reason == "1 calls run, which are all that may: see max_calls"

    run(scenario)


def test_a_node_that_is_behind_refuses_new_connections_until_it_is_not() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            house.listener.refuse("behind: audio waits for 3 s")
            assert (await status(house.url("/twilio")))[:2] == (503, "behind: audio waits for 3 s")
            house.listener.refuse("")
            await (await call(house.url("/twilio"), MediaStream())).end()
            await sending.end()

    run(scenario)


def test_draining_refuses_new_connections_and_waits_for_running_calls() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            await house.until(lambda: house.opened)
            draining = asyncio.create_task(house.listener.drain())
            await asyncio.sleep(0.05)
            assert (await status(house.url("/twilio")))[:2] == (503, "draining")
            await sending.play({"inbound": SOUND}, pace=0)
            assert not draining.done()
            await sending.end()
            await asyncio.wait_for(draining, 5)
            assert house.ends == [(CALL, "end")]

    run(scenario)


def test_draining_ends_at_its_limit_and_stopping_ends_what_runs() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}, streams={"drain_s": 0.2}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            await house.until(lambda: house.opened)
            await asyncio.wait_for(house.listener.drain(), 5)
            await house.listener.stop()
            assert house.ends == [(CALL, "stopped")]
            await sending.connection.wait_closed()
            assert (sending.connection.close_code, sending.connection.close_reason) == (1001, "callmood ends")

    run(scenario)


def test_a_message_that_is_too_long_ends_its_call_and_no_other() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            hostile = await call(house.url("/twilio"), MediaStream(call="hostile"))
            good = await call(house.url("/twilio"), MediaStream(call="good"))
            await hostile.send("x" * 70_000)
            await good.play({"inbound": SOUND}, pace=0)
            await good.end()
            await house.until(lambda: len(house.closed) == 2)
            assert sorted(house.ends) == [
                ("good", "end"),
                ("hostile", "error: what came is no websocket message of at most 65535 bytes (code 1009)"),
            ]
            assert house.heard("customer", "good").size == 4_000

    run(scenario)


@pytest.mark.parametrize("junk", [b"\xff" * 64, b"\x81\x05hello", b"\x83\x80\x00\x00\x00\x00"])
def test_what_is_no_websocket_ends_its_call_and_no_other(junk: bytes) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            hostile = await call(house.url("/twilio"), MediaStream(call="hostile"))
            good = await call(house.url("/twilio"), MediaStream(call="good"))
            await house.until(lambda: len(house.opened) == 2)
            hostile.connection.transport.write(junk)
            await house.until(lambda: house.closed)
            ((name, reason),) = house.ends
            assert (name, reason[:40]) == ("hostile", "error: what came is no websocket message")
            await good.end()

    run(scenario)


def test_a_message_in_fragments_is_one_message() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            for number in range(25):
                text = json.dumps(
                    sending.stream.media("inbound", SOUND[160 * number : 160 * number + 160], 20 * number)
                )
                await sending.connection.send([text[:9], text[9:50], text[50:]])
                await sending.connection.ping()
            await sending.end()
            await house.until(lambda: house.closed)
            assert house.heard("customer").size == 4_000

    run(scenario)


def test_a_flood_waits_in_its_own_connection_and_others_are_heard_in_time() -> None:
    async def scenario() -> None:
        limits = {"messages_per_s": 20, "bytes_per_s": 16_000}
        async with stream_house(twilio={}, streams=limits) as house:
            hostile = await call(house.url("/twilio"), MediaStream(call="hostile"))
            flood = json.dumps({"event": "mark", "x": 1_000 * "x"})

            async def pour() -> None:
                while True:
                    await hostile.connection.send(flood)

            pouring = asyncio.create_task(pour())
            await asyncio.sleep(0.3)
            good = await call(house.url("/twilio"), MediaStream(call="good"))
            await asyncio.wait_for(good.play({"inbound": SOUND}, pace=0), 2)
            await asyncio.wait_for(good.end(), 2)
            await house.until(lambda: house.closed)
            assert house.ends == [("good", "end")]
            (kept,) = [one for one in house.listener._connections if one.session is not None]
            assert kept._resuming is not None, "it is not read before its budget allows it"
            pouring.cancel()
            hostile.connection.transport.abort()

    run(scenario)


def test_a_peer_that_pings_without_reading_is_given_up() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}, streams={"bytes_per_s": 10_000_000}) as house:
            hostile = await call(house.url("/twilio"), MediaStream(call="hostile"))
            transport = hostile.connection.transport
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            transport.pause_reading()
            ping = b"\x89\xfd\x00\x00\x00\x00" + 125 * b"p"
            for _ in range(40):
                transport.write(ping * 2_000)
                await asyncio.sleep(0.02)
                if house.closed:
                    break
            await house.until(lambda: house.closed)
            assert house.ends == [("hostile", "error: 127.0.0.1 does not read what it is sent")]
            transport.abort()

    run(scenario)


def test_a_fault_of_ours_in_one_call_is_told_and_ends_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            broken = await call(house.url("/twilio"), MediaStream(call="broken"))
            good = await call(house.url("/twilio"), MediaStream(call="good"))
            await house.until(lambda: len(house.opened) == 2)
            monkeypatch.setattr("monitor.sources.twilio.parse_message", lambda _: 1 / 0)
            await broken.send("{}")
            await house.until(lambda: house.closed)
            monkeypatch.undo()
            await good.end()
            await house.until(lambda: len(house.closed) == 2)
            fault = "a fault of ours: ZeroDivisionError('division by zero'); report this"
            assert house.ends == [("broken", f"error: {fault}"), ("good", "end")]

    run(scenario)


def test_a_fault_of_ours_in_a_request_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            monkeypatch.setattr("monitor.sources.stream_listener.Upgrade.path", property(lambda _: 1 / 0))
            assert (await status(house.url("/twilio")))[:2] == (500, "a fault of ours")
            assert caplog.messages == ["a request of 127.0.0.1 failed"]

    run(scenario)


def test_a_handshake_that_does_not_come_is_cut_off_and_many_of_them_harm_nobody() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}, streams={"open_s": 1.0, "max_connections": 2}) as house:
            silent = [await asyncio.open_connection("127.0.0.1", house.listener.port) for _ in range(70)]
            cut = [asyncio.create_task(reader.read()) for reader, _ in silent]
            await asyncio.wait_for(asyncio.gather(*cut, return_exceptions=True), 5)
            await (await call(house.url("/twilio"), MediaStream())).end()
            for _, writer in silent:
                writer.close()

    run(scenario)


class Switch:
    """A dialect of another kind: binary messages, a subprotocol, a query."""

    table, path, guarded = "switch", "/switch", False
    subprotocol: str | None = "media"

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def open(self, upgrade: Upgrade, line: Line, switchboard: Switchboard, now_s: float) -> "Switch":
        self.heard.append((upgrade.query, upgrade.peer, upgrade.headers["x-extra"], switchboard.calls, now_s > 0))
        self.line = line
        return self

    def text(self, data: bytes, _: float) -> None:
        self.heard.append(data.decode())
        self.line.say("told")

    def binary(self, data: bytes, _: float) -> None:
        self.heard.append(data)
        self.line.hang_up(1000, "enough")

    def tick(self, now_s: float) -> None: ...

    def fail(self, error: CallmoodError, now_s: float) -> None:
        self.heard.append((error, now_s))

    def leave(self, now_s: float) -> None:
        self.heard.append(now_s)

    def gone(self, why: str, _: float) -> None:
        self.heard.append(why)


def test_a_dialect_gets_what_came_and_nothing_else() -> None:
    async def scenario() -> None:
        switch = Switch()
        settings = Settings(streams=StreamSettings(port=0))
        listener = StreamListener(settings, CallNames(), [switch])
        await listener.start(BlockQueue(10), Identities(show=False))
        url = f"ws://127.0.0.1:{listener.port}/switch?call=4%202&party=customer&call=no"
        async with connect(url, subprotocols=["media"], additional_headers={"X-Extra": "1"}) as connection:  # type: ignore[list-item]
            assert connection.subprotocol == "media"
            await connection.send("MEDIA_START")
            assert await connection.recv() == "told"
            await connection.send(b"\x00\x01")
            await connection.wait_closed()
        await listener.stop()
        query = {"call": "4 2", "party": "customer"}
        assert switch.heard == [(query, "127.0.0.1", "1", 0, True), "MEDIA_START", b"\x00\x01", ""]

    run(scenario)


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """Settings of a certificate for localhost."""
    return _certificate(tmp_path)


def _certificate(folder: Path) -> dict[str, str]:
    key, chain = folder / "key.pem", folder / "chain.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(chain), "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    return {"tls_certificate": str(chain), "tls_key": str(key)}


def test_tls_is_that_of_the_broadcaster_and_a_renewed_certificate_is_taken(
    certificate: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "monitor")

    async def scenario() -> None:
        async with stream_house(twilio={}, **certificate) as house:
            assert house.said == f"streams: wss://127.0.0.1:{house.listener.port}/twilio"
            url = house.url("/twilio").replace("ws:", "wss:")

            async def connects() -> None:
                trust = ssl.create_default_context(cafile=certificate["tls_certificate"])
                await (await call(url, MediaStream(), ssl=trust)).end()

            await connects()
            await house.until(lambda: house.ends == [(CALL, "end")])
            _certificate(tmp_path)
            with pytest.raises(ssl.SSLCertVerificationError):
                await connects()
            house.clock.forward(61)
            await house.until(lambda: "the certificate was renewed" in caplog.messages)
            await connects()
            Path(certificate["tls_certificate"]).write_text("broken")
            house.clock.forward(61)
            await house.until(lambda: caplog.messages[-1].startswith("the certificate was not renewed:"))

    run(scenario)


@pytest.mark.parametrize(
    ("tables", "text"),
    [
        ({"twilio": {"path": "twilio"}}, "twilio.path must be a path, got 'twilio': such as \"/twilio\""),
        ({"twilio": {"path": "/x?y"}}, "twilio.path must be a path, got '/x?y'"),
        ({"twilio": {"path": "/x"}, "audiohook": {"path": "/x"}}, "twilio.path and audiohook.path are both /x: change"),
        (
            {"twilio": {}, "streams": {"host": "0.0.0.0"}},
            "streams.host 0.0.0.0 can be reached by others, but twilio asks",
        ),
        (
            {"audiohook": {}, "streams": {"public_url": "wss://a.example"}},
            "wss://a.example can be reached by others, but",
        ),
        ({"twilio": {}, "streams": {"allow": ("nowhere",)}}, "streams.allow must list IP addresses or networks"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_start(tables: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingError) as refused:
        run(lambda: _start(**tables))
    assert str(refused.value).startswith(text)


@pytest.mark.parametrize(
    "url", ["calls.example.com", "ftp://x", "wss://a/?x=1", "wss://u:p@a", "wss://a:99999", "wss://["]
)
def test_a_public_url_that_is_none_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLMOOD_TWILIO_TOKEN", "secret")
    with pytest.raises(SettingError, match=r"streams.public_url must be like wss://calls.example.com, got"):
        run(lambda: _start(twilio={}, streams={"public_url": url}))


def test_with_credentials_any_address_may_be_taken_but_one_without_tls_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CALLMOOD_TWILIO_TOKEN", "s3cret")

    async def scenario() -> None:
        async with stream_house(twilio={}, streams={"host": "0.0.0.0"}) as house:
            assert (await status(house.url("/twilio")))[0] == 401
            await (await call(house.url("/twilio"), MediaStream(), {"Authorization": "Bearer s3cret"})).end()
            text = "streams.host is 0.0.0.0 without TLS: let a proxy end TLS, or set tls_certificate"
            assert text in caplog.messages

    run(scenario)


def test_a_port_that_is_taken_is_said() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            with pytest.raises(ServiceError, match=r"port \d+ on 127.0.0.1 is taken"):
                await _start(twilio={}, streams={"port": house.listener.port})

    run(scenario)


async def _start(**tables: Any) -> None:
    async with stream_house(**tables):
        pass
