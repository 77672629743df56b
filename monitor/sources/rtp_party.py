"""One party's RTP: datagrams in, blocks of the call out. Pure: what is live adds a socket, what is recorded a file."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from monitor.audio import Block
from monitor.errors import ProtocolError
from monitor.messages import Party
from monitor.sources.codecs import Codec
from monitor.sources.datagrams import Alike
from monitor.sources.jitter import JitterBuffer, Run, StreamCounters
from monitor.sources.playout import Due, Playout
from monitor.sources.rtp_packet import RtpPacket, farewells, plain_headers


class PartyAudio:
    """The jitter buffer and the time line of one party. `put` takes the blocks; times are of one monotonic clock."""

    def __init__(
        self,
        call: str,
        party: Party,
        codecs: Mapping[int, Codec],
        opened_s: float,
        jitter_s: float,
        put: Callable[[Block], None],
        counters: StreamCounters | None = None,
    ) -> None:
        self.counters = counters or StreamCounters()
        self.said_bye = False
        """Whether the sender said RTCP BYE since its last packet."""
        self._jitter_s, self._put = jitter_s, put
        self._jitter = JitterBuffer(jitter_s, self.counters)
        self._playout = Playout(call, party, opened_s, put, self.counters)
        self._held = False
        self.set_codecs(codecs)

    def set_codecs(self, codecs: Mapping[int, Codec]) -> None:
        """Payload types, from now on."""
        self._playout.codecs = dict(codecs)

    def expects(self, payload_type: int) -> bool:
        """Whether a payload type was agreed."""
        return payload_type in self._playout.codecs

    def push(self, packet: RtpPacket) -> None:
        """Takes a packet as it came."""
        self.counters.received += 1
        self.said_bye = False
        if self._held:
            return
        if self._jitter.due == (packet.sequence, packet.source):
            self._jitter.pass_due(1)
            self._playout.take(packet)
            return
        # A key press, or what was not agreed, still has its place in the sequence.
        codec = self._playout.codecs.get(packet.payload_type)
        self._play(self._jitter.push(packet, starts=codec is not None and codec.kind != "event"))

    def push_due(self, alike: Alike, now_s: float) -> int:
        """Takes those at the beginning of `alike`, all of which came at `now_s`, that are the plain next packets of the
        stream; how many. Most packets are: the others are to be parsed and pushed."""
        next_packet = self._jitter.due
        if next_packet is None or self._held:
            return 0
        sequence, source = next_packet
        taken = 0
        while taken < alike.packets and (due := self._playout.due) is not None:
            count, ticks = _count_due(alike, taken, sequence + taken, source, due)
            if not count:
                break
            self._playout.go_on(alike.payload(taken, count), ticks, now_s)
            taken += count
        if taken:
            self._jitter.pass_due(taken)
            self.counters.received += taken
            self.said_bye = False
        return taken

    def push_rtcp(self, datagram: bytes) -> None:
        """Takes a report; only the farewell of the stream's own source matters."""
        with suppress(ProtocolError):
            self.said_bye |= self._jitter.source in farewells(datagram)

    def pass_time(self, now_s: float) -> None:
        """Gives up what has waited too long, and lets known silence go on."""
        if self._jitter.waits:
            self._play(self._jitter.overdue(now_s))
        self._playout.pass_time(now_s - self._jitter_s)

    @property
    def lacks_s(self) -> float:
        """How much audio the next block lacks; 0 where something else than the next packet may be waited for."""
        return 0.0 if self._held or self._jitter.due is None else self._playout.lacks_s

    def hold(self) -> None:
        """What comes is passed over; time goes on as silence."""
        if not self._held:
            self._flush()
            self._held = self._playout.quiet = True

    def resume(self) -> None:
        """Listen again."""
        if self._held:
            self._held = self._playout.quiet = False

    def finish(self, now_s: float) -> None:
        """Puts all that is left; the call ends at `now_s`."""
        self._flush()
        self._playout.finish(now_s)

    def successor(self, call: str, party: Party, opened_s: float) -> "PartyAudio":
        """What takes this one's packets on for another party, after `finish`."""
        codecs = self._playout.codecs
        other = PartyAudio(call, party, codecs, opened_s, self._jitter_s, self._put, self.counters)
        if self._held:
            other.hold()
        return other

    def _flush(self) -> None:
        self._play(self._jitter.flush())
        self._playout.begin_anew()

    def _play(self, runs: list[Run]) -> None:
        for run in runs:
            self._playout.take_run(run)


def _count_due(alike: Alike, first: int, sequence: int, source: int, due: Due) -> tuple[int, int]:
    """How many from the number `first` on are what is due, at most up to the one that completes a block, or one where payloads
    cannot be put together; and how many ticks they last."""
    length = due.measure(alike.payload(first, 1))
    if not length:
        return 0, 0
    most = min(alike.packets - first, -(-due.lacks // length)) if due.joins else 1
    headers = plain_headers(due.payload_type, sequence, due.timestamp, source, length, most)
    count = alike.equal(first, headers)
    return count, count * length
