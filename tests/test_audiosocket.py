"""AudioSocket over real TCP, its sender being that of tests/peers/asterisk_switch.py."""

import asyncio
import logging
import socket
import struct
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.audio import float_to_pcm
from monitor.errors import ServiceError, SettingError
from monitor.identities import Identities
from monitor.settings import AudioSocketSettings, Settings
from monitor.sources import BlockQueue, CallNames
from monitor.sources.audiosocket import AudioSocket
from tests.peers.asterisk_switch import CALL_ID, AudioSocketChannel, audiosocket, frame
from tests.sip_client import loudest_hz
from tests.stream_house import AudioSocketHouse, CallHouse, audiosocket_house

CUSTOMER, AGENT = CALL_ID + "00", CALL_ID + "01"
SILENCE = (0x10, bytes(320))


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Tests are written as coroutines."""
    asyncio.run(scenario())


def pcm(frequency_hz: float, seconds: float = 1.0, rate: int = 8_000) -> bytes:
    time_s = np.arange(round(rate * seconds)) / rate
    return float_to_pcm((0.25 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)).tobytes()


def pitch_hz(house: CallHouse, party: str, call: str | None = None) -> int:
    rate = house.blocks(party, call)[0].sample_rate
    return round(loudest_hz(house.heard(party, call)) * rate / 8_000, -1)


async def good_call(house: AudioSocketHouse, name: str = "00000000-0000-0000-0000-000000000042") -> AudioSocketChannel:
    """One that others must not harm."""
    channel = await audiosocket(house.listener.port, name)
    await house.until(lambda: house.opened)
    return channel


async def still_heard(house: AudioSocketHouse, good: AudioSocketChannel) -> None:
    await good.play(pcm(440), pace=0)
    good.close()
    call = house.opened[0].call
    await house.until(lambda: (call, "end") in house.ends)
    assert pitch_hz(house, "mixed", call) == 440


def test_two_uuids_that_differ_in_the_last_digit_are_one_calls_parties() -> None:
    async def scenario() -> None:
        async with audiosocket_house(pairing="last_digit") as house:
            customer, agent = [await audiosocket(house.listener.port, name) for name in (CUSTOMER, AGENT)]
            await asyncio.gather(customer.play(pcm(1_000), pace=0), agent.play(pcm(440), pace=0))
            customer.close()
            await house.until(lambda: len(house.listener._connections) == 1)
            assert house.closed == []
            agent.close()
            await house.until(lambda: house.closed)
            (opened,) = house.opened
            assert (opened.call, opened.source, opened.in_step) == (CUSTOMER, "audiosocket", False)
            assert opened.parties == {"customer": 0, "agent": 1}
            assert house.ends == [(CUSTOMER, "end")]
            assert (pitch_hz(house, "customer"), pitch_hz(house, "agent")) == (1_000, 440)
            assert (house.gaps_s("customer"), house.gaps_s("agent")) == ([], [])
            assert house.heard("customer").size == pytest.approx(8_000, abs=1_600)

    run(scenario)


@pytest.mark.parametrize("khz", [8, 12, 16, 24, 32, 44.1, 48, 96, 192])
def test_every_rate_is_heard_at_its_pitch(khz: float) -> None:
    async def scenario() -> None:
        async with audiosocket_house(party="customer") as house:
            channel = await audiosocket(house.listener.port, CUSTOMER)
            await channel.play(pcm(1_000, rate=round(khz * 1_000)), khz, pace=0)
            channel.close()
            await house.until(lambda: house.closed)
            assert house.ends == [(CUSTOMER, "end")]
            assert pitch_hz(house, "customer") == 1_000
            heard = house.heard("customer")
            assert heard.size / house.blocks("customer")[0].sample_rate == pytest.approx(1.0, abs=0.1)
            assert abs(heard).max() == pytest.approx(0.25, abs=0.02)

    run(scenario)


def test_a_rate_that_changes_in_mid_call_is_obeyed() -> None:
    async def scenario() -> None:
        async with audiosocket_house(party="customer") as house:
            channel = await audiosocket(house.listener.port, CUSTOMER)
            await channel.play(pcm(440), pace=0)
            await channel.play(pcm(1_000, rate=16_000), 16, pace=0)
            channel.close()
            await house.until(lambda: house.closed)
            heard = house.heard("customer")
            assert (round(loudest_hz(heard[:7_000]), -1), round(loudest_hz(heard[9_500:]), -1)) == (440, 1_000)
            assert heard.size == pytest.approx(16_000, abs=1_600)

    run(scenario)


def test_an_older_asterisk_sends_every_rate_as_the_same_kind() -> None:
    async def scenario() -> None:
        async with audiosocket_house(party="customer", sample_rate=16_000) as house:
            channel = await audiosocket(house.listener.port, CUSTOMER)
            await channel.play(pcm(1_000, rate=16_000), 16, pace=0, kind=0x10)
            channel.close()
            await house.until(lambda: house.closed)
            assert pitch_hz(house, "customer") == 1_000

    run(scenario)


def test_a_table_says_whose_voice_a_uuid_is(caplog: pytest.LogCaptureFixture) -> None:
    table = (
        f"{CUSTOMER} call=case%207&party=customer&customer=%2B1555",
        f"{AGENT} call=case%207&party=agent&agent=4711",
    )

    async def scenario() -> None:
        async with audiosocket_house(parties=table) as house:
            with caplog.at_level(logging.INFO, "monitor"):
                customer = await audiosocket(house.listener.port, CUSTOMER)
                await house.until(lambda: house.opened)
                agent = await audiosocket(house.listener.port, AGENT)
                other = await audiosocket(house.listener.port, CALL_ID + "02")
                await house.until(lambda: len(house.opened) == 2)
            for channel in (customer, agent, other):
                channel.close()
            await house.until(lambda: len(house.closed) == 2)
            assert [(one.call, list(one.parties)) for one in house.opened] == [
                ("case 7", ["customer", "agent"]),
                (CALL_ID + "02", ["mixed"]),
            ]
            assert house.opened[0].identities == {"customer": "+1555"}
            assert "case 7: customer +1555 is the only voice (audiosocket.parties)" in caplog.messages
            assert "case 7: agent is the only voice (audiosocket.parties)" in caplog.messages
            assert f"{CALL_ID}02: mixed is the only voice (audiosocket.party)" in caplog.messages

    run(scenario)


def test_a_file_of_uuids_may_change_while_calls_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "parties"
    path.write_text("# of calls that run\n\n")

    async def scenario() -> None:
        async with audiosocket_house(parties_file=str(path)) as house:
            path.write_text(f"{CUSTOMER} call=case-7&party=customer\n")
            await audiosocket(house.listener.port, CUSTOMER)
            await house.until(lambda: len(house.opened) == 1)
            path.write_text(f"{CUSTOMER} call=case-7&party=customer\nnonsense party=agent\n")
            await audiosocket(house.listener.port, CUSTOMER)
            await house.until(lambda: len(house.opened) == 2)
            assert [(one.call, next(iter(one.parties))) for one in house.opened] == [
                ("case-7", "customer"),
                ("case-7-2", "customer"),
            ]

    run(scenario)
    warning = f"{path}, line 2: expected a UUID first, got 'nonsense'; what it said before holds"
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [warning]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"host": "0.0.0.0"}, "audiosocket.host is 0.0.0.0, open to others, but audiosocket.allow is empty: name"),
        ({"host": "switch"}, "audiosocket.host must be an IP address, got 'switch'"),
        ({"allow": ("switch",)}, "audiosocket.allow must list IP addresses or networks, got 'switch'"),
        ({"parties": ("x party=agent",)}, "audiosocket.parties, line 1: expected a UUID first, got 'x'"),
        (
            {"parties": (f"{AGENT} party=boss",)},
            r"line 1: expected party=agent\|customer\|mixed&call=NAME&agent=ID.*'party=boss'",
        ),
        ({"parties": (AGENT,)}, "line 1: expected party="),
        ({"parties": (f"{AGENT} agnet=1",)}, "line 1: expected party=.*got 'agnet=1'"),
        ({"parties_file": "/nowhere"}, "/nowhere: cannot read audiosocket.parties_file"),
    ],
)
def test_settings_that_cannot_hold_are_refused_at_start(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(SettingError, match=error):
        AudioSocket(Settings(audiosocket=AudioSocketSettings(**settings)), CallNames())


def test_a_port_that_is_taken_is_said_with_the_cure() -> None:
    async def scenario() -> None:
        async with audiosocket_house() as house:
            assert house.said == f"AudioSocket: 127.0.0.1:{house.listener.port}"
            other = AudioSocket(Settings(audiosocket=AudioSocketSettings(port=house.listener.port)), CallNames())
            with pytest.raises(ServiceError, match=r"is taken: another callmood may run; .*--set audiosocket.port="):
                await other.start(BlockQueue(9), Identities(show=False))
            await other.stop()

    run(scenario)


def test_a_host_that_is_not_allowed_is_hung_up_on(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with audiosocket_house(allow=("192.0.2.0/24",)) as house:
            channel = await audiosocket(house.listener.port)
            assert await channel.hung_up() in (0x00, None)
            assert (house.opened, house.listener.refused) == ([], 1)

    run(scenario)
    assert "127.0.0.1 hung up on: it is not in audiosocket.allow" in caplog.messages


@pytest.mark.parametrize(
    ("first", "error"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "expected a UUID first (01 00 10), got 47 45 54: this is no AudioSocket"),
        (b"\x16", "expected a UUID first (01 00 10), got 16: this is no AudioSocket"),
        (frame(0x10, bytes(320)), "expected a UUID first (01 00 10), got 10 01 40: this is no AudioSocket"),
        (frame(0x01, bytes(8)), "expected a UUID first (01 00 10), got 01 00 08: this is no AudioSocket"),
    ],
)
def test_what_does_not_begin_with_a_uuid_is_hung_up_on_alone(
    first: bytes, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with audiosocket_house() as house:
            good = await good_call(house)
            bad = await audiosocket(house.listener.port, first)
            assert await bad.hung_up() in (0x00, None)
            await still_heard(house, good)
            assert len(house.opened) == 1

    run(scenario)
    assert f"audiosocket connection of 127.0.0.1: {error}" in caplog.messages


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (frame(0xFF, b"\x01"), "error: Asterisk tells an error (code 01)"),
        (frame(0xFF), "error: Asterisk tells an error (code none)"),
        (frame(0x10, bytes(16_386)), "error: a frame of 16386 bytes, expected at most 16384"),
        (frame(0x01, uuid.UUID(AGENT).bytes), f"error: another UUID, {AGENT}, after {CUSTOMER}"),
        (51 * frame(0x77, b"?"), "error: a frame of the kind 0x77, which AudioSocket does not know"),
        (51 * frame(0x10, b"odd"), "error: audio of 3 bytes, expected samples of 2"),
        (frame(0x00), "end"),
        (frame(0x00, b"why"), "end"),
    ],
)
def test_a_call_ends_with_the_reason_and_the_others_go_on(said: bytes, reason: str) -> None:
    async def scenario() -> None:
        async with audiosocket_house() as house:
            good = await good_call(house)
            bad = await audiosocket(house.listener.port, CUSTOMER)
            await bad.play(pcm(1_000, 0.2), pace=0)
            await bad.say(said)
            await bad.hung_up()
            await house.until(lambda: house.closed)
            assert house.ends == [(CUSTOMER, reason)]
            assert reason == "end" or str(house.closed[0].fault) == f"{CUSTOMER}: {reason.removeprefix('error: ')}"
            await still_heard(house, good)

    run(scenario)


def test_key_presses_and_what_nobody_knows_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with audiosocket_house(party="customer") as house:
            channel = await audiosocket(house.listener.port, CUSTOMER)
            await channel.say(frame(0x03, b"5") + frame(0x02) + frame(0x42, b"x") + frame(0x10) + frame(0x10, b"o"))
            await channel.say(frame(0x01, uuid.UUID(CUSTOMER).bytes))
            await channel.play(pcm(440), pace=0)
            channel.close()
            await house.until(lambda: house.closed)
            assert house.ends == [(CUSTOMER, "end")]
            assert pitch_hz(house, "customer") == 440

    run(scenario)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"{CUSTOMER}: passed over: a frame of the kind 0x02, which AudioSocket does not know"]


@pytest.mark.parametrize("piece", [1, 7, 319, 5_000])
def test_it_does_not_matter_how_tcp_cuts_frames(piece: int) -> None:
    async def scenario() -> None:
        async with audiosocket_house(party="customer") as house:
            sound = pcm(440, 0.2 if piece == 1 else 1.0)
            data = frame(0x01, uuid.UUID(CUSTOMER).bytes)
            data += b"".join(frame(0x10, sound[at : at + 320]) for at in range(0, len(sound), 320))
            channel = await audiosocket(house.listener.port, b"")
            for at in range(0, len(data), piece):
                await channel.say(data[at : at + piece])
            channel.close()
            await house.until(lambda: house.closed)
            assert pitch_hz(house, "customer") == pytest.approx(440, abs=10)
            assert house.heard("customer").size == pytest.approx(len(sound) // 2, abs=800)

    run(scenario)


def test_without_a_uuid_in_time_the_connection_ends(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with audiosocket_house(open_s=5.0) as house:
            channel = await audiosocket(house.listener.port, b"\x01\x00")
            await house.until(lambda: house.listener._connections)
            house.clock.forward(6)
            assert await channel.hung_up() == 0x00
            assert house.opened == []

    run(scenario)
    assert "audiosocket connection of 127.0.0.1: no UUID came in time (audiosocket.open_s)" in caplog.messages


def test_silence_that_is_not_sent_is_silence_and_ends_nothing() -> None:
    async def scenario() -> None:
        async with audiosocket_house(party="customer") as house:
            channel = await audiosocket(house.listener.port, CUSTOMER)
            await channel.play(pcm(440, 0.5))
            for _ in range(4):
                await asyncio.sleep(0.15)
                house.clock.forward(13)
            await asyncio.sleep(0.15)
            await channel.play(pcm(1_000, 0.5))
            assert house.closed == []
            channel.close()
            await house.until(lambda: house.closed)
            assert house.gaps_s("customer") == []
            heard = house.heard("customer")
            assert heard.size == pytest.approx(8_000 * 53.5, rel=0.02)
            assert not heard[16_000:-16_000].any()

    run(scenario)


def test_a_connection_on_which_nothing_comes_is_over_at_last() -> None:
    async def scenario() -> None:
        async with audiosocket_house(held_s=60.0) as house:
            await audiosocket(house.listener.port, CUSTOMER)
            await house.until(lambda: house.opened)
            house.clock.forward(61)
            await house.until(lambda: house.closed)
            assert house.ends == [(CUSTOMER, "error: nothing came for 60 s (audiosocket.held_s)")]

    run(scenario)


def test_silence_is_sent_back_of_the_kind_that_came() -> None:
    """Some releases of Asterisk send nothing before they have heard something."""

    async def scenario() -> None:
        async with audiosocket_house() as house:
            channel = await audiosocket(house.listener.port, CUSTOMER)
            assert await channel.frames(2) == [SILENCE, SILENCE]
            await channel.play(pcm(440, 0.1, 16_000), 16, pace=0)
            async with asyncio.timeout(5):
                while (await channel.frames(1))[0] == SILENCE:
                    pass
            assert await channel.frames(1) == [(0x12, bytes(640))]
        async with audiosocket_house(silence_s=0.0) as house:
            channel = await audiosocket(house.listener.port, CUSTOMER)
            await house.until(lambda: house.opened)
            await asyncio.sleep(0.3)
            channel.close()
            assert await channel.frames(1) == []

    run(scenario)


def test_a_switch_that_does_not_read_is_heard_all_the_same() -> None:
    async def scenario() -> None:
        async with audiosocket_house(party="customer") as house:
            channel = await audiosocket(house.listener.port, CUSTOMER)
            channel.reader._transport.pause_reading()  # type: ignore[attr-defined]
            await house.until(lambda: house.listener._connections)
            (connection,) = house.listener._connections
            connection.transport.write(bytes(8_000_000))  # more than the system's buffers hold
            waiting = connection.transport.get_write_buffer_size()
            assert waiting
            await channel.play(pcm(440))
            assert connection.transport.get_write_buffer_size() <= waiting
            channel.writer.transport.abort()
            await house.until(lambda: house.closed)
            assert (house.ends, pitch_hz(house, "customer")) == ([(CUSTOMER, "end")], 440)

    run(scenario)


def test_what_came_before_the_close_is_heard_to_its_end() -> None:
    async def scenario() -> None:
        async with audiosocket_house(party="customer") as house:
            channel = await audiosocket(house.listener.port, CUSTOMER)
            await house.until(lambda: house.opened)
            sound = pcm(440, 4.0, 96_000)
            channel.writer.write(b"".join(frame(0x17, sound[at : at + 3_840]) for at in range(0, len(sound), 3_840)))
            channel.close()
            await house.until(lambda: house.closed)
            assert house.ends == [(CUSTOMER, "end")]
            seconds = house.heard("customer").size / house.blocks("customer")[0].sample_rate
            assert seconds == pytest.approx(4.0, abs=0.1)

    run(scenario)


@pytest.mark.parametrize("how", ["reset", "half-closed"])
def test_however_a_switch_closes_it_hangs_up(how: str) -> None:
    """It resets the connection where our silence is still unread."""

    async def scenario() -> None:
        async with audiosocket_house() as house:
            channel = await audiosocket(house.listener.port, CUSTOMER)
            await house.until(lambda: house.opened)
            if how == "reset":
                linger = struct.pack("ii", 1, 0)
                channel.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                channel.writer.transport.abort()
            else:
                channel.writer.write_eof()
            await house.until(lambda: house.closed)
            assert house.ends == [(CUSTOMER, "end")]

    run(scenario)


def test_the_system_finds_out_about_dead_hosts() -> None:
    async def scenario() -> None:
        async with audiosocket_house() as house:
            await good_call(house)
            (connection,) = house.listener._connections
            inner = connection.transport.get_extra_info("socket")
            assert inner.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            connection.session.gone("the connection was lost (timed out)", 0.0)  # type: ignore[union-attr]
            await house.until(lambda: house.closed)
            assert house.ends[0][1] == "error: the connection was lost (timed out)"

    run(scenario)


def test_whoever_floods_is_slowed_and_its_call_alone() -> None:
    async def scenario() -> None:
        async with audiosocket_house(bytes_per_s=16_000) as house:
            good = await good_call(house)
            flood = await audiosocket(house.listener.port, CUSTOMER)
            flood.writer.write(frame(0x10, bytes(16_000)) * 2_000)
            await house.until(lambda: len(house.listener._connections) == 2)
            await asyncio.sleep(0.5)
            await still_heard(house, good)
            assert house.heard("mixed", CUSTOMER).size < 8_000 * 60
            flood.writer.transport.abort()

    run(scenario)


def test_no_more_connections_and_calls_than_may_be(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with audiosocket_house(max_connections=3, max_calls=1, pairing="last_digit") as house:
            customer = await audiosocket(house.listener.port, CUSTOMER)
            await house.until(lambda: house.opened)
            full = await audiosocket(house.listener.port, CALL_ID + "10")
            assert await full.hung_up() == 0x00
            agent = await audiosocket(house.listener.port, AGENT)
            third = await audiosocket(house.listener.port, b"\x01")
            fourth = await audiosocket(house.listener.port, CALL_ID + "20")
            assert await fourth.hung_up() in (0x00, None)
            for channel in (customer, agent, third):
                channel.close()
            await house.until(lambda: house.closed)
            assert house.ends == [(CUSTOMER, "end")]

    run(scenario)
    assert "audiosocket connection of 127.0.0.1: 1 calls run, which are all that may: see max_calls" in caplog.messages
    assert "127.0.0.1 hung up on: full: see audiosocket.max_connections" in caplog.messages


def test_draining_lets_calls_end_and_takes_no_others() -> None:
    async def scenario() -> None:
        async with audiosocket_house() as house:
            channel = await good_call(house)
            draining = asyncio.create_task(house.listener.drain())
            await asyncio.sleep(0)
            assert await (await audiosocket(house.listener.port, CUSTOMER)).hung_up() in (0x00, None)
            assert not draining.done()
            channel.close()
            async with asyncio.timeout(5):
                await draining
            assert [reason for _, reason in house.ends] == ["end"]

    run(scenario)


def test_draining_has_a_bound_and_what_is_left_is_stopped() -> None:
    async def scenario() -> None:
        async with audiosocket_house(drain_s=30.0) as house:
            channel = await good_call(house)
            draining = asyncio.create_task(house.listener.drain())
            await asyncio.sleep(0)
            house.clock.forward(31)
            async with asyncio.timeout(5):
                await draining
            await house.listener.stop()
            assert [reason for _, reason in house.ends] == ["stopped"]
            assert await channel.hung_up() == 0x00

    run(scenario)


def test_a_node_that_is_behind_takes_no_new_calls() -> None:
    async def scenario() -> None:
        async with audiosocket_house() as house:
            house.listener.refuse("late: scoring is behind")
            assert await (await audiosocket(house.listener.port)).hung_up() in (0x00, None)
            house.listener.refuse("")
            await good_call(house)

    run(scenario)


def test_a_fault_of_ours_ends_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with audiosocket_house() as house:
            good = await good_call(house)
            bad = await audiosocket(house.listener.port, CUSTOMER)
            await house.until(lambda: len(house.opened) == 2)
            (broken,) = [one for one in house.listener._connections if one.session._uuid == uuid.UUID(CUSTOMER)]  # type: ignore[union-attr]
            monkeypatch.setattr(broken.session, "frame", lambda *_: 1 / 0)
            await bad.play(pcm(440, 0.1), pace=0)
            await house.until(lambda: house.closed)
            reason = "error: a fault of ours: ZeroDivisionError('division by zero'); report this"
            assert house.ends == [(CUSTOMER, reason)]
            await still_heard(house, good)

    run(scenario)
