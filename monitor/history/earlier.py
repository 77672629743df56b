"""What an earlier run of the server told, out of the history, for a subscriber that comes back after a restart."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from msgspec.structs import replace

from monitor.desktop import desktop_view
from monitor.errors import HistoryError
from monitor.history.archive import Archive, StoredCall
from monitor.interruption import INTERRUPTED
from monitor.memory import Memory
from monitor.messages import AnyCallMessage, CallEnded
from monitor.subscription import Topic

MOST_CALLS = 500
"""Calls of which such a subscriber is told."""
MOST_READINGS = 16_384
"""Readings that it is told, over all of them; alerts, beginnings and ends come besides."""


@dataclass(frozen=True)
class Past:
    """An earlier run, as far as one subscriber missed it."""

    memory: Memory
    """As it stood when that run ended."""
    whole: bool
    """Whether all calls that it may have missed are there."""


def past(
    path: Path, epoch: str, identities: str, topic: Topic, resume: Mapping[str, int], readings_kept: int
) -> Past | None:
    """The run `epoch` for whoever heard `resume` (call → last `seq`) of `topic`, an agent's as messages show it.

    `readings_kept`: of each call, at most. None where the history does not hold that run, where identities were shown otherwise
    than now (`Identities.fingerprint`), or where `resume` names no call of the topic: nobody knows when such a subscriber left.
    """
    try:
        with Archive(path) as archive:
            run = archive.run(epoch)
            if run is None or run[1] != identities or not resume:
                return None
            return _Restored(archive, run[0], topic, readings_kept).past(resume)
    except HistoryError:
        return None


class _Restored:
    """Calls of one run, as the memory of a server keeps them."""

    def __init__(self, archive: Archive, run: int, topic: Topic, readings_kept: int) -> None:
        self._archive, self._run, self._topic, self._readings_kept = archive, run, topic, readings_kept

    def past(self, resume: Mapping[str, int]) -> Past | None:
        named = self._calls(resume, None)
        if self._topic.kind == "call" or not named:
            return Past(self._memory(named, resume), True) if named else None
        left_s = max(self._archive.told_at_s(call, resume[call.call]) for call in named)
        calls = self._calls(resume, left_s)
        return Past(self._memory(calls[:MOST_CALLS], resume), len(calls) <= MOST_CALLS)

    def _calls(self, names: Mapping[str, int], left_s: float | None) -> list[StoredCall]:
        """Calls of the topic: those of `names`, and with `left_s` those that began since then, or were never heard to end.

        A call that began before, and is not named, was heard to its end and forgotten.
        """
        agent = self._topic.name if self._topic.kind == "agent" else None
        return self._archive.calls_of_run(self._run, names, left_s, MOST_CALLS + 1, agent)

    def _memory(self, calls: Sequence[StoredCall], resume: Mapping[str, int]) -> Memory:
        kept = min(self._readings_kept, MOST_READINGS // max(1, len(calls)))
        memory = Memory(kept)
        told = [self._told(call, kept, resume.get(call.call, 0)) for call in calls]
        for message in heapq.merge(*told, key=attrgetter("at")):
            memory.tell(message, 0.0)
        return memory

    def _told(self, call: StoredCall, kept: int, heard: int) -> list[AnyCallMessage]:
        """All events of a call, and its last readings. An interruption comes after what the subscriber has heard: the last
        moment before a crash was told, and not stored.
        """
        messages = self._archive.messages_of(call, after_seq=max(0, (call.last_seq or 0) - kept - 1))
        last = messages[-1]
        if isinstance(last, CallEnded) and last.reason == INTERRUPTED:
            if self._topic.kind == "agent":
                heard += sum(desktop_view(message, agent_only=False) is None for message in messages)
            messages[-1] = replace(last, seq=max(last.seq, heard + 1))
        return messages
