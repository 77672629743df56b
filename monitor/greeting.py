"""How a subscription begins: what a subscriber must know first, or what it missed since its resume point. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter

from msgspec import UNSET, UnsetType

from monitor.errors import RequestError
from monitor.memory import CallMemory, Memory, Told
from monitor.messages import Missed
from monitor.subscription import ALL_CALLS, Topic

RESTARTED = "the server was started anew since: nobody knows how many"
FORGOTTEN = "this call ended a while ago, or was never heard here"
TOO_OLD = "the server keeps no more of this call"
LEFT_OUT = "more calls went on before the server was started anew than are told"


@dataclass(frozen=True, slots=True)
class Hole:
    """Messages that cannot be had any more."""

    call: str | None
    count: int
    """0: nobody knows."""
    reason: str
    seq: int | UnsetType = UNSET
    """The last of them, where they are counted."""

    def told(self, at: str) -> Missed:
        """As it is told at the moment `at`."""
        return Missed(at=at, call=self.call, count=self.count, reason=self.reason, seq=self.seq)


@dataclass
class Greeting:
    """What comes before everything live."""

    after: dict[str, int] = field(default_factory=dict)
    """Running call → its last `seq` so far: the resume point."""
    begun: int = 0
    """Calls so far, for whoever hears all."""
    lines: list[Hole | Told] = field(default_factory=list)
    """Messages as they were published, in that order; what is missing of a call stands before its next message, or at the end,
    and calls of which nobody knows how much come first."""

    @property
    def told(self) -> list[Told]:
        """The messages alone."""
        return [line for line in self.lines if isinstance(line, Told)]

    @property
    def holes(self) -> list[Hole]:
        """What is missing between them."""
        return [line for line in self.lines if isinstance(line, Hole)]


def greeting(
    memory: Memory,
    topic: Topic,
    resume: Mapping[str, int] | None,
    *,
    begun: int | UnsetType = UNSET,
    same_epoch: bool = True,
) -> Greeting:
    """The greeting of a subscriber of `topic`; of an agent's topic, `name` is as `call_started` shows it.

    `resume`: call → the last `seq` that the subscriber heard, None for a fresh start. A call that `resume` does not name
    is told from its beginning, unless it is among the first `begun`, which the subscriber knows of; without `begun`, unless it
    ended more than a minute ago. Raises RequestError (404) for one call that is not running, (400) for a resume point that lies
    in the future, or so far back that calls may have come and gone of which nothing is kept.
    """
    calls = _calls(memory, topic, resume is not None and same_epoch)
    desktop = topic.kind == "agent"
    running = {name: call.last(desktop=desktop) for name, call in calls.items() if call.ended_s is None}
    greeting = Greeting(running, memory.begun if topic == ALL_CALLS else 0)
    if resume is not None and same_epoch:
        if begun is not UNSET:
            _check_begun(memory, begun)
        unheard = {name: call for name, call in calls.items() if name in resume or _is_news(call, begun)}
        greeting.lines += [Hole(name, 0, FORGOTTEN) for name in resume if name not in calls]
        greeting.lines += _missed(unheard, resume, desktop)
    else:
        told = [told for call in calls.values() if call.ended_s is None for told in call.now()]
        greeting.lines += [Hole(None, 0, RESTARTED)] * (resume is not None)
        greeting.lines += sorted(told, key=attrgetter("position"))
    return greeting


def _calls(memory: Memory, topic: Topic, with_ended: bool) -> dict[str, CallMemory]:
    if topic.kind == "calls":
        return memory.of()
    if topic.kind == "agent":
        return memory.of(topic.name)
    call = memory.call(topic.name)
    if call is None or (call.ended_s is not None and not with_ended):
        raise RequestError(
            f"no call {topic.name[:40]!a} is running: /v1/agents/ID waits for an agent's next", 404, "call"
        )
    return {topic.name: call}


def _check_begun(memory: Memory, begun: int) -> None:
    if begun > memory.begun:
        text = f"the resume point lies in the future: {begun} calls are more than the {memory.begun} that have begun"
        raise RequestError(text, 400, "resume")
    if begun < memory.gone:
        text = f"nothing is kept of some calls that began after the {begun} that you know of: subscribe anew, without after"
        raise RequestError(text, 400, "resume")


def _is_news(call: CallMemory, begun: int | UnsetType) -> bool:
    """Whether a subscriber that does not name `call` has never heard of it."""
    return call.whole if begun is UNSET else call.number > begun


def _missed(calls: Mapping[str, CallMemory], resume: Mapping[str, int], desktop: bool) -> list[Hole | Told]:
    """What came of `calls` since, in order. Raises RequestError where a resume point lies in the future."""
    lines: list[tuple[float, Hole | Told]] = []
    for name, call in calls.items():
        seq, last = resume.get(name, 0), call.last(desktop=desktop)
        if seq > last:
            text = f"the resume point {seq} of {name[:40]!a} lies in the future: its last message is {last}"
            raise RequestError(text, 400, "resume")
        for told in call.since(seq, desktop=desktop):
            this = told.desktop_seq if desktop else told.seq
            if this > seq + 1:
                lines.append((told.position, Hole(name, this - seq - 1, TOO_OLD, this - 1)))
            lines.append((told.position, told))
            seq = this
        if seq < last:
            lines.append((math.inf, Hole(name, last - seq, TOO_OLD, last)))
    return [line for _, line in sorted(lines, key=itemgetter(0))]
