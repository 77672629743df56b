import io
import sys
import threading
import unicodedata
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
from board_messages import T0, acknowledged, agent, ended, error, raised, reading, started
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from monitor.board import Board
from monitor.dashboard.pictures import pictures
from monitor.dashboard.sample import HEALTH
from monitor.dashboard.sample import sample as make_sample
from monitor.dashboard.screen import Dashboard, render
from monitor.dashboard.view import View
from monitor.messages import AnyMessage, Missed, rfc3339
from monitor.snapshot import Health, Snapshot

sample = lru_cache(maxsize=None)(make_sample)
"""It is frozen, and takes a while to make."""
DRAWN = pictures()
PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
TO_THE_ALTERNATE_SCREEN, BACK = "\x1b[?1049h", "\x1b[?1049l"
SHOW_CURSOR = "\x1b[?25h"


def snapshot_of(*messages: AnyMessage, now_s: float = 10.0) -> Snapshot:
    board = Board()
    for message in messages:
        board.receive(message)
    return board.snapshot(T0 + now_s)


def terminal(width: int = 120, height: int = 36, **options: object) -> Console:
    settings = {"force_terminal": True, "legacy_windows": False, "color_system": "256", "_environ": {}, **options}
    return Console(file=io.StringIO(), width=width, height=height, **settings)  # type: ignore[arg-type]


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lines_of(
    snapshot: Snapshot, width: int = 120, height: int = 36, health: Health = HEALTH, view: View | None = None
) -> list[str]:
    """The frame without colours."""
    console = terminal(width, height, color_system=None)
    console.print(render(snapshot, health, width, height, view), end="")
    return written(console).splitlines()


def screen_of(snapshot: Snapshot, width: int = 120, height: int = 36) -> str:
    return "\n".join(lines_of(snapshot, width, height))


def test_a_history_that_fails_or_lacks_something_is_said() -> None:
    failing = lines_of(sample(), health=Health(history="/h: the disk is full; make room", unstored=0))
    assert "history fails" in failing[1]
    assert any("! calls are not stored: /h: the disk is full; make room" in line for line in failing)
    assert "history lacks 7 messages" in lines_of(sample(), health=Health(unstored=7))[1]
    assert not any("history" in line for line in lines_of(sample(), health=Health(unstored=0)))


SCREENS = {
    "list": View(selected="hotline-21"),
    "detail": View(opened="claims-07"),
    "gone": View(opened="nobody"),
    "help": View(helping=True),
    "filter": View(filter="claims 田", typing=True),
    "sorted": View(sort="name"),
    "paused": View(frozen=sample()),
    "leaving": View(leaving=True),
    "no keys": View(keys=False),
}


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("failure", ["", "no model"])
def test_a_frame_has_exactly_the_terminals_size(screen: str, failure: str) -> None:
    for size in ((120, 36), (80, 24), (200, 60), (60, 12), (37, 13), (20, 5), (80, 2), (80, 1), (1, 1), (0, 0)):
        lines = lines_of(sample(failure, "claims-07"), *size, view=SCREENS[screen])
        assert [cell_len(line) for line in lines] == [size[0]] * size[1]


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("size", [(120, 36), (80, 24), (80, 8), (80, 3), (80, 2)])
def test_a_failure_is_told_on_every_screen_of_any_size(screen: str, size: tuple[int, int]) -> None:
    lines = "\n".join(lines_of(sample("no model", "claims-07"), *size, view=SCREENS[screen]))
    assert "SCORING HAS STOPPED" in lines


def test_the_header_tells_the_health_of_the_node() -> None:
    health = Health(dropped_s=1.5, waiting_s=0.25, subscribers=1, address="ws://host/v1/calls", model="emotion 1.0")
    snapshot = snapshot_of(started(), reading(3.0, latency_ms=41.0), raised(3.0))
    first, second, *_ = lines_of(snapshot, health=health)
    assert first.rstrip() == "  callmood   1 call   1 scored   1 open alert   ws://host/v1/calls"
    assert second.strip() == ("latency 41 ms, p99 41 ms   waiting 0.2 s   dropped 1.5 s   1 subscriber   emotion 1.0")


def test_listeners_that_were_started_again_are_counted_in_the_header() -> None:
    assert "listeners restarted 2 times" in lines_of(sample(), health=Health(restarts=2))[1]
    assert "scoring restarted 1 time" in lines_of(sample(), health=Health(scoring_restarts=1))[1]
    assert "restarted" not in lines_of(sample(), health=Health(restarts=0))[1]


def test_an_empty_board_says_that_there_are_no_calls() -> None:
    assert "no calls yet" in screen_of(snapshot_of())


def test_calls_beyond_the_terminal_are_counted() -> None:
    calls = [started(f"call-{number:02d}") for number in range(40)]
    lines = lines_of(snapshot_of(*calls, ended(9.0, "call-00"), ended(9.0, "call-01")), 80, 24)
    shown = sum("call-" in line for line in lines)
    (hidden,) = [line.strip() for line in lines if "not shown" in line]
    assert shown == 19
    assert hidden == f"▾ {40 - shown} calls not shown: {38 - shown} running, 2 ended"


def test_calls_that_just_fit_leave_nothing_unsaid() -> None:
    lines = lines_of(snapshot_of(*(started(f"call-{number:02d}") for number in range(20))), 80, 24)
    assert sum("call-" in line for line in lines) == 20
    assert not any("not shown" in line for line in lines)


def test_a_failed_pipeline_is_unmissable_and_nothing_looks_current() -> None:
    snapshot = snapshot_of(started(), reading(3.0), agent(3.0), error("five scores, expected six", "pipeline"))
    text = screen_of(snapshot, 80, 24)
    assert "SCORING HAS STOPPED" in text
    assert "five scores, expected six" in text
    assert "╳ stopped" in text
    assert "calm" not in text


def test_another_machines_node_that_is_lost_is_unmissable_and_nothing_looks_current() -> None:
    snapshot = snapshot_of(started(), reading(3.0), agent(3.0))
    health = Health(None, None, None, "ws://h/v1/calls", "emotion 1.0", away="the connection broke; next try in 4 s")
    lines = lines_of(snapshot, 80, 24, health)
    text = "\n".join(lines)
    assert "NOT CONNECTED: nothing below is current" in text
    assert "the connection broke; next try in 4 s" in text
    assert "╳ stopped" in text
    assert "calm" not in text
    assert lines[1].split() == ["latency", "40", "ms,", "p99", "40", "ms", "ws://h/v1/calls"], (
        "what is not known is not told"
    )
    assert "no calls yet" not in "\n".join(lines_of(snapshot_of(), 80, 24, health))


def test_a_failed_pipeline_shows_in_reverse_without_colour() -> None:
    console = terminal(no_color=True)
    console.print(render(sample("no model"), HEALTH, 120, 36))
    banner = next(line for line in written(console).splitlines() if "SCORING HAS STOPPED" in line)
    assert banner.startswith("\x1b[1;7m")


def test_without_colour_no_colour_is_written_and_every_word_stays() -> None:
    console = terminal(no_color=True)
    console.print(render(sample(), HEALTH, 120, 36))
    codes = {part.split("m")[0] for part in written(console).split("\x1b[")[1:]}
    assert codes <= {"0", "1", "2", "1;7"}
    for word in ("▲ angry", "▼ dissatisfied", "● satisfied", "─ calm", "? unclear", "░ not scored", "╳ no audio"):
        assert word in screen_of(sample())


def test_sixteen_colours_are_enough() -> None:
    def frame(color_system: str) -> str:
        console = terminal(color_system=color_system)
        console.print(render(sample(), HEALTH, 120, 36))
        return written(console)

    assert frame("standard") == frame("truecolor")


def test_the_last_error_is_shown_with_its_age_for_five_minutes() -> None:
    faults = [error("a.wav: no samples"), error("b.wav: no samples", at_s=5.0)]
    assert "! audio, 0:07 ago (2 errors): b.wav: no samples" in screen_of(snapshot_of(*faults, now_s=12.0))
    assert "b.wav" not in screen_of(snapshot_of(*faults, now_s=306.0))


def test_what_fails_beside_scoring_is_a_line_of_its_own() -> None:
    text = "\n".join(lines_of(snapshot_of(started()), health=Health(warnings=("webhooks: no answer from crm",))))
    assert "  ! webhooks: no answer from crm" in text


def test_the_header_tells_how_many_alerts_somebody_looks_after() -> None:
    told = [started(), reading(3.0), raised(3.0), acknowledged(3.5)]
    snapshot = snapshot_of(*told, raised(3.0, rule="x"))
    assert "1 scored   2 open alerts   1 looked after" in lines_of(snapshot)[0]


def test_a_paused_view_stands_still_and_tells_what_has_happened_since() -> None:
    told = [started(), reading(3.0), started("b"), reading(3.0, call="b")]
    view = View(frozen=snapshot_of(*told, now_s=4.0))
    later = [reading(40.0, "anger", "angry"), raised(40.0), ended(40.0, "b"), started("c")]
    lines = lines_of(snapshot_of(*told, *later, now_s=46.0), view=view)
    text = "\n".join(lines)
    assert "  PAUSED for 0:42: since then 1 alert, 1 call began, 1 ended   p goes on" in text
    assert "─ calm" in text
    assert "angry" not in text
    assert "since then nothing has happened" in "\n".join(lines_of(snapshot_of(*told, now_s=5.0), view=view))


def test_what_fails_while_the_view_is_paused_is_shown_all_the_same() -> None:
    told = [started(), reading(3.0)]
    view = View(frozen=snapshot_of(*told, now_s=4.0))
    text = "\n".join(lines_of(snapshot_of(*told, error("no model", "pipeline")), view=view))
    assert "SCORING HAS STOPPED" in text
    assert "PAUSED" in text
    assert "╳ stopped" in text


def test_the_chosen_call_is_on_the_screen_wherever_it_stands() -> None:
    calls = [started(f"call-{number:02d}") for number in range(40)]
    for row in range(40):
        lines = lines_of(snapshot_of(*calls), 80, 24, view=View(selected=f"call-{row:02d}"))
        (chosen,) = [line for line in lines if "▸" in line]
        assert f"call-{row:02d}" in chosen
        assert any("22 calls not shown: 22 running" in line for line in lines)


def test_a_filter_tells_how_many_calls_it_lets_through_and_which_alert_it_hides() -> None:
    snapshot = snapshot_of(started("a"), started("b"), raised(3.0, "b"))
    text = "\n".join(lines_of(snapshot, view=View(filter="a ", typing=True)))
    assert "1 of 2 calls with 'a '   1 alert in calls that are not shown" not in text
    text = "\n".join(lines_of(snapshot_of(started("xa"), started("b"), raised(3.0, "b")), view=View(filter="xa")))
    assert "  1 of 2 calls with 'xa'   1 alert in calls that are not shown" in text
    assert "no call has these words" in "\n".join(lines_of(snapshot, view=View(filter="zzz")))


def test_another_order_is_named() -> None:
    assert "sorted by name" in "\n".join(lines_of(snapshot_of(started()), view=View(sort="name")))


@pytest.mark.parametrize(
    ("view", "last"),
    [
        (View(), "↑↓ move   enter open   a look after   / filter   s sort   p pause   ? help   q quit"),
        (View(opened="one"), "esc back   a look after   w whole call   ↑↓ scroll   p pause   ? help   q quit"),
        (View(helping=True), "any key goes back"),
        (View(leaving=True), "listen to 1 call no more? q quits, any other key goes back"),
        (View(filter="[x]", typing=True), "/[x]█   enter keeps, esc shows all"),
        (View(notice="a: it has none", notice_at_s=T0 + 9.0), "a: it has none"),
    ],
)
def test_the_last_line_is_what_the_keys_do_or_what_is_asked(view: View, last: str) -> None:
    assert lines_of(snapshot_of(started()), view=view)[-1].strip() == last


def test_the_keys_that_help_and_quit_stay_where_there_is_little_room() -> None:
    assert lines_of(snapshot_of(), 80, 24, view=View())[-1].rstrip().endswith("p pause  ? help  q quit")
    assert lines_of(snapshot_of(), 30, 24, view=View())[-1].strip() == "↑↓ move   ? help   q quit"


def test_a_notice_is_shown_for_some_seconds_and_an_answer_instead_of_it() -> None:
    view = View(notice="told", notice_at_s=T0)
    assert lines_of(snapshot_of(now_s=5.0), view=view)[-1].strip() == "told"
    assert lines_of(snapshot_of(now_s=7.0), view=view)[-1].strip().startswith("↑↓ move")
    health = Health(answer="not acknowledged: the token lacks the scope acknowledge")
    assert lines_of(snapshot_of(now_s=5.0), health=health, view=view)[-1].strip() == f"! {health.answer}"


def test_a_call_that_is_no_longer_kept_says_so() -> None:
    text = "\n".join(lines_of(snapshot_of(), view=View(opened="[b]gone")))
    assert "[b]gone" in text
    assert "this call is over, and no longer kept here" in text


def test_a_long_detail_scrolls_to_its_end_and_no_further() -> None:
    view = View(opened="claims-07")
    first, last = (lines_of(sample(opened="claims-07"), 80, 16, view=replace(view, scroll=n)) for n in (0, 10**6))
    assert any("lines more below" in line for line in first)
    assert any(line.strip().startswith("alerts") for line in last)
    assert not any("more below" in line for line in last)


def test_missed_messages_are_told() -> None:
    missed = Missed(at=rfc3339(T0), count=12, reason="slow")
    assert "12 messages missed: what is shown may be incomplete" in screen_of(snapshot_of(missed))


def test_outside_text_is_never_markup_or_an_escape_sequence() -> None:
    evil = "[bold red]x[/]\x1b[2J\x07\n"
    snapshot = snapshot_of(
        started(evil),
        reading(3.0, call=evil),
        raised(3.0, evil, rule=evil),
        started("failed"),
        ended(3.0, "failed", reason=f"error: {evil}"),
        error(evil, evil),
        error(evil, "pipeline"),
    )
    console = terminal()
    health = Health(address=evil, model=evil)
    console.print(render(snapshot, health, 120, 36), end="")
    text = written(console)
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert len(text.splitlines()) == 36
    assert text.count("[bold red]x[/]�[2J��") >= 4


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames follow each other at once."""
    monkeypatch.setattr("monitor.dashboard.screen.REFRESH_S", 0.0)


class Wire:
    """A board and a health that a test controls: `events` are called one a frame."""

    def __init__(self, *events: object) -> None:
        self.events = list(events)
        self.stop = threading.Event()

    def health(self) -> Health:
        event = self.events.pop(0) if self.events else self.stop.set
        if isinstance(event, BaseException):
            raise event
        if callable(event):
            event()
        return HEALTH

    def run(self, console: Console) -> None:
        Dashboard(Board(), self.health, console).run(self.stop)


@pytest.mark.usefixtures("_quick")
def test_the_dashboard_draws_until_it_is_stopped_and_gives_the_terminal_back() -> None:
    console, wire = terminal(), Wire()
    wire.run(console)
    text = written(console)
    assert text.startswith(TO_THE_ALTERNATE_SCREEN)
    assert "no calls yet" in text
    assert BACK in text
    assert text.rindex(SHOW_CURSOR) > text.rindex("no calls yet")


def test_a_pressed_key_acknowledges_what_stands_on_the_board_in_the_name_of_whoever_sits_there() -> None:
    board = Board()
    for message in (started(), reading(3.0), raised(3.0)):
        board.receive(message)
    asked: list[tuple[str, str, str]] = []

    def acknowledge(call: str, alert: str, by: str) -> None:
        asked.append((call, alert, by))
        board.receive(acknowledged(4.0, call, by=by))

    dashboard = Dashboard(
        board, Health, terminal(), now=lambda: T0 + 4.0, acknowledge=acknowledge, view=View(name="Maria")
    )
    for key in "aaa":
        dashboard.press(key)
    assert asked == [("one", "one-sustained_anger", "Maria")]
    text = screen_text(dashboard)
    assert "✓ Maria looks after it" in text
    assert "one: Maria looks after it already" in text
    dashboard.press("enter")
    assert "outcome so far: ▲ angry" in screen_text(dashboard)


def test_a_key_after_the_end_of_a_long_text_moves_at_once() -> None:
    board = Board()
    for message in (started(), reading(3.0), raised(3.0)):
        board.receive(message)
    dashboard = Dashboard(board, Health, terminal(80, 12), now=lambda: T0 + 4.0, view=View(opened="one"))
    dashboard.press("end")
    end = screen_text(dashboard)
    dashboard.press("j")
    assert screen_text(dashboard) == end
    dashboard.press("k")
    assert screen_text(dashboard) != end


def screen_text(dashboard: Dashboard) -> str:
    return "\n".join("".join(segment.text for segment in line) for line in dashboard.frame().lines)


@pytest.mark.usefixtures("_quick")
def test_the_key_that_quits_ends_the_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.dashboard.terminal.Terminal.keys", lambda *_: ["redraw", "q"])
    assert Dashboard(Board(), Health, terminal()).run(threading.Event())


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ValueError("a fault of ours")])
def test_an_exception_passes_through_after_the_terminal_is_given_back(fault: BaseException) -> None:
    console, wire = terminal(), Wire("first frame", fault)
    with pytest.raises(type(fault)):
        wire.run(console)
    assert BACK in written(console)
    assert SHOW_CURSOR in written(console)


@pytest.mark.usefixtures("_quick")
def test_what_is_logged_meanwhile_comes_after_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    console, wire = terminal(), Wire("first frame", lambda: print("a warning", file=sys.stderr))
    wire.run(console)
    assert capsys.readouterr().err == "a warning\n"
    assert "a warning" not in written(console)


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_the_committed_picture_is_what_the_code_draws(name: str) -> None:
    committed = (PICTURES / name).read_text(encoding="utf-8")
    cure = f"docs/pictures/{name} is old: look at the new one after `python -m monitor.dashboard --svg docs/pictures`"
    assert committed == DRAWN[name], cure


def test_a_picture_fetches_nothing() -> None:
    for picture in DRAWN.values():
        assert "url(http" not in picture.replace("'", "").replace('"', "")
        assert "<script" not in picture


_FROM_OUTSIDE = st.text(max_size=30) | st.sampled_from(
    ["[bold]x[/]", "\x1b[2J\x9b31m", "田中さん" * 5, "e\u0301\u0316\u0316\u0316", "\u202eabc", "👩‍👩‍👧", "שלום 12"]
)


@given(
    outside=_FROM_OUTSIDE,
    width=st.integers(0, 250),
    height=st.integers(0, 60),
    view=st.sampled_from([*SCREENS.values(), View(opened="[outside]"), View(filter="[outside]", typing=True)]),
)
def test_any_text_from_outside_on_any_screen_of_any_size_is_text_and_moves_nothing(
    outside: str, width: int, height: int, view: View
) -> None:
    told = [started(outside, agent=outside, identity=outside), reading(3.0, call=outside)]
    told += [raised(3.0, outside, rule=outside), acknowledged(3.0, outside, outside, outside), error(outside)]
    board = Board()
    for message in told:
        board.receive(message)
    view = replace(
        view,
        opened=outside if view.opened == "[outside]" else view.opened,
        filter=outside if view.filter == "[outside]" else view.filter,
    )
    health = Health(address=outside, model=outside, hint=outside, warnings=(outside,), answer=outside)
    frame = render(board.snapshot(T0 + 4.0, view.opened), health, width, height, view)
    assert frame.size == (width, height)
    for line in frame.lines:
        text = "".join(segment.text for segment in line)
        assert cell_len(text) == width
        assert not any(unicodedata.category(character)[0] == "C" for character in text)
