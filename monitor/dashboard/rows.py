"""A call as lines of the dashboard: columns for a width, and what stands in them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style

from monitor.dashboard.frame import Line
from monitor.dashboard.looks import (
    ALARM,
    BOLD,
    CHOSEN,
    DIM,
    METER,
    MOODS,
    SEVERITIES,
    TONES,
    WARNING,
    Look,
    clock,
    fit,
    plain,
    words,
)
from monitor.recent import CELL_S, STRIP_CELLS
from monitor.snapshot import DEAD_AIR_S, AlertView, CallView, Ending, PartyView, Tone

WIDE = 110
"""Terminal cells from which there is room for how long a mood has held and for the trend as a word."""
TREND_FROM = 0.15
"""Difference of probability that is told as a trend."""
_RED, _GREEN, _YELLOW = Style.parse("bold red"), Style.parse("green"), Style.parse("yellow")
VIVID: Mapping[Tone, Style] = {tone: look.style for tone, look in TONES.items()} | {"anger": ALARM}
"""Styles in a strip: anger stands out, without colour too."""
FADED: Mapping[Tone, Style] = {tone: look.style + DIM + Style(bold=False) for tone, look in TONES.items()}
"""Styles in the strip of what is over."""
_METERS = Look("how much agent and customer speak", "A C", DIM)
_EMOTIONS: tuple[Tone, ...] = ("anger", "disgust", "fear", "sad", "happy", "neutral")
_LEGEND: tuple[Tone | None, ...] = (*_EMOTIONS, "uncertain", "silence", None, "gap", "clipped", "too_little_speech")
"""The legend's order; null stands for the meters."""
_MARKER, _BLANKS = 2, 6
"""Terminal cells before the first column, and between the seven that are always there."""
_BLANK = Segment(" ")


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths in terminal cells; one blank before each column."""

    name: int
    agent: int
    """0 where there is no such column."""
    mood: int
    now: int
    strip: int
    trend: int
    time: ClassVar[int] = 6
    meters: ClassVar[int] = 3

    @classmethod
    def of(cls, width: int, agents: bool = False) -> "Columns":
        """What fits into `width`; where it is narrow the strip goes first, then lines are cut. `agents`: whether any call
        names one."""
        mood, now, trend = (19, 15, 8) if width >= WIDE else (14, 15, 1)
        agent = 0 if not agents or width < WIDE else 8 if width < 2 * WIDE else 15
        free = width - (_MARKER + cls.time + mood + now + trend + cls.meters + _BLANKS) - (agent + bool(agent))
        strip = min(STRIP_CELLS, max(0, free - max(13, free // 3)))
        return cls(max(8, min(36, free - strip)), agent, mood, now, strip, trend)

    @property
    def wide(self) -> bool:
        """Whether there is room for words beside the glyphs."""
        return self.trend > 1


def titles(columns: Columns) -> Line:
    """The line over the columns."""
    past = f"last {columns.strip * CELL_S:.0f} s"
    trend = "trend" if columns.wide else "±"
    texts = ("call", "agent", "  time", "mood", "now", past, trend, "A C")
    left = (columns.name, columns.agent, columns.time, columns.mood, columns.now)
    widths = (*left, columns.strip, columns.trend, columns.meters)
    row = " ".join(fit(text, width) for text, width in zip(texts, widths, strict=True) if width or text != "agent")
    return [Segment(f"  {row}", DIM)]


def lines_of(call: CallView, columns: Columns, stopped: bool = False, chosen: bool = False) -> list[Line]:
    """A call in one line, and its worst open alert in another. `stopped`: nothing is scored any more."""
    if call.ending:
        return [_ended(call, call.ending, columns, chosen)]
    row = _running(call, columns, stopped, chosen)
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
        line += [Segment("  "), Segment(look.glyph, VIVID[tone] if tone else DIM), text]
    return line


def mood_of(call: CallView, stopped: bool, held: bool) -> tuple[str, Style]:
    """The caller's mood in words, `held` for how long: never one where nothing is known."""
    caller = call.caller
    if stopped:
        return "╳ stopped", DIM
    if caller is None or (caller.state is None and not caller.stale):
        return "… listening", DIM
    if caller.stale:
        return "╳ no audio", WARNING
    if caller.mood is None:
        return _words(TONES["not_scored"])
    look = MOODS[caller.mood]
    if caller.mood_is_old and caller.tone:
        return f"{TONES[caller.tone].glyph} was {look.word}", DIM
    return f"{look.glyph} {look.word}{f' {clock(caller.mood_for_s)}' if held else ''}", look.style


def now_of(call: CallView, stopped: bool) -> tuple[str, Style | None]:
    """What the last reading says, and how sure it is; empty where that is nothing."""
    caller = call.caller
    if stopped:
        return "", None
    if caller and caller.stale:
        return f"for {clock(caller.unheard_s)}", WARNING
    if caller is None or caller.tone is None or caller.tone == "not_scored":
        return "", None
    if call.dead_air_s >= DEAD_AIR_S:
        return f"· dead air {clock(call.dead_air_s)}", _YELLOW
    look = TONES[caller.tone]
    confidence = f"{caller.confidence:4.0%}" if caller.confidence is not None else ""
    return f"{look.glyph} {look.word:<7}{confidence}", look.style


def trend_of(call: CallView, stopped: bool) -> tuple[str, Style | None]:
    """The mood's way since the call's first minute: down is worse; empty where nothing is known."""
    caller = call.caller
    if caller is None or caller.trend is None or caller.stale or stopped:
        return "", None
    if abs(caller.trend) < TREND_FROM:
        return "→ same", DIM
    return ("↘ worse", _RED) if caller.trend > 0.0 else ("↗ better", _GREEN)


def _running(call: CallView, columns: Columns, stopped: bool, chosen: bool) -> Line:
    caller = call.caller
    current = caller is not None and not (caller.stale or stopped)
    mood, now, trend = mood_of(call, stopped, columns.wide), now_of(call, stopped), trend_of(call, stopped)
    return [
        *_marker(call, chosen),
        *_name(call, columns, _urgency(call), chosen),
        Segment(f" {clock(call.duration_s):>6} ", DIM if stopped else None),
        Segment(fit(mood[0], columns.mood), mood[1]),
        _BLANK,
        Segment(fit(now[0], columns.now), now[1]),
        _BLANK,
        *_strip(call, columns.strip, faded=not current),
        _BLANK,
        Segment(fit(trend[0] if columns.wide else trend[0][:1], columns.trend), trend[1]),
        _BLANK,
        *_meters(call, stopped),
    ]


def _ended(call: CallView, ending: Ending, columns: Columns, chosen: bool) -> Line:
    mood, style = _words(MOODS[ending.outcome])
    failed = ending.reason.startswith("error")
    now = Segment(fit("failed" if failed else f"ended {clock(ending.ago_s)}", columns.now), WARNING if failed else DIM)
    strip = _strip(call, columns.strip, faded=True)
    return [
        *_marker(call, chosen),
        *_name(call, columns, DIM, chosen),
        Segment(f" {clock(call.duration_s):>6} ", DIM),
        Segment(fit(mood, columns.mood), style),
        _BLANK,
        now,
        _BLANK,
        *([Segment(fit(plain(ending.reason), columns.strip), DIM)] if failed else strip),
    ]


def _alert(alerts: tuple[AlertView, ...]) -> Line:
    worst = alerts[0]
    look = SEVERITIES[worst.severity]
    style = DIM if worst.by else look.style
    line = [Segment("▌", style), Segment(f"   {look.glyph} {words(worst.rule)} for {clock(worst.open_s)}", style)]
    if worst.by:
        line.append(Segment(f"  ✓ {plain(worst.by)} looks after it", BOLD))
    more = f", and {len(alerts) - 1} more" if len(alerts) > 1 else ""
    return [*line, Segment(f"  {look.word}, {worst.party or 'whole call'}, since {clock(worst.start_s)}{more}", DIM)]


def _marker(call: CallView, chosen: bool) -> Line:
    alert = next(iter(call.alerts), None)
    style = (DIM if alert.by else SEVERITIES[alert.severity].style) if alert else None
    return [Segment("▌" if alert else " ", style), Segment("▸" if chosen else " ", BOLD)]


def _name(call: CallView, columns: Columns, style: Style | None, chosen: bool) -> Line:
    line = [Segment(fit(plain(call.name), columns.name), CHOSEN if chosen and style != ALARM else style)]
    if columns.agent:
        line.append(Segment(f" {fit(plain(call.agent or ''), columns.agent)}", DIM))
    return line


def _urgency(call: CallView) -> Style | None:
    """How a call's name stands out."""
    if call.alerts and call.alerts[0].severity == "critical" and call.alerts[0].waits:
        return ALARM
    return BOLD if call.caller is not None and call.caller.mood in ("angry", "dissatisfied") else None


def _words(look: Look) -> tuple[str, Style]:
    return f"{look.glyph} {look.word}", look.style


def _strip(call: CallView, width: int, faded: bool) -> Line:
    """The last `width` cells, the newest at the right; equal neighbours are one segment."""
    cells = call.caller.strip if call.caller else ()
    shown = cells[max(0, len(cells) - width) :]
    return [Segment(" " * (width - len(shown))), *tones(shown, FADED if faded else VIVID)]


def tones(cells: Iterable[Tone | None], styles: Mapping[Tone, Style]) -> Line:
    """One terminal cell for each of `cells`; equal neighbours are one segment."""
    line = []
    for tone, run in groupby(cells):
        glyph, style = (TONES[tone].glyph, styles[tone]) if tone else (" ", None)
        line.append(Segment(glyph * sum(1 for _ in run), style))
    return line


def level(share: float) -> str:
    """`share`, 0..1, as a glyph of the meter."""
    return METER[round(min(1.0, max(0.0, share)) * (len(METER) - 1))]


def _meters(call: CallView, stopped: bool) -> Line:
    """How much the agent and the customer speak just now; a party that is not heard is blank."""
    parties = {party.party: party for party in call.parties if not (party.stale or stopped)}
    return [_meter(parties.get("agent")), _BLANK, _meter(parties.get("customer") or parties.get("mixed"))]


def _meter(party: PartyView | None) -> Segment:
    if party is None or party.state is None:
        return _BLANK
    return Segment(level(party.speech_share), BOLD if party.speech_share >= 0.5 else DIM)
