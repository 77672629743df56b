"""Packets in their order → blocks at their place in the call's time. Pure.

Time follows the RTP timestamps from the first packet on and never shrinks. Where timestamps jump:

- lost packets are a gap: time goes on, no block covers it;
- without a loss the sender was silent (silence suppression, comfort noise, key presses): zeros;
- a jump that the arrival cannot explain is a new base of timestamps: the packet is placed by its arrival.

The sender's clock and ours differ: whenever packets have come steadily too late or too early, time is set right by so
much.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from monitor.audio import Block
from monitor.messages import Party
from monitor.sources.block_writer import BlockWriter
from monitor.sources.codecs import Codec
from monitor.sources.jitter import Run, StreamCounters
from monitor.sources.rtp_packet import RtpPacket

_UNSAID_S = 0.5
"""So much time that nobody accounts for (a stream begins, or begins anew) is silence; more is lost audio."""
_LONGEST_SILENCE_S = 60.0
"""A pause after which no silence is made up: nothing was heard."""
_LONGEST_JUMP_S = 1.0
"""By so much timestamps may differ from what the arrivals explain."""
_MOST_AHEAD_S = 5.0
"""Audio that comes faster than it can be spoken is dropped from here on."""
_ALL = 1 << 30
"""Samples: more than any packet holds."""
_DRIFT_WINDOW_S = 10.0
_DRIFT_S = 0.04
"""Steadily so much too late or too early is a clock that differs, or a pause that the sender did not count."""


class Due(NamedTuple):
    """The packet that would go on without a question."""

    payload_type: int
    timestamp: int
    measure: Callable[[bytes], int]
    """How many ticks a payload lasts."""
    lacks: int
    """Ticks until the next block is complete."""
    joins: bool
    """Whether the payloads of several packets, put together, are what one longer packet would bring (G.711)."""


class Playout:
    """One party's time line. `put` takes the blocks."""

    def __init__(
        self, call: str, party: Party, opened_s: float, put: Callable[[Block], None], counters: StreamCounters
    ) -> None:
        self.codecs: Mapping[int, Codec] = {}
        """Payload type → codec."""
        self.quiet = False
        """Known silence: comfort noise, or a call on hold."""
        self._opened_s, self._counters = opened_s, counters
        self._writer = BlockWriter(call, party, put, counters)
        self._codec: Codec | None = None
        self._payload_type = -1
        """That of the codec."""
        self._expected: int | None = None
        """RTP timestamp of what comes next; None where the next packet is placed by its arrival."""
        self._lost = False
        self._earliest_s = float("inf")
        """The least delay of the packets in this window of the drift."""
        self._drift_until_s = float("-inf")

    def take_run(self, run: Run) -> None:
        """Puts what `run` completes."""
        packets = run.packets
        if run.follows == "start":
            self._expected = None
            packets = self._on_time(packets)
        self._lost |= run.follows == "loss"
        for packet in packets:
            self.take(packet)

    def take(self, packet: RtpPacket) -> None:
        """Puts what `packet`, the next in order, completes."""
        codec = self.codecs.get(packet.payload_type)
        if codec is None or codec.kind == "event":
            return
        if codec.kind == "noise":
            self.quiet = True
            return
        ticks = codec.ticks(packet.payload)
        skip = 0
        if codec is not self._codec or packet.timestamp != self._expected or self._lost or self.quiet:
            skip = self._find_place(packet, codec) if ticks else 0
        length = ticks * self._writer.rate // codec.clock_rate
        if skip < length:
            self._expected = (packet.timestamp + ticks) & 0xFFFFFFFF
            if self._writer.add(packet.payload, length, packet.arrived_s, skip):
                self._follow_clock(packet.arrived_s, codec)

    @property
    def due(self) -> "Due | None":
        """What is said of packets that `go_on` may take; None where it may take none."""
        codec = self._codec
        if not self._goes_on or codec is None or self._expected is None:
            return None
        lacks = -(-self._writer.lacks * codec.clock_rate // self._writer.rate)
        return Due(self._payload_type, self._expected, codec.measure, lacks, codec.law is not None)

    def go_on(self, payload: bytes, ticks: int, arrived_s: float) -> None:
        """`take` for packets that were `due`, whose payloads together last for `ticks`.

        No more at once than up to the packet that completes what the next block lacks.
        """
        codec = self._codec
        assert codec is not None
        assert self._expected is not None
        self._expected = (self._expected + ticks) & 0xFFFFFFFF
        if self._writer.add(payload, ticks * self._writer.rate // codec.clock_rate, arrived_s):
            self._follow_clock(arrived_s, codec)

    @property
    def _goes_on(self) -> bool:
        """Whether what has the expected timestamp has its place."""
        if self._expected is None or self._lost or self.quiet or self._codec is None:
            return False
        return self.codecs.get(self._payload_type) is self._codec

    def pass_time(self, now_s: float) -> None:
        """Known silence goes on to `now_s`."""
        if not self.quiet:
            return
        count = self._missing_at(now_s)
        if self._codec is not None and self._expected is not None and count > 0:
            clock_rate, rate = self._codec.clock_rate, self._writer.rate
            count -= count % max(1, rate // clock_rate)
            self._expected = (self._expected + count * clock_rate // rate) & 0xFFFFFFFF
        self._writer.fill(count, now_s)

    @property
    def lacks_s(self) -> float:
        """How much audio the next block lacks; 0 where what comes next has no place yet."""
        return self._writer.lacks / self._writer.rate if self._goes_on else 0.0

    def begin_anew(self) -> None:
        """The next packet is placed by its arrival."""
        self._expected = None

    def finish(self, now_s: float) -> None:
        """Puts the rest; what a stream that fell silent leaves to the call's end at `now_s` is lost."""
        self.pass_time(now_s)
        missing = self._missing_at(now_s)
        if missing > _UNSAID_S * self._writer.rate:
            self._writer.lose_until_end(missing, now_s)
        else:
            self._writer.flush(now_s)

    def _missing_at(self, moment_s: float) -> int:
        """Samples from where the audio has come to until `moment_s`."""
        return round((moment_s - self._opened_s) * self._writer.rate) - self._writer.position

    def _on_time(self, packets: list[RtpPacket]) -> list[RtpPacket]:
        """From the first packet of audio on, which gets the delay of the least delayed."""
        kinds = [self.codecs.get(packet.payload_type) for packet in packets]
        codec = next((codec for codec in kinds if codec is not None and codec.kind == "audio"), None)
        if codec is None:
            return packets
        packets = packets[kinds.index(codec) :]
        first = packets[0]
        arrivals_s = (
            packet.arrived_s
            - (_signed(packet.timestamp - first.timestamp) + codec.ticks(packet.payload)) / codec.clock_rate
            for packet in packets
            if self.codecs.get(packet.payload_type) is codec
        )
        return [first._replace(arrived_s=min(arrivals_s) + codec.ticks(first.payload) / codec.clock_rate), *packets[1:]]

    def _find_place(self, packet: RtpPacket, codec: Codec) -> int:
        """Moves to where `packet` begins; returns how many of its samples were there before, or are not to be taken."""
        if codec is not self._codec:
            self._change(codec)
        self._payload_type = packet.payload_type
        ahead = self._missing_at(packet.arrived_s - codec.ticks(packet.payload) / codec.clock_rate)
        skip = 0
        if self._expected is not None:
            skip = self._jump(packet, codec, ahead)
        elif ahead > -_MOST_AHEAD_S * self._writer.rate:
            self._rebase(ahead, packet)
        else:
            self._counters.flooded += 1
            return _ALL
        self._lost = self.quiet = False
        return skip

    def _change(self, codec: Codec) -> None:
        if self._codec is not None and codec.clock_rate != self._codec.clock_rate:
            self._expected = None
        self._codec = codec
        self._writer.use(codec)

    def _jump(self, packet: RtpPacket, codec: Codec, arrival: int) -> int:
        """The same by timestamps, as far as the arrival, `arrival` samples from here, can explain them."""
        assert self._expected is not None
        rate = self._writer.rate
        ahead = _signed(packet.timestamp - self._expected) * rate // codec.clock_rate
        if not -_LONGEST_JUMP_S * rate < ahead < arrival + _LONGEST_JUMP_S * rate:
            self._rebase(arrival, packet)
        elif ahead < 0:
            return -ahead
        elif self._lost or ahead > _LONGEST_SILENCE_S * rate:
            self._writer.skip(ahead, packet.arrived_s)
        else:
            self._writer.fill(ahead, packet.arrived_s)
        return 0

    def _rebase(self, ahead: int, packet: RtpPacket) -> None:
        """Goes on `ahead` samples from here, or at once where that is past."""
        self._go_on(ahead, packet.arrived_s)
        self._expected = packet.timestamp
        self._earliest_s, self._drift_until_s = float("inf"), packet.arrived_s + _DRIFT_WINDOW_S

    def _follow_clock(self, arrived_s: float, codec: Codec) -> None:
        """Sets time right where the stream has come steadily too late or too early."""
        delay_s = self._missing_at(arrived_s) / self._writer.rate
        self._earliest_s = min(self._earliest_s, delay_s)
        if delay_s < -_MOST_AHEAD_S:
            self._expected = None
        if arrived_s < self._drift_until_s:
            return
        drift_s = self._earliest_s
        self._earliest_s, self._drift_until_s = float("inf"), arrived_s + _DRIFT_WINDOW_S
        if self._expected is None:
            return
        if drift_s > _DRIFT_S:
            self._go_on(round(drift_s * self._writer.rate), arrived_s)
        elif -_LONGEST_JUMP_S < drift_s < -_DRIFT_S:
            self._expected = (self._expected - round(drift_s * codec.clock_rate)) & 0xFFFFFFFF

    def _go_on(self, missing: int, arrived_s: float) -> None:
        """`missing` samples that nobody accounts for."""
        if missing > _UNSAID_S * self._writer.rate:
            self._writer.skip(missing, arrived_s)
        else:
            self._writer.fill(missing, arrived_s)


def _signed(ticks: int) -> int:
    """A difference of 32 bit timestamps, the shorter way round."""
    return ((ticks + 0x80000000) & 0xFFFFFFFF) - 0x80000000
