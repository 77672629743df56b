import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alerts.rulefile import default_rules
from monitor.alerts.watches import Change
from monitor.messages import LABELS, Reading
from monitor.readings import Smoothed
from tests.alert_readings import HOP_S, angers, reading, rule, sides, told, watched

ANGER = rule()


def test_it_is_raised_once_when_the_score_stays_high_long_enough() -> None:
    assert watched(ANGER, angers([0.2, 0.6, 0.6, 0.6, 0.6, 0.9, 0.9, 0.9])) == [
        Change("raised", ANGER, "customer", 3.0, 5.0, (2, 3, 4, 5))
    ]


def test_a_short_outburst_raises_nothing() -> None:
    assert watched(ANGER, angers([0.9, 0.9, 0.9, 0.4, 0.9, 0.9, 0.9, 0.2])) == []


def test_it_clears_only_well_under_where_it_was_raised() -> None:
    assert watched(ANGER, angers([0.6] * 4 + [0.4] * 10 + [0.2, 0.2])) == [
        Change("raised", ANGER, "customer", 2.5, 4.5, (1, 2, 3, 4)),
        Change("cleared", ANGER, "customer", 9.5, 10.5, (15, 16)),
    ]


def test_it_can_be_raised_again_after_clearing() -> None:
    changes = watched(ANGER, angers([0.6] * 4 + [0.1] * 2 + [0.6] * 4))
    assert [change.kind for change in changes] == ["raised", "cleared", "raised"]


def test_after_clearing_it_rests_for_its_cool_down() -> None:
    resting = rule(cooldown_s=5)
    changes = watched(resting, angers([0.6] * 4 + [0.1] * 2 + [0.6] * 20))
    assert told(changes) == [
        ("sustained_anger", "raised", 4.5), ("sustained_anger", "cleared", 5.5), ("sustained_anger", "raised", 12.0),
    ]  # fmt: skip
    assert changes[-1].start_s == 10.0


def test_a_pause_does_not_count_and_a_long_one_begins_anew() -> None:
    def at(ends_s: list[float]) -> list[Change]:
        return watched(ANGER, [reading(seq, end_s, {"anger": 0.6}) for seq, end_s in enumerate(ends_s, 1)])

    assert at([3.0, 3.5, 8.0, 8.5]) == [Change("raised", ANGER, "customer", 2.5, 8.5, (1, 2, 3, 4))]
    assert at([3.0, 3.5, 13.0, 13.5]) == []


def test_labels_count_together_and_what_is_not_scored_counts_for_nothing() -> None:
    distressed = rule("distressed", labels=["fear", "sad"])
    both = [reading(seq, 2.5 + seq / 2, {"fear": 0.3, "sad": 0.3}) for seq in range(1, 5)]
    assert told(watched(distressed, both)) == [("distressed", "raised", 4.5)]
    assert watched(distressed, [reading(seq, seq / 2) for seq in range(6, 60)]) == []


def test_scores_are_smoothed_as_the_label_is() -> None:
    values = [0.1] * 20 + [0.9] * 20
    smoothed, ends = Smoothed(3.0), [3.0 + HOP_S * k for k in range(40)]
    rolling = [smoothed.add([one], end)[0] for one, end in zip(values, ends, strict=True)]
    reached_s = next(end for end, value in zip(ends, rolling, strict=True) if value >= 0.5)
    (raised,) = watched(ANGER, angers(values), smooth_s=3.0)
    assert raised.at_s == reached_s + 1.5
    assert raised.start_s == reached_s - HOP_S


def test_parties_are_watched_apart_and_only_those_that_the_rule_names() -> None:
    both = [
        reading(2 * k + side, 3.0 + k / 2, {"anger": 0.6}, party)  # type: ignore[arg-type]
        for k in range(4)
        for side, party in enumerate(("agent", "customer"), 1)
    ]
    changes = watched(ANGER, both)
    assert [(change.party, change.evidence) for change in changes] == [
        ("agent", (1, 3, 5, 7)),
        ("customer", (2, 4, 6, 8)),
    ]
    assert [change.party for change in watched(rule(parties=["customer"]), both)] == ["customer"]


def test_a_rise_is_measured_against_the_partys_own_first_minute() -> None:
    worse = rule("turning_worse", measure="rise", raise_at=0.3, clear_at=0.15)
    calm, angrier = [0.4] * 121, [0.72] * 10
    assert watched(worse, angers(calm)) == []
    (raised,) = watched(worse, angers([*calm, *angrier]))
    assert (raised.start_s, raised.at_s) == (63.0, 65.0)
    assert watched(worse, angers([*calm, *[0.68] * 40])) == []


def test_a_first_minute_with_little_speech_goes_on_until_there_is_enough() -> None:
    worse = rule("turning_worse", measure="rise", raise_at=0.3, clear_at=0.15)
    sparse = [0.1] * 5 + [None] * 300
    assert watched(worse, angers([*sparse, *[0.9] * 15])) == []
    assert told(watched(worse, angers([*sparse, *[0.1] * 15, *[0.9] * 4]))) == [("turning_worse", "raised", 164.5)]


DEAD = rule(
    "dead_air", measure="silence", severity="warning", raise_at=0.9, raise_for_s=10, clear_at=0.7, clear_for_s=1
)


def test_dead_air_is_silence_on_both_sides_since_the_first_silent_window_began() -> None:
    changes = watched(DEAD, sides([(0.5, 0.0), *[(0.0, 0.0)] * 20, (0.0, 0.4), (0.0, 0.6), (0.9, 0.0)]))
    assert changes == [
        Change("raised", DEAD, "customer", 0.5, 10.5, tuple(range(3, 33))),
        Change("cleared", DEAD, "customer", 13.0, 14.0, (43, 44, 45, 46)),
    ]


@pytest.mark.parametrize("speaking", [(0.4, 0.0), (0.0, 0.4)])
def test_one_side_that_speaks_is_no_dead_air(speaking: tuple[float, float]) -> None:
    assert watched(DEAD, sides([speaking] * 100)) == []


def test_lost_audio_is_no_silence() -> None:
    assert watched(DEAD, sides([(0.0, 0.0)] * 60, state="gap")) == []
    heard, lost = list(sides([(0.0, 0.0)] * 60)), list(sides([(0.0, 0.0)] * 60, state="gap"))
    assert told(watched(DEAD, [*heard[:24], *lost[24:26], *heard[26:]])) == [("dead_air", "raised", 16.5)]


def test_dead_air_needs_both_sides_heard() -> None:
    alone = [reading(seq, 2.5 + seq / 2, None, "customer", 0.0) for seq in range(1, 100)]
    assert watched(DEAD, alone, ["customer"]) == []
    assert watched(DEAD, alone, ["agent", "customer"]) == [], "nothing was heard of the agent"
    mixed = [reading(seq, 2.5 + seq / 2, None, "mixed", 0.0) for seq in range(1, 100)]
    assert [(c.party, c.at_s) for c in watched(DEAD, mixed, ["mixed"])] == [("mixed", 10.0)]


def test_parties_that_come_out_of_step_are_compared_at_the_same_moment() -> None:
    readings = list(sides([(0.5, 0.0), *[(0.0, 0.0)] * 20, (0.0, 0.4), (0.0, 0.6), (0.9, 0.0)]))
    agent_first = sorted(readings, key=lambda one: one.party)
    assert watched(DEAD, agent_first) == watched(DEAD, readings)


NEWS = rule(
    "recovery", labels=["happy", "neutral"], severity="info", after="sustained_anger", within_s=10, open_for_s=5
)
BOTH = (ANGER, NEWS)


def calm(anger: float, neutral: float, count: int, seq: int) -> list[Reading]:
    return [
        reading(k, 2.5 + k / 2, {"anger": anger, "neutral": neutral, "happy": 0.0}) for k in range(seq, seq + count)
    ]


def test_recovery_follows_anger_that_has_cleared_once_and_gets_old() -> None:
    changes = watched(BOTH, [*calm(0.8, 0.1, 6, 1), *calm(0.1, 0.8, 60, 7)])
    assert told(changes) == [
        ("sustained_anger", "raised", 4.5), ("sustained_anger", "cleared", 6.5),
        ("recovery", "raised", 8.0), ("recovery", "cleared", 13.0),
    ]  # fmt: skip
    assert told(watched(BOTH, calm(0.1, 0.8, 60, 1))) == [], "nobody was angry"


def test_recovery_that_comes_late_is_none_and_new_anger_ends_it() -> None:
    late = watched(BOTH, [*calm(0.8, 0.1, 6, 1), *calm(0.1, 0.1, 24, 7), *calm(0.1, 0.8, 20, 31)])
    assert [name for name, *_ in told(late)] == ["sustained_anger"] * 2
    lasting = rule("recovery", labels=["happy", "neutral"], after="sustained_anger", clear_for_s=20)
    again = watched((ANGER, lasting), [*calm(0.8, 0.1, 6, 1), *calm(0.1, 0.8, 6, 7), *calm(0.8, 0.1, 4, 13)])
    assert told(again)[-2:] == [("sustained_anger", "raised", 10.5), ("recovery", "cleared", 10.5)]


def test_a_rule_is_quiet_while_another_is_open_but_clears_all_the_same() -> None:
    quiet = rule("angry", raise_at=0.4, clear_at=0.35, unless=["sustained_anger"])
    assert told(watched((ANGER, quiet), angers([0.6] * 20))) == [("sustained_anger", "raised", 4.5)]
    first = watched((quiet, ANGER), angers([0.45] * 4 + [0.6] * 4 + [0.1] * 4))
    assert told(first) == [
        ("angry", "raised", 4.5), ("sustained_anger", "raised", 6.5),
        ("angry", "cleared", 7.5), ("sustained_anger", "cleared", 7.5),
    ]  # fmt: skip


def test_a_rule_looks_at_a_voice_once_enough_of_it_was_heard() -> None:
    waits = rule(not_before_s=6.0)
    assert told(watched(waits, angers([0.9] * 14))) == []
    assert told(watched(waits, angers([0.9] * 15))) == [("sustained_anger", "raised", 10.0)]
    assert told(watched(waits, angers([0.9] * 5 + [None] * 10 + [0.9] * 10))) == [("sustained_anger", "raised", 15.0)]
    assert told(watched(waits, angers([0.1] * 20 + [0.9] * 4))) == [("sustained_anger", "raised", 14.5)]


def test_the_default_rules_are_these() -> None:
    severities = {one.name: one.severity for one in default_rules()}
    assert severities == {
        "sustained_anger": "critical",
        "distressed_caller": "warning",
        "turning_worse": "warning",
        "dead_air": "warning",
        "recovery": "info",
    }
    assert {one.name: one.not_before_s for one in default_rules() if one.not_before_s} == {"distressed_caller": 12.0}


shares = st.sampled_from([0.0, 0.05, 0.2, 0.4, 1.0])
scored = st.one_of(st.none(), st.tuples(st.sampled_from(LABELS), st.floats(0.0, 1.0)))
moments = st.lists(
    st.tuples(scored, shares, st.sampled_from(["silence", "gap"]), st.sampled_from([0.5, 0.5, 0.5, 4.0, 12.0])),
    max_size=20,
)


def call_of(parts: list[tuple[tuple[str, float] | None, float, str, float]], repeat: int) -> list[Reading]:
    """A call of stretches: each the customer's score (or none), a share of speech, a state, and a pause before it."""
    readings, end_s = [], 3.0
    for score, share, state, pause_s in parts:
        end_s += pause_s - HOP_S
        for _ in range(repeat):
            scores = None if score is None else {score[0]: score[1]}
            readings.append(reading(len(readings) + 1, end_s, None, "agent", share, state))  # type: ignore[arg-type]
            kind = "speech" if scores else state
            readings.append(reading(len(readings) + 1, end_s, scores, "customer", share, kind))  # type: ignore[arg-type]
            end_s += HOP_S
    return readings


RULES = (
    rule(raise_for_s=1.0),
    rule(
        "turning_worse", measure="rise", labels=["anger", "sad"], raise_at=0.2, clear_at=0.1, unless=["sustained_anger"]
    ),
    rule("dead_air", measure="silence", raise_at=0.9, clear_at=0.7, raise_for_s=4, cooldown_s=3),
    rule("recovery", labels=["neutral", "happy"], after="sustained_anger", open_for_s=3, raise_for_s=0.5, cooldown_s=2),
    rule(
        "timid",
        labels=["fear"],
        raise_at=0.4,
        clear_at=0.39,
        raise_for_s=0.5,
        clear_for_s=0.5,
        cooldown_s=7.5,
        not_before_s=2,
    ),
)


@settings(max_examples=80)
@given(moments, st.integers(1, 12), st.sampled_from([0.0, 1.0, 3.0]))
def test_hysteresis_holds_whatever_is_read(parts: list, repeat: int, smooth_s: float) -> None:
    readings = call_of(parts, repeat)
    ends_s = {one.seq: one.end_s for one in readings}
    heard_s = {one.seq: HOP_S * number for number, one in enumerate((o for o in readings if o.scores is not None), 1)}
    changes = watched(RULES, readings, smooth_s=smooth_s)
    assert [change.at_s for change in changes] == sorted(change.at_s for change in changes)
    for one in RULES:
        of_rule = [change for change in changes if change.rule == one]
        assert [change.kind for change in of_rule] == (["raised", "cleared"] * len(of_rule))[: len(of_rule)]
        for change in of_rule:
            assert change.start_s < change.at_s
            assert change.evidence == tuple(sorted(set(change.evidence)))
            assert all(change.start_s < ends_s[seq] <= change.at_s for seq in change.evidence)
            assert ends_s[change.evidence[-1]] == change.at_s
            if change.kind == "raised" and one.not_before_s:
                assert heard_s[change.evidence[0]] >= one.not_before_s
        for cleared, raised in zip(of_rule[1::2], of_rule[2::2], strict=False):
            assert raised.start_s >= cleared.at_s or one.about_call
            assert raised.at_s >= cleared.at_s + one.cooldown_s


@settings(max_examples=30)
@given(moments, st.integers(1, 12))
def test_rules_do_not_disturb_each_other_and_every_call_begins_anew(parts: list, repeat: int) -> None:
    readings = call_of(parts, repeat)
    together = watched(RULES, readings)
    alone = [one for one in RULES if not one.after and not one.unless]
    for one in alone:
        assert watched(one, readings) == [change for change in together if change.rule == one]
    assert watched(RULES, readings) == together


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(0, 16)), max_size=60))
def test_a_pause_in_speech_of_up_to_8_s_changes_nothing(parts: list[tuple[float, int]]) -> None:
    scores = [score for score, _ in parts]
    readings, end_s = [], 3.0
    for seq, (score, hops) in enumerate(parts, 1):
        readings.append(reading(seq, end_s, {"anger": score}))
        end_s += HOP_S * (hops + 1)
    without, paused = watched(ANGER, angers(scores)), watched(ANGER, readings)
    assert [(c.kind, c.evidence) for c in paused] == [(c.kind, c.evidence) for c in without]
