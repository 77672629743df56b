"""CREMA-D on disk: what the file names, the demographics and the votes say; faults found, named and dropped.

A root holds `AudioWAV/ACTOR_SENTENCE_EMOTION_LEVEL.wav` (or `.flac`) and, where present, `VideoDemographics.csv`
(ActorID, Age, Sex), `voice_votes.csv` (clip and six counts) and `split.json`.
"""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from monitor.audio import SAMPLE_RATE, Samples, float_to_pcm, pcm_to_float
from monitor.errors import CallmoodError
from monitor.messages import LABELS, Label

EMOTIONS: dict[str, Label] = {
    "ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad",
}  # fmt: skip
"""Code in a file name → label."""
ACTED_LEVELS = ("LO", "MD", "HI", "XX")
"""Low, medium, high and unspecified."""
SHORTEST_S = 0.5
"""Clips under this are dropped: too little voice to carry a label."""
SILENT_PEAK = 1e-3
"""A clip that never exceeds this (-60 dBFS) is silent; CREMA-D's quietest spoken clip peaks ten times higher."""

Pcm = npt.NDArray[np.int16]


class CorpusError(CallmoodError):
    """A CREMA-D folder, or a split of it, that cannot be trained on."""

    code = "corpus"


@dataclass(frozen=True, slots=True)
class Clip:
    """One acted sentence."""

    name: str
    """File stem, for example `1001_DFA_ANG_XX`."""
    actor: str
    sentence: str
    """Three letters, one of CREMA-D's twelve sentences."""
    label: Label
    """The intended emotion."""
    acted_level: str
    """One of `ACTED_LEVELS`."""
    sex: str | None
    age: int | None
    votes: tuple[int, ...] | None
    """How many listeners of the voice alone chose each label, in the order of `LABELS`."""
    pcm: Pcm = field(repr=False, compare=False)
    """(n,) 16 bit samples at 8 kHz."""

    @property
    def samples(self) -> Samples:
        """(n,) float32, full scale ±1."""
        return pcm_to_float(self.pcm)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Clips in the order of their names, and what was left out."""

    clips: tuple[Clip, ...]
    dropped: dict[str, str]
    """File name → why."""

    @property
    def actors(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted({clip.actor for clip in self.clips}))

    def of(self, actors: Iterable[str]) -> tuple[Clip, ...]:
        """The clips of `actors`. Raises `CorpusError` when one of them has none."""
        wanted = set(actors)
        if missing := sorted(wanted - set(self.actors)):
            raise CorpusError(
                f"no clip of actor {', '.join(missing)}, expected some of {len(self.actors)} actors here: name others"
            )
        return tuple(clip for clip in self.clips if clip.actor in wanted)


def parse_name(stem: str) -> tuple[str, str, Label, str]:
    """`1001_DFA_ANG_XX` → actor, sentence, label, acted level. Raises `CorpusError`."""
    parts = stem.split("_")
    if len(parts) != 4 or parts[2] not in EMOTIONS or parts[3] not in ACTED_LEVELS:
        raise CorpusError(
            f"name {stem!r} is not ACTOR_SENTENCE_EMOTION_LEVEL with {'/'.join(EMOTIONS)} and {'/'.join(ACTED_LEVELS)}"
        )
    return parts[0], parts[1], EMOTIONS[parts[2]], parts[3]


def read_clip_audio(path: Path) -> Pcm:
    """The file's first channel as 16 bit samples at 8 kHz. Raises `CorpusError` for what is no audio, silent or too short."""
    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"no readable audio: {error}") from error
    if len(samples) < SHORTEST_S * sample_rate:
        raise CorpusError(f"shorter than {SHORTEST_S} s")
    if np.abs(samples[:, 0]).max() < SILENT_PEAK:
        raise CorpusError("silent")
    return float_to_pcm(_to_phone_rate(samples[:, 0], sample_rate))


def _to_phone_rate(samples: Samples, sample_rate: int) -> Samples:
    if sample_rate == SAMPLE_RATE:
        return samples
    import soxr

    return soxr.resample(samples, sample_rate, SAMPLE_RATE)  # type: ignore[no-any-return]


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _people(root: Path) -> dict[str, tuple[str | None, int | None]]:
    """Actor → sex, age; empty without `VideoDemographics.csv`."""
    rows = _rows(root / "VideoDemographics.csv")
    return {row["ActorID"]: (row.get("Sex"), int(row["Age"]) if row.get("Age", "").isdigit() else None) for row in rows}


def _votes(root: Path) -> dict[str, tuple[int, ...]]:
    """Clip → votes in the order of `LABELS`; empty without `voice_votes.csv`."""
    return {row["clip"]: tuple(int(row[label]) for label in LABELS) for row in _rows(root / "voice_votes.csv")}


def audio_paths(root: Path) -> list[Path]:
    """The recordings under `root`, sorted. Raises `CorpusError` when there are none."""
    folder = root / "AudioWAV"
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".wav", ".flac"))
    if not paths:
        raise CorpusError(
            f"no .wav or .flac in {folder}, expected CREMA-D's AudioWAV folder: give its parent as --cremad"
        )
    return paths


def _drop_equal(clips: list[Clip], dropped: dict[str, str]) -> list[Clip]:
    """Without clips whose audio another clip has too: all of them under several labels, the later ones under one."""
    groups: dict[bytes, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.pcm.tobytes(), []).append(clip)
    for first, *others in groups.values():
        two_labels = any(other.label != first.label for other in others)
        for clip in [first, *others] if two_labels else others:
            twin = others[0] if clip is first else first
            dropped[clip.name] = f"same audio as {twin.name}" + (", under another label" if two_labels else "")
    return [clip for clip in clips if clip.name not in dropped]


def load_corpus(root: Path, actors: Iterable[str] | None = None) -> Corpus:
    """Every sound clip under `root`, of `actors` only when they are given. Raises `CorpusError` when none is left."""
    people, votes, wanted = _people(root), _votes(root), None if actors is None else set(actors)
    clips: list[Clip] = []
    dropped: dict[str, str] = {}
    for path in audio_paths(root):
        try:
            actor, sentence, label, acted_level = parse_name(path.stem)
            if wanted is None or actor in wanted:
                sex, age = people.get(actor, (None, None))
                clips.append(
                    Clip(
                        path.stem,
                        actor,
                        sentence,
                        label,
                        acted_level,
                        sex,
                        age,
                        votes.get(path.stem),
                        read_clip_audio(path),
                    )
                )
        except CorpusError as error:
            dropped[path.name] = str(error)
    kept = _drop_equal(clips, dropped)
    if not kept:
        raise CorpusError(
            f"no usable clip in {root}, {len(dropped)} dropped: {next(iter(dropped.items()), 'none of these actors')}"
        )
    return Corpus(tuple(kept), dropped)


def balance(corpus: Corpus) -> dict[str, Counter[str]]:
    """How many clips of each emotion, sex, acted level and sentence."""
    return {
        "emotion": Counter(clip.label for clip in corpus.clips),
        "sex": Counter(clip.sex or "unknown" for clip in corpus.clips),
        "acted level": Counter(clip.acted_level for clip in corpus.clips),
        "sentence": Counter(clip.sentence for clip in corpus.clips),
    }
