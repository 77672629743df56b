"""What a process that scores (`monitor.scorer_process`) and whoever began it (`monitor.scorer`) tell each other."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from monitor.alerts.rules import Rule
from monitor.identities import Identities
from monitor.messages import AnyMessage
from monitor.settings import Settings
from monitor.sources import Event

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[AnyMessage])


@dataclass(frozen=True)
class Setup:
    """What a process scores with. It goes there by pickle."""

    model: Path
    settings: Settings
    identities: Identities
    rules: Sequence[Rule]
    level: int
    """Of the log."""


class Load(NamedTuple):
    """How busy a process is."""

    busy: float
    """See `Busyness`, 0..1."""
    since_s: float | None
    """When the oldest of what it has heard and not told came, monotonic; None where there is nothing."""
    cpu_s: float
    """Processor time that it has taken."""


class Order(NamedTuple):
    """What the process is told after its Setup, again and again; then None, when nothing more comes."""

    unscoring: str
    """Why calls that begin now are not scored, in one line; empty where they are."""
    events: Sequence[Event]


Answer = bytes | Load | logging.LogRecord | None
"""What it tells; bytes are messages. None: that was all, after nothing more came."""


def packed(messages: Sequence[AnyMessage]) -> bytes:
    """Those as one answer."""
    return _encoder.encode(messages)


def unpacked(answer: bytes) -> list[AnyMessage]:
    """The messages in an answer, in order."""
    return _decoder.decode(answer)
