"""A day summed up."""

import time
from datetime import datetime, timedelta

import pytest

from monitor.errors import SettingError
from monitor.history.archive import Archive
from monitor.report.day import DayFacts, day_facts, open_s
from monitor.report.day_page import day_page, index_page
from monitor.report.facts import alerts_in
from monitor.report.span import Span, span
from tests.report_calls import MARKUP, T0, Told, with_everything
from tests.stored import write
from tests.test_report_page import WRITTEN, Page

NOW = datetime(2026, 11, 25, 21, 36).astimezone()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> DayFacts:
    """Eight calls of three agents out of a real history, one of them interrupted, one with a name that is markup."""
    file = tmp_path_factory.mktemp("history") / "history.db"
    calls = [
        Told("calm", agent="agent-4711").say(60).end(),
        Told("angry at the end", agent="agent-4711").say(60, "anger", "angry").end("angry"),
        Told("a short alert", agent="agent-4711").say(30, "anger", "angry").alert().say(5).clear().say(40).end(),
        Told("a long alert", agent="agent-4712").say(10, "anger", "angry").alert().say(60, "anger").end("angry"),
        Told("a warning", agent="agent-4712").say(10).alert("1", "turning_worse", "warning").say(5).end(),
        Told("dissatisfied", agent="agent-4712").say(10, "sad", "dissatisfied").lose(3).end("dissatisfied"),
        with_everything(MARKUP),
        Told("cut", agent="agent-4713").say(20, "anger", "angry").alert(),
    ]
    write(file, [message for call in calls for message in call.messages])
    with Archive(file) as archive:
        stored = archive.calls()
        alerts = {call.id: alerts_in(archive.messages(call.id)) for call in stored}
    since = datetime.fromtimestamp(T0 - 3_600).astimezone()
    return day_facts(stored, alerts, Span(since, since + timedelta(days=1)))


def test_the_worst_are_ordered_by_what_worst_means(day: DayFacts):
    assert [(line.call, line.critical_s, line.outcome) for line in day.worst] == [
        ("a long alert", 60.0, "angry"),
        (MARKUP, 26.0, "satisfied"),
        ("a short alert", 5.0, "calm"),
        ("a warning", 0.0, "calm"),
        ("angry at the end", 0.0, "angry"),
    ]


def test_calls_outcomes_alerts_and_loss_are_counted_and_an_interrupted_call_has_no_outcome(day: DayFacts):
    assert day.outcomes == {"calm": 3, "angry": 2, "dissatisfied": 1, "satisfied": 1}
    assert (len(day.calls), day.interrupted, day.running, day.lost_s) == (8, 1, 0, 7.0)
    assert day.rules == {"sustained_anger": 4, "turning_worse": 2, "recovery": 1}
    assert sum(hour.calls for hour in day.hours) == 8
    assert sum(sum(hour.alerts.values()) for hour in day.hours) == 7


def test_no_agent_is_named_on_the_page_of_a_day(day: DayFacts):
    html = day_page(day, WRITTEN, {})
    assert "agent-47" not in html


def test_the_worst_lead_to_their_own_pages_and_text_is_text(day: DayFacts):
    pages = {line.id: f"{number}.html" for number, line in enumerate(day.worst)}
    page = Page(day_page(day, WRITTEN, pages))
    assert [one["href"] for one in page.all("a")] == ["0.html", "1.html", "2.html", "3.html", "4.html"]
    assert not page.all("script")
    assert len(page.all("caption")) == len(page.all("table")) == 4


def test_a_day_without_calls_says_so_and_not_that_all_was_calm(day: DayFacts):
    html = day_page(day_facts([], {}, day.span), WRITTEN, {})
    assert "No call began in this time, or none was kept." in html
    assert "need a look" not in html


def test_a_list_of_pages_leads_to_each(day: DayFacts):
    page = Page(index_page("Calls", [(line, f"{line.duration_s:g}.html") for line in day.calls], WRITTEN))
    assert len(page.all("a")) == 8
    assert any(text.startswith("8 calls, ") for text in page.texts)


def test_alerts_that_overlap_count_once_in_how_long_one_was_open():
    facts = (
        Told().say(10).alert("1").say(10).alert("2", "other").say(10).clear("1").say(10).clear("2", "other").end().facts
    )
    assert open_s(facts.alerts, "critical", facts.duration_s) == 30.0
    assert open_s(facts.alerts, "warning", facts.duration_s) == 0.0


@pytest.mark.parametrize(
    ("since", "until", "name"),
    [
        ("2026-11-24", None, "24 November 2026"),
        ("yesterday", None, "24 November 2026"),
        ("today", None, "25 November 2026"),
        ("2026-11-01", "2026-11-07", "1 November 2026 to 7 November 2026"),
        ("2026-11-24T14:30", None, "24 November 2026, 14:30 to 25 November 2026, 21:36"),
        ("2h", None, "25 November 2026, 19:36 to 25 November 2026, 21:36"),
        ("7d", "yesterday", "18 November 2026, 21:36 to 25 November 2026, 00:00"),
        ("2026-11-24T14:30", "2026-11-24T15:00", "24 November 2026, 14:30 to 24 November 2026, 15:00"),
    ],
)
def test_a_span_is_a_day_to_its_end_or_from_a_time_to_a_time(since: str, until: str | None, name: str):
    assert span(since, until, NOW).name == name


@pytest.mark.parametrize(
    ("since", "until", "text"),
    [
        (
            "monday",
            None,
            "--since 'monday' is no moment: expected a day .*",
        ),
        ("2026-02-30", None, "--since '2026-02-30' is no moment: expected a day .*"),
        ("2026-12-24T14:30", None, "--since '2026-12-24T14:30' is yet to come, .*"),
        ("today", "yesterday", "--until must be after --since, got 'yesterday' and 'today'"),
    ],
)
def test_a_span_that_cannot_be_is_refused(since: str, until: str | None, text: str):
    with pytest.raises(SettingError, match=text):
        span(since, until, NOW)


def test_the_days_of_a_span_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        long = span("2026-10-25", None, NOW)  # the clocks go back
        assert (long.until - long.since, long.until.timestamp() - long.since.timestamp()) == (
            timedelta(hours=25),
            25 * 3_600,
        )
    finally:
        monkeypatch.undo()
        time.tzset()
