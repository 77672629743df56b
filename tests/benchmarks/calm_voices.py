"""False alarms on calm voices that the network never heard: a telephone system's spoken prompts, joined to calls.

    mkdir prompts && cd prompts
    apt-get download asterisk-core-sounds-{en,es,fr,it,ru}-wav asterisk-prompt-{es-co,fr-armelle,it-menardi-wav}
    for package in *.deb; do dpkg -x $package .; done; cd ..
    python -m tests.benchmarks.calm_voices prompts [--model FILE] [--each 3]

Prints one JSON object, after a minute or two: what the live path says of calls of two minutes of every voice through each of
three lines, and of all together. No caller is angry, sad or afraid, so every alert is false; `recovery`, and the outcome
`satisfied`, are what a false `sustained_anger` leaves behind. Shares are of all labels. A voice is a folder that holds 60 prompts
of 1.5 to 20 s or more: here eight of seven people, for Allison speaks English and Spanish. No network, threshold or baseline
was fitted on them.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
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


def call(prompts: Sequence[Samples], line: Line, seed: Sequence[int]) -> Samples:
    """(n,) two minutes of prompts in random order with pauses between, through a line."""
    generator = np.random.default_rng(seed)
    pieces, done = [], 0
    for place in cycle(generator.permutation(len(prompts))):
        pause = np.zeros(int(generator.uniform(0.3, 1.2) * SAMPLE_RATE), np.float32)
        pieces += [pause, prompts[place]]
        done += len(pause) + len(prompts[place])
        if done >= _CALL_S * SAMPLE_RATE:
            break
    return carried(np.concatenate(pieces), line, generator).astype(np.float32)


def summary(calls: Sequence[Sequence[AnyCallMessage]]) -> dict[str, Any]:
    """What was told of some calls; a share is None where nothing was labelled."""
    messages = [message for told in calls for message in told]
    scored = [m for m in messages if isinstance(m, Reading) and m.scores is not None]
    labels = Counter(m.label for m in scored if m.label)
    every, alerts = labels.total(), [m for m in messages if isinstance(m, AlertRaised)]
    return {
        "calls": len(calls),
        "calls_with_sustained_anger": len({m.call for m in alerts if m.rule == "sustained_anger"}),
        "labelled": round(every / len(scored), 3) if scored else None,
        "anger_among_labelled": round(labels["anger"] / every, 3) if every else None,
        "neutral_among_labelled": round(labels["neutral"] / every, 3) if every else None,
        "outcomes": dict(Counter(m.outcome for m in messages if isinstance(m, CallEnded))),
        "alerts": dict(Counter(m.rule for m in alerts)),
    }


def main() -> None:
    """Everything, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path, metavar="DIR", help="folders of prompts, at any depth")
    parser.add_argument("--model", type=Path, metavar="FILE", default=default_path(), help="the model file")
    parser.add_argument("--each", type=int, metavar="N", default=3, help="calls of every voice through every line")
    asked = parser.parse_args()
    if not asked.prompts.is_dir():
        parser.error(f"{asked.prompts} is no folder, expected one of prompts: unpack some there, as --help says")
    try:
        model, found = EmotionModel(asked.model), voices(asked.prompts)
    except (ModelError, soundfile.LibsndfileError) as error:
        parser.error(str(error))
    if not found:
        parser.error(
            f"no folder of {_LEAST_PROMPTS} prompts or more under {asked.prompts}: unpack some there, as --help says"
        )
    names = [(voice, line, number) for voice in found for line in LINES for number in range(1, asked.each + 1)]
    calls = (
        Recorded(f"{voice}, {line}, {number}", {"customer": call(found[voice], LINES[line], (number, place))})
        for place, (voice, line, number) in enumerate(names)
    )
    told = dict(heard(calls, model))
    by_voice = {voice: summary([own for name, own in told.items() if name.startswith(f"{voice}, ")]) for voice in found}
    print(json.dumps({"voices": by_voice, "together": summary([*told.values()])}, indent=1))


if __name__ == "__main__":
    main()
