"""Media streams over real websockets, their senders being those of tests/peers/media_streams.py."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from monitor.audio import float_to_mulaw
from tests.peers.media_streams import MediaStream, call
from tests.sip_client import loudest_hz, tone
from tests.stream_house import stream_house


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Tests are written as coroutines."""
    asyncio.run(scenario())


def mulaw(frequency_hz: float, seconds: float = 1.0) -> bytes:
    return float_to_mulaw(np.resize(tone(frequency_hz), round(8_000 * seconds))).tobytes()


def test_both_tracks_of_a_stream_come_out_on_the_right_party() -> None:
    async def scenario() -> None:
        async with stream_house(twilio={}) as house:
            sending = await call(house.url("/twilio"), MediaStream())
            await sending.play({"inbound": mulaw(1_000), "outbound": mulaw(440)})
            await sending.end()
            await house.until(lambda: house.closed)
            (opened,) = house.opened
            assert (opened.call, opened.source) == ("CA" + 32 * "2", "twilio")
            assert opened.parties == {"customer": 0, "agent": 1}
            assert house.ends == [(opened.call, "end")]
            assert house.heard("customer").size == pytest.approx(8_000, abs=400)
            assert round(loudest_hz(house.heard("customer")), -1) == 1_000
            assert round(loudest_hz(house.heard("agent")), -1) == 440

    run(scenario)
