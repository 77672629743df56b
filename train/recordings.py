"""One's own labelled recordings as a corpus: rows of a CSV file cut into clips as long as CREMA-D's."""

import math
from itertools import groupby
from pathlib import Path

import numpy as np

from monitor.audio import SAMPLE_RATE, Samples, float_to_pcm
from monitor.messages import Party
from train.corpus import SHORTEST_S, SILENT_PEAK, Clip, Corpus, CorpusError
from train.labelled import RECORDINGS, Row, listed, read_recording, read_rows
from train.split import Split, tuning_actors

LONGEST_S = 5.0
"""Longer stretches become several clips, evenly cut: a training window is 3 s, and every clip makes one an epoch."""
FEWEST_SPEAKERS = 3
"""One to fit on, one to tune on, one to validate on."""


def load_recordings(path: Path) -> Corpus:
    """The clips that the rows of `path` name; paths are relative to its folder. Its `dropped` are `FILE:LINE` → why.

    Raises `CorpusError` for a file that is no such list, and where no clip is left.
    """
    wrong: dict[int, str] = {}
    clips: list[Clip] = []
    rows = read_rows(path, RECORDINGS, wrong)
    for name, own in groupby(sorted(rows, key=lambda row: (row.name, row.line)), key=lambda row: row.name):
        clips += _clips(path.parent / name, list(own), wrong)
    if not clips:
        first = next(iter(listed(path, wrong)), "it has no rows")
        raise CorpusError(f"no usable row in {path}, {len(wrong)} wrong: {first}")
    return Corpus(tuple(clips), dict(line.split(": ", 1) for line in listed(path, wrong)))


def _clips(path: Path, rows: list[Row], wrong: dict[int, str]) -> list[Clip]:
    """The clips of one recording."""
    try:
        parties, sample_rate = read_recording(path)
    except CorpusError as error:
        wrong |= {row.line: str(error) for row in rows}
        return []
    clips = []
    for row in rows:
        try:
            pieces = _pieces(_stretch(row, parties, sample_rate), sample_rate)
        except CorpusError as error:
            wrong[row.line] = str(error)
            continue
        clips += [
            Clip(f"{row.line}-{number}-{path.stem}", row.speaker, "", row.label, "XX", None, None, None, pcm)
            for number, pcm in enumerate(pieces, start=1)
        ]
    return clips


def _stretch(row: Row, parties: dict[Party, Samples], sample_rate: int) -> Samples:
    """The samples that a row speaks of."""
    alone = next(iter(parties.values())) if len(parties) == 1 else None
    samples = parties.get(row.party) if alone is None else alone
    if samples is None:
        raise CorpusError(f"party is {row.party}, expected one of {', '.join(parties)}")
    length_s = len(samples) / sample_rate
    if row.start_s >= length_s or (row.end_s or 0.0) > length_s + 0.1:
        raise CorpusError(f"reaches past the recording's end at {length_s:.1f} s")
    end = len(samples) if row.end_s is None else round(row.end_s * sample_rate)
    stretch = samples[round(row.start_s * sample_rate) : end]
    if len(stretch) < SHORTEST_S * sample_rate:
        raise CorpusError(f"has {len(stretch) / sample_rate:.2f} s of audio, expected at least {SHORTEST_S} s")
    if np.abs(stretch).max() < SILENT_PEAK:
        raise CorpusError("is silent")
    return stretch


def _pieces(samples: Samples, sample_rate: int) -> list[np.ndarray]:
    """16 bit pieces at 8 kHz, none longer than `LONGEST_S`."""
    if sample_rate != SAMPLE_RATE:
        import soxr

        samples = soxr.resample(samples, sample_rate, SAMPLE_RATE)
    count = math.ceil(len(samples) / (LONGEST_S * SAMPLE_RATE))
    return [float_to_pcm(np.ascontiguousarray(piece)) for piece in np.array_split(samples, count)]


def speaker_split(corpus: Corpus, seed: int) -> Split:
    """Whole speakers: a tenth (at least one) to validate on, a tenth to tune on. Raises `CorpusError` for too few."""
    speakers = corpus.actors
    if len(speakers) < FEWEST_SPEAKERS:
        raise CorpusError(
            f"{len(speakers)} speakers ({', '.join(speakers)}), expected at least {FEWEST_SPEAKERS}: "
            "one to fit on, one to tune on, one to validate on; label more people's calls"
        )
    validation = tuning_actors(corpus.clips, list(speakers), seed)
    rest = sorted(set(speakers) - set(validation))
    tuning = tuning_actors(corpus.clips, rest, seed)
    return Split(
        tuple(sorted(set(rest) - set(tuning))), tuning, validation, "speakers of the recordings, drawn at random"
    )
