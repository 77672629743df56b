"""The help: what the keys do and what the marks mean, as lines. Pure."""

from collections.abc import Sequence

from rich.segment import Segment

from monitor.dashboard.frame import Line
from monitor.dashboard.looks import BOLD, DIM, METER, TONES, fit
from monitor.dashboard.rows import VIVID
from monitor.snapshot import Tone

_KEYS: Sequence[tuple[str, str]] = (
    ("↑ ↓, k j", "choose a call; it stays chosen when rows move"),
    ("page, home, end", "further, to the first, to the last"),
    ("enter, →", "the call in detail; without a choice the most urgent"),
    ("esc, ←", "back; in the list: no filter, then no choice"),
    ("a", "you look after its alerts; everybody sees your name"),
    ("/", "only calls with these words: names, moods, alert, ended"),
    ("s", "sort by urgency, name, duration or mood"),
    ("w", "in detail: the whole call, or its last minutes"),
    ("p, space", "pause: the screen stands still, and says so"),
    ("q", "quit; ctrl-L draws the screen anew"),
)
_TONES: Sequence[Sequence[Tone]] = (
    ("anger", "disgust", "fear", "sad", "happy", "neutral"),
    ("uncertain", "silence", "too_little_speech", "clipped", "gap", "not_scored"),
)
_MARKS: Sequence[tuple[str, str]] = (
    ("▌", "an open alert; dim when somebody looks after it"),
    ("▸", "the chosen call"),
    ("✓", "who looks after an alert"),
    ("↘ → ↗", "worse, same, better than the caller's own first minute"),
    (f"A C {METER[1]}{METER[4]}{METER[8]}", "how much agent and customer speak just now"),
    ("╳ no audio", "nothing has come for 5 s: the source, not the caller"),
    ("╳ stopped", "nothing is scored any more, or the server is lost"),
)


def guide_lines(width: int) -> list[Line]:
    """All lines, however many."""
    return [
        [],
        [Segment("  keys", BOLD)],
        *(_entry(what, text, width) for what, text in _KEYS),
        [],
        [Segment("  marks", BOLD)],
        *(_tones(tones) for tones in _TONES),
        *(_entry(what, text, width) for what, text in _MARKS),
    ]


def _entry(what: str, text: str, width: int) -> Line:
    return [Segment(f"  {fit(what, 17)}"), Segment(fit(text, max(0, width - 19)), DIM)]


def _tones(tones: Sequence[Tone]) -> Line:
    line = [Segment("  ")]
    for tone in tones:
        look = TONES[tone]
        line += [Segment(look.glyph, VIVID[tone]), Segment(f" {look.word}   ", DIM)]
    return line
