"""A connection that brings one party's voice and counts nothing: what it says of itself, and when its audio was spoken.

Asterisk sends audio as it comes, without numbers or times, and nothing in silence. TCP loses nothing, so what comes
follows what came, unless it comes so late that there must have been a pause.
"""

from collections.abc import Mapping, Sequence

from monitor.errors import CallmoodError, ProtocolError
from monitor.messages import PARTIES, Party
from monitor.sources.codecs import Codec
from monitor.sources.switchboard import Claim, Seat

_PAUSE_S = 0.25
"""By so much later than it should is a pause, not the network."""


def claim_of(source: str, parameters: Mapping[str, str], name: str, default: Party, rules: Sequence[str]) -> Claim:
    """What `parameters` (`call`, `party`, `agent`, `customer`) say of a lone voice; `name` is the call's where they do not.

    `rules` are, for the log, what said the party, and what said `default`. Raises ProtocolError for a party that is none.
    """
    said = parameters.get("party", "")
    if said and said not in PARTIES:
        raise ProtocolError(f"the parameter party is {said[:40]!a}, expected one of {', '.join(PARTIES)}")
    party: Party = next((one for one in PARTIES if one == said), default)
    call, customer = parameters.get("call", ""), parameters.get("customer", "")
    shared = bool(call) and party != "mixed"
    return Claim(
        name=call or name,
        source=source,
        parties={party: f"the only voice ({rules[0] if said else rules[1]})"},
        key=call if shared else "",
        expects=("customer", "agent") if shared else (),
        agent=parameters.get("agent") or None,
        identities={"customer": customer} if customer else {},
    )


class OneParty:
    """That party's place in its call. Times are of one monotonic clock, in seconds."""

    def __init__(self, seat: Seat, party: Party) -> None:
        self._seat, self._party = seat, party
        self._codec: Codec | None = None
        self._waiting: list[bytes] = []
        self._waiting_s = 0.0
        """When they came."""
        self._pieces = 0
        self._next_ticks: int | None = None
        """Where the audio has come to, in ticks of the monotonic clock."""

    @property
    def call(self) -> str:
        """Its name."""
        return self._seat.name

    def use(self, codec: Codec) -> None:
        """What is heard from now on is of that codec."""
        if codec != self._codec:
            self.flush()
            self._codec, self._next_ticks = codec, None
            self._seat.use(codec)

    def hear(self, payload: bytes, now_s: float) -> None:
        """Some audio, after `use`. What comes at one moment belongs together, and is handed on with the next `flush`."""
        if now_s != self._waiting_s:
            self.flush()
        self._waiting.append(payload)
        self._waiting_s = now_s

    def flush(self) -> None:
        """Hands on what waits."""
        payload, self._waiting = b"".join(self._waiting), []
        if payload and self._codec is not None:
            ticks = self._codec.ticks(payload)
            begins = round(self._waiting_s * self._codec.clock_rate) - ticks
            if self._next_ticks is None or begins - self._next_ticks > _PAUSE_S * self._codec.clock_rate:
                self._next_ticks = begins
            self._pieces += 1
            self._seat.push(self._party, self._pieces, self._next_ticks, payload, self._waiting_s)
            self._next_ticks += ticks

    def leave(self, reason: str, fault: CallmoodError | None, now_s: float) -> None:
        """It brings no more. May be called twice."""
        self.flush()
        self._seat.leave(reason, fault, now_s)
