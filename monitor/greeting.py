"""How a subscription begins: what a subscriber must know first, or what it missed since its resume point. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.errors import RequestError
from monitor.memory import CallMemory, Memory, Told
from monitor.subscription import Topic

RESTARTED = "the server was started anew since: nobody knows how many"
FORGOTTEN = "this call ended a while ago, or was never heard here"
TOO_OLD = "the server keeps no more of this call"
LEFT_OUT = "more calls went on before the server was started anew than are told"


@dataclass
class Greeting:
    """What comes before everything live."""

    after: dict[str, int] = field(default_factory=dict)
    """Running call → its last `seq` so far: the resume point."""
    missed: list[tuple[str | None, int, str]] = field(default_factory=list)
    """Call, count (0: unknown) and reason of what cannot be had any more."""
    told: list[Told] = field(default_factory=list)
    """Messages as they were published, in that order."""


def greeting(memory: Memory, topic: Topic, resume: Mapping[str, int] | None, *, same_epoch: bool = True) -> Greeting:
    """The greeting of a subscriber of `topic`; of an agent's topic, `name` is as `call_started` shows it.

    `resume`: call → the last `seq` that the subscriber heard, None for a fresh start. A call that `resume` does not name
    is told from its beginning. Raises RequestError (404) for one call that is not running, (400) for a resume point that
    lies in the future.
    """
    calls = _calls(memory, topic, resume is not None and same_epoch)
    desktop = topic.kind == "agent"
    greeting = Greeting({name: call.last(desktop=desktop) for name, call in calls.items() if call.ended_s is None})
    if resume is not None and same_epoch:
        _catch_up(greeting, calls, resume, desktop)
    else:
        greeting.told = [told for call in calls.values() if call.ended_s is None for told in call.now()]
        if resume is not None:
            greeting.missed = [(None, 0, RESTARTED)]
    greeting.told.sort(key=lambda told: told.position)
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


def _catch_up(greeting: Greeting, calls: Mapping[str, CallMemory], resume: Mapping[str, int], desktop: bool) -> None:
    for name, call in calls.items():
        seq, last = resume.get(name, 0), call.last(desktop=desktop)
        if seq > last:
            text = f"the resume point {seq} of {name[:40]!a} lies in the future: its last message is {last}"
            raise RequestError(text, 400, "resume")
        kept = call.since(seq, desktop=desktop)
        greeting.told += kept
        if lost := last - seq - len(kept):
            greeting.missed.append((name, lost, TOO_OLD))
    greeting.missed += [(name, 0, FORGOTTEN) for name in resume if name not in calls]
