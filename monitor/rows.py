"""A call as lines of the dashboard: columns for a width, and what stands in them. Pure.

Segments, not markup or `Text`: text from outside cannot be parsed, and forty rows cost little.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style

from monitor.looks import MOODS, SEVERITIES, TONES, Look, clock, fit, plain, words
from monitor.recent import CELL_S, STRIP_CELLS
from monitor.snapshot import DEAD_AIR_S, AlertView, CallView, Ending, PartyView, Tone

Line = list[Segment]

ALARM = Style.parse("bold red reverse")
BOLD = Style.parse("bold")
DIM = Style.parse("dim")
WARNING = Style.parse("bold yellow")

WIDE = 110
"""Terminal cells from which there is room for how long a mood has held and for the trend as a word."""
TREND_FROM = 0.15
"""Difference of probability that is told as a trend."""
_RED, _GREEN, _YELLOW = Style.parse("bold red"), Style.parse("green"), Style.parse("yellow")
_VIVID: Mapping[Tone, Style] = {tone: look.style for tone, look in TONES.items()} | {"anger": ALARM}
"""Styles in a strip: anger stands out, without colour too."""
_FADED: Mapping[Tone, Style] = {tone: look.style + DIM + Style(bold=False) for tone, look in TONES.items()}
"""Styles in the strip of what is over."""
_METERS = Look("how much agent and customer speak", "A C", DIM)
_EMOTIONS: tuple[Tone, ...] = ("anger", "disgust", "fear", "sad", "happy", "neutral")
_LEGEND: tuple[Tone | None, ...] = (*_EMOTIONS, "uncertain", "silence", None, "gap", "clipped", "too_little_speech")
"""The legend's order; null stands for the meters."""
_METER = "·▁▂▃▄▅▆▇█"
_MARKER, _BLANKS = 2, 6
"""Terminal cells before the first column, and between the seven."""
_BLANK = Segment(" ")


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths in terminal cells; one blank before each column."""

    name: int
    mood: int
    now: int
    strip: int
    trend: int
    time: ClassVar[int] = 6
    meters: ClassVar[int] = 3

    @classmethod
    def of(cls, width: int) -> "Columns":
        """What fits into `width`; where it is narrow the strip goes first, then lines are cut."""
        mood, now, trend = (19, 15, 8) if width >= WIDE else (14, 15, 1)
        free = width - (_MARKER + cls.time + mood + now + trend + cls.meters + _BLANKS)
        strip = min(STRIP_CELLS, max(0, free - max(13, free // 3)))
        return cls(max(8, min(36, free - strip)), mood, now, strip, trend)

    @property
    def wide(self) -> bool:
        """Whether there is room for words beside the glyphs."""
        return self.trend > 1


def titles(columns: Columns) -> Line:
    """The line over the columns."""
    past = f"last {columns.strip * CELL_S:.0f} s"
    trend = "trend" if columns.wide else "±"
    texts = ("call", "  time", "mood", "now", past, trend, "A C")
    widths = (columns.name, columns.time, columns.mood, columns.now, columns.strip, columns.trend, columns.meters)
    row = " ".join(fit(text, width) for text, width in zip(texts, widths, strict=True))
    return [Segment(f"  {row}", DIM)]


def lines_of(call: CallView, columns: Columns, stopped: bool = False) -> list[Line]:
    """A call in one line, and its worst open alert in another. `stopped`: nothing is scored any more."""
    if call.ending:
        return [_ended(call, call.ending, columns)]
    row = _running(call, columns, stopped)
    return [row, _alert(call.alerts)] if call.alerts else [row]


def legend(width: int) -> Line:
    """What the glyphs mean, the most telling first, as far as they fit into `width`."""
    line: Line = []
    for tone in _LEGEND:
        look = TONES[tone] if tone else _METERS
        text = Segment(f" {look.word}", DIM)
        width -= len(look.glyph) + len(look.word) + 3
        if width < 0:
            break
        line += [Segment("  "), Segment(look.glyph, _VIVID[tone] if tone else DIM), text]
    return line


def _running(call: CallView, columns: Columns, stopped: bool) -> Line:
    caller = call.caller
    current = caller is not None and not (caller.stale or stopped)
    return [
        _marker(call),
        _name(call, columns),
        Segment(f" {clock(call.duration_s):>6} ", DIM if stopped else None),
        _stopped(columns) if stopped else _mood(caller, columns),
        _BLANK,
        Segment(" " * columns.now) if stopped else _now(call, columns),
        _BLANK,
        *_strip(call, columns.strip, faded=not current),
        _BLANK,
        _trend(caller.trend if caller and current else None, columns),
        _BLANK,
        *_meters(call, stopped),
    ]


def _ended(call: CallView, ending: Ending, columns: Columns) -> Line:
    look = MOODS[ending.outcome]
    failed = ending.reason.startswith("error")
    now = Segment(fit("failed" if failed else f"ended {clock(ending.ago_s)}", columns.now), WARNING if failed else DIM)
    strip = _strip(call, columns.strip, faded=True)
    return [
        Segment(f"  {fit(plain(call.name), columns.name)} {clock(call.duration_s):>6} ", DIM),
        Segment(fit(f"{look.glyph} {look.word}", columns.mood), look.style),
        _BLANK,
        now,
        _BLANK,
        *([Segment(fit(plain(ending.reason), columns.strip), DIM)] if failed else strip),
    ]


def _alert(alerts: tuple[AlertView, ...]) -> Line:
    worst = alerts[0]
    look = SEVERITIES[worst.severity]
    more = f", and {len(alerts) - 1} more" if len(alerts) > 1 else ""
    text = f"{look.glyph} {words(worst.rule)} for {clock(worst.open_s)}"
    rest = f"  {look.word}, {worst.party}, since {clock(worst.start_s)}{more}"
    return [Segment("▌", look.style), Segment(f"   {text}", look.style), Segment(rest, DIM)]


def _marker(call: CallView) -> Segment:
    return Segment("▌ ", SEVERITIES[call.alerts[0].severity].style) if call.alerts else Segment("  ")


def _name(call: CallView, columns: Columns) -> Segment:
    urgent = call.caller is not None and call.caller.mood in ("angry", "dissatisfied")
    style = BOLD if urgent else None
    if call.alerts and call.alerts[0].severity == "critical":
        style = ALARM
    return Segment(fit(plain(call.name), columns.name), style)


def _stopped(columns: Columns) -> Segment:
    return Segment(fit("╳ stopped", columns.mood), DIM)


def _mood(caller: PartyView | None, columns: Columns) -> Segment:
    if caller is None or (caller.state is None and not caller.stale):
        return Segment(fit("… listening", columns.mood), DIM)
    if caller.stale:
        return Segment(fit("╳ no audio", columns.mood), WARNING)
    if caller.mood is None:
        look = TONES["not_scored"]
        return Segment(fit(f"{look.glyph} {look.word}", columns.mood), look.style)
    look = MOODS[caller.mood]
    if caller.mood_is_old and caller.tone:
        return Segment(fit(f"{TONES[caller.tone].glyph} was {look.word}", columns.mood), DIM)
    held = f" {clock(caller.mood_for_s)}" if columns.wide else ""
    return Segment(fit(f"{look.glyph} {look.word}{held}", columns.mood), look.style)


def _now(call: CallView, columns: Columns) -> Segment:
    caller = call.caller
    if caller and caller.stale:
        return Segment(fit(f"for {clock(caller.unheard_s)}", columns.now), WARNING)
    if caller is None or caller.tone is None or caller.tone == "not_scored":
        return Segment(" " * columns.now)
    if call.dead_air_s >= DEAD_AIR_S:
        return Segment(fit(f"· dead air {clock(call.dead_air_s)}", columns.now), _YELLOW)
    look = TONES[caller.tone]
    confidence = f"{caller.confidence:4.0%}" if caller.confidence is not None else ""
    return Segment(fit(f"{look.glyph} {look.word:<7}{confidence}", columns.now), look.style)


def _strip(call: CallView, width: int, faded: bool) -> Line:
    """The last `width` cells, the newest at the right; equal neighbours are one segment."""
    cells = call.caller.strip if call.caller else ()
    shown = cells[max(0, len(cells) - width) :]
    styles = _FADED if faded else _VIVID
    line = [Segment(" " * (width - len(shown)))]
    for tone, run in groupby(shown):
        glyph, style = (TONES[tone].glyph, styles[tone]) if tone else (" ", None)
        line.append(Segment(glyph * sum(1 for _ in run), style))
    return line


def _trend(trend: float | None, columns: Columns) -> Segment:
    """The mood's way since the call's first minute: down is worse."""
    if trend is None:
        return Segment(" " * columns.trend)
    if abs(trend) < TREND_FROM:
        return _told("→ same", DIM, columns)
    return _told("↘ worse", _RED, columns) if trend > 0.0 else _told("↗ better", _GREEN, columns)


def _told(trend: str, style: Style, columns: Columns) -> Segment:
    return Segment(fit(trend, columns.trend) if columns.wide else trend[0], style)


def _meters(call: CallView, stopped: bool) -> Line:
    """How much the agent and the customer speak just now; a party that is not heard is blank."""
    parties = {party.party: party for party in call.parties if not (party.stale or stopped)}
    return [_meter(parties.get("agent")), _BLANK, _meter(parties.get("customer") or parties.get("mixed"))]


def _meter(party: PartyView | None) -> Segment:
    if party is None or party.state is None:
        return _BLANK
    return Segment(_METER[round(party.speech_share * (len(_METER) - 1))], BOLD if party.speech_share >= 0.5 else DIM)
