"""Calls that come and go: a recording client that begins and ends them as a seed draws, at real pace, and survives its server."""

import math
import random
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tests.benchmarks.rtp_media import Media, Stream
from tests.benchmarks.siprec_load import Call, Client
from tests.sip_texts import METADATA, SDP, both

HOST = "127.0.0.1"
_AT_FIRST = 1.25
"""Times the calls that run on average: chance brings as many later, and what a node needs for them must be there before the
memory is compared."""
_RESEND_S = 0.5
_GIVE_UP_S = 32.0
"""RFC 3261's timer B and F."""
_SESSION = "hVpd7YQgRW2nD22h7q60JQ=="
_SDP = SDP.replace("RTP/AVP 8 0", "RTP/AVP 0")


@dataclass(frozen=True)
class Lengths:
    """How long calls last, seconds: log-normal, cut at both ends."""

    median_s: float
    shortest_s: float
    longest_s: float
    sigma: float = 0.8

    def draw(self, chance: random.Random) -> float:
        return min(max(chance.lognormvariate(math.log(self.median_s), self.sigma), self.shortest_s), self.longest_s)

    def mean_s(self) -> float:
        """Of ten thousand."""
        chance = random.Random(1)
        return sum(self.draw(chance) for _ in range(10_000)) / 10_000


LONG = Lengths(180.0, 30.0, 1_200.0)
BRIEF = Lengths(15.0, 4.0, 60.0)


@dataclass
class SoakCall(Call):
    """One call, and what its client did with it."""

    ends_s: float = 0.0
    """Monotonic."""
    asked_s: float = 0.0
    """When its last request was first sent."""
    sent_s: float = 0.0
    """When it was last sent."""
    way: str = "bye"
    """How it ends: bye, dead (its source), killed (the listeners' process died under it), unsure (it died while it began)."""
    settled: bool = False
    """Whether that is known."""
    heard_s: list[float] = field(default_factory=list)
    """Audio that was sent of each party while somebody could hear it."""


class Caller(Client):
    """Keeps so many calls running on average."""

    calls: dict[str, SoakCall]  # type: ignore[assignment]

    def __init__(self, port: int, media: Media, most: float, lengths: Lengths, seed: int) -> None:
        super().__init__(port, "udp", media)
        self.chance = random.Random(seed)
        self._lengths, self._every_s = lengths, lengths.mean_s() / most
        self._next_s = 0.0
        self._count = 0
        self.ending = False
        """No further call begins."""
        self.begun = self.again = self.refused = self.unanswered = 0
        """Of those that were begun, `again`: by callers who were cut off."""
        self.unborn = round(_AT_FIRST * most)
        """Calls that are begun at once, so that the load is there from the beginning."""
        self._first = self.unborn
        self.over: list[SoakCall] = []
        """Calls whose client is done with them."""
        self.accepted_s = float("-inf")
        """When a call was last accepted, monotonic."""

    @property
    def up(self) -> list[SoakCall]:
        """Those that run, and that the node hears."""
        return [call for call in self.calls.values() if call.state == "up" and call.way != "killed"]

    def turn(self) -> None:
        """A moment: whatever is due. A sender that is late ends no call before it has sent what was spoken until then."""
        self.take()
        now_s = self._media.moment_s
        while not self.ending and (self.unborn or now_s >= self._next_s):
            if self.unborn:
                self.unborn -= 1
            self._next_s = now_s + self.chance.expovariate(1 / self._every_s)
            self._begin(now_s, now_s + self._draw())
        for call in list(self.calls.values()):
            self._tend(call, now_s)

    def end_all(self) -> None:
        """No further call, and no running one much longer."""
        self.ending = True
        for call in self.calls.values():
            call.ends_s = min(call.ends_s, time.monotonic() + self.chance.uniform(0.0, 2.0))

    def killed(self) -> None:
        """The listeners' process has died: nobody hears the running calls any more, but their clients do not know. Whoever spoke
        calls again, and speaks as long as before."""
        cut_off_until_s = [call.ends_s for call in self.up]
        for call in self.calls.values():
            if call.state == "ending":  # whether its end was heard is not known
                call.way = "killed"
            self._settle(call, "unsure" if call.state == "asked" else "killed")
        self.again += len(cut_off_until_s)
        for ends_s in cut_off_until_s:
            self._begin(self._media.moment_s, ends_s)

    def die(self) -> str:
        """The source of one of the calls falls silent for good; its name, empty where none runs."""
        running = [call for call in self.up if call.way == "bye"]
        if not running:
            return ""
        call = self.chance.choice(running)
        self._settle(call, "dead")
        self._finish(call)
        return call.name

    def _draw(self) -> float:
        """How long the next call lasts, seconds."""
        lasts_s = self._lengths.draw(self.chance)
        if self._count < self._first:
            lasts_s = max(lasts_s, self._lengths.draw(self.chance))  # of calls that run at a moment, more are long ones
        return lasts_s

    def _begin(self, now_s: float, ends_s: float) -> None:
        self._count += 1
        name = f"soak-{self._count}"
        self.calls[name] = SoakCall(name, ends_s=ends_s, asked_s=now_s)
        self._ask(self.calls[name], now_s)

    def _ask(self, call: SoakCall, now_s: float) -> None:
        call.sent_s = now_s
        with suppress(OSError):  # nobody listens just now
            if call.state == "asked":
                body = both(_SDP, METADATA.replace(_SESSION, call.name))
                self._send("INVITE", call, body, "Require: siprec")
            else:
                self._send("BYE", call, b"", cseq=2)

    def _tend(self, call: SoakCall, now_s: float) -> None:
        if call.state in ("asked", "ending"):
            if now_s - call.asked_s > _GIVE_UP_S:
                self.unanswered += call.state == "asked"
                self._finish(call)
            elif now_s - call.sent_s > _RESEND_S:
                self._ask(call, now_s)
        elif call.state == "up" and now_s >= call.ends_s:
            self._settle(call, "bye")
            for stream in call.streams:
                stream.end()
            call.state, call.asked_s = "ending", now_s
            self._ask(call, now_s)
        elif call.state in ("over", "refused"):
            self.refused += call.state == "refused"
            self._finish(call)

    def _settle(self, call: SoakCall, way: str) -> None:
        """How it ends, and what was heard of it until then; the first reason stays."""
        if not call.settled:
            call.settled, call.way = True, way
            call.heard_s = [stream.packets * 0.02 for stream in call.streams]

    def _finish(self, call: SoakCall) -> None:
        del self.calls[call.name]
        for stream in call.streams:
            stream.end()
        if call.streams:
            self.over.append(call)

    def take(self) -> None:
        with suppress(OSError):  # the system says that nobody listens
            super().take()

    def _answered(self, head: str, body: str) -> None:
        name = re.search(r"(?i)call-id: *(\S+)", head)
        call = self.calls.get(name[1]) if name else None
        if not head.startswith("SIP/2.0"):
            return self._asked(head, call)
        if call is None:
            return None
        before = call.state
        super()._answered(head, body)
        if before == "asked" and call.state == "up":
            self.begun += 1
            self.accepted_s = time.monotonic()
        return None

    def _asked(self, head: str, call: SoakCall | None) -> None:
        """The server ends a call."""
        lines = [line for line in head.split("\r\n")[1:] if re.match(r"(?i)(via|from|to|call-id|cseq):", line)]
        with suppress(OSError):
            self._socket.send("\r\n".join(["SIP/2.0 200 OK", *lines, "Content-Length: 0", "", ""]).encode())
        if call is not None:
            self._settle(call, "ended by the server")
            self._finish(call)

    def ports(self) -> Iterator[Stream]:
        """Streams of running calls."""
        for call in self.up:
            yield from call.streams
