"""Random mutations of real inputs against a parser: what comes out, how long it takes, what stays in memory.

A target is real inputs and a parser; any input must give a value or one of our errors, in less than `SLOWEST_S`.
"""

import gc
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from monitor.errors import CallmoodError

SLOWEST_S = 1.0
_LONGEST = 65_535
_INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x80",
    b"\x7f",
    b"\r\n",
    b"\n",
    b":",
    b"=",
    b";",
    b"<",
    b">",
    b'"',
    b"&",
    b"%",
    b"4294967296",
    b"-1",
)


@dataclass(frozen=True)
class Target:
    """A parser, and inputs that it takes."""

    name: str
    seeds: Sequence[bytes]
    parse: Callable[[bytes], object]


@dataclass
class Outcome:
    """What so many inputs gave."""

    inputs: int = 0
    values: int = 0
    errors: int = 0
    """Our own, as they should be."""
    faults: list[str] = field(default_factory=list)
    """Other exceptions and slow inputs, each with the beginning of its input; the first ten."""
    faulty: list[bytes] = field(default_factory=list)
    """Those inputs, whole."""
    seconds: float = 0.0
    slowest_s: float = 0.0
    grown_bytes: int = 0
    """Memory that the last tenth of the inputs left behind; to trace more would take most of the time."""

    def __str__(self) -> str:
        counts = f"{self.inputs} inputs: {self.values} values, {self.errors} errors of ours, {len(self.faults)} faults"
        times = f"{self.seconds:.1f} s, slowest {1_000 * self.slowest_s:.1f} ms"
        return "\n".join([f"{counts}; {times}; memory grown by {self.grown_bytes} bytes", *self.faults])


def fuzz(target: Target, inputs: int, seed: int = 1) -> Outcome:
    """Gives `target` mutations of its seeds; the same ones for the same `seed`."""
    outcome = Outcome()
    began_s = time.perf_counter()
    before_bytes = 0
    tracing = tracemalloc.is_tracing()
    for data in mutations(target.seeds, inputs, seed):
        if outcome.inputs == inputs - inputs // 10 and not tracing:
            gc.collect()
            tracemalloc.start()
            before_bytes = tracemalloc.get_traced_memory()[0]
        _try(target, data, outcome)
    if not tracing:
        gc.collect()
        outcome.grown_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
        tracemalloc.stop()
    outcome.seconds = time.perf_counter() - began_s
    return outcome


def _try(target: Target, data: bytes, outcome: Outcome) -> None:
    outcome.inputs += 1
    began_s = time.thread_time()  # of the processor: on a busy machine the clock tells of others
    try:
        target.parse(data)
        outcome.values += 1
    except CallmoodError:
        outcome.errors += 1
    except Exception as fault:
        _note(outcome, f"{fault!r} from", data)
    took_s = time.thread_time() - began_s
    outcome.slowest_s = max(outcome.slowest_s, took_s)
    if took_s > SLOWEST_S:
        _note(outcome, f"{took_s:.1f} s for", data)


def _note(outcome: Outcome, text: str, data: bytes) -> None:
    if len(outcome.faults) < 10:
        outcome.faults.append(f"{text} {data[:400]!r}")
        outcome.faulty.append(data)


def mutations(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """The seeds themselves first, then ever new changes of them."""
    rng = random.Random(seed)
    for number in range(count):
        if number < len(seeds):
            yield seeds[number]
            continue
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            _mutate(data, rng, seeds)
        yield bytes(data[:_LONGEST])


def _mutate(data: bytearray, rng: random.Random, seeds: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    span = rng.choice((1, 2, 4, rng.randrange(1, 64), rng.randrange(1, 2_048)))
    match rng.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 1 if at < len(data):
            data[at] = rng.randrange(256)
        case 2:
            del data[at : at + span]
        case 3:
            data[at:at] = data[at : at + span] * rng.choice((1, 1, 2, 50))
        case 4:
            data[at : at + rng.choice((0, 1, 4))] = rng.choice(_INTERESTING)
        case 5:
            other = rng.choice(seeds)
            start = rng.randrange(len(other) + 1)
            data[at : at + span] = other[start : start + span]
        case _:
            data[at:at] = rng.randbytes(min(span, 64))
