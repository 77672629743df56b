"""Samples of one party → blocks of its call. Pure.

Blocks end at fixed moments of the call, so they are the same however the audio was cut into packets. Payloads are
decoded together, just before they are needed.
"""

from collections.abc import Callable

import numpy as np
import soxr

from monitor.audio import SAMPLE_RATE, Block, Law, Samples
from monitor.cells import CELL
from monitor.messages import Party
from monitor.sources.codecs import Codec, Decoder
from monitor.sources.jitter import StreamCounters

_RESAMPLED_BLOCK_S = 0.05
"""Of audio at another rate than the pipeline's: when its resampler lets go of a cell, nobody knows."""
_LONGEST_GAP_S = 3_590.0
"""The pipeline takes a longer one for a broken source."""


class BlockWriter:
    """Where a party's audio has come to. `put` takes the blocks; `arrived_s` is when what completes them came."""

    def __init__(self, call: str, party: Party, put: Callable[[Block], None], counters: StreamCounters) -> None:
        self.rate = SAMPLE_RATE
        """Hertz of the blocks: that of the first codec."""
        self.position = 0
        """Samples of the call so far."""
        self._call, self._party, self._put, self._counters = call, party, put, counters
        self._codec: Codec | None = None
        self._decoder: Decoder | None = None
        self._law: Law | None = None
        self._undecoded: list[bytes] = []
        self._ready: list[Samples] = []
        self._ready_start = 0
        self._cut_at = self._next_cut(0)

    @property
    def lacks(self) -> int:
        """Samples that the next block lacks."""
        return self._cut_at - self.position

    def use(self, codec: Codec) -> None:
        """What is added from now on is of that codec."""
        self._decode()
        if self._codec is None and not self.position:
            self.rate = codec.sample_rate
            self._cut_at = self._next_cut(0)
        self._codec, self._decoder = codec, codec.decoder()
        self._law = codec.law if self.rate == codec.sample_rate == SAMPLE_RATE else None

    def add(self, payload: bytes, length: int, arrived_s: float, skip: int = 0) -> bool:
        """Goes on by the `length` samples of `payload`, less its first `skip`; whether that completed a block."""
        if skip and self._law is None:
            self._decode()
            self._undecoded = [payload]
            self._decode()
            self._ready[-1] = self._ready[-1][skip:]
        else:  # a byte is a sample, and what is decoded here must not go beyond the block's end
            self._undecoded.append(payload[skip:] if skip else payload)
        self.position += length - skip
        if self.position < self._cut_at:
            return False
        self._cut(arrived_s)
        return True

    def fill(self, count: int, arrived_s: float) -> None:
        """Silence of `count` samples."""
        while count > 0:
            piece = min(count, max(1, self._cut_at - self.position))
            self._decode()
            self._ready.append(np.zeros(piece, np.float32))
            self.position += piece
            count -= piece
            if self.position >= self._cut_at:
                self._cut(arrived_s)

    def skip(self, count: int, arrived_s: float) -> None:
        """Time goes on by `count` samples that were lost."""
        self.flush(arrived_s)
        self.position += count
        self._ready_start = self.position
        self._cut_at = self._next_cut(self.position)

    def flush(self, arrived_s: float) -> None:
        """Puts all that is there."""
        self._decode()
        if self._ready:
            self._emit(self._ready_start, np.concatenate(self._ready), arrived_s)
            self._ready = []
        self._ready_start = self.position

    def lose_until_end(self, count: int, arrived_s: float) -> None:
        """The call ends `count` samples later, without a sound."""
        self.flush(arrived_s)
        self.position += min(count, round(_LONGEST_GAP_S * self.rate))
        self._emit(self.position, np.zeros(0, np.float32), arrived_s)

    def _cut(self, arrived_s: float) -> None:
        """Puts all that is complete up to the last moment at which blocks end."""
        if self._law is not None:
            return self._cut_coded(self._law, arrived_s)
        self._decode()
        samples = self._ready[0] if len(self._ready) == 1 else np.concatenate(self._ready)
        while self._cut_at <= self.position:
            size = self._cut_at - self._ready_start
            self._emit(self._ready_start, samples[:size], arrived_s)
            samples = samples[size:]
            self._ready_start, self._cut_at = self._cut_at, self._next_cut(self._cut_at)
        self._ready = [samples] if samples.size else []

    def _cut_coded(self, law: Law, arrived_s: float) -> None:
        """The same where a byte is a sample: what need not be decoded here is not."""
        codes, self._undecoded = b"".join(self._undecoded), []
        while self._cut_at <= self.position:
            size = self._cut_at - self._ready_start - sum(samples.size for samples in self._ready)
            if self._ready:
                self._undecoded = [codes[:size]]
                self.flush(arrived_s)
            else:
                self._put(Block(self._call, self._party, self._ready_start, SAMPLE_RATE, codes[:size], arrived_s, law))
            codes = codes[size:]
            self._ready_start, self._cut_at = self._cut_at, self._next_cut(self._cut_at)
        self._undecoded = [codes] if codes else []

    def _decode(self) -> None:
        """Moves what waits undecoded to what is ready."""
        if not self._undecoded:
            return
        assert self._codec is not None
        assert self._decoder is not None
        samples, failures = self._decoder(self._undecoded)
        self._counters.malformed += failures
        self._undecoded = []
        if self._codec.sample_rate != self.rate:  # another codec than the stream began with: rare, so piece by piece
            length = samples.size * self.rate // self._codec.sample_rate
            samples = np.resize(soxr.resample(samples, self._codec.sample_rate, self.rate), length)
        self._ready.append(samples)

    def _next_cut(self, position: int) -> int:
        """The first moment after `position` at which a block ends: with a cell, since a smaller one would tell nothing sooner."""
        step = CELL if self.rate == SAMPLE_RATE else round(_RESAMPLED_BLOCK_S * self.rate)
        return position // step * step + step

    def _emit(self, start: int, samples: Samples, arrived_s: float) -> None:
        self._put(Block(self._call, self._party, start, self.rate, samples, arrived_s))
