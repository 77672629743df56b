"""The colours of a report: those of the terminal's looks, as hues that colour-blind readers tell apart. Pure.

Each has a contrast of 3:1 or more to its ground, as WCAG asks of graphics, and stands beside a glyph or a word.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.messages import Mood, Severity
from monitor.snapshot import Tone


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of paper, text and lines, and of what is shown on them; `#rrggbb`."""

    ground: str
    card: str
    line: str
    edge: str
    ink: str
    quiet: str
    """Text that matters less, still 4.5:1 to ground and card."""
    anger: str
    disgust: str
    fear: str
    happy: str
    neutral: str
    sad: str
    unclear: str
    """Of every state that is no emotion."""


LIGHT = Theme(
    ground="#f3f5f8",
    card="#ffffff",
    line="#dde3e9",
    edge="#7c8896",
    ink="#18212b",
    quiet="#52606d",
    anger="#ab1f12",
    disgust="#b5429c",
    fear="#b67f00",
    happy="#00855a",
    neutral="#2f8fc4",
    sad="#27409b",
    unclear="#6b7580",
)
DARK = Theme(
    ground="#10151a",
    card="#181f27",
    line="#2a333d",
    edge="#74808d",
    ink="#e6ebf0",
    quiet="#a2adb9",
    anger="#ff6f52",
    disgust="#f09ae0",
    fear="#ffcb52",
    happy="#38c794",
    neutral="#74c9f5",
    sad="#7d96ff",
    unclear="#97a3af",
)

TONE_COLOURS: Mapping[Tone, str] = {
    **{name: name for name in ("anger", "disgust", "fear", "happy", "neutral", "sad")},
    "clipped": "fear",
    **dict.fromkeys(("uncertain", "silence", "too_little_speech", "gap", "not_scored", "speech"), "unclear"),
}
"""Tone → field of Theme."""
MOOD_COLOURS: Mapping[Mood, str] = {
    "angry": "anger",
    "dissatisfied": "fear",
    "satisfied": "happy",
    "calm": "neutral",
    "unclear": "unclear",
}
SEVERITY_COLOURS: Mapping[Severity, str] = {"critical": "anger", "warning": "fear", "info": "happy"}
