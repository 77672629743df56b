"""False alarms on calm voices that the network never heard: a telephone system's spoken prompts, joined to calls, and people in
meetings and on the telephone, each alone.

    mkdir voices && cd voices
    apt-get download asterisk-core-sounds-{en,es,fr,it,ru}-wav asterisk-prompt-{es-co,fr-armelle,it-menardi-wav}
    for package in *.deb; do dpkg -x $package .; done
    pip download --no-deps --no-binary :all: pyannote.audio==4.0.7 && tar xf pyannote_audio-4.0.7.tar.gz; cd ..
    python -m tests.benchmarks.calm_voices voices [--model FILE] [--each 3]

Prints one JSON object, after some minutes: what the live path says of every voice's calls through each of three lines, and of
all prompts and all people together. Nobody is angry, sad or afraid, so every alert is false, and every mood but `calm` and
`unclear`; `recovery`, and the outcome `satisfied`, are what a false `sustained_anger` leaves behind. Shares are of all labels,
and of all scored windows. Nothing was fitted on these voices, but how many windows the baseline's prior weighs, and how soon a
mood is claimed, was chosen with a look at them.

Of prompts a voice is a folder that holds 60 of 1.5 to 20 s or more: here eight of seven people, for Allison speaks English and
Spanish; its calls last two minutes. Of people it is a speaker in a diarization (NIST's RTTM) beside its recordings, whose own
turns, where nobody else speaks, last 6 s or more together: here from half-minutes of the AMI meetings (CC BY 4.0).
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from monitor.audio import SAMPLE_RATE, Samples
from monitor.errors import ModelError
from monitor.messages import AlertRaised, AnyCallMessage, CallEnded, Reading
from monitor.model import EmotionModel, default_path
from train.augment import scale_to
from train.live import Recorded, heard
from train.stitch import Line, carried

LINES = {"plain": Line(), "strange": Line(tilt_db=1.5, bump_db=2.0), "very strange": Line(tilt_db=3.0, bump_db=3.0)}
"""Name → the lines that its calls are drawn from."""
_CALL_S = 120.0
_SHORTEST_S, _LONGEST_S = 1.5, 20.0
_LEAST_PROMPTS = 60
_SUFFIXES = (".wav", ".gsm")
_LEAST_TURN_S, _LEAST_TURNS_S = 0.7, 6.0
_BETWEEN_TURNS = np.zeros(SAMPLE_RATE // 2, np.float32)


def voices(root: Path) -> dict[str, list[Samples]]:
    """Folder under `root` → its prompts, (n,) each at 8 kHz and the same level. Raises soundfile's error for a file that is no
    recording."""
    found = {}
    for folder in [root, *sorted(path for path in root.rglob("*") if path.is_dir())]:
        paths = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
        whole = [path for path in paths if _SHORTEST_S <= soundfile.info(path).duration <= _LONGEST_S]
        prompts = [prompt for prompt in map(_read, whole) if np.any(prompt)]
        if len(prompts) >= _LEAST_PROMPTS:
            found[str(folder.relative_to(root))] = [scale_to(prompt, -26.0) for prompt in prompts]
    return found


def _read(path: Path) -> Samples:
    """(n,) at 8 kHz."""
    samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), sample_rate, SAMPLE_RATE)


def people(root: Path) -> dict[str, Samples]:
    """Speaker in a diarization under `root` → all turns in which nobody else speaks, (n,) at 8 kHz."""
    turns: dict[Path, dict[str, list[tuple[float, float]]]] = {}
    for path in sorted(root.rglob("*.rttm")):
        for row in map(str.split, path.read_text(encoding="utf-8").splitlines()):
            start_s, recording = float(row[3]), path.with_name(f"{row[1]}.wav")
            if recording.is_file():
                turns.setdefault(recording, {}).setdefault(row[7], []).append((start_s, start_s + float(row[4])))
    found: dict[str, list[Samples]] = {}
    for recording, speakers in {path.name: (path, rows) for path, rows in turns.items()}.values():
        samples = _read(recording)
        speaking = {who: _mask(own, len(samples)) for who, own in speakers.items()}
        together = np.sum([*speaking.values()], axis=0)
        for who, own in speaking.items():
            edges = np.flatnonzero(np.diff(own & (together == 1), prepend=False, append=False)).reshape(-1, 2)
            alone = [samples[start:end] for start, end in edges if end - start >= _LEAST_TURN_S * SAMPLE_RATE]
            found.setdefault(who, []).extend(alone)
    return {
        who: scale_to(np.concatenate([part for turn in own for part in (turn, _BETWEEN_TURNS)]), -26.0)
        for who, own in sorted(found.items())
        if sum(map(len, own)) >= _LEAST_TURNS_S * SAMPLE_RATE
    }


def _mask(turns: Sequence[tuple[float, float]], count: int) -> np.ndarray:
    """(count,) whether somebody speaks."""
    mask = np.zeros(count, np.bool_)
    for start_s, end_s in turns:
        mask[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)] = True
    return mask


def joined(prompts: Sequence[Samples], generator: np.random.Generator) -> Samples:
    """(n,) two minutes of prompts in random order with pauses between."""
    pieces, done = [], 0
    for place in cycle(generator.permutation(len(prompts))):
        pause = np.zeros(int(generator.uniform(0.3, 1.2) * SAMPLE_RATE), np.float32)
        pieces += [pause, prompts[place]]
        done += len(pause) + len(prompts[place])
        if done >= _CALL_S * SAMPLE_RATE:
            break
    return np.concatenate(pieces)


def calls(voices: Mapping[str, Callable[[np.random.Generator], Samples]], each: int) -> Iterator[Recorded]:
    """`each` calls of every voice, which makes what is said, through every line."""
    names = [(voice, line, number) for voice in voices for line in LINES for number in range(1, each + 1)]
    for place, (voice, line, number) in enumerate(names):
        generator = np.random.default_rng((number, place))
        samples = carried(voices[voice](generator), LINES[line], generator).astype(np.float32)
        yield Recorded(f"{voice}, {line}, {number}", {"customer": samples})


def summary(calls: Sequence[Sequence[AnyCallMessage]]) -> dict[str, Any]:
    """What was told of some calls; a share is None where nothing was labelled."""
    messages = [message for told in calls for message in told]
    scored = [m for m in messages if isinstance(m, Reading) and m.scores is not None]
    labels = Counter(m.label for m in scored if m.label)
    moods = Counter(m.mood for m in scored)
    every, alerts = labels.total(), [m for m in messages if isinstance(m, AlertRaised)]
    return {
        "calls": len(calls),
        "calls_with_sustained_anger": len({m.call for m in alerts if m.rule == "sustained_anger"}),
        "labelled": round(every / len(scored), 3) if scored else None,
        "anger_among_labelled": round(labels["anger"] / every, 3) if every else None,
        "neutral_among_labelled": round(labels["neutral"] / every, 3) if every else None,
        "moods": {str(mood): round(count / len(scored), 3) for mood, count in moods.most_common()},
        "outcomes": dict(Counter(m.outcome for m in messages if isinstance(m, CallEnded))),
        "alerts": dict(Counter(m.rule for m in alerts)),
    }


def main() -> None:
    """Everything, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voices", type=Path, metavar="DIR", help="prompts, recordings and diarizations, at any depth")
    parser.add_argument("--model", type=Path, metavar="FILE", default=default_path(), help="the model file")
    parser.add_argument("--each", type=int, metavar="N", default=3, help="calls of every voice through every line")
    asked = parser.parse_args()
    if not asked.voices.is_dir():
        parser.error(f"{asked.voices} is no folder, expected one of voices: unpack some there, as --help says")
    try:
        model, prompts, speakers = EmotionModel(asked.model), voices(asked.voices), people(asked.voices)
    except (ModelError, soundfile.LibsndfileError) as error:
        parser.error(str(error))
    if not prompts and not speakers:
        parser.error(
            f"no folder of {_LEAST_PROMPTS} prompts or more and no speaker of a diarization under {asked.voices}: unpack some "
            "there, as --help says"
        )
    groups: dict[str, Mapping[str, Callable[[np.random.Generator], Samples]]] = {
        "prompts": {voice: partial(joined, own) for voice, own in prompts.items()},
        "people": {who: partial(_said, own) for who, own in speakers.items()},
    }
    print(json.dumps({name: _told(found, model, asked.each) for name, found in groups.items() if found}, indent=1))


def _said(samples: Samples, _: np.random.Generator) -> Samples:
    return samples


def _told(
    voices: Mapping[str, Callable[[np.random.Generator], Samples]], model: EmotionModel, each: int
) -> dict[str, Any]:
    told = dict(heard(calls(voices, each), model))
    by_voice = {
        voice: summary([own for name, own in told.items() if name.startswith(f"{voice}, ")]) for voice in voices
    }
    return {"voices": by_voice, "together": summary([*told.values()])}


if __name__ == "__main__":
    main()
