"""Readings as the history stores them: 38 bytes each while a call runs, then compressed by the hundred. Pure.

What the pipeline makes comes back exactly: it rounds as the record does. Of other readings scores and confidence come back to
0.00005, the share of speech to 0.0005, the level to 0.05 dB, the latency to 0.05 ms. What does not fit is not packed.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate

from monitor.messages import LABELS, MOODS, PARTIES, STATES, Reading, rfc3339, unix_ms

_RECORD = struct.Struct("<IIIHHH6HHhI")
"""seq, at (ms since the call's beginning), end (0.1 ms), length (0.1 ms), what (bits), confidence and six scores (0.0001),
speech share (0.001), level (0.1 dB), latency (0.1 ms). The order of PARTIES, STATES, LABELS and MOODS is part of it."""
_STEPS = struct.Struct("<III")
"""The first three, which count."""
_COUNTERS = struct.Struct("<III26x")
_MOST = 0xFFFF_FFFF
_CONFIDENCE, _SCORES, _LEVEL = 1 << 11, 1 << 12, 1 << 13
_PER_S = 10_000


def pack(reading: Reading, start_ms: int) -> bytes | None:
    """`reading` of a call that began at `start_ms` (Unix); None where the record has no room for it."""
    try:
        record = _RECORD.pack(*_fields(reading, start_ms))
    except (struct.error, ValueError, OverflowError, KeyError):
        return None
    times = _times(record)
    return record if times == (reading.start_s, reading.end_s) and rfc3339_like(reading.at) else None


def unpack(records: bytes, call: str, start_ms: int) -> Iterator[Reading]:
    """The readings of whole `records`, as they were packed. Raises ValueError where these are none."""
    try:
        for fields in _RECORD.iter_unpack(records):
            yield _reading(fields, call, start_ms)
    except (struct.error, IndexError) as error:
        raise ValueError(f"no packed readings: {error}") from error


def count(records: bytes) -> int:
    """How many readings there are in `records`."""
    return len(records) // _RECORD.size


def compress(records: bytes) -> bytes:
    """Whole records, smaller: counters as differences, then byte by byte of all records, then deflated."""
    counters = list(_COUNTERS.iter_unpack(records))
    steps = (
        [(one - before) & _MOST for one, before in zip(now, then, strict=True)]
        for now, then in zip(counters, [(0, 0, 0), *counters], strict=False)
    )
    size = _RECORD.size
    rows = b"".join(
        _STEPS.pack(*step) + records[number * size + _STEPS.size : (number + 1) * size]
        for number, step in enumerate(steps)
    )
    return zlib.compress(b"".join(rows[column::size] for column in range(size)), 6)


def decompress(chunk: bytes) -> bytes:
    """The records of `compress`. Raises ValueError where these are none."""
    try:
        columns = zlib.decompress(chunk)
    except zlib.error as error:
        raise ValueError(f"no compressed readings: {error}") from error
    size = _RECORD.size
    number = len(columns) // size
    rows = b"".join(bytes(columns[row::number]) for row in range(number))
    counters = zip(*(accumulate(one) for one in zip(*_COUNTERS.iter_unpack(rows), strict=True)), strict=True)
    return b"".join(
        _STEPS.pack(*(one & _MOST for one in counter)) + rows[row * size + _STEPS.size : (row + 1) * size]
        for row, counter in enumerate(counters)
    )


def rfc3339_like(at: str) -> bool:
    """Whether `at` is written as `monitor.messages.rfc3339` writes it, so that milliseconds say all of it."""
    return len(at) == 24 and at[-1] == "Z" and at[-5] == "."


def _times(record: bytes) -> tuple[float, float]:
    _, _, end, length, *_ = _RECORD.unpack(record)
    return (end - length) / _PER_S, end / _PER_S


def _fields(reading: Reading, start_ms: int) -> Sequence[int]:
    end = round(reading.end_s * _PER_S)
    scores, confidence, level_db = reading.scores, reading.confidence, reading.level_db
    what = PARTIES.index(reading.party) | STATES.index(reading.state) << 2
    what |= (0 if reading.label is None else LABELS.index(reading.label) + 1) << 5
    what |= (0 if reading.mood is None else MOODS.index(reading.mood) + 1) << 8
    what |= _CONFIDENCE * (confidence is not None) | _SCORES * (scores is not None) | _LEVEL * (level_db is not None)
    packed = [0] * len(LABELS) if scores is None else [round(scores[label] * _PER_S) for label in LABELS]
    return (
        reading.seq,
        unix_ms(reading.at) - start_ms,
        end,
        end - round(reading.start_s * _PER_S),
        what,
        round((confidence or 0.0) * _PER_S),
        *packed,
        round(reading.speech_share * 1000),
        round((level_db or 0.0) * 10),
        round(reading.latency_ms * 10),
    )


def _reading(fields: Sequence[int], call: str, start_ms: int) -> Reading:
    seq, at_ms, end, length, what, confidence, *scores, share, level, latency = fields
    label, mood = what >> 5 & 7, what >> 8 & 7
    return Reading(
        at=rfc3339((start_ms + at_ms) / 1000),
        call=call,
        seq=seq,
        party=PARTIES[what & 3],
        start_s=(end - length) / _PER_S,
        end_s=end / _PER_S,
        state=STATES[what >> 2 & 7],
        label=LABELS[label - 1] if label else None,
        mood=MOODS[mood - 1] if mood else None,
        confidence=confidence / _PER_S if what & _CONFIDENCE else None,
        scores={name: score / _PER_S for name, score in zip(LABELS, scores, strict=True)} if what & _SCORES else None,
        speech_share=share / 1000,
        level_db=level / 10 if what & _LEVEL else None,
        latency_ms=latency / 10,
    )
