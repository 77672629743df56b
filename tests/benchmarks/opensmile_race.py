"""The whole line beside openSMILE's eGeMAPS functionals alone, in one run: processor milliseconds a window of 3 s.

    python -m tests.benchmarks.opensmile_race [--parties 32] [--seconds 10]

openSMILE is no dependency of callmood: its licence is for research and private use. Whoever wants the comparison installs it,
best outside of callmood's environment:

    python -m pip install --target /tmp/opensmile opensmile
    PYTHONPATH=/tmp/opensmile python -m tests.benchmarks.opensmile_race

Prints one JSON object. The line is all that a scored window costs: voice activity, features, the network, the reading, alerts,
the board, and the windows without speech between. openSMILE computes its 88 functionals of the same voices' windows, no more.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from monitor.audio import SAMPLE_RATE, Samples
from monitor.bench.rivals import least_ms
from monitor.bench.stages import cost
from monitor.bench.voices import loops, voices_of
from monitor.model import EmotionModel, default_path
from monitor.settings import Settings

CALLS = Path(__file__).parents[2] / "examples" / "calls"
_WINDOW = 3 * SAMPLE_RATE


def functionals() -> Callable[[Samples], object]:
    """What makes the 88 functionals of a window. Ends the program where openSMILE is not installed."""
    try:
        import opensmile
    except ImportError as error:
        sys.exit(f"openSMILE is not installed ({error}): python -m pip install --target /tmp/opensmile opensmile")
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    return lambda window: smile.process_signal(window, SAMPLE_RATE)


def main() -> None:
    """One JSON object on stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parties", type=int, default=32, help="that the line hears together")
    parser.add_argument("--seconds", type=float, default=10.0, help="for openSMILE")
    asked = parser.parse_args()
    smile, settings, voices = functionals(), Settings(), voices_of(sorted(CALLS.glob("*.flac")))
    ours = cost(EmotionModel(default_path()), voices, settings, asked.parties)
    loop = loops(voices, settings, 1)[0]
    starts = itertools.cycle(range(0, loop.size - _WINDOW, _WINDOW))
    theirs_ms = least_ms(lambda: smile(np.ascontiguousarray(loop[(at := next(starts)) : at + _WINDOW])), asked.seconds)
    line_ms = ours.whole_ms / ours.scored_windows_per_s
    told = {
        "line_ms_per_scored_window": round(line_ms, 2),
        "opensmile_ms_per_window": round(theirs_ms, 2),
        "opensmile_over_line": round(theirs_ms / line_ms, 1),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
