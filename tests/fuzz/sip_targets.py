"""SIP messages, streams of them, bodies, SDP, recording metadata; and the whole server, but for its sockets' other end."""

import asyncio
import atexit
import logging
from pathlib import Path

import msgspec

from monitor.identities import Identities
from monitor.sources import CallOpened
from monitor.sources.recording_metadata import parse_metadata
from monitor.sources.sdp import Answered, answer, parse_offer
from monitor.sources.sip import Headers
from monitor.sources.sip_body import parse_body
from monitor.sources.sip_framing import Framer
from monitor.sources.sip_transactions import Peer
from tests.fuzz.mutation import Target
from tests.sip_client import House
from tests.sip_texts import BOUNDARY, METADATA, SDP, both, crlf, request
from tests.test_sip import TORTUOUS, use_everything_of

_OPENSIPS = (Path(__file__).parents[1] / "peers" / "opensips_invite.txt").read_bytes()
_ANSWER = (
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
)
_MESSAGES = [
    request("INVITE", both()),
    request("INVITE", crlf(SDP), "Session-Expires: 1800;refresher=uac", "Supported: timer", kind="application/sdp"),
    request("ACK", to_tag="x"),
    request("BYE", to_tag="x"),
    request("CANCEL"),
    request("OPTIONS", b"", "Record-Route: <sip:127.0.0.1;lr>, <sip:127.0.0.2;lr>", "Require: siprec"),
    _OPENSIPS,
    _ANSWER,
    TORTUOUS,
]


def stream(data: bytes) -> None:
    """A TCP stream, in two pieces."""
    framer = Framer(65_535)
    for piece in (data[: len(data) // 3], data[len(data) // 3 :]):
        list(framer.feed(piece))


def body(data: bytes) -> None:
    """A multipart body."""
    parse_body(Headers((("content-type", f"multipart/mixed;boundary={BOUNDARY}"),)), data)


def sdp(data: bytes) -> None:
    """An offer, and its answer."""
    answer("127.0.0.1", 1, 1, [Answered(one, 20_000, codecs) for one in parse_offer(data) if (codecs := one.codecs())])


def metadata(data: bytes) -> None:
    """Metadata, put upon what was known, and asked."""
    known = parse_metadata(crlf(METADATA), 65_535)
    known.updated(parse_metadata(data, 65_535)).senders("96")


class _Server:
    """A server that is told what came; half a second passes with each message. Made when it is first needed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._home: House
        self._hidden: list[str] = []
        """Faults of ours that the server survived."""

    def take(self, data: bytes) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._home = House({}, {"max_calls": 20})
            self._loop.run_until_complete(self._home.server.start(self._home.queue, Identities(show=False)))
            self._home.server._transactions._send = lambda *_: (
                None
            )  # at the ports that the inputs name others may listen
            self._loop.set_exception_handler(lambda _, context: self._hidden.append(str(context)))
            atexit.register(self._end)
        log = logging.getLogger("monitor.sources.siprec_session")
        log.addFilter(self._look)
        try:
            self._loop.run_until_complete(self._turn(data))
        finally:
            log.removeFilter(self._look)

    async def _turn(self, data: bytes) -> None:
        server = self._home.server
        server._received(data, Peer("127.0.0.1", 9))
        for _ in range(3):
            await asyncio.sleep(0)
        self._home.clock.forward(0.5)
        server._timer.cancel()
        server._tick()
        for event in self._home.queue.take(0):
            if isinstance(event, CallOpened):  # must go out by the websocket as it is
                msgspec.json.encode((event.call, event.agent, event.identities))
        if self._hidden:
            raise AssertionError(self._hidden.pop())

    def _look(self, record: logging.LogRecord) -> bool:
        if record.exc_info:
            self._hidden.append(str(record.exc_info[1]))
        return not record.exc_info

    def _end(self) -> None:
        assert self._loop is not None
        self._home.server.goodbye_s = 0.0
        self._loop.run_until_complete(self._home.server.stop())
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


def targets() -> list[Target]:
    """All of this file."""
    opensips_metadata = _OPENSIPS.partition(b"recording-session\r\n\r\n")[2].partition(b"\r\n--")[0]
    return [
        Target("SIP", _MESSAGES, use_everything_of),
        Target("SIP-stream", [b"".join(_MESSAGES), b"\r\n\r\n".join(_MESSAGES)], stream),
        Target("SIP-body", [both(), both(boundary="other")[:-1] + both()], body),
        Target("SDP", [crlf(SDP), crlf(SDP.replace("t=0 0\n", "t=0 0\nm=video 5000 RTP/AVP 31\n"))], sdp),
        Target(
            "metadata",
            [crlf(METADATA), opensips_metadata],
            metadata,
        ),
        Target("SIP-server", _MESSAGES, _Server().take),
    ]
