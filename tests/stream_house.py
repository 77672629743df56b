"""The websocket listener, or AudioSocket's, under test, on the event loop of the test, and what it has put into the queue."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.audio import Block
from monitor.identities import Identities
from monitor.settings import (
    AsteriskSettings,
    AudioHookSettings,
    AudioSocketSettings,
    Settings,
    StreamSettings,
    TwilioSettings,
)
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened, Event
from monitor.sources.audiosocket import AudioSocket
from monitor.sources.listeners import dialects_on
from monitor.sources.stream_listener import StreamListener
from tests.peers.asterisk_switch import hang_up_all
from tests.sip_client import Clock

PATIENCE_S = 5.0


class CallHouse:
    """What a listener has put into its queue."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.queue = BlockQueue(limit_s=6_000)
        self.events: list[Event] = []
        self.said = ""

    def look(self) -> list[Event]:
        """Everything that was put so far."""
        self.events += self.queue.take(0)
        return self.events

    @property
    def opened(self) -> list[CallOpened]:
        return [event for event in self.look() if isinstance(event, CallOpened)]

    @property
    def closed(self) -> list[CallClosed]:
        return [event for event in self.look() if isinstance(event, CallClosed)]

    @property
    def ends(self) -> list[tuple[str, str]]:
        """Call and reason of each end."""
        return [(one.call, one.reason) for one in self.closed]

    def blocks(self, party: str, call: str | None = None) -> list[Block]:
        every = (event for event in self.look() if isinstance(event, Block))
        return [one for one in every if one.party == party and call in (None, one.call)]

    def heard(self, party: str, call: str | None = None) -> npt.NDArray[np.float32]:
        """The samples of a party, one after the other."""
        parts = [one.samples for one in self.blocks(party, call)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def gaps_s(self, party: str) -> list[tuple[float, float]]:
        """Stretches that no block covers, in seconds of the call."""
        found, expected = [], 0
        for block in self.blocks(party):
            if block.start > expected:
                found.append((expected / block.sample_rate, block.start / block.sample_rate))
            expected = block.start + block.samples.size
        return found

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until `condition()` holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.01)


class StreamHouse(CallHouse):
    """The websocket listener, and its queue."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.listener = StreamListener(settings, CallNames(), dialects_on(settings), self.clock)

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.listener.port}{path}"


class AudioSocketHouse(CallHouse):
    """AudioSocket's listener, and its queue."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.listener = AudioSocket(settings, CallNames(), self.clock)


@asynccontextmanager
async def audiosocket_house(most_calls: int = 99, **audiosocket: Any) -> AsyncIterator[AudioSocketHouse]:
    """AudioSocket on a free port, stopped at the end."""
    house = AudioSocketHouse(
        Settings(audiosocket=AudioSocketSettings(**({"port": 0} | audiosocket)), max_calls=most_calls)
    )
    house.listener.goodbye_s = 0.3
    house.said = await house.listener.start(house.queue, Identities(show=True))
    try:
        yield house
    finally:
        hang_up_all()
        await house.listener.stop()


@asynccontextmanager
async def stream_house(
    twilio: dict[str, Any] | None = None,
    audiohook: dict[str, Any] | None = None,
    asterisk: dict[str, Any] | None = None,
    streams: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[StreamHouse]:
    """A listener on a free port, stopped at the end; a dialect that is None is off."""
    house = StreamHouse(
        Settings(
            streams=StreamSettings(**({"port": 0} | (streams or {}))),
            twilio=None if twilio is None else TwilioSettings(**twilio),
            audiohook=None if audiohook is None else AudioHookSettings(**audiohook),
            asterisk=None if asterisk is None else AsteriskSettings(**asterisk),
            **settings,
        )
    )
    house.listener.goodbye_s = 0.3
    house.said = await house.listener.start(house.queue, Identities(show=True))
    try:
        yield house
    finally:
        await house.listener.stop()
