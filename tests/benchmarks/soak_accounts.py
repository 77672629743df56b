"""Whether everything of a soak is accounted for: what was sent against what was told, and what a month of it would cost. Pure."""

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.siprec_load import _expected as readings_of
from tests.benchmarks.soak_calls import SoakCall
from tests.benchmarks.soak_node import IDLE_S, Cost

PARTIES = ("agent", "customer")
"""Of the streams of a call, in their order."""
TOLERANCE = 2
"""Readings of a party: its last packets may have come after its call's end."""
MOVED = 6
"""Readings that a party lacks whose call goes on in another process: of its first window there, all but the last, and of what was
heard and not told."""
ENDED_WITHIN_S = 5.0
"""Calls of a process that was killed."""
MOST_GROWTH = 0.02
"""Of the memory of a process, from the warm-up to the end."""
JUDGED_FROM_MIN = 20.0
"""A process that is younger at the end still warms up: its growth is told, and no problem."""
MONTH_MIN = 30 * 24 * 60

_REASONS = {
    "bye": r"end$",
    "dead": r"error: .*idle_s",
    "killed": r"error: the listeners' process (died|gave no sign of life)|end$",
}
"""How a call's client ended it → what is told of it."""
_LOST_ITS_SCORER = re.compile(r"(?:goes on as (\S+)|error): the process that scored it died")
"""The reason of a call's end; with the name under which it goes on, where it does."""


def joined(heard: Mapping[str, Mapping[str, Any]], killed_s: Sequence[float]) -> dict[str, dict[str, Any]]:
    """The same, but a call that went on under another name after the process that scored it was killed, monotonic, is one: with
    the readings and gaps of both, the last end, and "moved". Processes that died by themselves are no excuse.
    """
    later = {}
    for name, told in heard.items():
        lost = _LOST_ITS_SCORER.match(told["reason"] or "")
        if lost and lost[1] and any(0 <= told["ended_s"] - at_s <= ENDED_WITHIN_S for at_s in killed_s):
            later[lost[1]] = name
    found = {name: {**told, "moved": False} for name, told in heard.items() if name not in later}
    for then, name in later.items():
        if then in heard:
            first, second = heard[name], heard[then]
            readings = Counter(first["readings"]) + Counter(second["readings"])
            found[name] = {**second, "readings": readings, "gaps": [*first["gaps"], *second["gaps"]], "moved": True}
    return found


def calls_problems(over: Iterable[SoakCall], heard: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Calls that were lost, or ended with another reason than their own; `heard`: call → what was heard of it, `joined`."""
    known = set()
    for call in over:
        known.add(call.name)
        told = heard.get(call.name)
        if told is None or told["reason"] is None:
            yield f"{call.name}: {'never told' if told is None else 'its end was never told'} ({call.way})"
        elif call.way == "ended by the server":
            yield f"{call.name}: ended by the node: {told['reason']}"
        elif call.way in _REASONS and not re.match(_REASONS[call.way], told["reason"]):
            yield f"{call.name}: {call.way}, but its reason is {told['reason']}"
    unsure = {call.name for call in over if call.way == "unsure"}
    for name, told in heard.items():
        if name not in known and name.rpartition("-")[0] not in unsure | known:
            yield f"{name}: nobody made that call ({told['reason']})"


def reading_counts(over: Iterable[SoakCall], heard: Mapping[str, Mapping[str, Any]]) -> tuple[int, int, list[str]]:
    """Readings that the audio that was sent makes, those that were told, and the parties of which too few or many were; `heard`
    as above."""
    expected, told, wrong = 0, 0, []
    for call in over:
        if call.way == "unsure" or call.name not in heard:
            continue
        for party, sent_s in zip(PARTIES, call.heard_s, strict=False):
            want, got = readings_of(sent_s) if sent_s else 0, heard[call.name]["readings"].get(party, 0)
            if call.way == "dead":  # then it is a gap until the call ends
                want = min(max(want, got), readings_of(sent_s + IDLE_S + 1))
            expected, told = expected + want, told + got
            if not -TOLERANCE <= want - got <= TOLERANCE + MOVED * heard[call.name]["moved"]:
                gaps = [(start_s, end_s) for of, start_s, end_s in heard[call.name]["gaps"] if of == party]
                text = f"{call.name} {party} ({call.way}): {got} readings of {sent_s:.1f} s, expected {want}"
                wrong.append(f"{text}; gaps: {gaps}")
    return expected, told, wrong


def account_problems(name: str, account: Mapping[str, Any], calls: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What a subscriber got twice, or did not get although no `missed` told so. `calls`: call → what a subscriber heard that
    heard all. Of calls of which nobody could tell how much lacked nothing is asked.
    """
    heard, missed, unknown = account["calls"], account["missed"], set(account["unknown"])
    if doubles := sum(call["doubles"] for call in heard.values()):
        yield f"subscriber that {name}: {doubles} messages twice"
    if strange := missed.keys() - calls.keys():
        names = ", ".join(sorted(call or "no call in particular" for call in strange))
        yield f"subscriber that {name}: missed told of calls that nobody heard: {names}"
    if "" in unknown:
        return
    wrong = []
    for call in calls.keys() - unknown:
        lacking = calls[call]["last_seq"] - heard.get(call, {"messages": 0})["messages"]
        if lacking != (told := missed.get(call, 0)):
            wrong.append(f"{call}: {lacking} lack, missed told {told}")
    if wrong:
        yield f"subscriber that {name}: {'; '.join(sorted(wrong))}"


def moved(killed_s: float, heard: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """What became of the calls of a process that scored and was killed then, monotonic; `heard` as a subscriber heard it."""
    lost = [
        (told["ended_s"] - killed_s, match[1])
        for told in heard.values()
        if (match := _LOST_ITS_SCORER.match(told["reason"] or "")) and told["ended_s"] >= killed_s
    ]
    within_s = max((after_s for after_s, _ in lost), default=0.0)
    return {
        "calls": len(lost),
        "went_on": sum(bool(then) for _, then in lost),
        "all_ended_within_s": round(within_s, 2),
    }


def produced(heard: Mapping[str, Mapping[str, Any]]) -> int:
    """Messages of all calls, by their last numbers."""
    return sum(call["last_seq"] for call in heard.values())


@dataclass(frozen=True)
class Sample:
    """The node at one moment."""

    at_min: float
    """Since the first call."""
    costs: Mapping[str, Cost]
    bytes: Mapping[str, int]
    calls: int


def growths(samples: Sequence[Sample], warm_min: float) -> dict[str, dict[str, float]]:
    """Process → its memory after the warm-up and at the end (medians of a quarter each, as are the calls that ran then), and its
    growth as a share. A process that came in another's place counts alone, from the same time after its start on."""
    found = {}
    for role in dict.fromkeys(role for one in samples for role in one.costs):
        mine = [(one.at_min, one.costs[role], one.calls) for one in samples if role in one.costs]
        last = mine[-1][1].pid
        own = [(at_min, cost.rss_mb, calls) for at_min, cost, calls in mine if cost.pid == last]
        warm = [(rss_mb, calls) for at_min, rss_mb, calls in own if at_min >= own[0][0] + warm_min]
        if len(warm) < 4:
            continue
        quarter = max(2, len(warm) // 4)
        (first, calls_first), (then, calls_then) = _medians(warm[:quarter]), _medians(warm[-quarter:])
        found[role] = {
            "rss_mb_warm": round(first, 2),
            "rss_mb_end": round(then, 2),
            "growth": round(then / first - 1, 4),
            "calls_warm": calls_first,
            "calls_end": calls_then,
            "minutes": round(own[-1][0] - own[0][0], 2),
        }
    return found


def _medians(warm: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Of megabytes and of running calls."""
    return statistics.median(rss_mb for rss_mb, _ in warm), statistics.median(calls for _, calls in warm)


def memory_problems(memory: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Processes that grew; `memory`: what `growths` found."""
    for role, one in memory.items():
        if one["growth"] > MOST_GROWTH and one["minutes"] >= JUDGED_FROM_MIN:
            yield f"the memory of {role} grew by {one['growth']:.1%}"


def scoring_s(samples: Sequence[Sample]) -> float:
    """Processor time of all that score, seconds."""
    first, last = {}, {}
    for cost in (cost for one in samples for role, cost in one.costs.items() if role != "listeners"):
        first.setdefault(cost.pid, cost.cpu_s)
        last[cost.pid] = cost.cpu_s
    return sum(last.values()) - sum(first.values())


def course(samples: Sequence[Sample], points: int = 13) -> list[dict[str, float]]:
    """Memory and running calls at so many moments, evenly from the first sample to the last."""
    chosen = {round(number * (len(samples) - 1) / (points - 1)) for number in range(points)}
    return [
        {"minute": round(one.at_min, 1), "calls": one.calls}
        | {f"{role}_mb": round(cost.rss_mb, 1) for role, cost in one.costs.items()}
        for one in (samples[index] for index in sorted(chosen))
    ]


def month(samples: Sequence[Sample], begun: int, again: int, warm_min: float, played_min: float) -> dict[str, float]:
    """What thirty days of so many calls in so many minutes would add, but those that were begun `again` after a kill. The last
    sample is of the files that the node left."""
    first = next(one for one in samples if one.at_min >= warm_min)
    last = samples[-1]
    minutes = max(1e-9, last.at_min - first.at_min)
    added = {name: (last.bytes[name] - first.bytes[name]) / minutes * MONTH_MIN / 1e6 for name in ("log", "lines")}
    per_call, calls = last.bytes["history"] / max(1, begun), begun - again
    return {
        "log_mb": added["log"],
        "lines_on_stdout_mb": added["lines"],
        "history_kb_a_call": per_call / 1e3,
        "history_mb": per_call * calls / max(1e-9, played_min) * MONTH_MIN / 1e6,
        "calls": calls / max(1e-9, played_min) * MONTH_MIN,
    }


def reasons(heard: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """How calls ended, and how many so."""
    told = (re.sub(r"\d+(\.\d+)?", "#", call["reason"] or "never told") for call in heard.values())
    return dict(Counter(told).most_common())
