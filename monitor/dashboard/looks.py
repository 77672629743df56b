"""How everything looks in a terminal: a word, a glyph and a colour each; text from outside made safe to show. Pure.

The glyphs differ in shape, so that nothing rests on colour; the colours are the terminal's own sixteen.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.style import Style

from monitor.messages import Mood, Severity
from monitor.snapshot import Tone

ALARM = Style.parse("bold red reverse")
BOLD = Style.parse("bold")
CHOSEN = Style.parse("bold reverse")
DIM = Style.parse("dim")
WARNING = Style.parse("bold yellow")


@dataclass(frozen=True, slots=True)
class Look:
    """How one thing is shown."""

    word: str
    glyph: str
    """One terminal cell wide."""
    style: Style


def _look(word: str, glyph: str, style: str) -> Look:
    return Look(word, glyph, Style.parse(style))


TONES: Mapping[Tone, Look] = {
    "anger": _look("anger", "▲", "bold red"),
    "disgust": _look("disgust", "◆", "bold magenta"),
    "fear": _look("fear", "≈", "bold yellow"),
    "sad": _look("sad", "▼", "bold bright_blue"),
    "happy": _look("happy", "●", "green"),
    "neutral": _look("neutral", "─", "cyan"),
    "uncertain": _look("unsure", "?", "dim"),
    "silence": _look("silent", "·", "dim"),
    "too_little_speech": _look("little speech", ":", "dim"),
    "clipped": _look("clipped", "#", "yellow"),
    "gap": _look("lost audio", "╳", "yellow"),
    "not_scored": _look("not scored", "░", "dim"),
    "speech": _look("speech", "?", "dim"),
}
"""Every emotion, and every state that is none. A reading's tone is never `speech`."""

MOODS: Mapping[Mood, Look] = {
    "angry": _look("angry", "▲", "bold red"),
    "dissatisfied": _look("dissatisfied", "▼", "bold yellow"),
    "satisfied": _look("satisfied", "●", "green"),
    "calm": _look("calm", "─", "cyan"),
    "unclear": _look("unclear", "?", "dim"),
}

SEVERITIES: Mapping[Severity, Look] = {
    "critical": _look("critical", "!", "bold red"),
    "warning": _look("warning", "!", "bold yellow"),
    "info": _look("good news", "+", "green"),
}

METER = "·▁▂▃▄▅▆▇█"
"""From nothing to all."""

_IN_ASCII = str.maketrans("▲◆≈▼●─╳░▁▂▃▄▅▆▇█·▌▸▾✓→↘↗↑↓…━║", "^*~vo-x%_,-=+*#@.|>v+=\\/^v.=|")
"""Distinct where they could be mistaken for each other: emotions among themselves, steps of a meter likewise."""

_MARKS_A_BASE = 2
_DROPPED = {"\u200c", "\u200d", "\ufe0e", "\ufe0f"}
"""Joiners and variation selectors: without them a terminal and we agree on the width."""


@lru_cache(maxsize=4_096)
def plain(text: str) -> str:
    """`text` from outside as text: control, format and unassigned characters become `�`, towers of accents are cut."""
    shown: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", text):
        if character in _DROPPED:
            continue
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if category[0] == "C" or category in ("Zl", "Zp"):
            shown.append("�")
        elif marks <= _MARKS_A_BASE:
            shown.append(character)
    return "".join(shown)


@lru_cache(maxsize=4_096)
def fit(text: str, width: int) -> str:
    """`text` in exactly `width` terminal cells: padded, or cut with an ellipsis."""
    if cell_len(text) <= width or width < 1:
        return set_cell_size(text, max(0, width))
    return set_cell_size(text, width - 1) + "…"


def in_ascii(text: str, encoding: str) -> str:
    """`text` as a terminal of that `encoding` can show it: unchanged in UTF-8, else each glyph of ours as another letter or
    mark, and `?` for what has none."""
    if encoding.lower().replace("-", "").startswith("utf"):
        return text
    return "".join(_encodable(character, encoding) for character in text.translate(_IN_ASCII))


@lru_cache(maxsize=4_096)
def _encodable(character: str, encoding: str) -> str:
    """`character`, or as many `?` as it is wide."""
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return "?" * cell_len(character)
    return character


def clock(seconds: float) -> str:
    """A duration in at most six characters: `0:07`, `83:20`, `2h05m`."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    return f"{minutes}:{rest:02d}" if minutes < 100 else f"{minutes // 60}h{minutes % 60:02d}m"


def count(number: int, noun: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def words(name: str) -> str:
    """A name of the contract as words: `sustained_anger` → `sustained anger`."""
    return plain(name).replace("_", " ")
