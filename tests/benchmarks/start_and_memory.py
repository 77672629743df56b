"""How soon a recording's first reading comes after the process starts, and what memory a node and each further party take.

    python -m tests.benchmarks.start_and_memory [--parties 300] [--starts 5]

Prints one JSON object. A start is `callmood replay --json` of an example call, until its first reading is on stdout: the least of
some starts, on the wall clock and in processor time, with Python's bytecode kept as it is by default. The memory of an idle node
is that of `callmood serve` once it is ready.
A party's is what the process grows by from 100 parties to more of them, each heard for 30 s, divided by how many they are.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from monitor.bench.stages import opened, steps
from monitor.bench.voices import loops, voices_of
from monitor.board import Board
from monitor.bus import Bus
from monitor.model import EmotionModel, default_path
from monitor.pipeline import Pipeline
from monitor.settings import Settings

CALLS = Path(__file__).parents[2] / "examples" / "calls"
_FEW = 100
_HEARD_S = 30


def callmood(*words: str) -> list[str]:
    """The command line of a callmood command."""
    return [sys.executable, "-m", "monitor.cli", *words]


def first_reading() -> dict[str, float]:
    """Seconds until the first reading of a recording is on stdout."""
    recording = str(sorted(CALLS.glob("*.flac"))[0])
    began_s = time.monotonic()
    command = callmood("replay", "--json", "--pace", "fast", "--set", "history.keep=false", recording)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL, env=kept) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if '"type":"reading"' in line)
        wall_s = time.monotonic() - began_s
        used_s = _processor_s(process.pid)
        process.kill()
    return {"wall_s": round(wall_s, 3), "processor_s": round(used_s, 3)}


def _processor_s(pid: int) -> float:
    """Of a process and its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def idle_mb(scoring_processes: int = 1) -> list[float]:
    """Of a server without calls, ten seconds after it is ready: the node's process, that of its listeners, those that score."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ("siprec.port=0", f"history.file={folder}/history.db", f"scoring_processes={scoring_processes}")
        words = (word for setting in settings for word in ("--set", setting))
        command = callmood("serve", "--json", "--port", "0", *words)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            if not any("SIPREC" in line for line in process.stderr):
                raise SystemExit("the server did not begin to listen")
            time.sleep(10.0)
            children = Path(f"/proc/{process.pid}/task").glob("*/children")
            pids = [process.pid, *(int(word) for path in children for word in path.read_text().split())]
            found = [round(resident_mb(pid), 1) for pid in pids]
            process.send_signal(signal.SIGTERM)
    return found


def party_kb(parties: int) -> float:
    """Resident kilobytes of each further party of a pipeline and its board."""
    settings = Settings(max_calls=parties)
    heard = loops(voices_of(sorted(CALLS.glob("*.flac"))), settings, parties)
    bus = Bus()
    bus.subscribe(Board().receive)
    pipeline = Pipeline(EmotionModel(default_path()), settings, bus)
    calls, resident = opened(parties), []
    for some in (slice(0, _FEW), slice(_FEW, parties)):
        pipeline.handle(calls[some])
        numbers = range(parties)[some]
        for second in range(_HEARD_S):
            for blocks in steps(heard[some], second, first=numbers.start):
                pipeline.handle(blocks)
        resident.append(resident_mb(os.getpid()))
    return round(1024 * (resident[1] - resident[0]) / (parties - _FEW), 1)


def main() -> None:
    """One JSON object on stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parties", type=int, default=300)
    parser.add_argument("--starts", type=int, default=5)
    asked = parser.parse_args()
    starts = [first_reading() for _ in range(asked.starts)]
    told = {
        "first_reading_wall_s": min(start["wall_s"] for start in starts),
        "first_reading_processor_s": min(start["processor_s"] for start in starts),
        "idle_node_and_listeners_mb": idle_mb(),
        "idle_node_listeners_and_two_that_score_mb": idle_mb(2),
        "further_party_kb": party_kb(asked.parties),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
