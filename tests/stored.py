"""What the tests of the history share: a file, a node's writer on it, and calls."""

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from monitor.history.database import opened
from monitor.history.ledger import Ledger, Run
from monitor.history.writer import History
from monitor.messages import LABELS, Acknowledge, AnyCallMessage, Gap, rfc3339
from tests.broadcasting import AT, acknowledgement, cleared, ended, raised, reading, started

BEGAN_S = 1_790_000_000.0


def run(epoch: str = "first", identities: str = "key") -> Run:
    return Run(epoch, "test", "tiny 1", identities)


def written_at_once(path: Path, messages: list[AnyCallMessage], epoch: str = "first", identities: str = "key") -> None:
    """What `write` does in one batch, without a thread."""
    database = opened(path, create=True)
    Ledger(database, run(epoch, identities), BEGAN_S, OrderedDict()).write(messages)
    database.close()


@contextmanager
def writing(
    path: Path, epoch: str = "first", identities: str = "key", days: int = 36_500, **options: Any
) -> Iterator[History]:
    """A history that is being written; what was told is in the file afterwards."""
    history = History(path, run(epoch, identities), days, **options)
    history.start()
    history.wait(20.0)
    try:
        yield history
    finally:
        history.stop(10.0)


def write(path: Path, messages: Iterable[AnyCallMessage], epoch: str = "first", **options: Any) -> None:
    """A whole run that tells `messages` and ends."""
    with writing(path, epoch, **options) as history:
        for message in messages:
            history.receive(message)


def until(holds: Any) -> None:
    """Wait until something holds, that tells of itself by no event."""
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def a_call(
    name: str = "a", count: int = 8, began_s: float = BEGAN_S, whole: bool = True, **start: Any
) -> list[AnyCallMessage]:
    """A start, `count` readings and gaps with an alert that is acknowledged and cleared, and an end; timed by the clock."""
    told: list[AnyCallMessage] = [started(name, **start)]
    scores = dict(zip(LABELS, (0.5, 0.1, 0.1, 0.1, 0.1, 0.1), strict=True))
    for seq in range(2, count + 2):
        party = "agent" if seq % 2 else "customer"
        told.append(
            reading(seq, name, party=party, state="not_scored", label=None, mood=None, confidence=None)
            if party == "agent"
            else reading(seq, name, scores=scores, label="anger")
        )
    acknowledge = Acknowledge(call=name, alert=f"{name}:1", by="Kim")
    told += [raised(count + 2, name, f"{name}:1"), acknowledgement(count + 3, acknowledge)]
    told += [cleared(count + 4, name, f"{name}:1")]
    told += [Gap(at=AT, call=name, seq=count + 5, party="customer", start_s=5.0, end_s=6.5, reason="lost")]
    if whole:
        told.append(ended(count + 6, name, duration_s=count / 2, outcome="angry"))
    return [replace(message, at=rfc3339(began_s + message.seq / 4)) for message in told]
