"""Every key without a terminal."""

from dataclasses import replace

import pytest
from board_messages import T0, acknowledged, cleared, ended, raised, reading, started
from hypothesis import given
from hypothesis import strategies as st

from monitor.board import Board
from monitor.dashboard.keys import NAMES, PASTE_BEGINS, PASTE_ENDS
from monitor.dashboard.view import SORTS, View, arranged, current, pressed, since
from monitor.messages import AnyMessage, CallKey, unix_ms
from monitor.snapshot import Snapshot, Totals

NAMED = View(name="Maria")
CALLS = [started(name) for name in ("a", "b", "c", "d")]


def snapshot_of(*messages: AnyMessage, now_s: float = 10.0) -> Snapshot:
    board = Board()
    for message in messages:
        board.receive(message)
    return board.snapshot(T0 + now_s)


FOUR = snapshot_of(*CALLS)


def after(keys: str | list[str], view: View = NAMED, snapshot: Snapshot = FOUR, page: int = 2) -> View:
    for key in keys:
        view = pressed(key, view, snapshot, page)
    return view


def names(snapshot: Snapshot, view: View) -> list[str]:
    return [call.name for call in arranged(snapshot, view)]


@pytest.mark.parametrize(
    ("keys", "selected"),
    [
        (["down"], "a"),
        (["up"], "a"),
        (["end"], "d"),
        ("jj", "b"),
        ("jjk", "a"),
        (["home", "page_down"], "c"),
        (["end", "page_up"], "b"),
        ("Gg", "a"),
        ("jkkkk", "a"),
        ("jjjjjjjj", "d"),
    ],
)
def test_arrows_letters_and_pages_choose_a_call(keys: list[str], selected: str) -> None:
    assert after(keys).selected == selected


def test_the_choice_stays_on_its_call_when_rows_move() -> None:
    chosen = after("jj")
    moved = snapshot_of(*CALLS, reading(3.0, "anger", "angry", call="d"), raised(3.0, "d"))
    assert names(moved, chosen) == ["d", "a", "b", "c"]
    assert chosen.selected == "b"
    assert after("j", chosen, moved).selected == "c"


def test_when_the_chosen_call_is_gone_the_next_move_begins_where_it_was() -> None:
    chosen = after("jj")
    without = snapshot_of(started("a"), started("c"), started("d"))
    assert after("j", chosen, without).selected == "c"
    assert after("k", chosen, without).selected == "a"


def test_enter_opens_the_chosen_call_and_escape_goes_back_to_it() -> None:
    opened = after(["down", "down", "enter"])
    assert (opened.opened, opened.selected) == ("b", "b")
    back = after(["escape"], opened)
    assert (back.opened, back.selected) == (None, "b")


def test_enter_without_a_choice_opens_the_most_urgent_call() -> None:
    assert after(["enter"]).opened == "a"
    assert after(["enter"], snapshot=snapshot_of()).notice == "there is no call to open"


def test_a_call_that_has_ended_can_be_opened_while_it_stays() -> None:
    assert after(["end", "enter"], snapshot=snapshot_of(*CALLS, ended(3.0, "b"))).opened == "b"


def test_a_chosen_call_that_has_gone_opens_no_other_in_its_place() -> None:
    gone = after(["enter"], replace(NAMED, selected="z"))
    assert (gone.opened, gone.notice) == (None, "that call is gone: choose another")


def test_keys_scroll_in_a_call_and_never_above_its_beginning() -> None:
    opened = after(["enter"])
    assert [after(keys, opened).scroll for keys in ("jjk", "kkk", ["page_down"], ["end", "home"])] == [1, 0, 2, 0]
    assert after("w", opened).whole
    assert not after("ww", opened).whole


ALARMED = snapshot_of(*CALLS, raised(3.0, "b"), raised(4.0, "b", "warning", "turning_worse"))


def test_a_looks_after_all_that_waits_in_the_chosen_call() -> None:
    view = after("ja", snapshot=ALARMED)
    assert view.asked == (("b", "b-sustained_anger"), ("b", "b-turning_worse"))
    assert view.notice == "telling everybody that Maria looks after sustained anger, turning worse of b"


def test_a_does_the_same_in_the_opened_call() -> None:
    assert after(["enter", "a"], snapshot=ALARMED).asked == (("b", "b-sustained_anger"), ("b", "b-turning_worse"))


def test_a_without_a_choice_first_chooses_the_most_urgent_alert() -> None:
    offered = after("a", snapshot=ALARMED)
    assert (offered.asked, offered.selected) == ((), "b")
    assert offered.notice == "a again: Maria looks after the alert of b"
    assert len(after("a", offered, ALARMED).asked) == 2
    assert after("a").notice == "no alert waits for somebody"


def test_a_on_what_needs_nobody_says_why() -> None:
    told = snapshot_of(started(), raised(3.0), acknowledged(4.0, by="Ines"))
    assert after("ja", snapshot=told).notice == "one: Ines looks after it already"
    assert after("ja").notice == "a: it has no alert that waits for somebody"
    assert after("ja", snapshot=snapshot_of(started(), raised(3.0, severity="info"))).asked == ()
    assert after("ja", snapshot=snapshot_of(started(), raised(3.0), cleared(4.0))).asked == ()


def test_typing_after_the_slash_filters_at_once_and_no_letter_is_a_command() -> None:
    typing = after("/qaps?")
    assert (typing.filter, typing.typing, typing.left, typing.asked) == ("qaps?", True, False, ())
    assert after(["backspace"], typing).filter == "qaps"
    assert after(["clear"], typing).filter == ""
    kept = after(["enter"], typing)
    assert (kept.filter, kept.typing) == ("qaps?", False)
    assert after(["escape"], typing).filter == after(["escape"], kept).filter == ""
    assert after("b", after("/")).filter == "b"
    assert after(["down"], after("/b")).selected == "b"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("claims", ["claims-2", "claims-1"]),
        ("CLAIMS angry", ["claims-2"]),
        ("alert", ["claims-2"]),
        ("turning", []),
        ("sustained anger", ["claims-2"]),
        ("4711", ["sales"]),
        ("+49", ["sales"]),
        ("no audio", ["sales"]),
        ("ended", ["old"]),
        ("[bold]", []),
        ("", ["claims-2", "sales", "claims-1", "old"]),
    ],
)
def test_the_filter_finds_names_agents_moods_alerts_and_states(words: str, found: list[str]) -> None:
    snapshot = snapshot_of(
        *(started("claims-1"), reading(9.0, call="claims-1")),
        *(started("claims-2"), reading(9.0, "anger", "angry", call="claims-2"), raised(9.0, "claims-2")),
        *(started("sales", agent="4711", identity="+4930"), reading(1.0, call="sales")),
        *(started("old"), ended(2.0, "old")),
    )
    assert names(snapshot, View(filter=words)) == found


def test_s_goes_round_the_orders() -> None:
    assert [after("s" * times).sort for times in range(5)] == [*SORTS, "urgency"]


def test_the_orders_sort_as_their_names_say() -> None:
    snapshot = snapshot_of(
        *(started("call-10"), reading(20.0, call="call-10")),
        *(started("Call-9"), reading(30.0, "sad", "dissatisfied", call="Call-9")),
        *(started("z"), reading(25.0, "anger", "angry", call="z")),
        *(started("old"), ended(99.0, "old")),
        now_s=30.0,
    )
    orders = {sort: names(snapshot, View(sort=sort)) for sort in SORTS}
    assert orders == {
        "urgency": ["z", "Call-9", "call-10", "old"],
        "name": ["Call-9", "call-10", "z", "old"],
        "duration": ["Call-9", "z", "call-10", "old"],
        "mood": ["z", "Call-9", "call-10", "old"],
    }


@pytest.mark.parametrize("key", ["p", " "])
def test_a_paused_view_keeps_what_it_showed_and_counts_what_has_happened(key: str) -> None:
    paused = after([key])
    assert paused.frozen == FOUR
    later = snapshot_of(*CALLS, started("e"), ended(3.0, "a"), ended(3.0, "b"), raised(4.0, "c"), now_s=40.0)
    assert since(paused, later) == Totals(begun=1, ended=2, alerts=1)
    assert after("j", paused, later).selected == "a"
    assert after([key], paused, later).frozen is None
    assert since(View(), later) is None


def test_a_pause_does_not_go_on_showing_a_call_that_was_deleted() -> None:
    board = Board()
    for message in (*CALLS, ended(1.0, "a")):
        board.receive(message)
    paused = after("p", snapshot=board.snapshot(T0))
    assert current(paused, board.snapshot(T0 + 1.0)) == paused
    began_ms = unix_ms(CALLS[0].at)
    board.forget([CallKey("a", began_ms - 1)])
    assert current(paused, board.snapshot(T0 + 1.0)) == paused, "that was an earlier call of this name"
    board.forget([CallKey("a", began_ms), CallKey("unknown", began_ms)])
    over = current(paused, board.snapshot(T0 + 1.0))
    assert (over.frozen, over.notice) == (None, "a call was deleted: the pause is over")


def test_opening_and_acknowledging_end_a_pause() -> None:
    assert after(["p", "enter"], snapshot=ALARMED).frozen is None
    assert after("jpa", snapshot=ALARMED).frozen is None


def test_any_key_leaves_the_help_and_q_there_does_not_quit() -> None:
    assert after("?").helping
    back = after("?q")
    assert (back.helping, back.left) == (False, False)
    assert after(["?", "down"]).helping


def test_q_quits_and_asks_first_where_that_ends_calls() -> None:
    assert after("q").left
    careful = replace(NAMED, careful=True)
    asked = after("q", careful)
    assert (asked.leaving, asked.left) == (True, False)
    assert after("q", asked).left
    stayed = after("j", asked)
    assert (stayed.leaving, stayed.left, stayed.selected) == (False, False, None)
    assert after("q", careful, snapshot_of()).left


def test_pasted_text_is_no_command_but_may_be_a_filter() -> None:
    pasted = [PASTE_BEGINS, *"qap", PASTE_ENDS]
    assert after(pasted) == NAMED
    assert after(["/", *pasted]).filter == "qap"
    assert after([PASTE_BEGINS, "escape", "q"]).left


def test_a_notice_goes_with_the_next_key() -> None:
    assert after("aj").notice == ""


@given(st.lists(st.sampled_from([*sorted(NAMES), *"jkaspw?/gGlqäx田"]), max_size=40))
def test_no_keys_break_anything_and_a_chosen_call_was_there(keys: list[str]) -> None:
    view = after(keys, replace(NAMED, careful=True), ALARMED)
    assert view.selected is None or view.selected in "abcd"
    assert view.scroll >= 0
    arranged(ALARMED, view)
