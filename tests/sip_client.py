"""A recording client for tests, and the server under test beside it, on one event loop."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.audio import Block, float_to_mulaw
from monitor.identities import Identities
from monitor.settings import RtpSettings, Settings, SiprecSettings
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened, Event, sip
from monitor.sources.sdp import Media, parse_offer
from monitor.sources.sip import Request, Response
from monitor.sources.sip_framing import Framer
from monitor.sources.siprec import SiprecServer
from tests.sip_texts import both, request

PATIENCE_S = 5.0


class Clock:
    """The real one, which can be put forward."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead_s

    def forward(self, seconds: float) -> None:
        self._ahead_s += seconds


class House:
    """A server that listens, and what it has put into the queue."""

    def __init__(self, rtp: dict[str, Any], siprec: dict[str, Any]) -> None:
        self.clock = Clock()
        settings = Settings(rtp=RtpSettings(**rtp), siprec=SiprecSettings(**({"port": 0} | siprec)))
        self.server = SiprecServer(settings, CallNames(), self.clock)
        self.queue = BlockQueue(limit_s=600)
        self.events: list[Event] = []

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

    def heard(self, party: str, call: str | None = None) -> npt.NDArray[np.float32]:
        """The samples of a party, in the order in which they came."""
        blocks = (event for event in self.look() if isinstance(event, Block))
        parts = [one.samples for one in blocks if one.party == party and call in (None, one.call)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    async def until(self, condition: Any) -> None:
        """Wait until `condition()` holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def house(rtp: dict[str, Any] | None = None, **siprec: Any) -> AsyncIterator[House]:
    """A server on a free port, stopped at the end."""
    one = House(rtp or {}, siprec)
    # Most clients here are gone by then, and answer no BYE.
    one.server.goodbye_s = 0.05
    await one.server.start(one.queue, Identities(show=True))
    try:
        yield one
    finally:
        await one.server.stop()


class Client:
    """One socket of a recording client. Answers to what it sends come in their order."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self._messages: asyncio.Queue[Request | Response | bytes] = asyncio.Queue()
        self._datagrams: asyncio.DatagramTransport
        self._writer: asyncio.StreamWriter
        self.port = 0
        self.call = "call-1@client"
        self.tag = ""
        """The server's half of the dialog's name, once it has accepted."""
        self._cseq = 0
        self._senders: dict[int, _Sender] = {}

    async def send(self, data: bytes) -> None:
        if self.transport == "UDP":
            self._datagrams.sendto(data)
        else:
            self._writer.write(data)
            await self._writer.drain()

    def put(self, data: bytes) -> None:
        """Something came."""
        self._messages.put_nowait(sip.parse(data) if data.strip() else data)

    async def receive(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return await self._messages.get()

    async def silence(self, for_s: float = 0.3) -> None:
        """Raises AssertionError if anything comes."""
        try:
            async with asyncio.timeout(for_s):
                raise AssertionError(f"nothing was to come, got {await self._messages.get()}")
        except TimeoutError:
            return

    def text(self, method: str, body: bytes = b"", *headers: str, **changes: Any) -> bytes:
        """A request of this client's call; the number rises with each that begins a transaction."""
        if method not in ("ACK", "CANCEL"):
            self._cseq += 1
        common = {"call": self.call, "cseq": self._cseq, "to_tag": self.tag, "port": self.port}
        return request(method, body, *headers, **({"transport": self.transport} | common | changes))

    async def ask(self, method: str, body: bytes = b"", *headers: str, **changes: Any) -> Response:
        """Send a request; its final answer."""
        await self.send(self.text(method, body, *headers, **changes))
        return await self.final()

    async def final(self) -> Response:
        while True:
            answer = await self.receive()
            if isinstance(answer, Response) and answer.status >= 200:
                return answer

    async def invite(self, body: bytes | None = None, *headers: str, **changes: Any) -> tuple[Media, ...]:
        """Call, and acknowledge: the m-lines of the answer."""
        answer = await self.ask("INVITE", both() if body is None else body, *headers, **changes)
        assert answer.status == 200, (answer.status, answer.reason, answer.headers.first("warning"))
        self.tag = sip.Address.parse(answer.headers.first("to")).params["tag"]
        await self.send(self.text("ACK"))
        return parse_offer(answer.body)

    async def play(self, streams: dict[int, npt.NDArray[np.float32]], seconds: float) -> None:
        """Send each port its sound over and over, in packets of 20 ms, at the pace at which it is spoken."""
        for port in streams:
            if port not in self._senders:
                self._senders[port] = await _Sender.to(port)
        began_s = time.monotonic()
        for number in range(1, round(seconds * 50) + 1):
            for port, sound in streams.items():
                self._senders[port].send(sound)
            await asyncio.sleep(max(0.0, began_s + number / 50 - time.monotonic()))

    def close(self) -> None:
        for sender in self._senders.values():
            sender.way.close()


class _Sender:
    """One RTP stream: PCMU, 20 ms a packet."""

    def __init__(self, way: asyncio.DatagramTransport, ssrc: int) -> None:
        self.way, self._ssrc, self._sent = way, ssrc, 0

    @classmethod
    async def to(cls, port: int) -> "_Sender":
        loop = asyncio.get_running_loop()
        way, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, None, ("127.0.0.1", port))
        return cls(way, port)

    def send(self, sound: npt.NDArray[np.float32]) -> None:
        start = self._sent * 160
        samples = np.take(sound, range(start, start + 160), mode="wrap")
        header = struct.pack("!BBHII", 0x80, 0, self._sent, start, self._ssrc)
        self.way.sendto(header + float_to_mulaw(samples).tobytes())
        self._sent += 1


@asynccontextmanager
async def client(port: int, transport: str = "UDP", call: str = "call-1@client") -> AsyncIterator[Client]:
    """A client of the server at `port`."""
    one = Client(transport)
    one.call = call
    loop = asyncio.get_running_loop()
    if transport == "UDP":
        way, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(one), None, ("127.0.0.1", port), family=2)
        one._datagrams, one.port = way, way.get_extra_info("sockname")[1]
        try:
            yield one
        finally:
            one.close()
            way.close()
        return
    reader, one._writer = await asyncio.open_connection("127.0.0.1", port)
    one.port = one._writer.get_extra_info("sockname")[1]
    reading = asyncio.create_task(_read(reader, one))
    try:
        yield one
    finally:
        one.close()
        reading.cancel()
        one._writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, owner: Client) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, _: Any) -> None:
        self._owner.put(data)


async def _read(reader: asyncio.StreamReader, owner: Client) -> None:
    framer = Framer(100_000)
    while data := await reader.read(65_536):
        if data == b"\r\n":
            owner.put(data)
            continue
        for message in framer.feed(data):
            owner.put(message)
    owner.put(b"")


def tone(frequency_hz: float) -> npt.NDArray[np.float32]:
    """One second, at a quarter of full scale."""
    return (0.25 * np.sin(2 * np.pi * frequency_hz * np.arange(8_000) / 8_000)).astype(np.float32)


def loudest_hz(samples: npt.NDArray[np.float32]) -> float:
    """The frequency that is strongest."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.fft.rfftfreq(samples.size, 1 / 8_000)[spectrum.argmax()])


def ports(media: tuple[Media, ...]) -> Iterator[int]:
    return (one.port for one in media)
