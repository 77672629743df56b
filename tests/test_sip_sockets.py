"""Clients that flood, stall, talk nonsense or have no business here; and that the calls of others do not mind."""

import asyncio
import os
import random
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
import uvloop

from monitor.sources.complaints import Budget
from tests.sip_client import Client, House, client, house, loudest_hz, ports, tone
from tests.sip_texts import both, request


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On the event loop that `callmood serve` takes; `test_siprec.py` runs on asyncio's own."""
    uvloop.run(scenario())


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_who_is_not_on_the_list_gets_no_answer(transport: str, caplog: Any) -> None:
    async def scenario() -> None:
        async with house(allow=("192.0.2.0/24",)) as home, client(home.server.port, transport) as caller:
            if transport == "UDP":
                await caller.send(caller.text("OPTIONS"))
                await caller.silence()
            else:
                assert await caller.receive() == b""
            assert home.server.foreign == 1

    run(scenario)
    assert caplog.messages == ["SIP from 127.0.0.1 gets no answer: it is not in siprec.allow"]


def test_a_connection_is_kept_alive() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port, "TCP") as caller:
            await caller.send(b"\r\n\r\n")
            assert await caller.receive() == b"\r\n"
            await caller.send(caller.text("OPTIONS") + b"\r\n\r\n" + caller.text("OPTIONS"))
            assert [(await caller.final()).status for _ in range(2)] == [200, 200]

    run(scenario)


def test_a_message_may_come_a_byte_at_a_time() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port, "TCP") as caller:
            for byte in caller.text("INVITE", both()):
                await caller.send(bytes([byte]))
            assert (await caller.final()).status == 200

    run(scenario)


@pytest.mark.parametrize("data", [b"", b"I", b"INVITE sip:a SIP/2.0\r\nVia: "])
def test_a_connection_that_brings_nothing_whole_in_time_is_ended(data: bytes) -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port, "TCP") as caller, client(home.server.port, "TCP") as other:
            await caller.send(data)
            assert (await other.ask("OPTIONS")).status == 200
            home.clock.forward(10.5)
            assert await caller.receive() == b""
            assert (await other.ask("OPTIONS")).status == 200

    run(scenario)


def test_a_message_that_is_too_long_ends_its_connection_and_no_call() -> None:
    async def scenario() -> None:
        async with house(message_bytes=5_000) as home, client(home.server.port, "TCP") as caller:
            await caller.invite()
            await caller.send(b"OPTIONS sip:a SIP/2.0\r\nX: " + b"x" * 5_000)
            assert await caller.receive() == b""
            assert home.server.calls == 1
            async with client(home.server.port, "TCP") as again:
                again.tag = caller.tag
                assert (await again.ask("BYE", cseq=7)).status == 200

    run(scenario)


def test_one_address_may_hold_half_of_the_connections() -> None:
    async def scenario() -> None:
        async with (
            house(max_connections=4) as home,
            client(home.server.port, "TCP") as one,
            client(home.server.port, "TCP") as two,
            client(home.server.port, "TCP") as three,
        ):
            assert await three.receive() == b""
            assert [(await caller.ask("OPTIONS")).status for caller in (one, two)] == [200, 200]

    run(scenario)


def test_messages_beyond_the_limit_are_dropped_over_udp() -> None:
    async def scenario() -> None:
        async with house(peer_messages=10) as home, client(home.server.port) as caller:
            for _ in range(40):
                await caller.send(caller.text("OPTIONS"))
            await home.until(lambda: home.server.flooded >= 25)
            assert home.server.flooded + len([await caller.final() for _ in range(10)]) <= 40

    run(scenario)


def test_messages_beyond_the_limit_have_to_wait_over_tcp() -> None:
    async def scenario() -> None:
        async with house(peer_messages=100) as home, client(home.server.port, "TCP") as caller:
            began_s = asyncio.get_running_loop().time()
            await caller.send(b"".join(caller.text("OPTIONS") for _ in range(130)))
            assert {(await caller.final()).status for _ in range(130)} == {200}
            assert (await caller.ask("OPTIONS")).status == 200
            assert asyncio.get_running_loop().time() - began_s > 0.25
            assert home.server.flooded >= 1

    run(scenario)


def test_a_client_that_does_not_read_is_let_go() -> None:
    async def scenario() -> None:
        async with house(peer_messages=100_000) as home:
            _, writer = await asyncio.open_connection("127.0.0.1", home.server.port, limit=1)
            text = request("OPTIONS", transport="TCP", call="x" * 20_000)

            async def flood() -> None:
                while True:
                    writer.write(text * 10)
                    await writer.drain()

            with pytest.raises(ConnectionError):
                await asyncio.wait_for(flood(), 30)
            writer.close()

    run(scenario)


async def garbage(caller: Client, random_bytes: random.Random) -> None:
    """Nonsense of every kind, as fast as it goes."""
    sound = caller.text("INVITE", both())
    for _ in range(300):
        broken = bytearray(sound)
        for _ in range(random_bytes.randrange(1, 20)):
            broken[random_bytes.randrange(len(broken))] = random_bytes.randrange(256)
        await caller.send(bytes(broken) if random_bytes.random() < 0.7 else random_bytes.randbytes(900))
        await asyncio.sleep(0)


async def stalled(port: int) -> list[asyncio.StreamWriter]:
    writers = []
    for _ in range(30):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"INVITE sip:srs SIP/2.0\r\nVia: SIP/2.0/TCP x\r\n")
        writers.append(writer)
    return writers


def test_a_call_goes_on_undisturbed_while_another_client_does_its_worst(caplog: Any) -> None:
    async def scenario() -> None:
        seed = random.Random(os.environ.get("PYTEST_SEED", "1"))
        async with (
            house() as home,
            client(home.server.port) as good,
            client(home.server.port, call="bad@client") as bad,
        ):
            agent, customer = ports(await good.invite())
            writers = await stalled(home.server.port)
            await asyncio.gather(garbage(bad, seed), good.play({agent: tone(440), customer: tone(1_000)}, 2.0))
            await home.until(lambda: heard(home, "customer") > 14_000)
            for party, frequency_hz in (("agent", 440), ("customer", 1_000)):
                assert round(loudest_hz(home.heard(party, home.opened[0].call)), -1) == frequency_hz
                assert np.abs(home.heard(party, home.opened[0].call)).max() < 0.3
            assert (await good.ask("BYE")).status == 200
            assert home.opened[0].call in [one.call for one in home.closed if one.reason == "end"]
            for writer in writers:
                writer.close()

    def heard(home: House, party: str) -> int:
        return home.heard(party, home.opened[0].call).size

    run(scenario)
    assert len(caplog.messages) < 60


def test_a_client_that_dies_leaves_the_calls_of_others_alone() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port, "TCP") as good:
            await good.invite()
            async with client(home.server.port, "TCP", call="bad@client") as bad:
                await bad.invite()
            assert (await good.ask("OPTIONS")).status == 200  # by now the other's ACK has been read too
            assert home.server.calls == 2
            home.clock.forward(59.0)
            assert (await good.ask("UPDATE")).status == 200
            home.clock.forward(3.0)
            await home.until(lambda: home.closed)
            assert [one.call for one in home.closed] == ["hVpd7YQgRW2nD22h7q60JQ==-2"]
            assert home.server.calls == 1

    run(scenario)


def test_a_budget_is_earned_anew() -> None:
    budget = Budget(2.0, 3.0, now_s=0.0)
    for _ in range(3):
        assert budget.owed_s(0.0) == 0.0
        budget.spend()
    assert budget.owed_s(0.0) == 0.5
    budget.spend()
    assert (budget.owed_s(0.0), budget.owed_s(1.0), budget.owed_s(100.0)) == (1.0, 0.0, 0.0)
