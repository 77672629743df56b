from monitor.lateness import RECOVERY_S, Lateness


def test_a_node_is_late_from_the_bound_on_until_nothing_was_late_for_a_while() -> None:
    waited_s = {0.0: 0.1, 1.0: 2.5, 2.0: 0.1, 3.0: 2.1, 3.0 + RECOVERY_S - 0.1: 2.0, 3.0 + RECOVERY_S: 0.1}
    lateness = Lateness(2.0, lambda now_s: waited_s[now_s])
    assert [bool(lateness.look(now_s)) for now_s in waited_s] == [False, True, True, True, True, False]


def test_it_says_why_in_a_line_that_does_not_change() -> None:
    lateness = Lateness(2.0, lambda now_s: now_s)
    assert {lateness.look(3.0), lateness.look(4.5)} == {
        "late: audio waits longer than 2 s to be scored; fewer calls, or more processor"
    }


def test_it_says_what_becomes_of_new_calls() -> None:
    lateness = Lateness(2.0, lambda now_s: now_s, "unscored")
    unscored = (
        "late: audio waits longer than 2 s to be scored; new calls are not scored: fewer calls, or more processor"
    )
    assert lateness.look(3.0) == unscored


def test_a_node_is_full_before_anything_is_late_and_late_is_said_first() -> None:
    busy, waited_s = {0.0: 0.9, 1.0: 0.95, 2.0: 0.3, 3.0: 0.95, 1.0 + 2 * RECOVERY_S: 0.3}, {3.0: 2.5}
    shares = iter(busy.values())
    lateness = Lateness(2.0, lambda now_s: waited_s.get(now_s, 0.0), "refuse", 0.9, lambda: next(shares))
    said = [lateness.look(now_s) for now_s in busy]
    full = "full: scoring is busy more than 90% of the time; fewer calls, or more processor"
    assert [why.partition(":")[0] for why in said] == ["", "full", "full", "late", ""]
    assert said[1] == full
