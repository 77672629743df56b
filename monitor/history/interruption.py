"""The end of a call that callmood did not live to see. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from monitor.messages import AnyCallMessage, CallEnded, Party, Reading

INTERRUPTED = "interrupted"
"""The reason of such an end."""


def interruption(call: str, messages: Iterable[AnyCallMessage], began: str) -> CallEnded:
    """The end of `call` at the time of its last message (`began` where there is none): how it ended, nobody knows."""
    at, seq, heard_s = began, 0, 0.0
    tallies: defaultdict[Party, Counter[str]] = defaultdict(Counter)
    for message in messages:
        at, seq = message.at, message.seq
        if isinstance(message, Reading):
            heard_s = max(heard_s, message.end_s)
            tallies[message.party][message.label or message.state] += 1
    return CallEnded(
        at=at,
        call=call,
        seq=seq + 1,
        duration_s=heard_s,
        reason=INTERRUPTED,
        outcome="unclear",
        shares={party: _shares(tally) for party, tally in tallies.items()},
    )


def _shares(tally: Counter[str]) -> dict[str, float]:
    return {name: round(count / tally.total(), 4) for name, count in sorted(tally.items())}
