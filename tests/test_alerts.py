import numpy as np

from monitor.alerts import Change, Rule, RuleWatch

RULE = Rule("sustained_anger", ("anger",), "critical", raise_at=0.5, raise_for_s=2.0, clear_at=0.3, clear_for_s=1.0)


def scores(anger: float) -> np.ndarray:
    return np.array([anger, *[(1 - anger) / 5] * 5])


def watch_all(values: list[float], ends_s: list[float] | None = None) -> list[Change | None]:
    watch = RuleWatch(RULE)
    ends = ends_s or [3.0 + 0.5 * k for k in range(len(values))]
    return [
        watch.see(scores(value), end, 0.5, seq)
        for seq, (value, end) in enumerate(zip(values, ends, strict=True), start=1)
    ]


def test_it_is_raised_once_when_the_score_stays_high_long_enough() -> None:
    assert watch_all([0.2, 0.6, 0.6, 0.6, 0.6, 0.9, 0.9, 0.9]) == [
        None, None, None, None, Change("raised", RULE, 3.0, (2, 3, 4, 5)), None, None, None,
    ]  # fmt: skip


def test_a_short_outburst_raises_nothing() -> None:
    assert watch_all([0.9, 0.9, 0.9, 0.4, 0.9, 0.9, 0.9, 0.2]) == [None] * 8


def test_it_clears_only_well_under_where_it_was_raised() -> None:
    changes = watch_all([0.6] * 4 + [0.4] * 10 + [0.2, 0.2])
    assert changes[3] == Change("raised", RULE, 2.5, (1, 2, 3, 4))
    assert changes[4:15] == [None] * 11
    assert changes[15] == Change("cleared", RULE, 9.5, (15, 16))


def test_it_can_be_raised_again_after_clearing() -> None:
    changes = watch_all([0.6] * 4 + [0.1] * 2 + [0.6] * 4)
    assert [change.kind for change in changes if change] == ["raised", "cleared", "raised"]


def test_a_pause_does_not_count_and_a_long_one_begins_anew() -> None:
    short = watch_all([0.6] * 4, [3.0, 3.5, 8.0, 8.5])
    assert short[-1] == Change("raised", RULE, 2.5, (1, 2, 3, 4))
    long = watch_all([0.6] * 4, [3.0, 3.5, 13.0, 13.5])
    assert long == [None] * 4
