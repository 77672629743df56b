"""False alarms on calm voices that the network never heard: a telephone system's spoken prompts, joined to calls.

    apt-get download asterisk-core-sounds-{en,es,fr,it,ru}-wav asterisk-prompt-{es-co,fr-armelle,it-menardi-wav}
    for package in *.deb; do dpkg -x $package prompts; done
    python -m tests.benchmarks.calm_voices prompts [--model FILE]

Prints one JSON object: what the live path says of a call of two minutes of every voice through every line of `LINES`, none of
whose callers is angry, sad or afraid. A voice is a folder that holds 60 prompts of 1.5 to 20 s or more. Nothing is learnt from
them: no network, threshold or baseline was fitted on them.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from monitor.audio import SAMPLE_RATE, Samples
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
    """Folder's name → its prompts, (n,) each at 8 kHz and the same level."""
    found = {}
    for folder in sorted(path for path in root.rglob("*") if path.is_dir()):
        paths = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
        whole = [path for path in paths if _SHORTEST_S <= soundfile.info(path).duration <= _LONGEST_S]
        prompts = [prompt for path in whole for prompt in _read(path)]
        if len(prompts) >= _LEAST_PROMPTS:
            found[folder.name] = prompts
    return found


def _read(path: Path) -> Iterator[Samples]:
    samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    prompt = soxr.resample(samples.mean(axis=1), sample_rate, SAMPLE_RATE)
    if np.any(prompt):
        yield scale_to(prompt, -26.0)


def call(prompts: Sequence[Samples], line: Line, seed: Sequence[int]) -> Samples:
    """(n,) two minutes of prompts in random order with pauses between, through a line."""
    generator = np.random.default_rng(seed)
    pieces, done = [], 0
    for place in np.resize(generator.permutation(len(prompts)), 10 * len(prompts)):
        pause = np.zeros(int(generator.uniform(0.3, 1.2) * SAMPLE_RATE), np.float32)
        pieces += [pause, prompts[place]]
        done += len(pause) + len(prompts[place])
        if done >= _CALL_S * SAMPLE_RATE:
            break
    return carried(np.concatenate(pieces), line, generator).astype(np.float32)


def measured(messages: Sequence[AnyCallMessage]) -> dict[str, Any]:
    """Of one call."""
    scored = [m for m in messages if isinstance(m, Reading) and m.scores is not None]
    labels = Counter(m.label for m in scored if m.label)
    outcome = next(m.outcome for m in messages if isinstance(m, CallEnded))
    return {
        "labelled": round(labels.total() / max(1, len(scored)), 3),
        "anger_among_labelled": round(labels["anger"] / max(1, labels.total()), 3),
        "neutral_among_labelled": round(labels["neutral"] / max(1, labels.total()), 3),
        "outcome": outcome,
        "alerts": dict(Counter(m.rule for m in messages if isinstance(m, AlertRaised))),
    }


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over calls, and the alerts of all."""
    shares = ("labelled", "anger_among_labelled", "neutral_among_labelled")
    alerts: Counter[str] = sum((Counter(row["alerts"]) for row in rows), Counter())
    return {
        "calls": len(rows),
        **{name: round(float(np.mean([row[name] for row in rows])), 3) for name in shares},
        "most_anger_among_labelled": max(row["anger_among_labelled"] for row in rows),
        "outcomes": dict(Counter(row["outcome"] for row in rows)),
        "alerts": dict(alerts),
        "calls_with_sustained_anger": sum("sustained_anger" in row["alerts"] for row in rows),
    }


def main() -> None:
    """Everything, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--model", type=Path, default=default_path())
    asked = parser.parse_args()
    found = voices(asked.prompts)
    if not found:
        parser.error(
            f"no folder of {_LEAST_PROMPTS} prompts or more under {asked.prompts}: unpack some there, as --help says"
        )
    names = [(voice, line) for voice in found for line in LINES]
    calls = (
        Recorded(f"{voice}, {line}", {"customer": call(found[voice], LINES[line], (1, number))})
        for number, (voice, line) in enumerate(names)
    )
    rows = {name: measured(messages) for name, messages in heard(calls, EmotionModel(asked.model))}
    print(json.dumps({"together": summary([*rows.values()]), "calls": rows}, indent=1))


if __name__ == "__main__":
    main()
