"""AudioHook over real websockets, its client being that of tests/peers/audiohook_client.py."""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.audio import float_to_mulaw, float_to_pcm
from monitor.errors import SettingError
from tests.peers.audiohook_client import (
    API_KEY,
    NOBODY,
    SECRET,
    SIGNED,
    STEREO,
    Client,
    dial,
    request_headers,
    sign,
)
from tests.sip_client import loudest_hz
from tests.stream_house import stream_house

CONVERSATION = "090eaa2f-72fa-480a-83e0-8667ff89c0ec"
PUBLIC = "wss://hook.example.com"


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Tests are written as coroutines."""
    asyncio.run(scenario())


def tones(*frequencies_hz: float, seconds: float = 1.0) -> Any:
    """(n, channels)"""
    time_s = np.arange(round(8_000 * seconds)) / 8_000
    return 0.25 * np.sin(2 * np.pi * np.outer(time_s, frequencies_hz)).astype(np.float32)


def stereo(seconds: float = 1.0) -> bytes:
    """PCMU: the customer at 1,000 Hz, the agent at 440."""
    return float_to_mulaw(tones(1_000, 440, seconds=seconds)).tobytes()


def pitch_hz(samples: Any) -> int:
    return round(loudest_hz(samples), -1)


def media(kind: str, *channels: str, rate: int = 8_000) -> dict[str, Any]:
    return {"type": "audio", "format": kind, "channels": list(channels), "rate": rate}


def test_a_session_from_its_opening_to_its_close(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            with caplog.at_level(logging.INFO, "monitor"):
                client = await dial(house.url("/audiohook"))
                opened = await client.open(language="en-US", customConfig={"agent": "4711"})
            assert (opened["type"], opened["parameters"]) == ("opened", {"media": [STEREO], "startPaused": False})
            await client.play(stereo(), 2)
            pong = await client.ping()
            assert (pong["type"], pong["clientseq"], pong["parameters"]) == ("pong", client.seq, {})
            closed = await client.close()
            assert (closed["type"], closed["parameters"]) == ("closed", {})
            await house.until(lambda: house.closed)
            (call,) = house.opened
            assert (call.call, call.source, call.parties) == (CONVERSATION, "audiohook", {"customer": 0, "agent": 1})
            assert (call.agent, call.identities, call.in_step) == ("4711", {"customer": "+1-555-555-1234"}, True)
            assert house.ends == [(CONVERSATION, "end")]
            assert (pitch_hz(house.heard("customer")), pitch_hz(house.heard("agent"))) == (1_000, 440)
            assert (house.heard("customer").size, house.gaps_s("agent")) == (8_000, [])
            told = "customer +1-555-555-1234 is the channel external; agent is the channel internal"
            assert f"{CONVERSATION}: {told}" in caplog.messages

    run(scenario)


@pytest.mark.parametrize(
    ("offer", "chosen", "data", "parties"),
    [
        (media("L16", "external", "internal"), 0, float_to_pcm(tones(1_000, 440)).astype("<i2"), {"customer", "agent"}),
        (media("PCMU", "internal", "external"), 0, float_to_mulaw(tones(440, 1_000)), {"customer", "agent"}),
        (media("PCMU", "external"), 0, float_to_mulaw(tones(1_000)), {"customer"}),
        (media("L16", "internal"), 0, float_to_pcm(tones(440)), {"agent"}),
    ],
)
def test_each_format_and_order_of_channels(offer: Any, chosen: int, data: Any, parties: set[str]) -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"), session=str(uuid.uuid4()).upper())
            opened = await client.open([offer])
            assert opened["parameters"]["media"] == [offer]
            await client.play(data.tobytes(), data.shape[1] * data.itemsize)
            await client.close()
            await house.until(lambda: house.closed)
            assert set(house.opened[0].parties) == parties
            for party in parties:
                samples = house.heard(party)
                assert pitch_hz(samples) == {"customer": 1_000, "agent": 440}[party]
                assert abs(samples).max() == pytest.approx(0.25, abs=0.02)
            assert chosen == 0

    run(scenario)


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        ([media("L16", "external", "internal"), STEREO], STEREO),
        ([media("PCMU", "external"), media("L16", "external", "internal")], media("L16", "external", "internal")),
        ([media("PCMU", "internal"), media("PCMU", "external")], media("PCMU", "external")),
        ([{"type": "video"}, 7, media("PCMU", "both"), media("PCMU", "external", rate=16_000), STEREO], STEREO),
    ],
)
def test_the_best_of_what_is_offered_is_asked_for(offer: list[Any], expected: Any) -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            opened = await (await dial(house.url("/audiohook"))).open(offer)
            assert opened["parameters"]["media"] == [expected]

    run(scenario)


def test_an_offer_of_which_nothing_can_be_received_is_refused() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            answer = await client.open([media("OPUS", "external")])
            assert (answer["type"], answer["parameters"]["reason"]) == ("disconnect", "error")
            assert answer["parameters"]["info"].startswith("none of the offered media can be received")
            assert (await client.close("disconnect"))["type"] == "closed"
            assert house.opened == []

    run(scenario)


def test_a_connection_probe_is_answered_and_opens_no_call() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            nobody = {"id": NOBODY, "ani": "", "aniName": "", "dnis": ""}
            opened = await client.open(conversationId=NOBODY, participant=nobody, supportedLanguages=True)
            assert (opened["type"], opened["parameters"]["supportedLanguages"]) == ("opened", [])
            await client.play(stereo(0.1), 2)
            assert (await client.ping())["type"] == "pong"
            assert (await client.close())["type"] == "closed"
            assert house.look() == []

    run(scenario)


def test_a_pause_is_silence_and_time_goes_on() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            await client.open()
            await client.play(stereo(0.5), 2, pace=True)
            await client.send("paused", {})
            await client.ping()
            await asyncio.sleep(0.6)
            start = client.position / 8_000
            client.position += 4_800
            await client.send("resumed", {"start": f"PT{start:g}S", "discarded": "PT0.6S"})
            await client.play(stereo(0.5), 2, pace=True)
            await client.close()
            await house.until(lambda: house.closed)
            heard = house.heard("customer")
            assert house.gaps_s("customer") == []
            assert heard.size / 8_000 == pytest.approx(1.6, abs=0.25)
            assert not heard[6_000:7_000].any()
            assert abs(heard[-2_000:]).max() > 0.2

    run(scenario)


def test_discarded_audio_is_a_gap_of_its_length() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            await client.open()
            await client.play(stereo(0.5), 2, pace=True)
            await client.send("discarded", {"start": "PT0.5S", "discarded": "PT0.4S"})
            client.position += 3_200
            await asyncio.sleep(0.4)
            await client.play(stereo(0.5), 2, pace=True)
            await client.close()
            await house.until(lambda: house.closed)
            assert house.gaps_s("customer") == house.gaps_s("agent") == [(0.5, pytest.approx(0.9, abs=1e-3))]

    run(scenario)


def test_an_update_and_an_error_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            await client.open()
            await client.send("update", {"language": "es-ES"})
            assert (await client.receive())["type"] == "updated"
            await client.send("error", {"code": 429, "message": "too \x1b[31m fast"})
            await client.play(stereo(0.5), 2)
            await client.close()
            await house.until(lambda: house.closed)
            assert (house.heard("customer").size, house.ends) == (4_000, [(CONVERSATION, "end")])
            assert "an AudioHook client at 127.0.0.1 tells an error: '429 too \\x1b[31m fast'" in caplog.messages

    run(scenario)


async def _bad_seq(client: Client) -> None:
    client.seq += 1
    await client.send("ping", {})


async def _nothing_sent(_: Client) -> None:
    return


@pytest.mark.parametrize(
    ("act", "info"),
    [
        (_bad_seq, "seq 3 after 1: messages are missing"),
        (lambda client: client.send("ping", {}, serverseq=9), "serverseq 9, though only 1 messages were sent"),
        (lambda client: client.send("ping", {}, id=NOBODY), f"a message of the session {NOBODY}, expected"),
        (lambda client: client.send("ping", {}, version="1"), "version '1' of the protocol, expected 2"),
        (lambda client: client.send("playback_started", {}), "a message of type 'playback_started', which no client"),
        (
            lambda client: client.send("discarded", {"start": "soon"}),
            "a duration such as PT1.2S was expected, got 'soon'",
        ),
        (lambda client: client.connection.send("{"), "no well-formed client message"),
        (lambda client: client.connection.send(b"123"), "an audio message of 3 bytes, expected a multiple of 2"),
    ],
)
def test_what_is_against_the_protocol_is_told_and_ends_the_call(
    act: Callable[[Client], Coroutine[Any, Any, None]], info: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            await client.open()
            await act(client)
            told = await client.receive()
            assert (told["type"], told["parameters"]["reason"]) == ("disconnect", "error")
            assert told["parameters"]["info"].startswith(info)
            await house.until(lambda: house.closed)
            (closed,) = house.closed
            assert closed.reason.startswith(f"error: {info}")
            assert str(closed.fault).startswith(f"{CONVERSATION}: {info}")
            assert caplog.messages[0].startswith(f"audiohook connection of 127.0.0.1: {info}")

    run(scenario)


def test_audio_before_the_session_is_open_is_refused() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            await client.play(stereo(0.1), 2)
            told = await client.receive()
            assert told["parameters"] == {"reason": "error", "info": "audio before the session is open"}

    run(scenario)


def test_a_client_that_opens_nothing_or_hangs_up_never_is_closed() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            house.clock.forward(11)
            assert (await client.receive())["parameters"]["info"] == "no open came in time (streams.open_s)"
            house.clock.forward(11)
            await asyncio.wait_for(client.connection.wait_closed(), 5)
            assert client.connection.close_code == 1008

    run(scenario)


def test_a_call_goes_on_when_its_client_connects_again() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            first = await dial(house.url("/audiohook"))
            await first.open()
            await first.play(stereo(0.5), 2, pace=True)
            first.connection.transport.abort()
            await asyncio.sleep(0.6)
            second = await dial(house.url("/audiohook"))
            continued = [{"id": first.session, "serverseq": 1, "clientseq": 1}]
            await second.open(continuedSessions=continued)
            await second.play(stereo(0.5), 2, pace=True)
            await second.close()
            await house.until(lambda: house.closed)
            assert [one.call for one in house.opened] == [CONVERSATION]
            assert house.ends == [(CONVERSATION, "end")]
            ((start_s, end_s),) = house.gaps_s("customer")
            assert start_s == pytest.approx(0.5, abs=0.1)
            assert end_s - start_s == pytest.approx(0.6, abs=0.25)
            assert pitch_hz(house.heard("customer")) == 1_000

    run(scenario)


def test_a_call_whose_client_stays_away_ends_with_the_reason() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            await client.open()
            client.connection.transport.abort()
            await asyncio.sleep(0.3)
            assert house.closed == []
            house.clock.forward(11)
            await house.until(lambda: house.closed)
            assert house.ends == [(CONVERSATION, "error: the connection was lost (code 1006)")]

    run(scenario)


def test_when_callmood_ends_the_client_is_asked_to_disconnect() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            await client.open()
            stopping = asyncio.create_task(house.listener.stop())
            told = await client.receive()
            assert (told["type"], told["parameters"]["reason"]) == ("disconnect", "completed")
            assert (await client.close("disconnect"))["type"] == "closed"
            await stopping
            assert house.ends == [(CONVERSATION, "stopped")]

    run(scenario)


# Credentials


@pytest.fixture
def keys_file(tmp_path: Path) -> str:
    file = tmp_path / "keys"
    file.write_text(f"{API_KEY} {SECRET}\nunsigned\n")
    file.chmod(0o600)
    return str(file)


def handshake(
    keys_file: str, prepare: Callable[[dict[str, str]], dict[str, str]], public_url: str = PUBLIC
) -> dict[str, Any]:
    """What the server answers to the open of a client with these headers."""

    async def scenario() -> dict[str, Any]:
        async with stream_house(audiohook={"keys_file": keys_file}, streams={"public_url": public_url}) as house:
            began_s = time.monotonic()
            client = await dial(house.url("/audiohook"), prepare(request_headers(str(uuid.uuid4()))))
            answer = await client.open()
            if answer["type"] == "disconnect":
                assert time.monotonic() - began_s >= 0.5, "no sooner"
                assert answer["parameters"] == {"reason": "unauthorized"}
                assert (await client.close("disconnect"))["type"] == "closed"
                assert house.opened == []
            return answer

    return asyncio.run(scenario())


@pytest.mark.parametrize("public_url", [PUBLIC, PUBLIC + ":443", "https://HOOK.example.com/"])
def test_a_good_signature_opens_the_session(keys_file: str, public_url: str) -> None:
    url = f"{PUBLIC}/audiohook"
    assert handshake(keys_file, lambda headers: sign(headers, url), public_url)["type"] == "opened"


def test_without_a_public_url_the_host_is_what_the_client_called(keys_file: str) -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={"keys_file": keys_file}) as house:
            url = house.url("/audiohook?x=1")
            client = await dial(url, sign(request_headers(str(uuid.uuid4())), url))
            assert (await client.open())["type"] == "opened"

    run(scenario)


def _tampered(headers: dict[str, str], **changes: str) -> dict[str, str]:
    return {
        **sign(headers, f"{PUBLIC}/audiohook"),
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda h: h, "the request is not signed, or its API key is unknown"),
        (lambda h: sign(h, f"{PUBLIC}/audiohook", "d3Jvbmc="), "the signature is wrong"),
        (lambda h: sign(h, "wss://elsewhere.example.com/audiohook"), "the signature is wrong"),
        (lambda h: sign(h, f"{PUBLIC}/other"), "the signature is wrong"),
        (lambda h: sign({**h, "X-API-KEY": "dW5rbm93bg=="}, f"{PUBLIC}/audiohook"), "the signature is wrong"),
        (lambda h: _tampered(h, Audiohook_Correlation_Id="x"), "the signature is wrong"),
        (lambda h: sign(h, f"{PUBLIC}/audiohook", age_s=30), "the signature has expired"),
        (lambda h: sign(h, f"{PUBLIC}/audiohook", age_s=-30), "the signature was made in the future"),
        (lambda h: sign(h, f"{PUBLIC}/audiohook", age_s=9, lasts_s=1), "the signature has expired"),
        (lambda h: sign(h, f"{PUBLIC}/audiohook", nonce="short"), "the signature's nonce has less than 22 characters"),
        (lambda h: sign(h, f"{PUBLIC}/audiohook", covered=SIGNED[:-1]), "the signature does not cover x-api-key"),
        (lambda h: sign(h, f"{PUBLIC}/audiohook", key="other"), "the signature's keyid is not the X-API-KEY"),
        (lambda h: _tampered(h, Signature="sig1=:AAAA:"), "the signature is wrong"),
        (lambda h: _tampered(h, Signature="sig2=:AAAA:"), "the header Signature cannot be read"),
        (lambda h: _tampered(h, Signature_Input="sig1=nonsense"), "the header Signature-Input cannot be read"),
        (lambda h: {n: v for n, v in h.items() if n != "X-API-KEY"}, "the header x-api-key is missing"),
    ],
)
def test_wrong_credentials_are_told_late_and_say_nothing(
    keys_file: str, prepare: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert handshake(keys_file, prepare)["type"] == "disconnect"
    assert caplog.messages[0].startswith(f"an AudioHook client at 127.0.0.1 is unauthorized: {why}")
    assert SECRET not in caplog.text


def test_a_nonce_is_good_once(keys_file: str) -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={"keys_file": keys_file}, streams={"public_url": PUBLIC}) as house:
            headers = sign(request_headers(str(uuid.uuid4())), f"{PUBLIC}/audiohook")
            kinds = []
            for _ in range(2):
                client = await dial(house.url("/audiohook"), headers)
                kinds.append((await client.open())["type"])
                await client.close("disconnect")
            assert kinds == ["opened", "disconnect"]

    run(scenario)


def test_a_key_without_a_secret_needs_no_signature(keys_file: str) -> None:
    assert handshake(keys_file, lambda headers: {**headers, "X-API-KEY": "unsigned"})["type"] == "opened"


def test_who_opens_for_another_organization_is_unauthorized() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            answer = await client.open(organizationId=str(uuid.uuid4()))
            assert (answer["type"], answer["parameters"]) == ("disconnect", {"reason": "unauthorized"})
            assert house.opened == []

    run(scenario)


@pytest.mark.parametrize("line", ["key c2VjcmV0 more", "key not-base64!", "käy", "key ===="])
def test_keys_that_are_none_are_refused_without_showing_them(tmp_path: Path, line: str) -> None:
    file = tmp_path / "keys"
    file.write_text(f"good c2VjcmV0\n{line}\n")
    file.chmod(0o600)
    with pytest.raises(SettingError) as refused:
        run(lambda: _start(str(file)))
    assert str(refused.value).startswith("audiohook.keys_file: entry 2 is no `API-KEY CLIENT-SECRET`")


async def _start(keys_file: str) -> None:
    async with stream_house(audiohook={"keys_file": keys_file}):
        pass


def test_what_is_sent_is_json_of_the_protocols_form() -> None:
    async def scenario() -> None:
        async with stream_house(audiohook={}) as house:
            client = await dial(house.url("/audiohook"))
            await client.send("open", {})
            text = await client.connection.recv()
            assert set(json.loads(text)) == {"version", "id", "type", "seq", "clientseq", "parameters"}

    run(scenario)
