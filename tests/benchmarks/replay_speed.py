"""How many hours of recorded two-party calls `callmood replay --pace fast` scores in an hour.

    python -m tests.benchmarks.replay_speed [--recordings 16] [--minutes 10] [--jobs N]

Each recording is one of the example calls over and over. Prints one JSON object: hours of audio an hour of wall time, and an hour
of processor time of one core, the start of every process included.
"""

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from tests.benchmarks.start_and_memory import CALLS, callmood


def write_recordings(folder: Path, count: int, minutes: float) -> float:
    """Seconds of audio that were written."""
    calls = [soundfile.read(path, dtype="int16") for path in sorted(CALLS.glob("*.flac"))]
    for number in range(count):
        samples, sample_rate = calls[number % len(calls)]
        size = round(60 * minutes * sample_rate)
        whole = np.resize(samples, (size, samples.shape[1]))
        soundfile.write(folder / f"{number:04}.flac", whole, sample_rate)
    return count * 60 * minutes


def main() -> None:
    """One JSON object on stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recordings", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--jobs", type=int)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        audio_s = write_recordings(Path(name), asked.recordings, asked.minutes)
        jobs = () if asked.jobs is None else ("--jobs", str(asked.jobs))
        words = ("--pace", "fast", "--json", "--channels", "agent,customer", "--set", "history.keep=false", *jobs)
        began_s = time.monotonic()
        done = subprocess.run(callmood("replay", *words, name), stdout=subprocess.PIPE, check=True)
        wall_s = time.monotonic() - began_s
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = used.ru_utime + used.ru_stime
    told = {
        "recordings": asked.recordings,
        "hours_of_audio": round(audio_s / 3600, 3),
        "messages": done.stdout.count(b"\n"),
        "wall_s": round(wall_s, 2),
        "processor_s": round(processor_s, 2),
        "hours_an_hour": round(audio_s / wall_s),
        "hours_an_hour_of_one_core": round(audio_s / processor_s),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
