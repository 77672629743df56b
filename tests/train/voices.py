"""Clips that a voice detector takes for speech, different by actor and emotion: harmonics with syllables."""

from pathlib import Path

import numpy as np
import soundfile

from monitor.audio import SAMPLE_RATE, Samples, float_to_pcm
from monitor.messages import LABELS, Label
from train.corpus import EMOTIONS, Clip

CODES = {label: code for code, label in EMOTIONS.items()}


def voice(actor: int, label: Label, number: int = 0, seconds: float = 2.0) -> Samples:
    """(n,) syllables of five a second, of two vowels in turns; every emotion has its own pitch and brightness, every actor their
    own pitch."""
    generator = np.random.default_rng((actor, LABELS.index(label), number))
    time_s = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch_hz = 100.0 + 8.0 * actor + 30.0 * LABELS.index(label)
    tilt = 0.5 + 0.3 * LABELS.index(label)
    vowel = np.where(np.sin(2 * np.pi * 0.6 * time_s) > 0, 0.5, -0.5)
    tones = sum(np.sin(2 * np.pi * k * pitch_hz * time_s) / k**tilt * (1.0 + vowel * (-1) ** k) for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time_s), 0.0, None)
    noise = 0.02 * generator.standard_normal(len(time_s))
    return (0.1 * (tones * syllables + noise)).astype(np.float32)


def clip(actor: int, label: Label, number: int = 0, seconds: float = 2.0) -> Clip:
    """One clip of actor `1001 + actor`."""
    name = f"{1001 + actor}_IEO_{CODES[label]}_XX"
    pcm = float_to_pcm(voice(actor, label, number, seconds))
    return Clip(f"{name}-{number}", str(1001 + actor), "IEO", label, "XX", None, None, None, pcm)


def cast(actors: int, each: int = 2) -> tuple[Clip, ...]:
    """`each` clips of every emotion of every actor."""
    return tuple(clip(actor, label, number) for actor in range(actors) for label in LABELS for number in range(each))


def write_corpus(root: Path, actors: int) -> Path:
    """CREMA-D's layout with two clips an emotion and actor; no demographics, votes or split."""
    (root / "AudioWAV").mkdir(parents=True)
    for actor in range(actors):
        for label in LABELS:
            for number, sentence in enumerate(("IEO", "DFA")):
                name = f"{1001 + actor}_{sentence}_{CODES[label]}_XX.wav"
                soundfile.write(root / "AudioWAV" / name, voice(actor, label, number), SAMPLE_RATE)
    return root
