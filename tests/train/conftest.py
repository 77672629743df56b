"""A tiny corpus in CREMA-D's layout, spoken by espeak-ng: 8 voices that stand for actors, 48 clips."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from train.corpus import EMOTIONS

VOICES = ("en+m1", "en+f1", "en+m2", "en+f2", "en+m3", "en+f3", "en+m4", "en+f4")
MANNERS = {
    "ANG": (70, 190), "DIS": (30, 120), "FEA": (85, 210), "HAP": (80, 170), "NEU": (45, 150), "SAD": (25, 100),
}  # fmt: skip
"""Emotion → espeak-ng's pitch (0..99) and rate (words a minute)."""


def speak(path: Path, voice: str, pitch: int, words_a_minute: int) -> None:
    """One sentence as a WAV at 22,050 Hz."""
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(words_a_minute), "-w", str(path)]
    subprocess.run([*command, "It's eleven o'clock, and I am on my way to the meeting"], check=True)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus's root. Without espeak-ng the test fails in CI and is skipped elsewhere."""
    if not shutil.which("espeak-ng"):
        reason = "espeak-ng is missing: install it (Debian: apt-get install espeak-ng)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    root = tmp_path_factory.mktemp("corpus")
    (root / "AudioWAV").mkdir()
    for number, voice in enumerate(VOICES):
        for emotion in EMOTIONS:
            speak(root / "AudioWAV" / f"{2001 + number}_IEO_{emotion}_XX.wav", voice, *MANNERS[emotion])
    people = [f"{2001 + number},30,{'Female' if '+f' in voice else 'Male'}" for number, voice in enumerate(VOICES)]
    (root / "VideoDemographics.csv").write_text("\n".join(["ActorID,Age,Sex", *people]) + "\n")
    actors = [str(2001 + number) for number in range(len(VOICES))]
    (root / "split.json").write_text(json.dumps({"train": actors[:6], "validation": actors[6:]}))
    return root
