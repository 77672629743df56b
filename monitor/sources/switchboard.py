"""Calls that come over connections: one brings both parties, or one of them; who belongs together is one call.

A connection claims its place with a `Claim` and gets a `Seat`; connections whose claims have the same key share a call.
A call ends with its last seat. Time goes by arrival and by what the sender says of it, as with RTP.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.errors import CallmoodError, SourceError
from monitor.identities import Identities
from monitor.messages import Party
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened
from monitor.sources.audiofile import printable
from monitor.sources.codecs import Codec
from monitor.sources.jitter import StreamCounters
from monitor.sources.outbox import Outbox
from monitor.sources.rtp_packet import RtpPacket
from monitor.sources.rtp_party import PartyAudio

_log = logging.getLogger(__name__)

_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Claim:
    """What a connection says that it brings."""

    name: str
    """Wished for the call, as it came."""
    source: str
    """Kind of source, as in `call_started`."""
    parties: Mapping[Party, str]
    """Those that it brings → which rule says so, for the log."""
    key: str = ""
    """Connections of one source and key make one call; empty: this one alone is the call."""
    expects: tuple[Party, ...] = ()
    """Parties that other connections of the same key may bring."""
    takes_over: bool = False
    """Whether it follows a connection that brought the same parties, and may still seem to stand."""
    agent: str | None = None
    identities: Mapping[Party, str] = field(default_factory=dict)
    in_step: bool = False
    """Whether the parties' samples come side by side."""


class Seat:
    """One connection's place in its call."""

    def __init__(self, call: "_Call", parties: frozenset[Party], number: int) -> None:
        self._call, self._parties, self._number = call, parties, number

    @property
    def name(self) -> str:
        """Of the call."""
        return self._call.name

    def use(self, codec: Codec) -> None:
        """What is pushed from now on is of that codec."""
        for audio in self._audio():
            audio.set_codecs({0: codec})

    def push(self, party: Party, sequence: int, timestamp: int, payload: bytes, now_s: float) -> None:
        """Some audio: `sequence` counts its pieces, `timestamp` its samples in ticks of the codec's clock; both may wrap."""
        if self._call.seats.get(party) is self:
            packet = RtpPacket(0, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, self._number, payload, now_s)
            self._call.voices[party][0].push(packet)

    def hold(self) -> None:
        """What comes is passed over; time goes on as silence. May be called twice."""
        for audio in self._audio():
            audio.hold()

    def resume(self) -> None:
        """Listen again."""
        for audio in self._audio():
            audio.resume()

    def leave(self, reason: str, fault: CallmoodError | None, now_s: float, linger_s: float = 0.0) -> None:
        """It brings no more; the last one ends the call with `reason`, unless another comes in its place within
        `linger_s`. May be called twice."""
        call = self._call
        for party in [party for party, seat in call.seats.items() if seat is self]:
            del call.seats[party]
            call.left = (now_s + linger_s, reason, fault)

    def _audio(self) -> list[PartyAudio]:
        return [self._call.voices[party][0] for party in self._parties if self._call.seats.get(party) is self]


class _Call:
    def __init__(self, name: str, key: tuple[str, str]) -> None:
        self.name, self.key = name, key
        self.voices: dict[Party, tuple[PartyAudio, Outbox]] = {}
        self.seats: dict[Party, Seat] = {}
        self.left: tuple[float, str, CallmoodError | None] = (0.0, "end", None)
        """When it ends, and why, once nobody has a seat."""


class Switchboard:
    """All calls of one listener. Everything belongs to its event loop."""

    def __init__(
        self, queue: BlockQueue, names: CallNames, identities: Identities, jitter_s: float, most_calls: int
    ) -> None:
        self.counters = StreamCounters()
        """Of all audio of past calls."""
        self._queue, self._names, self._identities = queue, names, identities
        self._jitter_s, self._most_calls = jitter_s, most_calls
        self._calls: list[_Call] = []
        self._seats = 0

    @property
    def calls(self) -> int:
        """How many run."""
        return len(self._calls)

    @property
    def full(self) -> bool:
        """Whether no further call is taken."""
        return len(self._calls) >= self._most_calls

    def awaits(self, key: str) -> bool:
        """Whether a call of that key runs in which a party is still missing."""
        return any(bool(key) and call.key[1] == key and call.voices.keys() > call.seats.keys() for call in self._calls)

    def connect(self, claim: Claim, now_s: float) -> Seat:
        """A place in the call that is meant, which begins now where it does not run. Raises SourceError when full."""
        call = self._running(claim) or self._begin(claim, now_s)
        self._seats += 1
        seat = Seat(call, frozenset(claim.parties), self._seats)
        call.seats.update(dict.fromkeys(claim.parties, seat))
        rules = "; ".join(self._told(party, rule, claim) for party, rule in claim.parties.items())
        _log.info("%s: %s", call.name, rules)
        return seat

    def tick(self, now_s: float) -> None:
        """Several times a second: lets time pass, and ends what nobody is in any more."""
        for call in list(self._calls):
            try:
                for audio, outbox in call.voices.values():
                    outbox.refresh()
                    audio.pass_time(now_s)
            except Exception as fault:  # one call's fault must not cost the others
                _log.exception("%s failed", call.name)
                error = SourceError(f"{call.name}: a fault of ours: {fault!r}; report this")
                call.seats.clear()
                call.left = (now_s, f"error: {error}", error)
            if not call.seats and now_s >= call.left[0]:
                self._end(call, now_s)

    def end_left(self, now_s: float) -> None:
        """Ends at once what nobody is in any more, whether or not somebody might come back."""
        for call in [call for call in self._calls if not call.seats]:
            self._end(call, now_s)

    def _running(self, claim: Claim) -> _Call | None:
        """The call that `claim` means, where it has room for these parties."""
        for call in self._calls:
            if claim.key and call.key == (claim.source, claim.key) and call.voices.keys() >= claim.parties.keys():
                taken = call.seats.keys() & claim.parties.keys()
                return call if claim.takes_over or not taken else None
        return None

    def _begin(self, claim: Claim, now_s: float) -> _Call:
        if self.full:
            raise SourceError(f"{self._most_calls} calls run, which are all that may: see max_calls")
        name = self._names.take(printable(claim.name)[:_LONGEST_NAME])
        call = _Call(name, (claim.source, claim.key))
        for party in dict.fromkeys((*claim.parties, *claim.expects)):
            outbox = Outbox(self._queue)
            audio = PartyAudio(name, party, {}, now_s, self._jitter_s, outbox.put)
            call.voices[party] = audio, outbox
        self._calls.append(call)
        parties: dict[Party, int] = {party: channel for channel, party in enumerate(call.voices)}
        opened = CallOpened(name, claim.source, None, parties, claim.agent, claim.identities, claim.in_step)
        self._queue.put(opened)
        return call

    def _end(self, call: _Call, now_s: float) -> None:
        self._calls.remove(call)
        for audio, outbox in call.voices.values():
            try:
                audio.finish(now_s)
                outbox.empty()
            except Exception:  # it ends all the same
                _log.exception("the end of %s failed", call.name)
            self.counters.add(audio.counters)
        _, reason, fault = call.left
        self._queue.put(CallClosed(call.name, reason, fault))

    def _told(self, party: Party, rule: str, claim: Claim) -> str:
        who = claim.identities.get(party)
        shown = f" {printable(self._identities.shown(who))}" if who else ""
        return f"{party}{shown} is {rule}"
