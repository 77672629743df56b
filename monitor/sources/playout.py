"""Packets in their order → blocks at their place in the call's time. Pure.

Time follows the RTP timestamps from the first packet on and never shrinks. Where timestamps jump:

- lost packets are a gap: time goes on, no block covers it;
- without a loss the sender was silent (silence suppression, comfort noise, key presses): zeros;
- a jump that the arrival cannot explain is a new base of timestamps: the packet is placed by its arrival.

The sender's clock and ours differ: whenever packets have come steadily too late or too early, time is set right by so
much. Blocks are cut at fixed moments of the call, so they are the same however the audio was cut into packets.
"""

from collections.abc import Callable, Mapping

import numpy as np
import soxr

from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.messages import Party
from monitor.sources.codecs import Codec, Decoder
from monitor.sources.jitter import Run, StreamCounters
from monitor.sources.rtp_packet import RtpPacket

_BLOCK_S = 0.25
"""The pipeline's cell: smaller blocks would tell nothing sooner."""
_RESAMPLING_S = 0.03
"""What the pipeline's resampler holds back of audio that is not at its own rate."""
_UNSAID_S = 0.5
"""So much time that nobody accounts for (a stream begins, or begins anew) is silence; more is lost audio."""
_LONGEST_SILENCE_S = 60.0
"""A pause after which no silence is made up: nothing was heard."""
_LONGEST_JUMP_S = 1.0
"""By so much timestamps may differ from what the arrivals explain."""
_MOST_AHEAD_S = 5.0
"""Audio that comes faster than it can be spoken is dropped from here on."""
_DRIFT_WINDOW_S = 10.0
_DRIFT_S = 0.04
"""Steadily so much too late or too early is a clock that differs, or a pause that the sender did not count."""
_LONGEST_GAP_S = 3_590.0


class Playout:
    """One party's time line. `put` takes the blocks."""

    def __init__(
        self, call: str, party: Party, opened_s: float, put: Callable[[Block], None], counters: StreamCounters
    ) -> None:
        self.codecs: Mapping[int, Codec] = {}
        """Payload type → codec."""
        self.quiet = False
        """Known silence: comfort noise, or a call on hold."""
        self._call, self._party, self._opened_s, self._put = call, party, opened_s, put
        self._counters = counters
        self._codec: Codec | None = None
        self._decoder: Decoder | None = None
        self._rate = 0
        """Hertz of the blocks: that of the first codec."""
        self._position = 0
        """Samples of the call so far, at `_rate`."""
        self._expected: int | None = None
        """RTP timestamp of the sample at `_position`; None where the next packet is placed by its arrival."""
        self._undecoded: list[bytes] = []
        self._ready: list[Samples] = []
        self._ready_start = 0
        self._cut_at = 0
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
        if codec is self._codec and packet.timestamp == self._expected and not self._lost and not self.quiet:
            self._undecoded.append(packet.payload)
            self._position += ticks * self._rate // codec.clock_rate
        elif not ticks or not self._find_place(packet, codec, ticks):
            return
        self._expected = (packet.timestamp + ticks) & 0xFFFFFFFF
        if self._position >= self._cut_at:
            self._cut(packet.arrived_s)
            self._follow_clock(packet.arrived_s, codec)

    def pass_time(self, now_s: float) -> None:
        """Known silence goes on to `now_s`."""
        if not self.quiet:
            return
        count = round((now_s - self._opened_s) * self._at_rate()) - self._position
        if self._codec is not None and self._expected is not None and count > 0:
            count -= count % max(1, self._rate // self._codec.clock_rate)
            self._expected = (self._expected + count * self._codec.clock_rate // self._rate) & 0xFFFFFFFF
        self._fill(count, now_s)

    def begin_anew(self) -> None:
        """The next packet is placed by its arrival."""
        self._expected = None

    def finish(self, now_s: float) -> None:
        """Puts the rest; what a stream that fell silent leaves to the call's end at `now_s` is lost."""
        self.pass_time(now_s)
        self._flush(now_s)
        missing = round((now_s - self._opened_s) * self._at_rate()) - self._position
        if missing > _UNSAID_S * self._rate:
            self._position += min(missing, round(_LONGEST_GAP_S * self._rate))
            self._emit(self._position, np.zeros(0, np.float32), now_s)

    def _at_rate(self) -> int:
        if not self._rate:
            self._set_rate(SAMPLE_RATE)
        return self._rate

    def _set_rate(self, rate: int) -> None:
        self._rate = rate
        self._cut_at = self._next_cut(0)

    def _next_cut(self, position: int) -> int:
        """The first moment after `position` at which a block ends."""
        step, offset = round(_BLOCK_S * self._rate), round(_RESAMPLING_S * self._rate)
        offset = 0 if self._rate == SAMPLE_RATE else offset
        return (position - offset) // step * step + step + offset

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

    def _find_place(self, packet: RtpPacket, codec: Codec, ticks: int) -> bool:
        """Appends a packet whose place must be found; whether any of it is new."""
        if codec is not self._codec:
            self._change(codec)
        skip = 0
        if self._expected is not None:
            skip = self._jump(packet, codec)
        elif (start := self._by_arrival(packet, codec)) > self._position - _MOST_AHEAD_S * self._rate:
            self._rebase(start, packet)
        else:
            self._counters.flooded += 1
            return False
        self._lost = self.quiet = False
        length = ticks * self._rate // codec.clock_rate
        if skip >= length:
            return False
        self._decode()
        self._undecoded.append(packet.payload)
        if skip:
            self._decode()
            self._ready[-1] = self._ready[-1][skip:]
        self._position += length - skip
        return True

    def _change(self, codec: Codec) -> None:
        self._decode()
        if self._codec is not None and codec.clock_rate != self._codec.clock_rate:
            self._expected = None
        if not self._rate:
            self._set_rate(codec.sample_rate)
        self._codec, self._decoder = codec, codec.decoder()

    def _by_arrival(self, packet: RtpPacket, codec: Codec) -> int:
        """Where `packet` begins if it came just as it ended."""
        length_s = codec.ticks(packet.payload) / codec.clock_rate
        return round((packet.arrived_s - self._opened_s - length_s) * self._rate)

    def _jump(self, packet: RtpPacket, codec: Codec) -> int:
        """Moves to where `packet` begins; returns how many of its samples were there before."""
        assert self._expected is not None
        ahead = _signed(packet.timestamp - self._expected) * self._rate // codec.clock_rate
        arrival = self._by_arrival(packet, codec)
        longest = _LONGEST_JUMP_S * self._rate
        if not -longest < ahead < arrival - self._position + longest:
            self._rebase(arrival, packet)
            return 0
        if ahead < 0:
            return -ahead
        if self._lost or ahead > _LONGEST_SILENCE_S * self._rate:
            self._skip(ahead, packet.arrived_s)
        else:
            self._fill(ahead, packet.arrived_s)
        return 0

    def _rebase(self, start: int, packet: RtpPacket) -> None:
        """Goes on at sample `start`, or at once where that is past."""
        self._go_on(start - self._position, packet.arrived_s)
        self._expected = packet.timestamp
        self._earliest_s, self._drift_until_s = float("inf"), packet.arrived_s + _DRIFT_WINDOW_S

    def _follow_clock(self, arrived_s: float, codec: Codec) -> None:
        """Sets time right where the stream has come steadily too late or too early."""
        delay_s = arrived_s - self._opened_s - self._position / self._rate
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
            self._go_on(round(drift_s * self._rate), arrived_s)
        elif -_LONGEST_JUMP_S < drift_s < -_DRIFT_S:
            self._expected = (self._expected - round(drift_s * codec.clock_rate)) & 0xFFFFFFFF

    def _go_on(self, missing: int, arrived_s: float) -> None:
        """`missing` samples that nobody accounts for."""
        if missing > _UNSAID_S * self._rate:
            self._skip(missing, arrived_s)
        else:
            self._fill(missing, arrived_s)

    def _decode(self) -> None:
        """Moves what waits undecoded to what is ready."""
        if not self._undecoded:
            return
        assert self._codec is not None
        assert self._decoder is not None
        samples, failures = self._decoder(self._undecoded)
        self._counters.malformed += failures
        self._undecoded = []
        if self._codec.sample_rate != self._rate:  # another codec than the stream began with: rare, so piece by piece
            length = samples.size * self._rate // self._codec.sample_rate
            samples = np.resize(soxr.resample(samples, self._codec.sample_rate, self._rate), length)
        self._ready.append(samples)

    def _fill(self, count: int, arrived_s: float) -> None:
        """Silence of `count` samples."""
        while count > 0:
            piece = min(count, max(1, self._cut_at - self._position))
            self._decode()
            self._ready.append(np.zeros(piece, np.float32))
            self._position += piece
            count -= piece
            if self._position >= self._cut_at:
                self._cut(arrived_s)

    def _skip(self, count: int, arrived_s: float) -> None:
        """Time goes on by `count` samples that were lost."""
        self._flush(arrived_s)
        self._position += count
        self._ready_start = self._position
        self._cut_at = self._next_cut(self._position)

    def _cut(self, arrived_s: float) -> None:
        """Puts all that is complete up to the last moment at which blocks end."""
        self._decode()
        samples = np.concatenate(self._ready)
        while self._cut_at <= self._position:
            size = self._cut_at - self._ready_start
            self._emit(self._ready_start, samples[:size], arrived_s)
            samples = samples[size:]
            self._ready_start, self._cut_at = self._cut_at, self._next_cut(self._cut_at)
        self._ready = [samples] if samples.size else []

    def _flush(self, arrived_s: float) -> None:
        """Puts all that is there."""
        self._decode()
        if self._ready:
            self._emit(self._ready_start, np.concatenate(self._ready), arrived_s)
            self._ready = []
        self._ready_start = self._position

    def _emit(self, start: int, samples: Samples, arrived_s: float) -> None:
        self._put(Block(self._call, self._party, start, self._rate, samples, arrived_s))


def _signed(ticks: int) -> int:
    """A difference of 32 bit timestamps, the shorter way round."""
    return ((ticks + 0x80000000) & 0xFFFFFFFF) - 0x80000000
