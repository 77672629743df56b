"""The jitter buffer: RTP packets as they come → runs in the order of their sequence numbers. Pure: time comes with the packets.

A packet that is in order goes through at once. One that runs ahead waits for those before it, at most `bound_s` by the
arrival times; then they are lost. The beginning waits as long, so that a first packet that came early harms nothing.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from monitor.sources.rtp_packet import RtpPacket

_DROPOUT, _MISORDER = 3_000, 100
"""How far ahead or behind a sequence number may be and still belong to the stream (RFC 3550 appendix A.1)."""


@dataclass
class StreamCounters:
    """What came on one party's port, in packets."""

    received: int = 0
    """Taken, whatever became of them."""
    lost: int = 0
    """Missing in the sequence and given up."""
    late: int = 0
    """Came after they had been given up; they stay counted as lost."""
    duplicate: int = 0
    foreign: int = 0
    """From an address or an SSRC that is not the stream's, or of a payload type that was not agreed."""
    malformed: int = 0
    """No RTP, or a payload that could not be decoded."""
    flooded: int = 0
    """Beyond the limits of packets or bytes a second."""
    rtcp: int = 0

    def add(self, other: "StreamCounters") -> None:
        """Sum of both, here."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Run(NamedTuple):
    """Packets whose sequence numbers follow each other."""

    follows: Literal["next", "loss", "start"]
    """What is before it: the run before, packets that were lost, or nothing that it belongs to."""
    packets: list[RtpPacket]


class JitterBuffer:
    """Order within one party's stream, whose SSRC may change."""

    def __init__(self, bound_s: float, counters: StreamCounters) -> None:
        self._bound_s = bound_s
        self._counters = counters
        self.source: int | None = None
        """The SSRC that it follows."""
        self._started = False
        self._next = 0
        """The sequence number that is due, counted on beyond 16 bits."""
        self._pending: dict[int, RtpPacket] = {}
        """By sequence number; in the order of arrival."""
        self._given_up: set[int] = set()
        self._stranger: RtpPacket | None = None

    @property
    def waits(self) -> bool:
        """Whether packets wait for others before them."""
        return bool(self._pending)

    @property
    def due(self) -> tuple[int, int] | None:
        """Sequence number and SSRC of the packet that goes through as it is; None where none does."""
        return None if self.source is None or self._pending else (self._next & 0xFFFF, self.source)

    def pass_due(self, count: int) -> None:
        """So many packets, each of which was `due`, have gone through."""
        self._stranger = None
        self._next += count

    def push(self, packet: RtpPacket, starts: bool) -> list[Run]:
        """What `packet` brings in order. One that `starts` nothing (a key press) never makes its SSRC the stream's."""
        distance = _distance(self._next, packet.sequence)
        if packet.source != self.source or not -_MISORDER <= distance < _DROPOUT:
            return self._take_stranger(packet) if starts else []
        self._stranger = None
        runs = self.overdue(packet.arrived_s)
        return runs + self._insert(self._index(packet), packet)

    def overdue(self, now_s: float) -> list[Run]:
        """What has waited long enough at `now_s`."""
        runs = []
        while self._pending and now_s - next(iter(self._pending.values())).arrived_s >= self._bound_s:
            runs.append(self._skip())
        return runs

    def flush(self) -> list[Run]:
        """All that still waits; afterwards a stream begins anew."""
        runs = []
        while self._pending:
            runs.append(self._skip())
        self.source, self._started = None, False
        self._given_up.clear()
        return runs

    def _index(self, packet: RtpPacket) -> int:
        return self._next + _distance(self._next, packet.sequence)

    def _insert(self, index: int, packet: RtpPacket) -> list[Run]:
        if self._started and index < self._next:
            if index in self._given_up:
                self._given_up.remove(index)
                self._counters.late += 1
            else:
                self._counters.duplicate += 1
        elif index in self._pending:
            self._counters.duplicate += 1
        else:
            self._pending[index] = packet
            if self._started and index == self._next:
                return [Run("next", self._drain())]
        return []

    def _skip(self) -> Run:
        """Gives up what is missing before the first packet that waits."""
        first = min(self._pending)
        follows: Literal["loss", "start"] = "loss" if self._started else "start"
        if self._started:
            self._counters.lost += first - self._next
            self._given_up = {index for index in self._given_up if index >= first - _MISORDER}
            self._given_up.update(range(max(self._next, first - _MISORDER), first))
        self._started, self._next = True, first
        return Run(follows, self._drain())

    def _drain(self) -> list[RtpPacket]:
        packets = []
        while packet := self._pending.pop(self._next, None):
            packets.append(packet)
            self._next += 1
        return packets

    def _take_stranger(self, packet: RtpPacket) -> list[Run]:
        """Another SSRC or far other numbers: two such packets in succession are a new stream, one is none."""
        last, self._stranger = self._stranger, packet
        if self.source is None:
            return self._begin([packet])
        if last is None:
            return []
        if last.source == packet.source and 0 < abs(_distance(last.sequence, packet.sequence)) <= _MISORDER:
            return self.flush() + self._begin([last, packet])
        self._counters.foreign += 1
        return []

    def _begin(self, packets: list[RtpPacket]) -> list[Run]:
        self.source, self._stranger = packets[0].source, None
        self._next = packets[0].sequence + 0x10000
        for packet in packets:
            self._pending[self._index(packet)] = packet
        return []


def _distance(origin: int, sequence: int) -> int:
    """From `origin` to a 16 bit sequence number, the shorter way round."""
    return ((sequence - origin + 0x8000) & 0xFFFF) - 0x8000
