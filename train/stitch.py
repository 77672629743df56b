"""Pseudo-calls: clips of one actor joined as a caller would speak, through a line, with what is acted and when. Seeded.

A pseudo-call is always of one actor, so that whole actors stay on one side of a split.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile

from monitor.audio import SAMPLE_RATE, Samples
from monitor.messages import Label
from train import augment
from train.corpus import Clip, CorpusError
from train.noise import coloured_noise

CLIPS = 10
"""Clips of a stretch, about 25 s of speech."""
BUMPS = 8
"""Points, evenly spread in log frequency, between which a line's gain is drawn."""
DISSATISFIED: tuple[Label, ...] = ("disgust", "fear", "sad")

KINDS: dict[str, tuple[tuple[Label, ...], ...]] = {
    "calm": (("neutral",), ("neutral",)),
    "sad": (("sad",), ("sad",)),
    "growing_anger": (("neutral",), ("anger",), ("neutral",)),
    "angry": (("anger",),),
    "dissatisfied": (DISSATISFIED,),
    "growing_dissatisfied": (("neutral",), DISSATISFIED),
    "satisfied": (("happy",),),
    "growing_satisfied": (("neutral",), ("happy",)),
}
"""Kind → its stretches of `CLIPS` clips each: the labels that a stretch's clips are drawn from, in equal parts."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a call in which one label is expressed."""

    start_s: float
    end_s: float
    label: Label


@dataclass(frozen=True, slots=True)
class PseudoCall:
    """One actor's clips as a call's only channel."""

    name: str
    """`ACTOR-KIND-NUMBER`."""
    speaker: str
    kind: str
    stretches: tuple[Stretch, ...]
    """In order, apart; from the first to the last sound."""
    samples: Samples = field(repr=False, compare=False)
    """(n,) at 8 kHz."""


@dataclass(frozen=True, slots=True)
class Line:
    """How a pseudo-call is spoken and carried. Pairs are the ends of a uniform distribution."""

    pause_s: tuple[float, float] = (0.1, 1.0)
    """Between clips, beside their own quiet ends."""
    level_db: tuple[float, float] = (-38.0, -20.0)
    """dBFS RMS of the whole call; the clips keep their levels against each other."""
    noise_db: tuple[float, float] = (20.0, 45.0)
    """How far under the voice the room's noise lies; half of the calls have none, their pauses are digital silence."""
    codecs: tuple[str, ...] = ("none", "mulaw", "alaw")
    tilt_db: float = 0.0
    """Standard deviation of the line's tilt, dB an octave, and ..."""
    bump_db: float = 0.0
    """... of its bumps: how differently from the training actors' room a call sounds. 0 filters nothing."""


def pseudo_call(clips: Sequence[Clip], kind: str, number: int, seed: int, line: Line | None = None) -> PseudoCall:
    """A call of `kind` from one actor's `clips`, the same for the same seed. Raises `CorpusError` where a label is missing."""
    actor = clips[0].actor
    generator = np.random.default_rng((seed, number, *f"{actor} {kind}".encode()))
    line = line or Line()
    pieces, stretches, done = [], [], 0
    for clip in _drawn(clips, kind, generator):
        pause = np.zeros(int(generator.uniform(*line.pause_s) * SAMPLE_RATE), np.float32)
        start = done + len(pause)
        done = start + len(clip.samples)
        pieces += [pause, clip.samples]
        stretches.append(Stretch(start / SAMPLE_RATE, done / SAMPLE_RATE, clip.label))
    samples = carried(np.concatenate(pieces), line, generator)
    return PseudoCall(f"{actor}-{kind}-{number}", actor, kind, tuple(_merged(stretches)), samples)


def _drawn(clips: Sequence[Clip], kind: str, generator: np.random.Generator) -> Iterator[Clip]:
    """The clips of a call in order: a stretch takes every clip once before it takes one again."""
    for labels in KINDS[kind]:
        chosen = np.resize(generator.permutation(np.array(labels)), CLIPS)
        orders: dict[str, list[Clip]] = {}
        for label in generator.permutation(chosen):
            if not orders.get(label):
                own = [clip for clip in clips if clip.label == label]
                if not own:
                    raise CorpusError(f"actor {clips[0].actor} has no clip of {label}, expected some for a {kind} call")
                orders[label] = [own[place] for place in generator.permutation(len(own))]
            yield orders[label].pop()


def carried(samples: Samples, line: Line, generator: np.random.Generator) -> Samples:
    """Through a room or a gate, at a level, through a codec."""
    noise_db, noisy = float(generator.uniform(*line.noise_db)), bool(generator.random() < 0.5)
    noise = coloured_noise(len(samples), float(generator.uniform(0.5, 2.0)), generator)
    if line.tilt_db or line.bump_db:
        samples = augment.filter_by(samples, _random_response(len(samples), line, generator))
    samples = augment.add_noise(samples, noise, noise_db) if noisy else augment.gate(samples)
    samples = augment.scale_to(samples, float(generator.uniform(*line.level_db)))
    codec = str(generator.choice(line.codecs))
    return np.clip(samples, -1.0, 1.0) if codec == "none" else augment.through_codec(samples, codec)


def _random_response(count: int, line: Line, generator: np.random.Generator) -> Samples:
    """(count // 2 + 1,) factors of one line."""
    tilt_db, bumps_db = float(generator.normal(0.0, line.tilt_db)), generator.normal(0.0, line.bump_db, BUMPS)
    return augment.line_response(count, tilt_db, 40.0, 4_200.0, bumps_db.astype(np.float32))


def _merged(stretches: Sequence[Stretch]) -> Iterator[Stretch]:
    """Neighbours with one label as one."""
    first = stretches[0]
    for before, after in pairwise(stretches):
        if after.label != before.label:
            yield Stretch(first.start_s, before.end_s, first.label)
            first = after
    yield Stretch(first.start_s, stretches[-1].end_s, first.label)


def stitched(clips: Iterable[Clip], each: int, seed: int, line: Line | None = None) -> Iterator[PseudoCall]:
    """`each` calls of every kind of every actor in `clips`, through lines as `line` says; kinds that an actor has no clips for
    are left out."""
    by_actor: dict[str, list[Clip]] = {}
    for clip in clips:
        by_actor.setdefault(clip.actor, []).append(clip)
    for own in by_actor.values():
        labels = {clip.label for clip in own}
        for kind, wanted in KINDS.items():
            if all(set(part) <= labels for part in wanted):
                yield from (pseudo_call(own, kind, number, seed, line) for number in range(1, each + 1))


def write_calls(calls: Iterable[PseudoCall], folder: Path) -> Mapping[str, int]:
    """A FLAC a call and labels.csv into `folder`; returns how many of each kind. Raises `CorpusError` for one in use."""
    if folder.exists() and any(folder.iterdir()):
        raise CorpusError(f"{folder} is not empty, expected a new folder: name another or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("call", "start_s", "end_s", "label", "speaker"))
        for call in calls:
            soundfile.write(folder / f"{call.name}.flac", call.samples, SAMPLE_RATE, subtype="PCM_16")
            rows.writerows(
                (call.name, f"{s.start_s:.2f}", f"{s.end_s:.2f}", s.label, call.speaker) for s in call.stretches
            )
            counts[call.kind] = counts.get(call.kind, 0) + 1
    return counts
