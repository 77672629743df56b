from collections.abc import Iterable, Sequence

import pytest

from monitor.alerts.rules import Rule
from monitor.alerts.stretches import Stretch
from monitor.alerts.trial import Fit, Trial, fits
from monitor.alerts.verdicts import as_json, lines
from monitor.messages import AnyMessage, CallEnded, CallStarted, Heartbeat, PartyInfo, Reading
from tests.alert_readings import HOP_S, angers, reading, rule

AT = "2026-01-31T12:00:00.000Z"
ANGER = rule(expected_on=["anger"])


def call(readings: Iterable[Reading], name: str = "one", duration_s: float = 60.0) -> list[AnyMessage]:
    from msgspec.structs import replace

    parties = {side: PartyInfo(channel=k, scored=bool(k)) for k, side in enumerate(("agent", "customer"))}
    ended = CallEnded(at=AT, call=name, seq=999, duration_s=duration_s, reason="end", outcome="calm", shares={})
    started = CallStarted(at=AT, call=name, seq=1, source="recording", path=None, parties=parties)  # type: ignore[arg-type]
    return [started, *(replace(one, call=name) for one in readings), ended]


def tried(rules: Rule | Sequence[Rule], *messages: AnyMessage) -> Trial:
    trial = Trial([rules] if isinstance(rules, Rule) else rules, smooth_s=0.0, hop_s=HOP_S)
    for message in messages:
        trial.hear(message)
    trial.end()
    return trial


def fit(trial: Trial, *stretches: tuple[float, float, str], tolerance_s: float = 5.0) -> Fit:
    labels = tuple(Stretch("one", start_s, end_s, label) for start_s, end_s, label in stretches)  # type: ignore[arg-type]
    return fits(trial, {"one": labels} if labels else {}, tolerance_s)[0]


def at(*raised_s: float, until_s: float = 60.0) -> Trial:
    """A call in which anger is raised at these moments, each time for a while."""
    spans = [(moment_s - 2.0, moment_s + 1.0) for moment_s in raised_s]
    ends = [3.0 + HOP_S * k for k in range(round((until_s - 3.0) / HOP_S))]
    values = [0.9 if any(low < end <= high for low, high in spans) else 0.0 for end in ends]
    trial = tried(ANGER, *call(angers(values)))
    assert [firing.raised_s for firing in trial.firings] == list(raised_s)
    return trial


def test_what_would_have_fired_is_told_call_by_call() -> None:
    trial = tried(ANGER, *call(angers([0.9] * 8 + [0.0] * 4), "a", 30.0), *call(angers([0.9] * 8), "b", 60.0))
    assert [(f.call, f.start_s, f.raised_s, f.cleared_s, f.evidence) for f in trial.firings] == [
        ("a", 2.5, 4.5, 7.5, (1, 2, 3, 4)),
        ("b", 2.5, 4.5, None, (1, 2, 3, 4)),
    ]
    assert trial.durations_s == {"a": 30.0, "b": 60.0}
    assert fit(trial).an_hour == pytest.approx(2 / (90 / 3600))


def test_calls_may_be_told_mixed_and_may_break_off_and_share_a_name() -> None:
    one, other = call(angers([0.9] * 8), "a"), call(angers([0.0] * 8), "b")
    mixed = [message for pair in zip(one, other, strict=True) for message in pair]
    assert [f.call for f in tried(ANGER, *mixed).firings] == ["a"]
    again = Trial([ANGER], 0.0, HOP_S)
    for source in (one[:-1], one):
        for message in [Heartbeat(at=AT), *source]:
            again.hear(message)
        again.end()
    assert again.durations_s == {"a": 6.5, "a-2": 60.0}
    assert [f.call for f in again.firings] == ["a", "a-2"]


def test_a_call_that_shares_a_name_takes_none_that_another_call_has() -> None:
    trial = Trial([ANGER], 0.0, HOP_S)
    ended, running, again = call([], "a-2", 2.0), call([], "a-3", 3.0), call([], "a", 1.0)
    for message in [*ended, *running[:1], *again, *again, *again, *running[1:], *ended]:
        trial.hear(message)
    trial.end()
    assert trial.durations_s == {"a-2": 2.0, "a": 1.0, "a-4": 1.0, "a-5": 1.0, "a-3": 3.0, "a-2-2": 2.0}


def test_the_hop_is_that_of_the_readings() -> None:
    slow = [reading(k, 3.0 + 2 * k, {"anger": 0.9}) for k in range(1, 9)]
    assert [(f.start_s, f.raised_s) for f in tried(ANGER, *call(slow)).firings] == [(3.0, 5.0)]
    lone = tried(rule(raise_for_s=0.5), *call(angers([0.9])))
    assert [f.raised_s for f in lone.firings] == [3.0]


def test_an_alert_on_a_stretch_with_the_label_is_right_and_the_stretch_hit() -> None:
    assert fit(at(22.0, 40.0), (10.0, 20.0, "neutral"), (21.0, 30.0, "anger")) == Fit(
        ANGER, 2, 120.0, judged=2, right=1, expected=1, hit=1, times_s=(1.0,)
    )


def test_an_alert_that_comes_a_little_late_is_right_still() -> None:
    assert (fit(at(22.0), (10.0, 20.0, "anger")).precision, fit(at(22.0), (10.0, 20.0, "anger")).recall) == (1.0, 1.0)
    strict = fit(at(22.0), (10.0, 20.0, "anger"), tolerance_s=1.0)
    assert (strict.precision, strict.recall, strict.median_time_s) == (0.0, 0.0, None)
    early = fit(at(22.0), (22.5, 30.0, "anger"))
    assert (early.precision, early.recall, early.median_time_s) == (0.0, 1.0, 0.0), "it is open when the stretch begins"


def test_successive_stretches_on_which_it_is_expected_are_one() -> None:
    both = rule("distressed", labels=["anger"], expected_on=["sad", "fear"])
    trial = tried(both, *call(angers([0.9] * 8 + [0.0] * 2)))
    one = fit(trial, (1.0, 10.0, "sad"), (10.0, 20.0, "fear"), (20.0, 25.0, "neutral"), (25.0, 30.0, "fear"))
    assert (one.expected, one.hit) == (2, 1)


def test_calls_without_labels_count_for_alerts_an_hour_alone() -> None:
    result = fit(at(22.0))
    assert (result.raised, result.judged, result.precision, result.recall) == (1, 0, None, None)


def test_a_rise_is_not_expected_from_the_beginning_nor_in_the_first_minute() -> None:
    worse = rule("turning_worse", measure="rise", expected_on=["anger"])
    trial = tried(worse, *call(angers([0.1] * 300), duration_s=150.0))
    assert fit(trial, (0.0, 140.0, "anger")).expected == 0
    assert fit(trial, (0.0, 20.0, "neutral"), (20.0, 55.0, "anger")).expected == 0
    assert fit(trial, (0.0, 20.0, "neutral"), (20.0, 75.0, "anger")).expected == 1


def test_a_stretch_that_ends_before_a_rule_looks_is_no_miss() -> None:
    waits = rule(not_before_s=6.0, expected_on=["anger"])
    trial = tried(waits, *call(angers([0.1] * 60), duration_s=32.0))
    assert fit(trial, (1.0, 7.0, "anger"), (7.0, 20.0, "neutral")).expected == 0
    assert fit(trial, (1.0, 7.0, "neutral"), (7.0, 20.0, "anger")).expected == 1


def test_a_rule_that_follows_another_is_expected_after_what_that_one_is_expected_on() -> None:
    news = rule("recovery", labels=["neutral"], after="sustained_anger", expected_on=["neutral", "happy"])
    quiet = tried([news, ANGER], *call(angers([0.1] * 100)))
    assert fit(quiet, (0.0, 20.0, "neutral"), (20.0, 40.0, "anger")).expected == 0
    assert fit(quiet, (0.0, 20.0, "anger"), (20.0, 40.0, "happy")).expected == 0, "no anger was raised"
    angry = tried([news, ANGER], *call(angers([0.9] * 10 + [0.0] * 10)))
    assert fit(angry, (0.0, 8.0, "anger"), (8.0, 40.0, "happy")).expected == 1


def test_a_stretch_that_another_rule_spoke_of_is_no_miss() -> None:
    quiet = rule("angry", raise_at=0.95, unless=["sustained_anger"], expected_on=["anger"])
    assert fit(tried([quiet, ANGER], *call(angers([0.9] * 20))), (0.0, 13.0, "anger")).expected == 0
    assert fit(tried([quiet, ANGER], *call(angers([0.1] * 20))), (0.0, 13.0, "anger")).expected == 1


def test_the_verdict_is_told_in_words_and_as_json() -> None:
    trial = at(22.0, 40.0)
    labels = {"one": (Stretch("one", 21.0, 30.0, "anger"),)}
    results = fits(trial, labels, 5.0)
    assert list(lines(trial, results, labels)) == [
        "    0:22  one                   sustained_anger (critical, customer): since 0:20, 4 readings, open to 0:24",
        "    0:40  one                   sustained_anger (critical, customer): since 0:38, 4 readings, open to 0:42",
        "",
        "rule             raised  an hour      precision         recall  median time to alert",
        "sustained_anger       2    120.0  0.50 (1 of 2)  1.00 (1 of 1)                 1.0 s",
        "",
        "1 call, 1:00 of call time, 1 of them labelled",
    ]
    told = as_json(trial, results, labels)
    assert told["calls"] == [{"call": "one", "duration_s": 60.0, "labelled": True}]
    assert told["alerts"][0]["evidence"] == trial.firings[0].evidence
    assert told["rules"][0]["precision"] == 0.5
