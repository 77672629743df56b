"""The RTP receiver: one UDP socket a party, shared by every source whose calls come as RTP.

How a SIP source uses it, all on one event loop:

    receiver = RtpReceiver(settings.rtp, queue)                # checks the settings: raises SettingError
    stream = await receiver.open(call, "customer", {0: PCMU, 101: TELEPHONE_EVENT}, opened_s, remote_hosts=["192.0.2.7"])
    stream.port                                                # goes into the answer's m-line, receiver.host into its c=
    stream.hold(); stream.resume(); stream.set_codecs(...)     # re-INVITE, UPDATE
    stream.close()                                             # puts the last samples; CallClosed may follow at once
    receiver.close()

Sockets are read together every 40 ms, each when its stream's next block should be complete, or when something has to be found
out: looking at a stream costs more than a packet of it.
"""

import asyncio
import logging
import selectors
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from monitor.errors import ProtocolError, SourceError
from monitor.messages import Party
from monitor.settings import RtpSettings
from monitor.sources import BlockQueue, Refused
from monitor.sources.allowlist import AllowList, check_listener
from monitor.sources.codecs import Codec
from monitor.sources.datagram_reader import MOST_AT_ONCE, Read, reader
from monitor.sources.datagrams import Address, Datagrams
from monitor.sources.jitter import StreamCounters
from monitor.sources.latch import Flood, Latch
from monitor.sources.outbox import Outbox
from monitor.sources.rtp_packet import is_rtcp, parse_rtp
from monitor.sources.rtp_party import PartyAudio
from monitor.sources.rtp_ports import RtpPorts, Sockets
from monitor.sources.wakefulness import Wakefulness

_log = logging.getLogger(__name__)

_POLL_S = 0.04
_MOST_READS = 16
"""Of a socket that is closed."""


class RtpStream:
    """One party's audio on one port, made by `RtpReceiver.open`. Everything belongs to the receiver's event loop."""

    def __init__(
        self, receiver: "RtpReceiver", sockets: "Sockets", audio: PartyAudio, outbox: Outbox, latch: Latch
    ) -> None:
        self.sockets = sockets
        """RTP and RTCP."""
        self.port: int = sockets[0].getsockname()[1]
        """Even; RTCP comes on the next, or multiplexed."""
        self._receiver, self._audio, self._outbox, self._latch = receiver, audio, outbox, latch
        self.due_s = float("-inf")
        """When to look at it next: all that comes before is left in its socket."""
        self._heard_s, self._looked_s = float("-inf"), receiver.now()
        self._flood = Flood(receiver.settings)
        self._closed = self._said_unknown = False

    @property
    def counters(self) -> StreamCounters:
        """What came so far."""
        return self._audio.counters

    @property
    def heard_s(self) -> float | None:
        """Monotonic clock of the last RTP packet from the stream's own address; None before the first."""
        return self._latch.heard_s

    @property
    def said_bye(self) -> bool:
        """Whether the sender said RTCP BYE since its last packet."""
        return self._audio.said_bye

    def set_codecs(self, codecs: Mapping[int, Codec]) -> None:
        """Another agreement of payload types, from now on."""
        self._receiver.read(self)
        self._audio.set_codecs(codecs)

    def hold(self) -> None:
        """What comes is passed over, time goes on as silence. May be called twice."""
        self._receiver.read(self)
        self._audio.hold()

    def resume(self) -> None:
        """Listen again, after `hold`; elsewhere it does nothing."""
        self._receiver.read(self)
        self._audio.resume()

    def assign(self, call: str, party: Party, opened_s: float) -> None:
        """Put what is left; from now on this port's audio belongs to that call and party, whose sample 0 is `opened_s`.

        For metadata that comes after the audio and says that the parties are others than was thought.
        """
        self._receiver.read(self)
        self._audio.finish(self._receiver.now())
        self._outbox.empty()
        self._audio = self._audio.successor(call, party, opened_s)

    def close(self) -> None:
        """Put what is left and give the port back. May be called twice."""
        if not self._closed:
            self._closed = True
            self._receiver.read_all(self)
            self._receiver.forget(self)
            self._audio.finish(self._receiver.ended_s())
            self._outbox.empty()

    def receive(self, came: Datagrams, now_s: float) -> None:
        """Takes what came on one port."""
        more = len(came) == MOST_AT_ONCE
        self._heard_s = float("-inf") if more else now_s
        if not self._flood.takes_all(len(came), came.size, now_s):
            came = self._within_limits(came, now_s)
        plain = 0
        if came.alike is not None and self._latch.follows_all(came.addresses):
            plain = self._audio.push_due(came.alike, now_s)
            if plain:
                self._latch.heard_s = now_s
        # What waited in the socket for longer than a poll came one after the other, as far as can be told.
        apart_s = max(0.0, min(self.due_s, now_s) - self._looked_s - _POLL_S) / max(1, len(came))
        for number in range(plain, len(came)):
            came_s = now_s - apart_s * (len(came) - 1 - number)
            self._receive_one(came[number], came.addresses[number], came_s)

    def _within_limits(self, came: Datagrams, now_s: float) -> Datagrams:
        """What is left where more came than may."""
        taken = [self._flood.takes(len(datagram), now_s) for datagram in came.each]
        self.counters.flooded += taken.count(False)
        return came.only(taken)

    def _receive_one(self, datagram: bytes, address: Address, now_s: float) -> None:
        if is_rtcp(datagram):
            self.counters.rtcp += 1
            if self._latch.address is not None and address[0] == self._latch.address[0]:
                self._audio.push_rtcp(datagram)
        else:
            self._receive_rtp(datagram, address, now_s)

    def _receive_rtp(self, datagram: bytes, address: Address, now_s: float) -> None:
        try:
            packet = parse_rtp(datagram, now_s)
        except ProtocolError:
            self.counters.malformed += 1
            return
        if self._audio.expects(packet.payload_type):
            admitted = self._latch.admits(address, now_s)
        else:
            admitted = address == self._latch.address
            self._note_unknown(packet.payload_type, address)
        if admitted:
            self._audio.push(packet)
        else:
            self.counters.foreign += 1

    def _note_unknown(self, payload_type: int, address: Address) -> None:
        """Says once that what comes was not agreed: a call without a sound has a reason."""
        if not self._said_unknown:
            self._said_unknown = True
            text = "RTP on port %d: payload type %d from %s was not agreed, such packets are passed over"
            _log.warning(text, self.port, payload_type, address[0])

    def pass_time(self, now_s: float) -> None:
        """Called after every look at its sockets."""
        self._outbox.refresh()
        self._audio.pass_time(now_s)
        self.due_s = self._heard_s if self._outbox.waits else self._heard_s + self._audio.lacks_s
        self._looked_s = now_s


class RtpReceiver:
    """All RTP streams of one node; belongs to one running event loop. Raises SettingError for settings that cannot hold."""

    def __init__(
        self,
        settings: RtpSettings,
        queue: BlockQueue,
        now: Callable[[], float] = time.monotonic,
        datagrams: Read | None = None,
    ) -> None:
        """`datagrams` reads a socket, by default in the quickest way."""
        check_listener("rtp", settings.host, settings.allow)
        self.settings, self.now = settings, now
        self.host = settings.public_host or settings.host
        """Address for the answer's c= line."""
        self.streams: set[RtpStream] = set()
        """Those that are open."""
        self._queue = queue
        self._allow = AllowList(settings.allow, "rtp.allow")
        self.ports = RtpPorts(settings, now)
        self._past = StreamCounters()
        self._datagrams = datagrams or reader()
        self._reports = selectors.DefaultSelector()
        """RTCP's sockets, in which mostly nothing waits; in RTP's there is, when they are due."""
        self._timer: asyncio.TimerHandle | None = None
        self._wakefulness = Wakefulness(now())

    @property
    def counters(self) -> StreamCounters:
        """Of all streams together, past ones included."""
        total = StreamCounters()
        for counters in (self._past, *(stream.counters for stream in self.streams)):
            total.add(counters)
        return total

    async def open(
        self,
        call: str,
        party: Party,
        codecs: Mapping[int, Codec],
        opened_s: float,
        remote_hosts: Iterable[str] = (),
    ) -> RtpStream:
        """Listen for one party. `opened_s` is the monotonic moment that is sample 0 of the call.

        The stream follows the first plausible source; one of `remote_hosts` (the SDP's c=, the SIP peer) takes it over
        from a source that is not named. Raises SourceError when no port is left.
        """
        (sockets,) = await self.ports.take(1)
        return self.open_on(sockets, call, party, codecs, opened_s, remote_hosts)

    def open_on(
        self,
        sockets: Sockets,
        call: str,
        party: Party,
        codecs: Mapping[int, Codec],
        opened_s: float,
        remote_hosts: Iterable[str] = (),
    ) -> RtpStream:
        """The same on sockets that were taken from `ports` before."""
        outbox = Outbox(self._queue)
        audio = PartyAudio(call, party, codecs, opened_s, self.settings.jitter_s, outbox.put)
        latch = Latch(self.settings, self._allow, remote_hosts)
        stream = RtpStream(self, sockets, audio, outbox, latch)
        self._reports.register(stream.sockets[1], selectors.EVENT_READ, stream)
        self.streams.add(stream)
        if self._timer is None:
            self._wakefulness = Wakefulness(self.now())
            self._timer = asyncio.get_running_loop().call_later(_POLL_S, self._poll)
        return stream

    def ended_s(self) -> float:
        """When a stream ends that is closed now."""
        return self._wakefulness.ended_s(self.now())

    def read(self, stream: RtpStream) -> None:
        """Takes what waits on a stream's ports now."""
        for one in stream.sockets:
            self._read(one, stream, self.now())

    def read_all(self, stream: RtpStream) -> None:
        """The same to the end: some seconds, where this process stood still."""
        for one in stream.sockets:
            for _ in range(_MOST_READS):
                if not self._read(one, stream, self.now()):
                    break

    def forget(self, stream: RtpStream) -> None:
        """Listen no more for a stream that closes; its counters stay."""
        if stream in self.streams:
            self.streams.discard(stream)
            self._past.add(stream.counters)
            self._reports.unregister(stream.sockets[1])
            for one in stream.sockets:
                one.close()

    def close(self) -> None:
        """Close every stream that is still open."""
        for stream in list(self.streams):
            stream.close()
        self._reports.close()
        counts = ", ".join(f"{count} {name}" for name, count in vars(self._past).items())
        _log.info("RTP of all streams: %s packets", counts)

    def _poll(self) -> None:
        """Reads what has come on all sockets that are due."""
        if not self.streams:
            self._timer = None
            return
        self._timer = asyncio.get_running_loop().call_later(_POLL_S, self._poll)
        now_s = self.now()
        self._wakefulness.look(now_s)
        due = {stream for stream in self.streams if stream.due_s <= now_s}
        for key, _ in self._reports.select(0):
            if key.data in due:
                self._read(key.fileobj, key.data, now_s)
        for stream in due:
            self._read(stream.sockets[0], stream, now_s)
        for stream in due & self.streams:
            try:
                stream.pass_time(now_s)
            except Exception as fault:
                self._give_up(stream, fault)

    def _read(self, one: Any, stream: RtpStream, now_s: float) -> bool:
        """Whether more may wait."""
        came = self._datagrams(one)
        if not came:
            return False
        try:
            stream.receive(came, now_s)
        except Exception as fault:
            self._give_up(stream, fault)
            return False
        return len(came) == MOST_AT_ONCE

    def _give_up(self, stream: RtpStream, fault: Exception) -> None:
        """A fault of ours in one stream ends that one; the call goes on without it."""
        _log.exception("RTP on port %d failed", stream.port)
        self.forget(stream)
        text = f"RTP on port {stream.port} failed: {fault!r}; its party is heard no more: report this"
        self._queue.put(Refused(SourceError(text)))
