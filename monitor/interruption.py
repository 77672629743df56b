"""The end of a call that nobody lived to see. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from monitor.messages import AnyCallMessage, CallEnded, CallMessage, CallStarted, Party, Reading

INTERRUPTED = "interrupted"
"""The reason of an end that came with callmood's own."""


class Unfinished:
    """What was told of a call so far."""

    def __init__(self, call: str, began: str) -> None:
        """`began`: the moment of its first message, RFC 3339."""
        self._call, self._at, self._seq, self._heard_s = call, began, 0, 0.0
        self._tallies: defaultdict[Party, Counter[str]] = defaultdict(Counter)
        self.scored = True
        """Whether a party of it is scored."""

    def add(self, message: CallMessage) -> None:
        """The call's next message."""
        self._at, self._seq = message.at, message.seq
        if isinstance(message, CallStarted):
            self.scored = any(party.scored for party in message.parties.values())
        if isinstance(message, Reading):
            self._heard_s = max(self._heard_s, message.end_s)
            self._tallies[message.party][message.label or message.state] += 1

    def end(self, reason: str, at: str = "") -> CallEnded:
        """An end `at` a moment, by default that of the last message: how the call would have ended, nobody knows."""
        return CallEnded(
            at=at or self._at,
            call=self._call,
            seq=self._seq + 1,
            duration_s=self._heard_s,
            reason=reason,
            outcome="unclear",
            shares={party: _shares(tally) for party, tally in self._tallies.items()},
        )


def interruption(call: str, messages: Iterable[AnyCallMessage], began: str) -> CallEnded:
    """The end of `call` at the time of its last message (`began` where there is none)."""
    unfinished = Unfinished(call, began)
    for message in messages:
        unfinished.add(message)
    return unfinished.end(INTERRUPTED)


def _shares(tally: Counter[str]) -> dict[str, float]:
    return {name: round(count / tally.total(), 4) for name, count in sorted(tally.items())}
