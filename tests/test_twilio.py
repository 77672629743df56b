"""Media streams over real websockets, their senders being those of tests/peers/media_streams.py."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from monitor.audio import float_to_alaw, float_to_mulaw, float_to_pcm
from monitor.errors import SettingError
from tests.peers.media_streams import (
    CALL,
    Exotel,
    MediaStream,
    Plivo,
    Sending,
    SharedChunks,
    TelcoBridge,
    Telnyx,
    call,
)
from tests.sip_client import loudest_hz, tone
from tests.stream_house import StreamHouse, stream_house


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Tests are written as coroutines."""
    asyncio.run(scenario())


def sound(frequency_hz: float, seconds: float = 1.0, rate: int = 8_000) -> Any:
    time_s = np.arange(round(rate * seconds)) / rate
    return (0.25 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def mulaw(frequency_hz: float, seconds: float = 1.0) -> bytes:
    return float_to_mulaw(sound(frequency_hz, seconds)).tobytes()


BOTH = {"inbound": mulaw(1_000), "outbound": mulaw(440)}


def pitch_hz(house: StreamHouse, party: str, call: str | None = None) -> int:
    samples = house.heard(party, call)
    rate = house.blocks(party, call)[0].sample_rate
    return round(loudest_hz(samples) * rate / 8_000, -1)


async def closed_with(sending: Sending) -> tuple[int, str]:
    """Code and reason with which the server ends a connection."""
    async with asyncio.timeout(5):
        await sending.connection.wait_closed()
    return sending.connection.close_code or 0, sending.connection.close_reason or ""


@pytest.mark.parametrize("stream", [MediaStream, SharedChunks, Telnyx, Plivo])
def test_two_tracks_come_out_on_the_right_party_whoever_sends_them(stream: type[MediaStream]) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), stream())
            await sending.play(BOTH, pace=0)
            await sending.end()
            await house.until(lambda: house.closed)
            (opened,) = house.opened
            assert (opened.source, opened.parties, opened.in_step) == ("twilio", {"customer": 0, "agent": 1}, False)
            assert house.ends == [(opened.call, "end")]
            assert (pitch_hz(house, "customer"), pitch_hz(house, "agent")) == (1_000, 440)
            assert (house.gaps_s("customer"), house.gaps_s("agent")) == ([], [])
            assert house.heard("customer").size == pytest.approx(8_000, abs=800)

    run(scenario)


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        (MediaStream(), CALL),
        (Telnyx(), "2dc1b3c8-f9e0-11ea-bc5a-02420a0f7768"),
        (Exotel(), CALL),
        (Plivo(), "38f7d5b2-5a1d"),
        (MediaStream(parameters={"call": "case 7"}), "case 7"),
        (MediaStream(parameters={"call": "\x1b[31mred" + 300 * "x"}), "\\x1b[31mred" + (128 - 11) * "x"),
    ],
)
def test_a_call_is_named_by_its_parameter_or_by_the_platform(stream: MediaStream, name: str) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), stream)
            await sending.play(BOTH, pace=0)
            await house.until(lambda: house.opened)
            assert house.opened[0].call == name

    run(scenario)


@pytest.mark.parametrize(
    ("encoding", "rate", "encoded", "piece_bytes"),
    [
        ("audio/x-mulaw", 8_000, float_to_mulaw(sound(1_000)).tobytes(), 160),
        ("audio/PCMA", 8_000, float_to_alaw(sound(1_000)).tobytes(), 160),
        ("audio/x-l16", 16_000, float_to_pcm(sound(1_000, rate=16_000)).tobytes(), 640),
        ("audio/x-l16;rate=24000", 8_000, float_to_pcm(sound(1_000, rate=24_000)).tobytes(), 960),
        ("PCMU", 8_000, float_to_mulaw(sound(1_000)).tobytes(), 160),
    ],
)
def test_the_media_format_is_obeyed(encoding: str, rate: int, encoded: bytes, piece_bytes: int) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            stream = MediaStream(tracks=("inbound",), encoding=encoding, sample_rate=rate)
            sending = await call(house.url("/twilio"), stream)
            await sending.play({"inbound": encoded}, piece_bytes, pace=0)
            await sending.end()
            await house.until(lambda: house.closed)
            assert house.opened[0].parties == {"customer": 0}
            assert pitch_hz(house, "customer") == 1_000
            assert abs(house.heard("customer")).max() == pytest.approx(0.25, abs=0.02)

    run(scenario)


@pytest.mark.parametrize(("name", "rate", "frame"), [("g722", 16_000, 320), ("libopus", 48_000, 960)])
def test_wide_codecs_with_the_extra(name: str, rate: int, frame: int) -> None:
    av = pytest.importorskip("av")
    encoder = av.CodecContext.create(name, "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, "mono", "s16"
    pcm = float_to_pcm(sound(1_000, rate=rate))
    payloads = []
    for at in range(0, pcm.size - frame + 1, frame):
        piece = av.AudioFrame.from_ndarray(pcm[at : at + frame].reshape(1, -1), "s16", "mono")
        piece.sample_rate, piece.pts = rate, at
        payloads += [bytes(packet) for packet in encoder.encode(piece)]

    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            encoding = "audio/G722" if name == "g722" else "OPUS"
            stream = MediaStream(tracks=("inbound",), encoding=encoding, sample_rate=rate)
            sending = await call(house.url("/twilio"), stream)
            for number, payload in enumerate(payloads):
                await sending.send(stream.media("inbound", payload, 20 * number))
            await sending.end()
            await house.until(lambda: house.closed)
            assert pitch_hz(house, "customer") == 1_000
            assert house.gaps_s("customer") == []

    run(scenario)


def test_a_bridge_that_sends_one_of_two_tracks_and_counts_samples_is_heard() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), TelcoBridge())
            await sending.play({"inbound": mulaw(1_000)}, pace=0)
            await sending.end()
            await house.until(lambda: house.closed)
            assert house.opened[0].parties == {"customer": 0, "agent": 1}
            assert (pitch_hz(house, "customer"), house.gaps_s("customer")) == (1_000, [])
            assert not house.heard("agent").any()

    run(scenario)


@pytest.mark.parametrize(
    ("stream", "settings", "party"),
    [
        (Exotel(), {}, "mixed"),
        (Exotel(), {"trackless": "customer"}, "customer"),
        (Exotel(parameters={"party": "customer"}), {}, "customer"),
        (MediaStream(tracks=("inbound",)), {}, "customer"),
        (MediaStream(tracks=("inbound",)), {"inbound": "agent"}, "agent"),
        (MediaStream(tracks=("inbound",), parameters={"party": "agent"}), {}, "agent"),
    ],
)
def test_whose_voice_a_lone_stream_is(stream: MediaStream, settings: dict[str, Any], party: str) -> None:
    async def scenario() -> None:
        async with stream_house(twilio=settings) as house:
            sending = await call(house.url("/twilio"), stream)
            pcm = float_to_pcm(sound(440)).tobytes() if isinstance(stream, Exotel) else mulaw(440)
            piece = (1_600, 100) if isinstance(stream, Exotel) else (160, 20)
            await sending.play({"inbound": pcm}, *piece, pace=0)
            await sending.end()
            await house.until(lambda: house.closed)
            assert house.opened[0].parties == {party: 0}
            assert pitch_hz(house, party) == 440

    run(scenario)


@pytest.mark.parametrize("said", [{"twilio": {"inbound": "agent"}}, {"parameters": {"party": "agent"}}])
def test_inbound_is_the_agent_where_settings_or_parameters_say_so(said: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with stream_house(twilio=said.get("twilio", {})) as house:
            sending = await call(house.url("/twilio"), MediaStream(parameters=said.get("parameters", {})))
            await sending.play(BOTH, pace=0)
            await sending.end()
            await house.until(lambda: house.closed)
            assert (pitch_hz(house, "agent"), pitch_hz(house, "customer")) == (1_000, 440)

    run(scenario)


def test_parameters_and_the_addresss_query_say_who_is_on_the_phone(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            with caplog.at_level(logging.INFO, "monitor"):
                stream = MediaStream(parameters={"agent": "4711", "customer": "+15551234567"})
                await call(house.url("/twilio?agent=no&call=case-7"), stream)
                await house.until(lambda: house.opened)
            (opened,) = house.opened
            assert (opened.call, opened.agent) == ("case-7", "4711")
            assert opened.identities == {"customer": "+15551234567"}
            rule = "case-7: customer +15551234567 is track inbound (twilio.inbound); agent is track outbound (twilio.inbound)"
            assert rule in caplog.messages

    run(scenario)


def test_an_address_that_names_no_party_is_refused() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            with pytest.raises(InvalidStatus) as refused:
                await connect(house.url("/twilio?party=boss"))
            assert refused.value.response.status_code == 400

    run(scenario)


def test_two_streams_of_one_call_are_its_two_parties() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            first = await call(
                house.url("/twilio"), MediaStream(("inbound",), {"call": "case-7", "party": "customer"}, call="CA1")
            )
            second = await call(
                house.url("/twilio"), MediaStream(("inbound",), {"call": "case-7", "party": "agent"}, call="CA2")
            )
            await asyncio.gather(
                first.play({"inbound": BOTH["inbound"]}, pace=0), second.play({"inbound": BOTH["outbound"]}, pace=0)
            )
            await first.end()
            assert house.closed == []
            await second.end()
            await house.until(lambda: house.closed)
            assert [(one.call, one.parties) for one in house.opened] == [("case-7", {"customer": 0, "agent": 1})]
            assert house.ends == [("case-7", "end")]
            assert (pitch_hz(house, "customer"), pitch_hz(house, "agent")) == (1_000, 440)

    run(scenario)


def test_a_third_stream_of_a_call_is_a_call_of_its_own() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            for sid in ("CA1", "CA2"):
                parameters = {"call": "case-7", "party": "customer"}
                await call(house.url("/twilio"), MediaStream(("inbound",), parameters, call=sid))
            await house.until(lambda: len(house.opened) == 2)
            assert [one.call for one in house.opened] == ["case-7", "case-7-2"]

    run(scenario)


def test_media_that_were_overtaken_are_put_in_order_by_their_chunks() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            stream = Telnyx()
            sending = await call(house.url("/twilio"), stream)
            spoken = mulaw(1_000)
            media = [stream.media("inbound", spoken[at : at + 160], at // 8) for at in range(0, 8_000, 160)]
            for at in range(5, 45, 5):
                media[at], media[at + 2] = media[at + 2], media[at]
            for one in media:
                await sending.send(one)
            await sending.end()
            await house.until(lambda: house.closed)
            assert house.gaps_s("customer") == []
            np.testing.assert_allclose(house.heard("customer")[:8_000], sound(1_000), atol=0.02)

    run(scenario)


@pytest.mark.parametrize("stream", [MediaStream, TelcoBridge])
def test_media_that_are_missing_are_a_gap_of_their_length(stream: type[MediaStream]) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), stream())
            await sending.play({"inbound": mulaw(1_000, 0.6)})
            for _ in range(10):
                sending.stream.media("inbound", b"", 0)
                sending.at_ms += 20
            await asyncio.sleep(0.2)
            await sending.play({"inbound": mulaw(1_000, 0.6)})
            await sending.end()
            await house.until(lambda: house.closed)
            ((start_s, end_s),) = house.gaps_s("customer")
            assert end_s - start_s == pytest.approx(0.2, abs=1e-3)
            assert start_s == pytest.approx(0.6, abs=0.1)

    run(scenario)


@pytest.mark.parametrize("what", ["dtmf", "mark", "nobody knows it"])
def test_what_says_nothing_of_the_voice_is_passed_over(what: str) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            stream = MediaStream()
            sending = await call(house.url("/twilio"), stream)
            await sending.play({"inbound": mulaw(1_000, 0.5)}, pace=0)
            other = {"dtmf": stream.dtmf, "mark": stream.mark}.get(what, lambda: {"event": what, "x": [1, None]})
            await sending.send(other())
            await sending.play({"inbound": mulaw(1_000, 0.5)}, pace=0)
            await sending.end()
            await house.until(lambda: house.closed)
            assert (house.gaps_s("customer"), house.heard("customer").size) == ([], pytest.approx(8_000, abs=800))

    run(scenario)


@pytest.mark.parametrize(
    ("stream", "code", "text"),
    [
        (
            MediaStream(encoding="audio/AMR-WB"),
            1003,
            "media of 'audio/AMR-WB' at 8000 Hz, expected PCMU, PCMA, G722, opus",
        ),
        (MediaStream(encoding="audio/x-mulaw", sample_rate=16_000), 1003, "media of 'audio/x-mulaw' at 16000 Hz"),
        (
            MediaStream(parameters={"party": "boss"}),
            1003,
            "the stream's parameter party is 'boss', expected one of agent",
        ),
        (
            MediaStream(parameters={"party": "mixed"}),
            1003,
            "the stream's parameter party is mixed, but it has two tracks",
        ),
    ],
)
def test_a_stream_that_cannot_be_is_closed_with_the_reason(
    stream: MediaStream, code: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), stream)
            got, reason = await closed_with(sending)
            assert (got, reason[: len(text)]) == (code, text[:120])
            assert house.opened == []
            assert caplog.messages[0].startswith(f"twilio connection of 127.0.0.1: {text}")

    run(scenario)


@pytest.mark.parametrize(
    "data", ["no json", "[]", '{"event": 5}', '{"x": 1}', b"\x00binary", "[" * 10_000, '{"event":"start","start":7}']
)
def test_nonsense_closes_a_stream_that_has_not_begun(data: Any) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house, connect(house.url("/twilio")) as connection:
            await connection.send(data)
            assert (await closed_with(Sending(connection, MediaStream())))[0] == 1003
            assert house.opened == []

    run(scenario)


def test_a_little_nonsense_in_a_call_is_passed_over_and_much_ends_it() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            broken = sending.stream.media("inbound", b"", 0)
            broken["media"]["payload"] = "A"
            for _ in range(50):
                await sending.send(broken)
            await sending.play({"inbound": mulaw(1_000, 0.5)}, pace=0)
            await sending.send("{")
            assert (await closed_with(sending))[0] == 1003
            await house.until(lambda: house.closed)
            (closed,) = house.closed
            assert closed.reason.startswith("error: expected a JSON object with an event, got '{'")
            assert str(closed.fault).startswith(f"{CALL}: expected a JSON object")
            assert house.heard("customer").size > 2_000

    run(scenario)


def test_media_before_the_start_are_passed_over() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house, connect(house.url("/twilio")) as connection:
            sending = Sending(connection, MediaStream())
            await sending.send(sending.stream.connected())
            await sending.play({"inbound": mulaw(440, 0.5)}, pace=0)
            assert house.opened == []
            await sending.send(sending.stream.start())
            await sending.play({"inbound": mulaw(1_000)}, pace=0)
            await sending.end()
            await house.until(lambda: house.closed)
            assert (pitch_hz(house, "customer"), house.ends) == (1_000, [(CALL, "end")])

    run(scenario)


def test_a_stream_that_never_starts_is_closed() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house, connect(house.url("/twilio")) as connection:
            sending = Sending(connection, MediaStream())
            await sending.send(sending.stream.connected())
            await asyncio.sleep(0.05)
            house.clock.forward(11)
            assert await closed_with(sending) == (1003, "no start came in time (streams.open_s)")

    run(scenario)


def test_a_minute_of_silence_ends_nothing_while_the_peer_answers() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            await sending.play({"inbound": mulaw(1_000, 0.5)}, pace=0)
            for _ in range(8):
                house.clock.forward(25)
                await asyncio.sleep(0.25)
            assert house.closed == []
            await sending.end()
            await house.until(lambda: house.closed)
            assert house.ends == [(CALL, "end")]

    run(scenario)


def test_a_peer_that_is_dead_ends_its_call_and_no_other() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}, streams={"idle_s": 10.0}) as house:
            dead = await call(house.url("/twilio"), MediaStream(call="dead"))
            alive = await call(house.url("/twilio"), MediaStream(call="alive"))
            await house.until(lambda: len(house.opened) == 2)
            dead.connection.transport.pause_reading()
            for _ in range(4):
                house.clock.forward(4)
                await alive.play({"inbound": mulaw(1_000, 0.2)}, pace=0)
                await asyncio.sleep(0.15)
            await house.until(lambda: house.closed)
            assert house.ends == [("dead", "error: nothing came for 10 s (streams.idle_s)")]
            dead.connection.transport.abort()
            await alive.end()

    run(scenario)


@pytest.mark.parametrize("how", ["abort", "half-closed"])
def test_a_connection_that_is_lost_ends_its_call_with_the_reason(how: str) -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            await house.until(lambda: house.opened)
            transport = sending.connection.transport
            if how == "abort":
                transport.abort()
            else:
                transport.write_eof()
            await house.until(lambda: house.closed)
            assert house.ends == [(CALL, "error: the connection was lost (code 1006)")]

    run(scenario)


@pytest.mark.parametrize("goodbye", [b"\x88\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xe8"])
def test_a_close_without_a_stop_is_an_end(goodbye: bytes) -> None:
    """With a code, or without."""

    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            await house.until(lambda: house.opened)
            sending.connection.transport.write(goodbye)
            await house.until(lambda: house.closed)
            assert house.ends == [(CALL, "end")]

    run(scenario)


def test_without_credentials_another_machine_or_a_web_page_gets_nothing() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            with pytest.raises(InvalidStatus) as refused:
                await connect(house.url("/twilio"), origin="https://evil.example")  # type: ignore[arg-type]
            assert refused.value.response.status_code == 403

    run(scenario)
    for settings in ({"host": "0.0.0.0"}, {"public_url": "wss://calls.example.com"}):
        with pytest.raises(SettingError, match=r"can be reached by others, but twilio asks for no credentials"):
            run(lambda settings=settings: _start(settings))  # type: ignore[misc]


async def _start(streams: dict[str, Any]) -> None:
    async with stream_house(twilio={}, streams=streams):
        pass


def test_a_call_of_real_time_is_read_in_time() -> None:
    """The blocks of a stream at real pace arrive while it is spoken."""

    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            await sending.play(BOTH)
            for party in ("customer", "agent"):
                assert house.heard(party).size >= 4_000, "before its end"
            await sending.end()
            assert round(loudest_hz(tone(440))) == 440

    run(scenario)
