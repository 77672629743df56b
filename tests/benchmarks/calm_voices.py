"""False alarms on calm voices that the network never heard: a telephone system's spoken prompts, joined to calls, people in
meetings, each alone, and speakers of a speech synthesiser's samples.

    mkdir voices && cd voices
    apt-get download asterisk-core-sounds-{en,es,fr,it,ru}-wav asterisk-prompt-{es-co,fr-armelle,it-menardi-wav}
    for package in *.deb; do dpkg -x $package .; done
    pip download --no-deps --no-binary :all: pyannote.audio==4.0.7
    tar xf pyannote_audio-4.0.7.tar.gz pyannote_audio-4.0.7/tests/data
    pip download --no-deps --no-binary :all: tortoise-tts==3.0.0
    tar xf tortoise-tts-3.0.0.tar.gz tortoise-tts-3.0.0/tortoise/voices; cd ..
    python -m tests.benchmarks.calm_voices voices [--model FILE] [--each 3]

Prints one JSON object, after some minutes: what the live path says of every voice's calls through each of three lines, and of
all prompts, all people and all speakers together. All are taken for calm, so every alert is false, and every mood but `calm` and
`unclear`; `recovery`, and the outcome `satisfied`, are what a false `sustained_anger` leaves behind. Shares are of all labels,
and of all scored windows. Outcomes are those of the calls that are long enough for any mood. Nothing was fitted on
these voices, but how many windows the baseline's prior weighs, after how much speech and beside how many neutral labels
somebody is dissatisfied, the alert rules, and what the network was trained further with, were chosen with a look at prompts and
people. The speakers had no say in these; that neutral has a bias was decided with a look at them, too.

Of prompts a voice is a folder that holds 60 of 1.5 to 20 s or more: here eight of seven people, for Allison speaks English and
Spanish; its calls last two minutes. Of people it is a speaker in a diarization (NIST's RTTM) beside its WAV files, whose turns in
all of them, where nobody else speaks, last 6 s or more together: here half-minutes of the AMI meetings (CC BY 4.0). One name is
one speaker, in whatever recording. Of speakers it is a folder of two to 59 recordings without a diarization, each of 3 to 60 s,
15 s or more together: here 23 who read, tell and are interviewed, and three characters of cartoons and games (applejack, geralt,
rainbow), who are livelier than most callers.
"""

import argparse
import json
import math
import sys
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
from monitor.readings import DISSATISFIED_AFTER_S
from train.augment import scale_to
from train.corpus import CorpusError
from train.live import LIVE, Recorded, heard
from train.stitch import Line, carried

LINES = {"plain": Line(), "strange": Line(tilt_db=1.5, bump_db=2.0), "very strange": Line(tilt_db=3.0, bump_db=3.0)}
"""Name → the lines that its calls are drawn from."""
_CALL_S = 120.0
_SHORTEST_S, _LONGEST_S = 1.5, 20.0
_LEAST_PROMPTS = 60
_SUFFIXES = (".wav", ".gsm", ".mp3")
_RECORDING_S, _LEAST_RECORDINGS_S = (3.0, 60.0), 15.0
_LEAST_TURN_S, _LEAST_TURNS_S = 0.7, 6.0
_MOOD_WINDOWS = math.ceil(DISSATISFIED_AFTER_S / LIVE.hop_s)
_BETWEEN_TURNS = np.zeros(SAMPLE_RATE // 2, np.float32)
Saying = Callable[[np.random.Generator], Samples]
"""What a voice says in its next call, (n,) at 8 kHz."""


def voices(root: Path) -> dict[str, list[Samples]]:
    """Folder under `root` → its prompts, (n,) each at 8 kHz and the same level. Raises soundfile's error for a file that is no
    recording."""
    found = {}
    for folder, paths in _folders(root):
        whole = [path for path in paths if _SHORTEST_S <= soundfile.info(path).duration <= _LONGEST_S]
        prompts = [prompt for prompt in map(_read, whole) if np.any(prompt)]
        if len(prompts) >= _LEAST_PROMPTS:
            found[str(folder.relative_to(root))] = [scale_to(prompt, -26.0) for prompt in prompts]
    return found


def speakers(root: Path) -> dict[str, Samples]:
    """Folder under `root` → its few, longer recordings one after another, (n,) at 8 kHz and the same level. Raises
    soundfile's error for a file that is no recording."""
    found = {}
    for folder, paths in _folders(root):
        lengths_s = [soundfile.info(path).duration for path in paths]
        few = 2 <= len(paths) < _LEAST_PROMPTS and all(
            _RECORDING_S[0] <= length <= _RECORDING_S[1] for length in lengths_s
        )
        if few and sum(lengths_s) >= _LEAST_RECORDINGS_S and not any(folder.glob("*.rttm")):
            own = [scale_to(samples, -26.0) for samples in map(_read, paths) if np.any(samples)]
            if not own:
                continue
            found[str(folder.relative_to(root))] = np.concatenate(
                [part for samples in own for part in (samples, _BETWEEN_TURNS)]
            )
    return found


def _folders(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder, with the recordings in it."""
    for folder in [root, *sorted(path for path in root.rglob("*") if path.is_dir())]:
        yield folder, sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)


def _read(path: Path) -> Samples:
    """(n,) at 8 kHz."""
    samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), sample_rate, SAMPLE_RATE)


def people(root: Path) -> dict[str, Samples]:
    """Speaker in the diarizations under `root` → all turns in which nobody else speaks, (n,) at 8 kHz and the same level.

    A recording that is missing is told on stderr. Raises CorpusError for a diarization that cannot be read.
    """
    turns: dict[Path, dict[str, list[tuple[float, float]]]] = {}
    for path in sorted(path for path in root.rglob("*.rttm") if path.is_file()):
        for name, who, start_s, end_s in _turns(path):
            turns.setdefault(path.with_name(f"{name}.wav"), {}).setdefault(who, []).append((start_s, end_s))
    found: dict[str, list[Samples]] = {}
    for recording, present in turns.items():
        if not recording.is_file():
            print(f"{recording} is missing: its turns are left out", file=sys.stderr)
            continue
        samples = _read(recording)
        speaking = {who: _mask(own, len(samples)) for who, own in present.items()}
        together = np.sum([*speaking.values()], axis=0)
        for who, own in speaking.items():
            edges = np.flatnonzero(np.diff(own & (together == 1), prepend=False, append=False)).reshape(-1, 2)
            alone = [samples[start:end] for start, end in edges if end - start >= _LEAST_TURN_S * SAMPLE_RATE]
            found.setdefault(who, []).extend(turn for turn in alone if np.any(turn))
    return {
        who: scale_to(np.concatenate([part for turn in own for part in (turn, _BETWEEN_TURNS)]), -26.0)
        for who, own in sorted(found.items())
        if sum(map(len, own)) >= _LEAST_TURNS_S * SAMPLE_RATE
    }


def _turns(path: Path) -> Iterator[tuple[str, str, float, float]]:
    """Recording, speaker, start and end in seconds of every turn of an RTTM file (NIST, Rich Transcription 2009, appendix A)."""
    try:
        rows = [row.split() for row in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read ({error}), expected an RTTM file in UTF-8") from error
    for number, row in enumerate(rows, 1):
        if row[:1] == ["SPEAKER"]:
            try:
                start_s, length_s = float(row[3]), float(row[4])
                if not (0 <= start_s < math.inf and 0 <= length_s < math.inf):
                    raise ValueError(start_s, length_s)
                yield row[1], row[7], start_s, start_s + length_s
            except (IndexError, ValueError) as error:
                got = " ".join(row)[:80]
                raise CorpusError(
                    f"{path}:{number}: got {got!a}, expected SPEAKER, recording, channel, start and length in seconds, "
                    "two columns that are not read, and the speaker"
                ) from error


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


def calls(sayings: Mapping[str, Saying], each: int) -> Iterator[Recorded]:
    """`each` calls of every voice through every line."""
    names = [(voice, line, number) for voice in sayings for line in LINES for number in range(1, each + 1)]
    for place, (voice, line, number) in enumerate(names):
        generator = np.random.default_rng((number, place))
        samples = carried(sayings[voice](generator), LINES[line], generator).astype(np.float32)
        yield Recorded(f"{voice}, {line}, {number}", {"customer": samples})


def summary(told: Sequence[Sequence[AnyCallMessage]]) -> dict[str, Any]:
    """What was told of some calls; a share is None where nothing was labelled."""
    messages = [message for call in told for message in call]
    scored = [m for m in messages if isinstance(m, Reading) and m.scores is not None]
    windows = Counter(m.call for m in scored)
    labels, moods = Counter(m.label for m in scored if m.label), Counter(m.mood for m in scored)
    every, alerts = labels.total(), [m for m in messages if isinstance(m, AlertRaised)]
    long_enough = {call for call, count in windows.items() if count >= _MOOD_WINDOWS}
    return {
        "calls": len(told),
        "calls_with_sustained_anger": len({m.call for m in alerts if m.rule == "sustained_anger"}),
        "labelled": round(every / len(scored), 3) if scored else None,
        "anger_among_labelled": round(labels["anger"] / every, 3) if every else None,
        "neutral_among_labelled": round(labels["neutral"] / every, 3) if every else None,
        "moods": {str(mood): round(count / len(scored), 3) for mood, count in moods.most_common()},
        "long_enough": len(long_enough),
        "outcomes": dict(Counter(m.outcome for m in messages if isinstance(m, CallEnded) and m.call in long_enough)),
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
    if asked.each < 1:
        parser.error(f"--each is {asked.each}, expected 1 or more")
    try:
        model, prompts = EmotionModel(asked.model), voices(asked.voices)
        alone = {"people": people(asked.voices), "speakers": speakers(asked.voices)}
    except (CorpusError, ModelError, soundfile.LibsndfileError) as error:
        parser.error(str(error))
    groups: dict[str, dict[str, Saying]] = {"prompts": {voice: partial(joined, own) for voice, own in prompts.items()}}
    groups |= {name: {who: partial(_all, own) for who, own in found.items()} for name, found in alone.items()}
    if not any(groups.values()):
        parser.error(
            f"no folder of {_LEAST_PROMPTS} prompts or more, no speaker of a diarization and no folder of recordings of "
            f"{_RECORDING_S[0]:g} to {_RECORDING_S[1]:g} s under {asked.voices}: unpack some there, as --help says"
        )
    print(
        json.dumps({name: _told(sayings, model, asked.each) for name, sayings in groups.items() if sayings}, indent=1)
    )


def _all(samples: Samples, _: np.random.Generator) -> Samples:
    return samples


def _told(sayings: Mapping[str, Saying], model: EmotionModel, each: int) -> dict[str, Any]:
    told = dict(heard(calls(sayings, each), model))
    by_voice = {
        voice: summary([own for name, own in told.items() if name.startswith(f"{voice}, ")]) for voice in sayings
    }
    return {"voices": by_voice, "together": summary([*told.values()])}


if __name__ == "__main__":
    main()
