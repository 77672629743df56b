"""What the benchmarks hear: customers' voices from recordings, in loops of which about half of the windows are scored."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.errors import AudioError
from monitor.readings import unscored_state
from monitor.settings import Settings
from monitor.windows import PartyWindows, Window

BLOCK = SAMPLE_RATE // 50
"""Samples of a block as it is fed (20 ms)."""
LOOP_S = 20.0
"""Seconds of a loop."""
_DRAWS = 48
_BEGINNINGS = 10
"""Of each loop, evenly."""


def voices_of(paths: Sequence[Path]) -> list[Samples]:
    """The customers' channels (the last ones) of recordings at 8 kHz. Raises AudioError where there is none."""
    voices = []
    for path in paths:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        if sample_rate != SAMPLE_RATE:
            raise AudioError(
                f"{path}: expected {SAMPLE_RATE} Hz, got {sample_rate} Hz; the benchmark does not resample"
            )
        voices.append(np.ascontiguousarray(samples[: len(samples) // BLOCK * BLOCK, -1]))
    if not voices:
        raise AudioError("no recordings to feed; expected the example calls that come with callmood")
    return voices


def loops(voices: Sequence[Samples], settings: Settings, count: int) -> list[Samples]:
    """Stretches of 20 s from random places of the voices in which about half of the windows are scored. Seeded."""
    rng = np.random.default_rng(0)
    length = round(LOOP_S * SAMPLE_RATE)
    drawn = []
    for _ in range(_DRAWS):
        voice = voices[int(rng.integers(len(voices)))]
        start = int(rng.integers(voice.size))
        drawn.append(np.take(voice, range(start, start + length), mode="wrap"))
    best = sorted(drawn, key=lambda loop: abs(_scored_share(loop, settings) - 0.5))[: _DRAWS // 4]
    # Each is there from several beginnings: at any moment as many speak as over a whole round.
    turned = [np.roll(loop, length // _BEGINNINGS * number) for loop in best for number in range(_BEGINNINGS)]
    return [turned[int(k)] for k in rng.integers(len(turned), size=count)]


def _scored_share(loop: Samples, settings: Settings) -> float:
    """Of the windows of a loop that goes round twice."""
    stream = PartyWindows(settings.window_s, settings.hop_s, with_features=False)
    found = list(stream.push(Block("", "customer", 0, SAMPLE_RATE, np.tile(loop, 2), 0.0)))
    return float(np.mean([unscored_state(w, settings) is None for w in found if isinstance(w, Window)]))
