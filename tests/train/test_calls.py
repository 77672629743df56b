"""What is measured on labelled calls, on messages made by hand."""

from dataclasses import replace
from typing import Any

import pytest

from monitor.messages import AlertRaised, AnyCallMessage, CallEnded, Reading
from train.calls import Told, call_measures
from train.stitch import Stretch


def alert(at_s: float, rule: str = "sustained_anger") -> AlertRaised:
    facts: dict[str, Any] = {"severity": "critical", "party": "customer", "start_s": at_s - 3, "evidence": []}
    return AlertRaised(at="", call="c", seq=1, alert="c:1", rule=rule, at_s=at_s, **facts)


def reading(end_s: float, label: str | None, mood: str = "calm") -> Reading:
    facts: dict[str, Any] = {
        "confidence": 0.5,
        "scores": None,
        "speech_share": 1.0,
        "level_db": -20.0,
        "latency_ms": 0.0,
    }
    return Reading(
        at="",
        call="c",
        seq=1,
        party="customer",
        start_s=end_s - 3,
        end_s=end_s,
        state="speech" if label else "uncertain",
        label=label,  # type: ignore[arg-type]
        mood=mood,  # type: ignore[arg-type]
        **facts,
    )


def ended(outcome: str) -> CallEnded:
    return CallEnded(at="", call="c", seq=9, duration_s=90.0, reason="end", outcome=outcome, shares={})  # type: ignore[arg-type]


def told(stretches: list[tuple[float, float, str]], *messages: AnyCallMessage, name: str = "c") -> Told:
    return Told(name, name, "customer", tuple(Stretch(*row) for row in stretches), messages)  # type: ignore[arg-type]


GROWING = [(0.0, 30.0, "neutral"), (30.0, 60.0, "anger"), (60.0, 90.0, "neutral")]


def test_anger_after_calm_is_found_by_the_first_alert_in_it() -> None:
    found = call_measures([told(GROWING, alert(37.0), alert(50.0)), told(GROWING, name="d")])
    assert found["anger"]["stretches"] == 2
    assert found["anger"]["found"] == 0.5
    assert found["anger"]["median_s"] == 7.0


def test_an_alert_just_after_the_anger_is_due_to_it_and_later_is_false() -> None:
    soon, late = call_measures([told(GROWING, alert(64.0))]), call_measures([told(GROWING, alert(70.0))])
    assert (soon["anger"]["found"], soon["rules"]["sustained_anger"]["false_an_hour"]) == (1.0, 0.0)
    assert (late["anger"]["found"], late["rules"]["sustained_anger"]["false_an_hour"]) == (0.0, 60.0)
    assert late["rules"]["sustained_anger"]["during"] == {"neutral": 1}


@pytest.mark.parametrize(("at_s", "found"), [(11.9, 1.0), (12.1, 0.0)])
def test_who_is_angry_from_the_first_word_has_twelve_seconds(at_s: float, found: float) -> None:
    measured = call_measures([told([(0.0, 30.0, "anger")], alert(at_s))])["anger"]
    assert measured["at_once_found"] == found
    assert measured["stretches"] == 0
    assert measured["found"] is None


def test_an_alert_during_happy_speech_is_told_but_is_not_of_the_quiet_hours() -> None:
    found = call_measures([told([(0.0, 30.0, "happy"), (30.0, 60.0, "sad")], alert(10.0, "distressed_caller"))])
    assert found["rules"]["distressed_caller"] == {"raised": 1, "during": {"happy": 1}}


def test_the_mood_at_the_end_of_a_stretch_and_the_outcome_count() -> None:
    stretches = [(0.0, 20.0, "disgust"), (20.0, 40.0, "sad"), (40.0, 60.0, "happy")]
    moods = [reading(30.0, None, "angry"), reading(40.0, None, "dissatisfied"), reading(60.0, "happy", "calm")]
    found = call_measures([told(stretches, *moods, ended("satisfied"))])
    assert found["mood"]["recall"] == {"dissatisfied": 1.0, "satisfied": 0.0}
    assert found["mood"]["mean_recall"] == 0.5
    assert found["mood"]["told"] == {"dissatisfied": {"dissatisfied": 1}, "satisfied": {"calm": 1}}
    assert found["outcome"]["recall"] == {"satisfied": 1.0}


def test_calm_after_anger_makes_no_mood_and_short_stretches_neither() -> None:
    found = call_measures(
        [told([(0.0, 5.0, "anger"), (5.0, 60.0, "neutral")], reading(60.0, "neutral"), ended("calm"))]
    )
    assert found["mood"]["stretches"] == found["outcome"]["stretches"] == 0
    assert found["mood"]["mean_recall"] is None


def test_the_interval_is_over_speakers() -> None:
    calls = [
        Told(f"{n}", f"speaker{n % 2}", "customer", (Stretch(0.0, 20.0, "anger"),), (reading(20.0, None, mood),))
        for n, mood in enumerate(["angry", "calm"] * 10)
    ]
    found = call_measures(calls)["mood"]
    assert (found["mean_recall"], found["low"], found["high"]) == (0.5, 0.0, 1.0)


def test_every_share_has_an_interval_over_speakers() -> None:
    # Of two speakers drawn twice, both are one of them in a quarter of the draws: the ends are what each alone would say.
    heard, unsure = [reading(40.0, "anger"), reading(50.0, "anger")], [reading(40.0, None), reading(50.0, None)]
    at_once = [(0.0, 60.0, "anger")]
    rows = [
        ("ann", GROWING, [alert(36.0), *heard]),
        ("ann", GROWING, [alert(70.0), *unsure]),
        ("bob", GROWING, [alert(38.0), alert(70.0), *heard]),
        ("bob", GROWING, [alert(40.0), alert(70.0), *heard]),
        ("ann", at_once, [alert(10.0)]),
        ("ann", at_once, []),
        ("bob", at_once, [alert(9.0)]),
        ("bob", at_once, [alert(8.0)]),
    ]
    calls = [replace(told(own, *messages, name=str(n)), speaker=who) for n, (who, own, messages) in enumerate(rows)]
    found = call_measures(calls)
    assert found["speakers"] == 2
    for row, name, expected in (
        (found["anger"], "found", [0.75, 0.5, 1.0]),
        (found["anger"], "median_s", [8.0, 6.0, 9.0]),
        (found["anger"], "at_once_found", [0.75, 0.5, 1.0]),
        (found["rules"]["sustained_anger"], "false_an_hour", [45.0, 30.0, 60.0]),
        (found, "labelled", [0.75, 0.5, 1.0]),
    ):
        assert [row[name], row[f"{name}_low"], row[f"{name}_high"]] == expected


def test_what_no_call_tells_has_no_interval() -> None:
    found = call_measures([told([(0.0, 30.0, "happy")])])
    for row, name in (
        (found["anger"], "found"),
        (found["anger"], "median_s"),
        (found["rules"]["sustained_anger"], "false_an_hour"),
        (found, "labelled"),
    ):
        assert [row[name], row[f"{name}_low"], row[f"{name}_high"]] == [None, None, None]


def test_a_label_after_the_anger_is_no_longer_due_to_it() -> None:
    found = call_measures([told(GROWING, reading(59.0, "anger"), reading(62.0, "neutral"))])
    assert found["right_among_labelled"] == 1.0
    assert {name: row["found"] for name, row in found["during"].items()} == {"anger": 1.0, "neutral": 1.0}


def test_labels_are_shares_of_what_was_scored() -> None:
    readings = [reading(10.0, "anger"), reading(11.0, None), reading(35.0, "anger"), reading(36.0, "neutral")]
    found = call_measures([told(GROWING, *readings)])
    assert (found["labelled"], found["anger_among_labelled"]) == (0.75, 0.6667)
    assert found["right_among_labelled"] == 0.3333
    assert found["during"]["neutral"] == {"labelled": 0.5, "anger_among_labelled": 1.0, "found": 0.0}
    assert found["during"]["anger"] == {"labelled": 1.0, "anger_among_labelled": 0.5, "found": 0.5}
