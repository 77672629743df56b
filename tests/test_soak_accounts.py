from types import SimpleNamespace
from typing import Any

import pytest

from monitor.messages import CallStarted, Missed
from tests.benchmarks.soak_accounts import (
    Sample,
    account_problems,
    calls_problems,
    course,
    growths,
    joined,
    memory_problems,
    moved,
    produced,
    reading_counts,
    scoring_s,
)
from tests.benchmarks.soak_calls import SoakCall
from tests.benchmarks.soak_faults import Faults
from tests.benchmarks.soak_node import Cost
from tests.benchmarks.soak_subscribers import Account


def call(name: str, way: str = "bye", heard_s: float = 4.0) -> SoakCall:
    return SoakCall(name, way=way, settled=True, heard_s=[heard_s, heard_s])


def heard(reason: str | None = "end", readings: int = 3, last_seq: int = 8, **changed: Any) -> dict[str, Any]:
    told = {"agent": readings, "customer": readings}
    base = {
        "reason": reason,
        "readings": told,
        "last_seq": last_seq,
        "messages": last_seq,
        "doubles": 0,
        "gaps": [],
        "ended_s": 0.0,
    }
    return base | changed


def test_calls_that_end_as_their_client_ended_them_are_no_problem() -> None:
    over = [call("a"), call("b", "dead"), call("c", "killed"), call("d", "unsure"), call("e", "killed")]
    told = {
        "a": heard(),
        "b": heard("error: neither audio nor signalling came for 10 s (siprec.idle_s)"),
        "c": heard("error: the listeners' process died (code -9)"),
        "d": heard("error: the listeners' process died (code -9)"),
        "d-2": heard(),
        "e": heard("error: the listeners' process gave no sign of life for 15 s: it is killed"),
    }
    assert list(calls_problems(over, joined(told, []))) == []


def test_calls_that_were_lost_or_ended_otherwise_are() -> None:
    over = [call("a"), call("b"), call("c"), call("d", "ended by the server")]
    told = {"b": heard(None), "c": heard("stopped"), "d": heard("stopped"), "e": heard()}
    assert list(calls_problems(over, joined(told, []))) == [
        "a: never told (bye)",
        "b: its end was never told (bye)",
        "c: bye, but its reason is stopped",
        "d: ended by the node: stopped",
        "e: nobody made that call (end)",
    ]


def test_readings_are_those_of_the_audio_that_was_sent_within_two() -> None:
    told = {"a": heard(readings=3), "b": heard(readings=6), "c": heard(readings=20)}
    over = [call("a"), call("b"), call("c", "dead")]
    expected, got, wrong = reading_counts(over, joined(told, []))
    assert (expected, got) == (2 * (3 + 3 + 20), 2 * (3 + 6 + 20))
    assert wrong == [f"b {party} (bye): 6 readings of 4.0 s, expected 3; gaps: []" for party in ("agent", "customer")]


def test_a_call_that_went_on_in_another_process_is_one_and_may_lack_a_window() -> None:
    def died(then: str, ended_s: float) -> dict[str, Any]:
        return heard(f"goes on as {then}: the process that scored it died (code -9)", readings=20, ended_s=ended_s)

    told = {
        "a": died("a-again", 10.4),
        "a-again": heard(readings=19, ended_s=30.0),
        "b": died("b-again", 10.5),
        "b-again": heard(readings=16, ended_s=30.0),
    }
    over = [call("a", heard_s=25.0), call("b", heard_s=25.0)]
    calls = joined(told, [10.0])
    assert {name: one["ended_s"] for name, one in calls.items()} == {"a": 30.0, "b": 30.0}
    assert list(calls_problems(over, calls)) == []
    assert reading_counts(over, calls) == (
        2 * (45 + 45),
        2 * (39 + 36),
        [f"b {party} (bye): 36 readings of 25.0 s, expected 45; gaps: []" for party in ("agent", "customer")],
    )
    assert moved(10.0, told) == {"calls": 2, "went_on": 2, "all_ended_within_s": 0.5}
    assert moved(11.0, told) == {"calls": 0, "went_on": 0, "all_ended_within_s": 0.0}
    for killed_s in ([], [5.0], [10.45]):
        assert next(calls_problems(over, joined(told, killed_s))) == (
            "a: bye, but its reason is goes on as a-again: the process that scored it died (code -9)"
        ), "the process died by itself"


def test_a_call_that_ended_with_its_process_or_was_never_heard_again_is_a_problem() -> None:
    reasons = {
        "c": "goes on as c-again: the process that scored it died (code -9)",
        "d": "error: the process that scored it died (code -9)",
    }
    told = {name: heard(reason, ended_s=10.7) for name, reason in reasons.items()}
    assert list(calls_problems([call("c"), call("d")], joined(told, [10.0]))) == [
        f"{name}: bye, but its reason is {reason}" for name, reason in reasons.items()
    ]
    assert moved(10.0, told) == {"calls": 2, "went_on": 1, "all_ended_within_s": 0.7}


class NobodyThere:
    """A node in which a scorer runs; the listeners are being started again at first."""

    def __init__(self) -> None:
        self.tries = 0
        self.scorers = [5, 6]

    @property
    def listeners(self) -> int:
        self.tries += 1
        return 0 if self.tries == 1 else 7


def test_what_ends_calls_comes_first_and_once_and_is_tried_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, _: killed.append(pid))
    caller = SimpleNamespace(up=[call("a")], accepted_s=0.0, unborn=0, killed=lambda: None)
    names = ["hangup", "scorer_killed", "listeners_killed"]
    faults = Faults(NobodyThere(), caller, None, lambda *_: None, 1, 0.0, names)  # type: ignore[arg-type]
    monkeypatch.setattr(Faults, "hangup", lambda _: None)
    for _ in range(6):
        faults.turn()
    assert sorted(faults.done[:2]) == ["listeners_killed", "scorer_killed"]
    assert faults.done[2:] == ["hangup"] * 3, "one turn found nobody"
    assert sorted(killed) in ([5, 7], [6, 7])


def test_processor_time_is_that_of_all_that_scored() -> None:
    def sample(**cpu_s: tuple[int, float]) -> Sample:
        return Sample(0, {role: Cost(pid, 1.0, 1, cpu) for role, (pid, cpu) in cpu_s.items()}, {}, 0)

    samples = [
        sample(scoring=(1, 5.0), a=(2, 1.0), listeners=(4, 1.0)),
        sample(scoring=(1, 6.0), a=(2, 3.0), listeners=(4, 9.0)),
    ]
    samples += [sample(scoring=(1, 7.0), a=(3, 0.5)), sample(scoring=(1, 7.0), a=(3, 1.0))]
    assert scoring_s(samples) == 2.0 + 2.0 + 0.5


def test_what_is_neither_delivered_nor_counted_is_a_problem() -> None:
    calls = {"a": heard(), "b": heard(), "c": heard()}
    assert produced(calls) == 24
    account = {"calls": calls | {"a": heard(messages=6)}, "missed": {"a": 2}, "unknown": []}
    assert list(account_problems("stalls", account, calls)) == []
    assert list(account_problems("stalls", account | {"missed": {"a": 1}}, calls)) == [
        "subscriber that stalls: a: 2 lack, missed told 1"
    ]
    assert list(account_problems("stalls", account | {"missed": {}, "unknown": ["a"]}, calls)) == []
    assert list(account_problems("stalls", account | {"missed": {}, "unknown": [""]}, calls)) == []
    for unknown in ([], [""]):
        strange = {"calls": calls, "missed": {"": 1, "z": 2}, "unknown": unknown}
        assert list(account_problems("stalls", strange, calls)) == [
            "subscriber that stalls: missed told of calls that nobody heard: no call in particular, z"
        ]
    twice = {"calls": calls | {"a": heard(doubles=1)}, "missed": {}, "unknown": []}
    assert list(account_problems("is cut", twice, calls)) == ["subscriber that is cut: 1 messages twice"]


def test_what_is_told_anew_after_nobody_knew_how_much_was_missed_is_not_told_twice() -> None:
    def started(seq: int) -> CallStarted:
        return CallStarted(at="", call="a", seq=seq, source="", path=None, parties={})

    account = Account()
    for event in (started(1), started(2), Missed(at="", call=None, count=0, reason=""), started(1), started(3)):
        account.take(event)
    assert (account.calls["a"].doubles, account.unknown) == (0, [""])
    account.take(started(1))
    assert account.calls["a"].doubles == 1


def test_memory_is_that_of_the_process_that_lives_in_the_end() -> None:
    def sample(minute: int, pid: int, rss_mb: float) -> Sample:
        return Sample(minute, {"listeners": Cost(pid, rss_mb, 10, 0.0)}, {}, 0)

    samples = [sample(minute, 1, 10.0 * minute) for minute in range(3)]
    samples += [sample(minute, 2, 50.0 if minute < 10 else 51.0) for minute in range(3, 16)]
    found = growths(samples, 2.0)["listeners"]
    assert (found["rss_mb_warm"], found["rss_mb_end"], found["minutes"]) == (50.0, 51.0, 12)
    assert round(found["growth"], 3) == 0.02


def test_memory_is_told_at_moments_from_the_first_to_the_last() -> None:
    samples = [Sample(minute, {"scoring": Cost(1, 100.0 + minute, 10, 0.0)}, {}, 2) for minute in range(9)]
    assert course(samples, 3) == [{"minute": minute, "calls": 2, "scoring_mb": 100.0 + minute} for minute in (0, 4, 8)]
    assert len(course(samples[:2])) == 2


def test_growth_is_a_problem_once_the_warm_up_is_long_over() -> None:
    grown = {"rss_mb_warm": 100.0, "rss_mb_end": 103.0, "growth": 0.03, "minutes": 20.0}
    assert list(memory_problems({"scoring": grown})) == ["the memory of scoring grew by 3.0%"]
    assert list(memory_problems({"scoring": grown | {"minutes": 19.0}, "listeners": grown | {"growth": 0.02}})) == []
