"""What goes wrong during a soak, when, and how it is made right again."""

import os
import random
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from monitor.apart import HUNG_S
from tests.benchmarks.rtp_media import Media
from tests.benchmarks.soak_calls import Caller
from tests.benchmarks.soak_node import Node
from tests.sip_texts import both, request

FOREIGN = "127.0.0.2"
"""On no allow-list."""
Tell = Callable[..., None]
"""To the subscribers' process."""


@dataclass
class Killed:
    """What became of the calls of a process that was killed, or that hung."""

    at_s: float
    calls: list[str]
    noticed_s: float
    """After so long at the latest."""
    answered_s: float | None = None
    """Until a new call was taken."""


@dataclass
class Faults:
    """Does one after the other; `turn` is called often, and never waits."""

    node: Node
    caller: Caller
    media: Media
    tell: Tell
    seed: int
    between_s: float
    """From one to the next."""
    names: Sequence[str]
    """Those that come."""
    done: list[str] = field(default_factory=list)
    """What was done, in order."""
    skipped: dict[str, str] = field(default_factory=dict)
    kills: list[Killed] = field(default_factory=list)
    """Of listeners."""
    scorers_killed_s: list[float] = field(default_factory=list)
    """When, monotonic."""
    _waiting: list[str] = field(default_factory=list)
    _later: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)
    _next_s: float = 0.0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._next_s = time.monotonic() + self.between_s if self.names else float("inf")

    def turn(self) -> None:
        """Whatever is due."""
        now_s = time.monotonic()
        for due in [one for one in self._later if one[0] <= now_s]:
            self._later.remove(due)
            due[1]()
        self._watch(now_s)
        if now_s >= self._next_s:
            self._next_s = now_s + self.between_s
            if name := self._draw():
                self.done.append(name)
                getattr(self, name)()

    def mend(self) -> None:
        """All that is still to be made right, now."""
        for _, undo in self._later:
            undo()
        self._later.clear()
        self._next_s = float("inf")

    def _draw(self) -> str:
        """Every fault once, in an order of chance, then all again; none where none is left. What ends calls comes first and only
        once, so that the processes and calls whose memory is compared live through the most of it."""
        if not self._waiting:
            over = {*self.skipped, *(name for name in _DEADLY if name in self.done)}
            self._waiting = [name for name in self.names if name not in over]
            self._chance.shuffle(self._waiting)
            self._waiting.sort(key=_DEADLY.__contains__)
        return self._waiting.pop() if self._waiting else ""

    def _undo(self, after_s: float, undo: Callable[[], Any]) -> None:
        self._later.append((time.monotonic() + after_s, undo))

    def _watch(self, now_s: float) -> None:
        kill = self.kills[-1] if self.kills else None
        if kill and kill.answered_s is None and self.caller.accepted_s > kill.at_s:
            kill.answered_s = now_s - kill.at_s

    def dead_source(self) -> None:
        self.caller.die()

    def malformed_rtp(self) -> None:
        """From where a call's media come, and from elsewhere."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            for stream in self.caller.ports():
                for _ in range(20):
                    data = self._chance.randbytes(self._chance.randrange(1, 400))
                    self.media.send(data, stream.address)
                    other.sendto(data, stream.address)

    def malformed_sip(self) -> None:
        target = ("127.0.0.1", self.node.port)
        whole = request("INVITE", both(), "Require: siprec", call="malformed@client")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, suppress(OSError):
            for _ in range(50):
                cut = bytearray(whole[: self._chance.randrange(1, len(whole))])
                cut[self._chance.randrange(len(cut))] = self._chance.randrange(256)
                one.sendto(bytes(cut), target)
        with suppress(OSError), socket.create_connection(target, 1) as one:
            one.sendall(self._chance.randbytes(5_000))

    def foreign_flood(self) -> None:
        """From an address that is on no list: two thousand packets of each kind."""
        packet = bytearray(struct.pack(">BBHII", 0x80, 0, 0, 0, 99) + bytes(160))
        ports = [stream.address for stream in self.caller.ports()][:4]
        invite = request("INVITE", both(), "Require: siprec", call="foreign@client")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, suppress(OSError):
            one.bind((FOREIGN, 0))
            for number in range(2_000):
                struct.pack_into(">HI", packet, 2, number, number * 160)
                one.sendto(packet, ports[number % len(ports)] if ports else ("127.0.0.1", self.node.port))
                one.sendto(invite, ("127.0.0.1", self.node.port))

    def subscriber_stalls(self) -> None:
        self.tell("stall", "stalls", 25.0)

    def subscriber_is_cut(self) -> None:
        self.tell("cut", "is cut")

    def full_disk(self) -> None:
        if not self.node.disk.fills:
            self.skipped["full_disk"] = "a disk of its own needs the right to mount a tmpfs"
            return
        self.node.disk.fill()
        self._undo(20.0, self.node.disk.clear)

    def receiver_down(self) -> None:
        self.tell("receiver", 503)
        self._undo(12.0, lambda: self.tell("receiver", 204))

    def hangup(self) -> None:
        self.node.signal(signal.SIGHUP)

    def clock_forward(self) -> None:
        self.node.clock.set_ahead(3_600.0)

    def clock_back(self) -> None:
        self.node.clock.set_ahead(-7_200.0)

    def suspended(self) -> None:
        """The machine sleeps for a moment; only our own does not."""
        self.node.signal_scoring(signal.SIGSTOP, also_listeners=True)
        self._undo(4.0, lambda: self.node.signal_scoring(signal.SIGCONT, also_listeners=True))

    def scoring_stands_still(self) -> None:
        self.node.signal_scoring(signal.SIGSTOP)
        self._undo(4.0, lambda: self.node.signal_scoring(signal.SIGCONT))

    def scorer_killed(self) -> None:
        """One of several processes that score."""
        scorers = self.node.scorers
        if not scorers:
            self.skipped["scorer_killed"] = "the first process scores; more do with --set scoring_processes=2"
            return
        os.kill(self._chance.choice(scorers), signal.SIGKILL)
        self.scorers_killed_s.append(time.monotonic())

    def listeners_killed(self) -> None:
        self._take_listeners(signal.SIGKILL, 0.0)

    def listeners_hang(self) -> None:
        """Their process lives, and does nothing. Nothing else comes until that is noticed: it could wake it."""
        self._take_listeners(signal.SIGSTOP, HUNG_S)
        self._next_s += HUNG_S

    def _take_listeners(self, number: int, noticed_s: float) -> None:
        listeners = self.node.listeners
        if not listeners:  # they are being started again: another time
            self._waiting.append(self.done.pop())
            return
        os.kill(listeners, number)
        self.kills.append(Killed(time.monotonic(), [call.name for call in self.caller.up], noticed_s))
        self.caller.killed()
        self.caller.unborn += 1  # somebody calls just now, even where nobody was cut off


NAMES = [
    "dead_source",
    "malformed_rtp",
    "malformed_sip",
    "foreign_flood",
    "subscriber_stalls",
    "subscriber_is_cut",
    "full_disk",
    "receiver_down",
    "hangup",
    "clock_forward",
    "clock_back",
    "suspended",
    "scoring_stands_still",
    "scorer_killed",
    "listeners_killed",
    "listeners_hang",
]
_DEADLY = ("scorer_killed", "listeners_killed", "listeners_hang")
