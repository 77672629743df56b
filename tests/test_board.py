import dataclasses
import random
import threading

import pytest
from board_messages import T0, acknowledged, agent, cleared, ended, error, gap, raised, reading, started

from monitor.board import ENDED_KEPT, ENDED_KEPT_S, LATENCIES_KEPT, Board
from monitor.followed import ALERTS_KEPT, CALMER_S
from monitor.messages import AnyMessage, Hello, Missed, rfc3339
from monitor.snapshot import CallDetail, CallView, PartyView, Totals


def board_of(*messages: AnyMessage) -> Board:
    board = Board()
    for message in messages:
        board.receive(message)
    return board


def call_of(*messages: AnyMessage, now_s: float) -> CallView:
    return board_of(*messages).snapshot(T0 + now_s).calls[0]


def caller_of(*messages: AnyMessage, now_s: float) -> PartyView:
    caller = call_of(*messages, now_s=now_s).caller
    assert caller is not None
    return caller


def test_a_call_shows_what_its_last_reading_says() -> None:
    call = call_of(started(), reading(3.0), reading(3.5, "anger", "angry"), agent(3.5, 0.3), now_s=3.6)
    assert call.caller is not None
    assert (call.name, call.source, call.duration_s) == ("one", "recording", 3.5)
    assert (call.caller.tone, call.caller.mood, call.caller.confidence) == ("anger", "angry", 0.7)
    assert [(p.party, p.scored, p.speech_share) for p in call.parties] == [
        ("agent", False, 0.3),
        ("customer", True, 0.8),
    ]


def test_a_call_without_a_reading_has_no_tone_and_no_mood() -> None:
    caller = caller_of(started(), now_s=1.0)
    assert (caller.tone, caller.mood, caller.strip, caller.stale) == (None, None, (), False)


@pytest.mark.parametrize("state", ["uncertain", "silence", "too_little_speech", "clipped", "gap"])
def test_a_state_without_a_label_is_its_own_tone(state: str) -> None:
    caller = caller_of(started(), reading(3.0), reading(6.0, state=state), now_s=6.0)  # type: ignore[arg-type]
    assert caller.tone == state
    assert caller.strip == ("neutral", state)


def test_calls_come_alerts_first_then_angry_then_dissatisfied_then_stale_then_as_they_began() -> None:
    board = board_of(
        *(started(name) for name in ("calm", "stale", "sad", "angry", "alert", "worse alert", "later")),
        reading(3.0, call="stale"),
        *(reading(10.0, call=name) for name in ("later", "calm")),
        reading(9.0, "sad", "dissatisfied", call="sad"),
        reading(10.0, "anger", "angry", call="angry"),
        *(reading(10.0, call=name) for name in ("alert", "worse alert")),
        raised(4.0, "alert", "warning"),
        raised(8.0, "worse alert", "critical"),
    )
    names = [call.name for call in board.snapshot(T0 + 10.0).calls]
    assert names == ["worse alert", "alert", "angry", "sad", "stale", "calm", "later"]


def test_an_alert_that_somebody_looks_after_comes_after_those_that_wait() -> None:
    board = board_of(
        *(started(name) for name in ("angry", "warned", "kept")),
        *(reading(9.0, call=name) for name in ("warned", "kept")),
        reading(9.0, "anger", "angry", call="angry"),
        raised(4.0, "kept"),
        raised(5.0, "warned", "warning", "turning_worse"),
    )
    assert [call.name for call in board.snapshot(T0 + 9.0).calls] == ["kept", "warned", "angry"]
    board.receive(acknowledged(9.0, "kept"))
    assert [call.name for call in board.snapshot(T0 + 9.0).calls] == ["warned", "kept", "angry"]


def test_a_mood_that_flickers_does_not_move_its_call_and_one_that_is_better_does_after_a_while() -> None:
    board = board_of(started("a"), started("b"), reading(3.0, call="a"), reading(3.0, "anger", "angry", call="b"))

    def order_after(end_s: float, mood: str) -> list[str]:
        board.receive(reading(end_s, mood=mood, call="b"))  # type: ignore[arg-type]
        board.receive(reading(end_s, call="a"))
        return [call.name for call in board.snapshot(T0 + end_s).calls]

    flicker = [order_after(3.5 + half / 2, "calm" if half % 2 else "angry") for half in range(20)]
    assert flicker == [["b", "a"]] * 20
    assert order_after(14.0, "calm") == ["b", "a"]
    assert order_after(14.0 + CALMER_S, "calm") == ["a", "b"]


def test_a_call_that_got_worse_than_its_first_minute_comes_before_the_others() -> None:
    board = board_of(started("a"), started("b"))
    for second in range(3, 90):
        board.receive(reading(second, call="a"))
        board.receive(reading(second, call="b", negative=0.2 if second < 64 else 0.6))
    assert [call.name for call in board.snapshot(T0 + 89.0).calls] == ["b", "a"]


def test_good_news_does_not_make_a_call_urgent() -> None:
    board = board_of(started("a"), started("b"), reading(3.0, call="a"), reading(3.0, call="b"))
    board.receive(raised(3.0, "b", "info", "recovery"))
    assert [call.name for call in board.snapshot(T0 + 3.0).calls] == ["a", "b"]


def test_readings_do_not_make_rows_jump() -> None:
    """Two angry calls whose readings arrive in turn keep their order, the one that is angry longer first."""
    board = board_of(started("a"), started("b"), reading(4.0, "anger", "angry", call="b"))
    orders = set()
    for half in range(9, 60):
        name = random.Random(half).choice("ab")
        board.receive(reading(half / 2, "anger", "angry", call=name))
        orders.add(tuple(call.name for call in board.snapshot(T0 + half / 2).calls))
    assert orders == {("b", "a")}


def test_how_long_a_mood_holds_counts_from_its_first_reading() -> None:
    told = [started(), reading(3.0), reading(4.0, "anger", "angry"), reading(16.0, "neutral", "angry")]
    assert caller_of(*told, now_s=16.0).mood_for_s == 12.0


def test_a_mood_is_old_after_ten_seconds_without_a_scored_reading() -> None:
    told = [started(), reading(3.0), reading(12.5, state="silence")]
    assert not caller_of(*told, now_s=12.5).mood_is_old
    assert caller_of(*told, reading(13.0, state="clipped"), now_s=13.0).mood_is_old


def test_an_alert_is_open_until_it_clears_and_counts_call_time() -> None:
    told = [started(), reading(30.0), raised(20.0, start_s=12.0)]
    call = call_of(*told, now_s=33.0)
    assert [(a.rule, a.severity, a.start_s, a.open_s) for a in call.alerts] == [
        ("sustained_anger", "critical", 12.0, 18.0)
    ]
    call = call_of(*told, cleared(31.0), now_s=33.0)
    assert (call.alerts, call.alerts_raised) == ((), 1)


def test_an_alert_tells_who_looks_after_it_and_what_is_unknown_is_passed_over() -> None:
    told = [
        started(),
        raised(3.0),
        acknowledged(4.0),
        acknowledged(4.0, rule="unheard_of"),
        cleared(5.0, rule="nor_this"),
    ]
    (alert,) = call_of(*told, now_s=5.0).alerts
    assert (alert.by, alert.waits, alert.alert) == ("Maria", False, "one-sustained_anger")


def test_alerts_that_wait_are_counted_apart_and_good_news_is_none() -> None:
    snapshot = board_of(
        *(started("a"), raised(1.0, "a"), acknowledged(2.0, "a"), raised(2.0, "a", "info", "recovery")),
        *(started("b"), raised(1.0, "b")),
    ).snapshot(T0)
    assert (snapshot.open_alerts, snapshot.waiting_alerts) == (2, 1)
    assert snapshot.totals == Totals(begun=2, ended=0, alerts=2)


def detail_of(*messages: AnyMessage, now_s: float = 10.0) -> CallDetail:
    detail = board_of(*messages).snapshot(T0 + now_s, "one").detail
    assert detail is not None
    return detail


def test_only_the_call_that_is_asked_for_comes_in_detail_while_it_is_kept() -> None:
    board = board_of(started(), started("two"), ended(1.0, "two"))
    details = [board.snapshot(T0, name).detail for name in ("one", "two", "three", None)]
    assert [detail and detail.call.name for detail in details] == ["one", "two", None, None]


def test_the_detail_tells_every_alert_the_last_first_and_what_raised_it() -> None:
    told = [reading(2.5, "anger", negative=0.7, seq=2), reading(3.0, "anger", negative=0.9, seq=4)]
    detail = detail_of(
        *(started(), *told, raised(3.0, start_s=2.0, evidence=[2, 4]), acknowledged(4.0)),
        *(reading(9.0), cleared(8.0), raised(9.0, rule="turning_worse", severity="warning")),
    )
    last, first = detail.alerts
    assert (last.rule, last.over_s, last.by) == ("turning_worse", None, None)
    assert (first.rule, first.at_s, first.over_s, first.open_s, first.by) == ("sustained_anger", 3.0, 8.0, 6.0, "Maria")
    assert first.evidence.readings == ((2.5, 0.7), (3.0, 0.9))


def test_the_outcome_so_far_is_the_mood_and_angry_while_sustained_anger_is_open() -> None:
    told = [started(), reading(9.0)]
    assert detail_of(*told).outcome == "calm"
    assert detail_of(*told, raised(9.0)).outcome == "angry"
    assert detail_of(*told, raised(9.0), cleared(9.5)).outcome == "calm"
    assert detail_of(*told, raised(9.0), ended(10.0, outcome="angry")).outcome == "angry"
    assert detail_of(started(scored=())).outcome is None


def test_an_alert_that_was_open_at_the_end_is_over_with_it() -> None:
    (alert,) = detail_of(started(), reading(9.0), raised(5.0, start_s=4.0), ended(12.0)).alerts
    assert (alert.over_s, alert.open_s, alert.waits) == (12.0, 8.0, False)


def test_the_alerts_that_are_kept_are_bounded_and_an_open_one_stays_the_longest() -> None:
    board = board_of(started(), raised(1.0, rule="first"))
    for number in range(3 * ALERTS_KEPT):
        board.receive(raised(2.0 + number, rule=f"rule-{number}"))
        board.receive(cleared(2.5 + number, rule=f"rule-{number}"))
    detail = board.snapshot(T0, "one").detail
    assert detail is not None
    assert len(detail.alerts) == ALERTS_KEPT
    assert (detail.alerts[0].rule, detail.alerts[-1].rule) == ("rule-95", "first")
    assert detail.call.alerts_raised == 97


def test_a_call_tells_its_agent_and_who_the_parties_are() -> None:
    call = call_of(started(agent="4711", identity="+4930123"), now_s=0.0)
    assert call.agent == "4711"
    assert {party.party: party.identity for party in call.parties} == {"agent": None, "customer": "+4930123"}


def test_the_worst_alert_of_a_call_comes_first() -> None:
    told = [started(), raised(5.0, severity="warning", rule="turning_worse"), raised(9.0)]
    assert [a.rule for a in call_of(*told, now_s=9.0).alerts] == ["sustained_anger", "turning_worse"]


def test_a_party_without_readings_for_five_seconds_is_stale() -> None:
    told = [started(), reading(3.0)]
    assert not caller_of(*told, now_s=7.9).stale
    assert caller_of(*told, now_s=8.0).stale
    assert caller_of(started(), now_s=5.0).stale


def test_dead_air_counts_from_the_last_speech_of_either_side() -> None:
    told = [started(), reading(10.0), agent(14.0, 0.4), reading(26.0, state="silence", share=0.0), agent(26.0)]
    assert call_of(*told, now_s=26.0).dead_air_s == 12.0


def test_silence_of_one_heard_side_alone_is_no_dead_air() -> None:
    told = [reading(3.0), reading(33.0, state="silence", share=0.0)]
    assert call_of(*told, now_s=33.0).dead_air_s == 0.0


def test_lost_audio_is_no_dead_air_and_is_added_up() -> None:
    told = [started(), reading(3.0), gap(3.0, 4.5), gap(20.0, 29.0), reading(30.0, state="gap", share=0.0)]
    call = call_of(*told, now_s=30.0)
    assert (call.dead_air_s, call.lost_s) == (0.0, 10.5)


def test_the_caller_is_a_scored_party_the_customer_first() -> None:
    assert caller_of(started(scored=("agent", "customer")), now_s=0.0).party == "customer"
    assert caller_of(started(scored=("agent",)), now_s=0.0).party == "agent"
    assert caller_of(started(scored=()), now_s=0.0).party == "customer"


def test_a_call_whose_beginning_was_missed_appears_with_its_first_message() -> None:
    call = call_of(reading(90.0, "anger", "angry", call="late"), now_s=90.0)
    assert call.caller is not None
    assert (call.name, call.source, call.caller.scored, call.caller.mood) == ("late", "", True, "angry")


def test_an_ended_call_keeps_its_outcome_for_minutes_and_is_then_forgotten() -> None:
    board = board_of(started(), reading(3.0), raised(3.0), ended(9.0, outcome="angry"))
    snapshot = board.snapshot(T0 + 20.0)
    call = snapshot.ended[0]
    assert call.ending is not None
    assert (call.ending.outcome, call.ending.reason, call.ending.ago_s) == ("angry", "end", 11.0)
    assert (snapshot.calls, call.alerts, call.alerts_raised, call.duration_s) == ((), (), 1, 9.0)
    assert len(board.snapshot(T0 + 9.0 + ENDED_KEPT_S).ended) == 1
    assert board.snapshot(T0 + 9.1 + ENDED_KEPT_S).ended == ()


def test_the_call_that_ended_last_comes_first_and_their_number_is_bounded() -> None:
    board = Board()
    for number in range(ENDED_KEPT + 50):
        board.receive(started(f"call-{number}"))
        board.receive(ended(1.0, f"call-{number}"))
    names = [call.name for call in board.snapshot(T0).ended]
    assert names == [f"call-{number}" for number in reversed(range(50, ENDED_KEPT + 50))]


def test_a_name_that_is_used_again_is_a_new_call() -> None:
    board = board_of(started(), reading(60.0, "anger", "angry"), ended(60.0), started(at_s=61.0))
    snapshot = board.snapshot(T0 + 61.0)
    assert ([call.duration_s for call in snapshot.calls], snapshot.ended) == ([0.0], ())


def test_latency_is_measured_over_the_last_thousands_of_scored_readings() -> None:
    board = board_of(reading(3.0, latency_ms=9_000.0), reading(3.0, state="silence", latency_ms=7_000.0))
    assert board.snapshot(T0).latency_p99_ms == 9_000.0
    for number in range(LATENCIES_KEPT):
        board.receive(reading(3.0, latency_ms=float(number % 100)))
    snapshot = board.snapshot(T0)
    assert (snapshot.latency_p50_ms, snapshot.latency_p99_ms) == (49.0, 98.0)


def test_latency_is_unknown_before_the_first_scored_reading() -> None:
    assert board_of(started()).snapshot(T0).latency_p50_ms is None


def test_errors_are_counted_and_the_last_five_kept_with_their_age() -> None:
    board = board_of(*(error(f"file {number}", at_s=number) for number in range(8)))
    snapshot = board.snapshot(T0 + 10.0)
    assert (snapshot.fault_count, snapshot.failure) == (8, None)
    assert [(fault.text, fault.ago_s) for fault in snapshot.faults] == [(f"file {n}", 10.0 - n) for n in range(3, 8)]


def test_a_failed_pipeline_is_told_until_a_reading_proves_that_scoring_goes_on() -> None:
    board = board_of(started(), reading(3.0), error("scoring stopped", "pipeline"))
    assert board.snapshot(T0).failure == "scoring stopped"
    board.receive(ended(4.0))
    assert board.snapshot(T0).failure == "scoring stopped"
    board.receive(reading(3.0, call="other", state="silence"))
    assert board.snapshot(T0).failure is None


def test_missed_messages_are_added_up_and_hello_changes_nothing() -> None:
    missed = [Missed(at=rfc3339(T0), count=count, reason="slow") for count in (3, 4)]
    board = board_of(*missed, Hello(at=rfc3339(T0), node="n", model="m", window_s=3.0, hop_s=0.5))
    assert (board.snapshot(T0).missed, board.snapshot(T0).calls) == (7, ())


def test_node_counts_add_up_running_calls_only() -> None:
    board = board_of(started("a"), started("b"), started("c"), raised(1.0, "a"), raised(1.0, "c"), ended(2.0, "c"))
    snapshot = board.snapshot(T0)
    assert (len(snapshot.calls), snapshot.scored_parties, snapshot.open_alerts) == (2, 2, 1)


def test_a_snapshot_is_frozen_and_later_messages_do_not_change_it() -> None:
    board = board_of(started(), reading(3.0))
    before = board.snapshot(T0 + 3.0)
    copy = dataclasses.replace(before)
    board.receive(reading(9.0, "anger", "angry"))
    assert before == copy
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.calls[0].name = "x"  # type: ignore[misc]


def test_messages_and_snapshots_from_two_threads_do_not_disturb_each_other() -> None:
    board, faults = Board(), []

    def tell() -> None:
        for number in range(2_000):
            name = f"call-{number // 10}"
            board.receive(started(name) if number % 10 == 0 else reading(number / 2, call=name))
            if number % 10 == 9:
                board.receive(ended(number / 2, name))

    thread = threading.Thread(target=tell)
    thread.start()
    while thread.is_alive():
        try:
            board.snapshot(T0)
        except RuntimeError as fault:
            faults.append(fault)
    thread.join()
    assert faults == []
    assert len(board.snapshot(T0).ended) == 200


def test_a_clock_that_was_set_back_keeps_no_dead_source_alive_and_no_ended_call_on_the_screen() -> None:
    board = Board()
    for message in (started(), reading(10.0), started("two", 10.0), ended(10.0, call="two"), error("why", at_s=10.0)):
        board.receive(message)
    back_s = T0 - 3_600.0
    (dead,) = board.snapshot(back_s).calls
    assert [party.unheard_s for party in dead.parties] == [0.0, 0.0]
    snapshot = board.snapshot(back_s + 6.0)
    assert snapshot.calls[0].caller is not None
    assert snapshot.calls[0].caller.stale
    assert [fault.ago_s for fault in snapshot.faults] == [6.0]
    assert board.snapshot(back_s + ENDED_KEPT_S).ended != ()
    assert board.snapshot(back_s + ENDED_KEPT_S + 1.0).ended == ()


def test_a_board_that_nobody_looks_at_knows_which_calls_run_and_whom_they_score() -> None:
    board = Board(detailed=False)
    for message in (started("one"), started("two"), reading(3.0, call="one"), ended(4.0, call="two")):
        board.receive(message)
    assert (board.running, board.scored_parties) == (1, 1)
    assert board.snapshot(5.0).calls[0].caller.tone is None  # type: ignore[union-attr]
