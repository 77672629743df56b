"""What a report says of a call, before it is drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ReportError
from monitor.messages import LABELS, STATES
from monitor.report.facts import Acknowledgement, facts_of
from monitor.report.timeline import bands, cells, moods, rows, speech, step_s, stretches, ticks
from monitor.report.words import finding, length, not_read, standing
from tests.report_calls import ORIGIN, Told, with_everything

SAID = st.lists(
    st.tuples(st.sampled_from(STATES[:-1]), st.sampled_from(LABELS), st.integers(1, 40)), min_size=1, max_size=12
)


def told(said: list[tuple]) -> Told:
    call = Told()
    for state, label, count in said:
        call.say(count / 2, label, state=state)
    return call.end()


def test_an_alert_is_told_from_its_raising_to_its_end_with_who_took_it_and_when():
    first, second, third = with_everything().facts.alerts
    assert (first.rule, first.severity, first.raised_s, first.cleared_s) == (
        "sustained_anger",
        "critical",
        102.5,
        128.5,
    )
    assert first.acknowledged == (Acknowledgement("Ana", 108.5),)
    assert (first.start_s, first.evidence) == (99.5, 3)
    assert (second.rule, third.rule, third.cleared_s) == ("recovery", "turning_worse", None)


def test_the_order_in_which_messages_are_given_changes_nothing_and_a_double_counts_once():
    messages = with_everything().messages
    assert facts_of([*reversed(messages), messages[7]], ORIGIN) == facts_of(messages, ORIGIN)


def test_holes_in_the_messages_are_counted_and_what_is_there_is_reported():
    messages = with_everything().messages
    facts = facts_of([message for message in messages[1:] if not 20 <= message.seq < 30], ORIGIN)
    assert (facts.missing, facts.source, facts.call) == (11, "", "a call")
    assert [party.party for party in facts.scored] == ["customer"]


def test_a_clearing_without_its_raising_is_an_alert_that_was_open_before():
    (alert,) = Told().say(5).clear().end().facts.alerts
    assert (alert.raised_s, alert.start_s, alert.cleared_s) == (None, 0.0, 7.5)


def test_a_call_that_goes_on_has_no_outcome_and_is_said_to_go_on():
    facts = Told().say(30).facts
    assert (facts.outcome, facts.reason, facts.duration_s, standing(facts)) == (None, None, 32.5, "still going on")


def test_a_call_without_a_reading_cannot_be_reported():
    with pytest.raises(
        ReportError, match=r"^a call: no reading, so there is nothing to report: it ended after 2\.5 s \(end\)$"
    ):
        _ = Told().end().facts


def test_the_finding_tells_moods_alerts_emotions_and_loss():
    facts = with_everything().facts
    assert finding(facts, facts.parties[0]) == (
        "The customer’s mood turns 4 times: calm at first, satisfied from 2:08 to the end. Sustained anger was raised at 1:42 "
        "and cleared at 2:08, acknowledged by Ana at 1:48. Recovery was raised at 2:13 and cleared at 2:23. Turning worse "
        "was raised at 2:27 and was open at the end, acknowledged by nobody. An emotion was told in 81 % of the readings: "
        "neutral in 30 %, anger in 18 %, happy in 15 % and sad in 10 %. 4.0 s of audio never came."
    )


def test_a_few_turns_of_mood_are_told_each():
    facts = Told().say(20).say(20, "sad", "dissatisfied").say(20, "anger", "angry").end("angry").facts
    assert finding(facts, facts.parties[0]).startswith(
        "The customer’s mood is calm at first, dissatisfied from 0:22, then angry from 0:42. No alert was raised. "
    )


def test_many_alerts_are_told_in_sum():
    told = Told().say(5)
    for number in range(4):
        told.alert(str(number)).say(10).clear(str(number)).say(5)
    facts = told.alert("dead", "dead_air", "warning").say(2).end().facts
    assert (
        "5 alerts were raised, first at 0:07: sustained anger 4 times and dead air 1 time; 1 of them was open at the end."
        in (finding(facts, facts.parties[0]))
    )


def test_a_mood_that_never_stays_is_told_in_shares():
    told = Told()
    for _ in range(20):
        told.say(2, mood="calm").say(1, "anger", "angry")
    facts = told.end().facts
    assert finding(facts, facts.parties[0]).startswith(
        "The customer’s mood keeps changing: calm for 67 % of the time and angry for 33 % of the time. No alert"
    )


def test_nobody_scored_is_said_and_not_taken_for_calm():
    facts = Told(scored=()).say(10, None, state="not_scored").end("unclear").facts
    assert facts.judged is None
    assert not_read(facts) == "Nobody’s emotion was read in these 0:12: only who speaks when."


def test_a_model_that_is_never_sure_is_not_called_calm():
    facts = Told().say(30, None, "unclear", "uncertain", 0.3).end("unclear").facts
    assert finding(facts, facts.parties[0]) == (
        "The customer’s mood is unclear throughout: the model is not sure of any. No alert was raised. "
        "Hardly any reading was sure of an emotion."
    )


def test_hop_and_window_are_those_of_the_readings():
    facts = Told().say(10).end().facts
    assert (facts.hop_s, facts.window_s) == (0.5, 3.0)


@given(SAID, st.sampled_from([7, 60, 330]))
def test_every_reading_lies_in_one_cell_every_cell_in_one_stretch_and_time_runs_onward(said, most):
    facts = told(said).facts
    party = facts.parties[0]
    pieces = cells(party, step_s(facts, most), facts.hop_s)
    assert len(pieces) <= most + 1
    assert tuple(reading for cell in pieces for reading in cell.readings) == party.readings
    assert [cell for stretch in stretches(pieces) for cell in stretch.cells] == pieces
    edges = [edge for cell in pieces for edge in (cell.start_s, cell.end_s)]
    assert edges == sorted(edges)
    assert sum(mood.end_s - mood.start_s for mood in moods(pieces)) == pytest.approx(edges[-1] - edges[0])


@given(SAID)
def test_a_band_is_drawn_exactly_where_something_was_scored_and_holds_its_mean(said):
    facts = told(said).facts
    pieces = cells(facts.parties[0], facts.hop_s, facts.hop_s)
    points = [point for run in bands(pieces, "anger") for point in run]
    assert len(points) == sum(cell.readings[0].scores is not None for cell in pieces)
    assert all(0 <= point.low <= point.mean + 1e-9 and point.mean <= point.high + 1e-9 <= 1 + 2e-9 for point in points)


@given(SAID)
def test_the_table_has_a_line_for_all_of_the_call_and_thirty_at_most(said):
    facts = told(said).facts
    lines = rows(facts, facts.parties[0])
    assert 1 <= len(lines) <= 31
    assert (lines[0].start_s, lines[-1].end_s) == (0.0, facts.duration_s)
    assert sum(len(line.cell.readings) for line in lines if line.cell) == len(facts.parties[0].readings)


def test_every_event_of_an_alert_is_in_one_line_of_the_table():
    facts = with_everything().facts
    events = [event.what for line in rows(facts, facts.parties[0]) for event in line.events]
    assert sorted(events) == ["cleared", "cleared", "raised", "raised", "raised", "taken on by Ana"]


def test_where_no_reading_came_nothing_is_drawn():
    told = Told().say(60).end()
    facts = facts_of([message for message in told.messages if not 60 <= message.seq < 120], ORIGIN)
    pieces = cells(facts.parties[0], 0.5, 0.5)
    (before, after) = stretches(pieces)
    assert (before.end_s, after.start_s) == (17.0, 32.0)
    assert [(mood.start_s, mood.end_s) for mood in moods(pieces)] == [(2.5, 17.0), (32.0, 62.5)]
    assert [run[-1].at_s for run in bands(pieces, "neutral")] == [16.75, 62.25]
    assert sum(line.cell is None for line in rows(facts, facts.parties[0])) == 2


def test_speech_stands_in_the_middle_of_its_window():
    facts = Told().say(0.5).end().facts
    assert speech(facts.parties[0], 0.5) == [(1.25, 0.8)]


@pytest.mark.parametrize(
    ("duration_s", "expected"), [(4.0, [0, 1, 2, 3, 4]), (92.6, [0, 15, 30, 45, 60, 75, 90]), (7_200.0, 9)]
)
def test_ticks_are_round_and_few(duration_s, expected):
    found = ticks(duration_s, 9)
    assert found == expected or len(found) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.6, "0.6 seconds"), (1.0, "1 second"), (5.0, "5 seconds"), (60.0, "1 minute"), (7_200.0, "2 hours")],
)
def test_a_length_of_any_size_has_words(seconds: float, text: str) -> None:
    assert length(seconds) == text
