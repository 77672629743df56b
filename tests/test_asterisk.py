"""chan_websocket over real websockets, its sender being that of tests/peers/asterisk_switch.py."""

import asyncio
import base64
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from monitor.audio import float_to_alaw, float_to_mulaw, float_to_pcm
from monitor.errors import SettingError
from tests.peers.asterisk_switch import (
    CHANNEL_ID,
    EarlyMediaChannel,
    JsonMediaChannel,
    Media,
    MediaChannel,
    media,
)
from tests.sip_client import loudest_hz
from tests.stream_house import CallHouse, stream_house


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Tests are written as coroutines."""
    asyncio.run(scenario())


def sound(frequency_hz: float, seconds: float = 1.0, rate: int = 8_000) -> Any:
    time_s = np.arange(round(rate * seconds)) / rate
    return (0.25 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def mulaw(frequency_hz: float, seconds: float = 1.0) -> bytes:
    return float_to_mulaw(sound(frequency_hz, seconds)).tobytes()


def pitch_hz(house: CallHouse, party: str, call: str | None = None) -> int:
    rate = house.blocks(party, call)[0].sample_rate
    return round(loudest_hz(house.heard(party, call)) * rate / 8_000, -1)


async def closed_with(one: Media) -> tuple[int, str]:
    async with asyncio.timeout(5):
        await one.connection.wait_closed()
    return one.connection.close_code or 0, one.connection.close_reason or ""


CUSTOMER, AGENT = "/asterisk?call=case-7&party=customer&agent=4711", "/asterisk?call=case-7&party=agent&agent=4711"


@pytest.mark.parametrize("channel", [MediaChannel, JsonMediaChannel, EarlyMediaChannel])
def test_two_connections_of_one_call_are_its_parties_and_each_is_heard_as_itself(channel: type[MediaChannel]) -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            customer = await media(house.url(CUSTOMER), channel())
            agent = await media(house.url(AGENT), channel())
            assert customer.connection.subprotocol == "media"
            await asyncio.gather(customer.play(mulaw(1_000), pace=0), agent.play(mulaw(440), pace=0))
            await customer.hang_up()
            assert house.closed == []
            await agent.hang_up()
            await house.until(lambda: house.closed)
            (opened,) = house.opened
            assert (opened.call, opened.source, opened.agent) == ("case-7", "asterisk", "4711")
            assert (opened.parties, opened.in_step) == ({"customer": 0, "agent": 1}, False)
            assert house.ends == [("case-7", "end")]
            assert (pitch_hz(house, "customer"), pitch_hz(house, "agent")) == (1_000, 440)
            assert (house.gaps_s("customer"), house.gaps_s("agent")) == ([], [])
            assert house.heard("customer").size == pytest.approx(8_000, abs=1_600)

    run(scenario)


@pytest.mark.parametrize(
    ("name", "encoded", "frame_bytes"),
    [
        ("ulaw", mulaw(1_000), 160),
        ("alaw", float_to_alaw(sound(1_000)).tobytes(), 160),
        ("slin", float_to_pcm(sound(1_000)).tobytes(), 320),
        ("slin16", float_to_pcm(sound(1_000, rate=16_000)).tobytes(), 640),
        ("slin48", float_to_pcm(sound(1_000, rate=48_000)).tobytes(), 1_920),
    ],
)
def test_the_format_that_asterisk_names_is_obeyed(name: str, encoded: bytes, frame_bytes: int) -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={"party": "customer"}) as house:
            one = await media(house.url("/asterisk"), MediaChannel(name, frame_bytes=frame_bytes))
            await one.play(encoded, pace=0)
            await one.hang_up()
            await house.until(lambda: house.closed)
            assert house.opened[0].parties == {"customer": 0}
            assert pitch_hz(house, "customer") == 1_000
            assert abs(house.heard("customer")).max() == pytest.approx(0.25, abs=0.02)

    run(scenario)


@pytest.mark.parametrize(
    ("path", "channel", "call", "parties", "agent"),
    [
        ("/asterisk", MediaChannel(), CHANNEL_ID, ["mixed"], None),
        ("/asterisk/", EarlyMediaChannel(), "WebSocket/callmood/0x7f1c", ["mixed"], None),
        ("/asterisk?call=a%20b", MediaChannel(), "a b", ["mixed"], None),
        ("/asterisk?party=agent", MediaChannel(), CHANNEL_ID, ["agent"], None),
        (
            "/asterisk",
            JsonMediaChannel(variables={"CALLMOOD_CALL": "7", "CALLMOOD_PARTY": "agent", "CALLMOOD_AGENT": "ann"}),
            "7",
            ["agent", "customer"],
            "ann",
        ),
        (
            "/asterisk?party=customer",
            JsonMediaChannel(variables={"CALLMOOD_CALL": "7", "CALLMOOD_PARTY": "agent"}),
            "7",
            ["customer", "agent"],
            None,
        ),
    ],
)
def test_who_it_is_comes_from_the_uri_then_from_channel_variables(
    path: str, channel: MediaChannel, call: str, parties: list[str], agent: str | None
) -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            one = await media(house.url(path), channel)
            await one.play(mulaw(440, 0.2), pace=0)
            await house.until(lambda: house.opened)
            (opened,) = house.opened
            assert (opened.call, opened.agent) == (call, agent)
            assert list(opened.parties) == parties

    run(scenario)


def test_the_log_says_which_rule_decided(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={"party": "customer"}) as house:
            with caplog.at_level(logging.INFO, "monitor"):
                await media(house.url("/asterisk?call=1&party=customer&customer=%2B15551234567"))
                await media(house.url("/asterisk?call=2"))
                await house.until(lambda: len(house.opened) == 2)
            assert "1: customer +15551234567 is the only voice (its parameter party)" in caplog.messages
            assert "2: customer is the only voice (asterisk.party)" in caplog.messages

    run(scenario)


@pytest.mark.parametrize(
    ("first", "error"),
    [
        ("MEDIA_START connection_id:c channel:x format:vp8", "media of the format 'vp8', expected ulaw, alaw, slin or"),
        ("MEDIA_START connection_id:c channel:x", "media of the format '', expected ulaw, alaw, slin or slin16: ask"),
        ('{"event":"MEDIA_START","format":7}', "media of the format '', expected ulaw"),
        ("hello", "expected an event such as MEDIA_START, got 'hello'"),
        ('{"event":7}', "expected an event, got a JSON object without"),
        ('{"event":', "expected an event, got JSON that is none: "),
        (bytes(160), "a binary message of 160 bytes before MEDIA_START: in which format?"),
    ],
)
def test_what_cannot_be_heard_ends_that_connection_alone(first: str | bytes, error: str) -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            good = await media(house.url("/asterisk?call=good&party=customer"))
            bad = Media(await connect(house.url("/asterisk?call=bad"), compression=None), MediaChannel())
            await bad.connection.send(first)
            code, reason = await closed_with(bad)
            assert (code, reason[: len(error)]) == (1003, error[:120])
            await good.play(mulaw(440), pace=0)
            await good.hang_up()
            await house.until(lambda: house.closed)
            assert [one.call for one in house.opened] == ["good"]
            assert house.ends == [("good", "end")]
            assert pitch_hz(house, "customer") == 440

    run(scenario)


def test_what_means_nothing_to_us_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            one = await media(house.url(CUSTOMER), JsonMediaChannel("slin", frame_bytes=320))
            channel = one.channel
            said = [
                channel.key("5"),
                channel.flow(),
                channel.flow("MEDIA_XON"),
                channel.start(),
                "",
                "what?",
                b"",
                b"odd",
            ]
            for message in [*said, channel.error("no such command")]:
                await one.connection.send(message)
            await one.play(float_to_pcm(sound(440)).tobytes(), pace=0)
            await one.hang_up()
            await house.until(lambda: house.closed)
            assert house.ends == [("case-7", "end")]
            assert pitch_hz(house, "customer") == 440
            warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
            assert warnings == ["case-7: passed over: expected an event such as MEDIA_START, got ''"]

    run(scenario)


def test_too_much_that_cannot_be_read_ends_the_call() -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            one = await media(house.url(CUSTOMER), MediaChannel("slin", frame_bytes=320))
            for _ in range(51):
                await one.connection.send(b"odd")
            assert await closed_with(one) == (1003, "an audio message of 3 bytes, expected whole samples of 2")
            await house.until(lambda: house.closed)
            assert house.ends == [("case-7", "error: an audio message of 3 bytes, expected whole samples of 2")]

    run(scenario)


def test_a_connection_that_starts_nothing_is_ended() -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            one = Media(await connect(house.url("/asterisk"), compression=None), MediaChannel())
            house.clock.forward(11)
            assert await closed_with(one) == (1003, "no MEDIA_START came in time (streams.open_s)")
            assert house.opened == []

    run(scenario)


def test_silence_of_a_minute_and_more_ends_nothing_and_is_silence() -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            one = await media(house.url(CUSTOMER))
            await one.play(mulaw(440, 0.5))
            for _ in range(4):
                await asyncio.sleep(0.15)
                house.clock.forward(10)
            await asyncio.sleep(0.15)
            await one.play(mulaw(1_000, 0.5))
            assert house.closed == []
            await one.hang_up()
            await house.until(lambda: house.closed)
            assert house.gaps_s("customer") == []
            heard = house.heard("customer")
            assert heard.size == pytest.approx(8_000 * 41.5, rel=0.02)
            assert not heard[16_000:-16_000].any()

    run(scenario)


def test_a_goodbye_ends_the_call_at_once_though_the_socket_stays_open() -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            one = await media(house.url(CUSTOMER))
            await house.until(lambda: house.opened)
            transport = one.connection.transport
            transport.pause_reading()
            transport.write(b"\x88\x82\0\0\0\0\x03\xe8")
            async with asyncio.timeout(1):
                await house.until(lambda: house.closed)
            assert house.ends == [("case-7", "end")]
            transport.abort()

    run(scenario)


@pytest.mark.parametrize("how", ["abort", "half-closed"])
def test_a_connection_that_is_lost_ends_its_call_with_the_reason(how: str) -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            one = await media(house.url(CUSTOMER))
            await house.until(lambda: house.opened)
            if how == "abort":
                one.connection.transport.abort()
            else:
                one.connection.transport.write_eof()
            await house.until(lambda: house.closed)
            assert house.ends == [("case-7", "error: the connection was lost (code 1006)")]

    run(scenario)


def test_when_callmood_ends_calls_end_as_stopped() -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            one = await media(house.url(CUSTOMER))
            await one.play(mulaw(440), pace=0)
            await house.until(lambda: house.opened)
            await house.listener.stop()
            assert house.ends == [("case-7", "stopped")]
            assert (await closed_with(one))[0] == 1001

    run(scenario)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def test_the_password_of_websocket_client_conf_lets_in_and_another_does_not(tmp_path: Path) -> None:
    secret = tmp_path / "asterisk"
    secret.write_text("old\ns3cret\n")
    secret.chmod(0o600)

    async def scenario() -> None:
        async with stream_house(asterisk={"token_file": str(secret)}) as house:
            for path, headers in (("/asterisk", basic("media", "s3cret")), ("/asterisk?token=old", {})):
                await (await media(house.url(path), headers=headers)).hang_up()
            await house.until(lambda: len(house.closed) == 2)
            for headers, status in ((basic("media", "s3cre"), 403), (basic("s3cret", ""), 401), ({}, 401)):
                with pytest.raises(InvalidStatus) as refused:
                    await media(house.url("/asterisk"), headers=headers)
                assert refused.value.response.status_code == status

    run(scenario)


@pytest.mark.parametrize("settings", [{"host": "0.0.0.0"}, {"public_url": "wss://calls.example.com"}])
def test_without_a_password_it_is_not_opened_to_others(settings: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}, streams=settings):
            pass

    with pytest.raises(SettingError, match="can be reached by others, but asterisk asks for no credentials"):
        run(scenario)


def test_an_address_that_names_no_party_is_refused() -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}) as house:
            with pytest.raises(InvalidStatus) as refused:
                await connect(house.url("/asterisk?party=boss"))
            assert refused.value.response.status_code == 400

    run(scenario)


def test_a_full_listener_still_takes_the_other_party_of_a_call_that_runs() -> None:
    async def scenario() -> None:
        async with stream_house(asterisk={}, streams={"max_calls": 1}) as house:
            await media(house.url(CUSTOMER))
            await house.until(lambda: house.opened)
            await media(house.url(AGENT))
            for path in ("/asterisk?call=case-8&party=agent", AGENT, "/asterisk"):
                await house.until(lambda: not house.listener._switchboard.awaits("case-7"))
                with pytest.raises(InvalidStatus) as refused:
                    await media(house.url(path))
                assert refused.value.response.status_code == 503

    run(scenario)
