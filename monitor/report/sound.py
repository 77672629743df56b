"""A recording's sound over the whole call: an envelope and a mel spectrogram of each party, in bounded memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.audio import SAMPLE_RATE, Resampler, Samples
from monitor.features import BANDS, FRAME, FRAME_HOP, mel_power
from monitor.messages import Party
from monitor.sources.audiofile import AudioFile

COLUMNS = 1_400
"""Of a picture: a longer call has more time in each."""
_READ_S = 20.0
_RANGE_DB = 70.0
_FLOOR = 1e-10
"""Mel power of digital silence."""


@dataclass(frozen=True, slots=True)
class Sound:
    """What one party's channel holds."""

    duration_s: float
    low: Samples
    """(columns,) the lowest sample of each, full scale ±1."""
    high: Samples
    """(columns,) the highest."""
    mel_db: Samples
    """(64, columns) mean mel power, dB over the loudest, -70..0."""


def sounds(path: str, parties: Mapping[Party, int], duration_s: float) -> dict[Party, Sound]:
    """What the recording at `path` holds on the channels of `parties`. Raises AudioError.

    `duration_s`: how much of it was played. Frames are those that the model reads.
    """
    columns = max(1, min(COLUMNS, int(duration_s * SAMPLE_RATE / FRAME_HOP)))
    gathered = {party: _Gathering(columns, duration_s) for party in parties}
    for pieces in _read(path):
        for party, channel in parties.items():
            gathered[party].add(pieces[channel])
    return {party: one.sound() for party, one in gathered.items()}


def _read(path: str) -> Iterator[list[Samples]]:
    """The channels of the recording at `path`, in pieces, at 8 kHz."""
    file = AudioFile(path)
    streams = [Resampler(file.sample_rate) for _ in range(file.channels)] if file.sample_rate != SAMPLE_RATE else None
    while not file.ended:
        channels = file.read(round(_READ_S * file.sample_rate))
        if streams is None:
            yield list(channels)
        else:
            yield [stream.push(one, last=file.ended) for stream, one in zip(streams, channels, strict=True)]
    file.close()


class _Gathering:
    """Gathers one channel into columns, as its samples come."""

    def __init__(self, columns: int, duration_s: float) -> None:
        self._columns, self._samples = columns, max(1, round(duration_s * SAMPLE_RATE))
        self._duration_s = duration_s
        self._low, self._high = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
        self._power, self._frames = np.zeros((columns, BANDS)), np.zeros(columns)
        self._came = self._framed = 0
        self._rest: Samples = np.zeros(0, np.float32)

    def add(self, samples: Samples) -> None:
        """The next (n,) samples."""
        if not samples.size:
            return
        of_column = self._column(np.arange(self._came, self._came + samples.size))
        starts = np.flatnonzero(np.diff(of_column, prepend=-1))
        found = of_column[starts]
        self._low[found] = np.minimum(self._low[found], np.minimum.reduceat(samples, starts))
        self._high[found] = np.maximum(self._high[found], np.maximum.reduceat(samples, starts))
        self._came += samples.size
        self._add_frames(np.concatenate([self._rest, samples]))

    def _add_frames(self, samples: Samples) -> None:
        if samples.size < FRAME:
            self._rest = samples
            return
        power = mel_power(np.ascontiguousarray(samples))
        of_column = self._column(self._framed + FRAME // 2 + FRAME_HOP * np.arange(len(power)))
        np.add.at(self._power, of_column, power)
        np.add.at(self._frames, of_column, 1)
        used = FRAME_HOP * len(power)
        self._framed += used
        self._rest = samples[used:]

    def sound(self) -> Sound:
        """What has come."""
        power = self._power / np.maximum(self._frames, 1)[:, None]
        level_db = 10 * np.log10(np.maximum(power, _FLOOR))
        mel_db = np.clip(level_db - level_db.max(), -_RANGE_DB, 0.0).astype(np.float32)
        return Sound(self._duration_s, self._low, self._high, np.ascontiguousarray(mel_db.T))

    def _column(self, sample: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        column: npt.NDArray[np.int64] = np.minimum(sample * self._columns // self._samples, self._columns - 1)
        return column
