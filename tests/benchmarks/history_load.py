"""What the history costs: bytes a day, the writer's time a message, and how soon `callmood calls` answers.

    python -m tests.benchmarks.history_load [--concurrent 100] [--minutes 60] [--stored 100000]

Writes `--minutes` of `--concurrent` two-party calls of five minutes, two readings a second of each party, batch by batch as the
writer does but without waiting in between, and scales the bytes to a day of 24 hours. Then a file of `--stored` ended calls with
an alert in every tenth, which `callmood calls` lists. Prints one JSON object. The numbers are drawn as a busy line makes them:
six scores without a pattern, levels and latencies that jitter.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from monitor.history.archive import Archive
from monitor.history.database import opened
from monitor.history.ledger import Ledger, Run
from monitor.history.writer import BATCH_S
from monitor.messages import (
    LABELS,
    AlertCleared,
    AlertRaised,
    AnyCallMessage,
    CallEnded,
    CallStarted,
    PartyInfo,
    Reading,
    rfc3339,
)

CALL_S = 300
"""How long a call lasts."""
HOP_S = 0.5
BEGAN_S = 1_790_000_000.0
RUN = Run("load", "load", "none 0", "load")
DRAWN = 4_096
"""Score vectors that are drawn and used again in another order."""


class Voices:
    """Readings as a busy line makes them."""

    def __init__(self) -> None:
        self._random = random.Random(4)
        drawn = np.random.default_rng(4).dirichlet([2, 0.7, 0.5, 0.5, 4, 1], DRAWN).round(4).tolist()
        self._scores = [dict(zip(LABELS, one, strict=True)) for one in drawn]

    def reading(self, call: str, seq: int, party: str, end_s: float, at_s: float) -> Reading:
        chance = self._random
        scored = party == "customer" and chance.random() < 0.7
        scores = self._scores[chance.randrange(DRAWN)] if scored else None
        return Reading(
            at=rfc3339(at_s),
            call=call,
            seq=seq,
            party=party,  # type: ignore[arg-type]
            start_s=max(0.0, end_s - 3.0),
            end_s=end_s,
            state="speech" if scored else "silence" if party == "customer" else "not_scored",
            label=max(scores, key=scores.__getitem__) if scores else None,  # type: ignore[arg-type]
            mood="calm" if party == "customer" else None,
            confidence=round(0.3 + 0.6 * chance.random(), 4) if scored else None,
            scores=scores,  # type: ignore[arg-type]
            speech_share=round(chance.random(), 3),
            level_db=round(-45 + 30 * chance.random(), 1),
            latency_ms=round(5 + 40 * chance.random(), 1),
        )


def busy(concurrent: int, seconds: float) -> Iterator[list[AnyCallMessage]]:
    """Everything that is told within each hop."""
    voices, steps = Voices(), int(CALL_S / HOP_S)
    seqs: dict[str, int] = {}

    def following(call: str) -> int:
        seqs[call] = seqs.get(call, 0) + 1
        return seqs[call]

    for step in range(int(seconds / HOP_S)):
        told: list[AnyCallMessage] = []
        for line in range(concurrent):
            turn, place = divmod(step + line * steps // concurrent, steps)
            call, at_s = f"line-{line}-{turn}", BEGAN_S + step * HOP_S + line / 1_000
            if call not in seqs:
                told.append(beginning(call, following(call), at_s))
            end_s = place * HOP_S + 3.0
            told += [voices.reading(call, following(call), party, end_s, at_s) for party in ("agent", "customer")]
            if place == steps - 1:
                told.append(ending(call, following(call), at_s))
        yield told


def beginning(call: str, seq: int, at_s: float) -> CallStarted:
    parties: Any = {
        "agent": PartyInfo(channel=0, scored=False, identity="id-0123456789ab"),
        "customer": PartyInfo(channel=1, scored=True, identity="id-ba9876543210"),
    }
    at, agent = rfc3339(at_s), f"id-{seq % 97:012x}"
    return CallStarted(at=at, call=call, seq=seq, source="siprec", path=None, agent=agent, parties=parties)


def ending(call: str, seq: int, at_s: float) -> CallEnded:
    shares: Any = {"agent": {"not_scored": 1.0}, "customer": {"neutral": 0.5, "anger": 0.2, "silence": 0.3}}
    how: Any = {"duration_s": float(CALL_S), "reason": "end", "outcome": "calm", "shares": shares}
    return CallEnded(at=rfc3339(at_s), call=call, seq=seq, **how)


def alert(call: str, at_s: float) -> list[AnyCallMessage]:
    fields: Any = {"call": call, "alert": f"{call}:1", "rule": "sustained_anger", "severity": "critical"}
    fields |= {"party": "customer", "start_s": 9.0, "at_s": 12.0, "evidence": [3, 5, 7, 9, 11]}
    at = rfc3339(at_s)
    return [AlertRaised(at=at, seq=2, **fields), AlertCleared(at=at, seq=3, **fields)]


def write_busy(path: Path, concurrent: int, minutes: float) -> dict[str, float]:
    database = opened(path, create=True)
    ledger = Ledger(database, RUN, BEGAN_S, OrderedDict())
    messages, used_s, slowest_s = 0, 0.0, 0.0
    for batch in busy(concurrent, 60 * minutes):
        began_cpu_s, began_s = cpu_s(), time.monotonic()
        ledger.write(batch)
        used_s += cpu_s() - began_cpu_s
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        messages += len(batch)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    size = path.stat().st_size
    return {
        "messages": messages,
        "bytes_a_message": size / messages,
        "day_mb": size / minutes * 24 * 60 / 1e6,
        "writer_us_a_message": 1e6 * used_s / messages,
        "writer_cores": used_s / (60 * minutes),
        "slowest_batch_ms": 1000 * slowest_s,
        "batches_s": BATCH_S,
    }


def write_many(path: Path, calls: int) -> None:
    database = opened(path, create=True)
    ledger = Ledger(database, RUN, BEGAN_S, OrderedDict())
    for first in range(0, calls, 1_000):
        batch: list[AnyCallMessage] = []
        for number in range(first, min(first + 1_000, calls)):
            call, at_s = f"call-{number}", BEGAN_S + number
            alerts = alert(call, at_s) if number % 10 == 0 else []
            batch += [beginning(call, 1, at_s), *alerts, ending(call, 2 + len(alerts), at_s + CALL_S)]
        ledger.write(batch)
    database.close()


def list_many(path: Path) -> dict[str, float]:
    """Seconds until all of `callmood calls …` is printed, the start of the program included: of the clock, and of a core."""
    asked = {
        "calls_s": [],
        "calls_of_an_outcome_s": ["--outcome", "angry"],
        "calls_with_an_alert_s": ["--alert", "sustained_anger"],
        "calls_of_a_time_s": ["--since", rfc3339(BEGAN_S + 500), "--until", rfc3339(BEGAN_S + 600)],
    }
    took = {}
    for name, options in asked.items():
        began_s, began_cpu_s = time.monotonic(), cpu_s(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "monitor.cli", "calls", "--set", f"history.file={path}", *options]
        subprocess.run(command, check=True, capture_output=True)
        took[name] = time.monotonic() - began_s
        took[f"{name.removesuffix('_s')}_cpu_s"] = cpu_s(resource.RUSAGE_CHILDREN) - began_cpu_s
    began_cpu_s = cpu_s()
    with Archive(path) as archive:
        archive.calls()
    return took | {"all_calls_read_cpu_s": cpu_s() - began_cpu_s}


def cpu_s(whose: int = resource.RUSAGE_SELF) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrent", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--stored", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = write_busy(Path(folder) / "busy.db", options.concurrent, options.minutes)
        write_many(Path(folder) / "many.db", options.stored)
        result |= list_many(Path(folder) / "many.db")
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
