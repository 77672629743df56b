"""What one supervisor looks at: a value that `pressed` makes anew with each key. Pure: a key is tested without a terminal."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from monitor.dashboard.keys import PASTE_BEGINS, PASTE_ENDS
from monitor.dashboard.looks import TONES, plain, words
from monitor.messages import Mood
from monitor.snapshot import CallView, Snapshot, Totals

Sort = Literal["urgency", "name", "duration", "mood"]
SORTS: tuple[Sort, ...] = ("urgency", "name", "duration", "mood")
NOTICE_S = 6.0
"""How long a notice is shown."""
_LONGEST_FILTER = 60

_MOODS: Mapping[Mood | None, int] = {"angry": 0, "dissatisfied": 1, "unclear": 2, "calm": 3, "satisfied": 4, None: 5}


@dataclass(frozen=True, slots=True)
class View:
    """Where the keys have led to."""

    keys: bool = True
    """Whether keys can come."""
    name: str = ""
    """Whoever sits here: the name in acknowledgements."""
    careful: bool = False
    """Whether quitting ends the listening to calls, so that it is asked for twice."""
    selected: str | None = None
    """Name of the chosen call: it stays chosen when rows move."""
    row: int = 0
    """Where it was when it was chosen: should it go, the next move begins there."""
    opened: str | None = None
    """Name of the call that is shown in detail."""
    whole: bool = False
    """In detail: the whole call, not its last minutes."""
    scroll: int = 0
    """Lines of the detail or the help that are passed over."""
    filter: str = ""
    """Words that a call must have, all of them."""
    typing: bool = False
    """Whether keys go into the filter."""
    pasting: bool = False
    """Whether what comes was pasted: it is no command."""
    sort: Sort = "urgency"
    frozen: Snapshot | None = None
    """What stays on the screen while the view is paused."""
    helping: bool = False
    notice: str = ""
    """What the last key did, where that cannot be seen otherwise."""
    notice_at_s: float = 0.0
    """When, on the snapshot's clock."""
    asked: tuple[tuple[str, str], ...] = ()
    """Alerts (call, alert) that are to be acknowledged: still to be done by whoever pressed."""
    leaving: bool = False
    """Whether the question stands if quitting is meant."""
    left: bool = False
    """Whether it is over."""


def pressed(key: str, view: View, snapshot: Snapshot, page: int = 10) -> View:
    """The view after `key`, pressed while `snapshot` was the latest; `page`: lines that a page key moves."""
    if key in (PASTE_BEGINS, PASTE_ENDS):
        return replace(view, pasting=key == PASTE_BEGINS)
    if view.pasting and key == "escape":  # its end never came
        return replace(view, pasting=False)
    if view.pasting and not view.typing:
        return view
    view = replace(view, notice="")
    if view.leaving:
        return replace(view, leaving=False, left=key in ("q", "y"))
    if view.typing:
        return _typed(key, view, snapshot, page)
    if view.helping:
        return _scrolled(key, view, page) or replace(view, helping=False, scroll=0)
    if key in _ANYWHERE:
        return _ANYWHERE[key](view, snapshot)
    return _in_detail(key, view, page) if view.opened is not None else _in_list(key, view, snapshot, page)


def arranged(snapshot: Snapshot, view: View) -> tuple[CallView, ...]:
    """The calls that the view lets through, in its order; those that have ended last."""
    running = sorted(snapshot.calls, key=_ORDERS[view.sort])
    asked = plain(view.filter).casefold().split()
    return tuple(call for call in (*running, *snapshot.ended) if _matches(call, asked))


def current(view: View, snapshot: Snapshot) -> View:
    """The view without its pause, where that would go on showing a call that was deleted."""
    if view.frozen is None or view.frozen.totals.forgotten == snapshot.totals.forgotten:
        return view
    return _noticed(replace(view, frozen=None), snapshot, "a call was deleted: the pause is over")


def since(view: View, snapshot: Snapshot) -> Totals | None:
    """What has happened since the view was paused; None where it is not."""
    if view.frozen is None:
        return None
    then, now = view.frozen.totals, snapshot.totals
    return Totals(now.begun - then.begun, now.ended - then.ended, now.alerts - then.alerts)


def _matches(call: CallView, asked: list[str]) -> bool:
    if not asked:
        return True
    texts = [call.name, call.source, call.agent or "", *(party.identity or "" for party in call.parties)]
    texts += ["alert"] * bool(call.alerts) + [
        part for alert in call.alerts for part in (words(alert.rule), alert.by or "")
    ]
    if call.ending:
        texts += ["ended", call.ending.outcome]
    elif call.caller:
        tone = call.caller.tone
        texts += [call.caller.mood or "", TONES[tone].word if tone else "", "no audio" * call.caller.stale]
    text = plain("\n".join(texts).replace("\n", " ")).casefold()
    return all(word in text for word in asked)


_ORDERS: Mapping[Sort, Callable[[CallView], Any]] = {
    "urgency": lambda _: 0,
    "name": lambda call: _natural(call.name),
    "duration": lambda call: -call.duration_s,
    "mood": lambda call: _MOODS[call.caller.mood if call.caller else None],
}
"""`urgency` is the snapshot's own order, which stays among equals."""


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts call-9 before call-10."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in re.split(r"(\d+)", name.casefold())
    ]


def _in_list(key: str, view: View, snapshot: Snapshot, page: int) -> View:
    match key:
        case "enter" | "right" | "l":
            return _open(view, snapshot)
        case "escape" | "backspace" | "left":
            return replace(view, filter="") if view.filter else replace(view, selected=None, row=0)
        case "/":
            return replace(view, typing=True)
        case "s":
            return replace(view, sort=SORTS[(SORTS.index(view.sort) + 1) % len(SORTS)])
    return _moved(key, view, snapshot, page) or view


def _in_detail(key: str, view: View, page: int) -> View:
    match key:
        case "escape" | "backspace" | "left":
            return replace(view, opened=None, scroll=0, frozen=None)
        case "w":
            return replace(view, whole=not view.whole)
    return _scrolled(key, view, page) or view


def _typed(key: str, view: View, snapshot: Snapshot, page: int) -> View:
    match key:
        case "enter":
            return replace(view, typing=False)
        case "escape":
            return replace(view, typing=False, filter="")
        case "backspace":
            return replace(view, filter=view.filter[:-1])
        case "clear":
            return replace(view, filter="")
    if len(key) == 1:
        return replace(view, filter=(view.filter + key)[:_LONGEST_FILTER])
    return _moved(key, view, snapshot, page) or view


def _moved(key: str, view: View, snapshot: Snapshot, page: int) -> View | None:
    """Another call chosen; None for a key that does not move."""
    steps = _steps(page)
    if key not in steps:
        return None
    names = [call.name for call in arranged(view.frozen or snapshot, view)]
    if not names:
        return view
    if view.selected is None:
        row = len(names) - 1 if key in ("end", "G") else 0
    else:
        here = names.index(view.selected) if view.selected in names else view.row - (steps[key] > 0)
        row = min(max(0, here + steps[key]), len(names) - 1)
    return replace(view, selected=names[row], row=row)


def _scrolled(key: str, view: View, page: int) -> View | None:
    """Other lines of a long text; None for a key that does not move. Whoever draws knows where it ends."""
    steps = _steps(page)
    return replace(view, scroll=max(0, view.scroll + steps[key])) if key in steps else None


def _steps(page: int) -> Mapping[str, int]:
    far = 1_000_000
    one = {"down": 1, "j": 1, "up": -1, "k": -1}
    return {**one, "page_down": page, "page_up": -page, "home": -far, "g": -far, "end": far, "G": far}


def _open(view: View, snapshot: Snapshot) -> View:
    """The chosen call, or the most urgent one, in detail; that ends a pause."""
    calls = arranged(view.frozen or snapshot, view)
    chosen = next((call.name for call in calls if call.name == view.selected), None)
    if chosen is None and (view.selected is not None or not calls):
        return _noticed(view, snapshot, "that call is gone: choose another" if calls else "there is no call to open")
    chosen = chosen or calls[0].name
    return replace(view, opened=chosen, selected=chosen, scroll=0, frozen=None)


def _acknowledge(view: View, snapshot: Snapshot) -> View:
    """Take on the alerts of the opened or chosen call. Without a choice the most urgent one is chosen first: rows may
    move in the very moment in which a key is pressed."""
    name = view.opened or view.selected
    calls = (*snapshot.calls, *snapshot.ended)
    call = next((call for call in calls if call.name == name), None)
    if name is None:
        return _offer(view, snapshot)
    waiting = [alert for alert in call.alerts if alert.waits] if call else []
    if call is None or not waiting:
        carer = next((alert.by for alert in call.alerts if alert.by), None) if call else None
        why = f"{carer} looks after it already" if carer else "it has no alert that waits for somebody"
        return _noticed(view, snapshot, f"{name}: {why}")
    rules = ", ".join(words(alert.rule) for alert in waiting)
    told = f"telling everybody that {view.name} looks after {rules} of {name}"
    asked = tuple((name, alert.alert) for alert in waiting)
    return _noticed(replace(view, asked=(*view.asked, *asked), frozen=None), snapshot, told)


def _offer(view: View, snapshot: Snapshot) -> View:
    calls = arranged(snapshot, view)
    row = next((row for row, call in enumerate(calls) if any(alert.waits for alert in call.alerts)), None)
    if row is None:
        return _noticed(view, snapshot, "no alert waits for somebody")
    chosen = replace(view, selected=calls[row].name, row=row, frozen=None)
    return _noticed(chosen, snapshot, f"a again: {view.name} looks after the alert of {calls[row].name}")


def _pause(view: View, snapshot: Snapshot) -> View:
    return replace(view, frozen=snapshot if view.frozen is None else None)


def _quit(view: View, snapshot: Snapshot) -> View:
    return replace(view, leaving=True) if view.careful and snapshot.calls else replace(view, left=True)


def _help(view: View, _: Snapshot) -> View:
    return replace(view, helping=True, scroll=0)


def _noticed(view: View, snapshot: Snapshot, notice: str) -> View:
    return replace(view, notice=notice, notice_at_s=snapshot.now_s)


_ANYWHERE: Mapping[str, Callable[[View, Snapshot], View]] = {
    "q": _quit,
    "?": _help,
    "a": _acknowledge,
    "p": _pause,
    " ": _pause,
}
