"""The chart of a call: alerts, emotion, mood, the six scores and who speaks, over one axis of time. Pure: facts → SVG.

Two widths of the same: one for paper and wide screens, one for a phone, so that letters keep their size.
"""

from collections.abc import Sequence

from monitor.dashboard.looks import MOODS, SEVERITIES, TONES, clock, words
from monitor.messages import LABELS, Label
from monitor.report.facts import AlertFacts, CallFacts, PartyFacts
from monitor.report.palette import MOOD_COLOURS, SEVERITY_COLOURS, TONE_COLOURS
from monitor.report.svg import Drawing, Frame, area, polyline, text_width
from monitor.report.timeline import BandPoint, Cell, Stretch, bands, cells, moods, speech, step_s, stretches, ticks
from monitor.report.words import PARTIES, alert_end, finding
from monitor.snapshot import Tone

WIDE, NARROW = 760.0, 340.0
GUTTER = 124.0
"""Room for labels at the left of the wide one."""
_EDGE = 6.0
_RIBBON, _SCORE, _SPEECH, _MOOD, _ALERT = 76.0, 30.0, 22.0, 18.0, 18.0
_BETWEEN = 12.0
_MOST_ALERTS = 6
"""Lanes; the table tells of all."""
_LONGEST_NAME = 28
_LEAST_MOOD = 20.0
"""Wide enough for a mood's glyph."""
_LABEL_LEAST = 0.3
"""A peak under this is not worth a number."""


def chart(facts: CallFacts, party: PartyFacts, wide: bool = True) -> str:
    """The chart of `party`'s call. A party that is not scored has its speech alone."""
    drawing = _drawing(facts, party, wide)
    chart = _Chart(drawing, facts, party)
    if party.scored:
        chart.alerts()
        chart.emotion()
        chart.moods()
        for label in LABELS:
            chart.score(label)
    chart.speech()
    return drawing.finished(chart.axis())


def _drawing(facts: CallFacts, party: PartyFacts, wide: bool) -> Drawing:
    width, left = (WIDE, GUTTER) if wide else (NARROW, 0.0)
    frame = Frame(width, left, width - _EDGE, facts.duration_s)
    who = PARTIES[party.party]
    drawing = Drawing(
        f"{'wide' if wide else 'narrow'}-{party.party}",
        f"Emotion of the {who} over the call" if party.scored else "Who speaks over the call",
        finding(facts, party) if party.scored else "Shares of speech of each party",
        frame,
    )
    _textures(drawing)
    return drawing


def swatch(state: Tone, name: str) -> str:
    """A sample of how `state` looks in the chart of the party `name`, for a key."""
    frame = Frame(22, 0.0, 22, 1.0)
    drawing = Drawing(f"key-{state}-{name}", "", "", frame)
    _textures(drawing)
    _draw_state(drawing, state, (1, 21), 15, 14, [(1, 5), (11, 5), (11, 3), (21, 3)])
    return drawing.finished(16)


def _textures(drawing: Drawing) -> None:
    drawing.pattern("gap", 6, "M-1 7L7 -1M-1 1L1 -1M5 7L7 5")
    drawing.pattern("clipped", 5, "M0 1.5H5")
    drawing.pattern("uncertain", 6, "M1 1H2M4 4H5")


def _draw_state(
    drawing: Drawing,
    state: Tone,
    between: tuple[float, float],
    base: float,
    height: float,
    steps: list[tuple[float, float]],
) -> None:
    """What is told from x to x where it is no emotion; `steps`: how sure an unsure reading was."""
    left, right = between
    match state:
        case "silence" | "not_scored":
            drawing.line(left, base - 1.5, right, base - 1.5, "silence")
        case "too_little_speech":
            drawing.box(left + 0.5, base - 8, max(1.0, right - left - 1), 7, "little")
        case "gap" | "clipped":
            drawing.box(left, base - height, right - left, height, state, fill=drawing.texture(state))
        case _:
            drawing.path(area(steps, base), "uncertain", fill=drawing.texture("uncertain"))


def _cut(text: str) -> str:
    """A name from outside, short enough for a line."""
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


class _Chart:
    """Draws row under row; `_y` is where the next begins."""

    def __init__(self, drawing: Drawing, facts: CallFacts, party: PartyFacts) -> None:
        self._drawing, self._frame, self._facts, self._party = drawing, drawing.frame, facts, party
        most = int(self._frame.span / 2)
        self._step_s = step_s(facts, most)
        self._cells = cells(party, self._step_s, facts.hop_s)
        shown = [alert for alert in facts.alerts_of(party.party)[:_MOST_ALERTS] if alert.severity != "info"]
        self._marks = [(alert.raised_s, alert) for alert in shown if alert.raised_s is not None]
        self._y = 4.0

    def alerts(self) -> None:
        """A bar for each, from since when its rule held to its end."""
        alerts = self._facts.alerts_of(self._party.party)
        if not alerts:
            return
        self._label("Alerts", _ALERT)
        for alert in alerts[:_MOST_ALERTS]:
            self._alert(alert)
            self._y += _ALERT + 4
        if len(alerts) > _MOST_ALERTS:
            self._drawing.text(
                self._frame.left, self._y + 11, f"and {len(alerts) - _MOST_ALERTS} more, listed below", "quiet"
            )
            self._y += _ALERT
        self._y += _BETWEEN - 4

    def emotion(self) -> None:
        """What was told, as high as it was sure."""
        self._label("Emotion", _RIBBON, "height: how sure")
        self._y += 16  # room for the words
        top, base = self._y, self._y + _RIBBON
        for share in (0.5, 1.0):
            self._across(base - share * _RIBBON, "guide")
        found = stretches(self._cells)
        for stretch in found:
            self._stretch(stretch, base)
        self._across(base, "base")
        self._name(found, top - 4)
        self._y = base + 2
        if self._party.gaps:
            self._lost()
        self._y += _BETWEEN

    def moods(self) -> None:
        """The mood, in words, from one to the next."""
        drawing, x = self._drawing, self._frame.x
        self._label("Mood", _MOOD)
        for mood in moods(self._cells):
            look, colour = MOODS[mood.mood], MOOD_COLOURS[mood.mood]
            left, width = x(mood.start_s), x(mood.end_s) - x(mood.start_s)
            drawing.box(left, self._y, width, _MOOD, f"{colour} tint")
            drawing.box(left, self._y, min(3.0, width), _MOOD, f"{colour} solid")
            words_fit = width >= text_width(f"{look.glyph} {look.word}") + 10
            if width >= _LEAST_MOOD:
                drawing.text(
                    left + 8, self._y + 13, look.word if words_fit else "", "", (look.glyph, f"{colour} solid")
                )
        self._y += _MOOD + _BETWEEN + 2

    def score(self, label: Label) -> None:
        """One emotion's score: the mean of neighbouring windows, within the lowest and the highest of them."""
        drawing, look = self._drawing, TONES[label]
        self._label(look.word, _SCORE, glyph=(look.glyph, f"{label} solid"))
        base = self._y + _SCORE
        drawing.box(self._frame.left, self._y, self._frame.span, _SCORE, "paper")
        runs = bands(self._cells, label)
        for run in runs:
            self._band(run, base, label)
        points = [point for run in runs for point in run]
        if points and (peak := max(points, key=lambda point: point.mean)).mean >= _LABEL_LEAST:
            self._peak(peak, base, label)
        self._y = base + 6

    def speech(self) -> None:
        """How much each party speaks: one upwards, the other downwards, so that turns are seen."""
        self._y += _BETWEEN - 6
        for number, party in enumerate(self._facts.parties):
            downwards = number == 1
            self._label(f"{PARTIES[party.party]} speaks" if party.party != "mixed" else "Speech", _SPEECH)
            base = self._y if downwards else self._y + _SPEECH
            self._speaks(party, base, -1 if downwards else 1)
            self._across(base, "base")
            self._y += _SPEECH + (1 if self._frame.narrow else 0)
        self._y += 4

    def axis(self) -> float:
        """Times under all rows, lines through them; returns the height of the whole."""
        drawing, top, bottom = self._drawing, 2.0, self._y
        times = ticks(self._facts.duration_s, 9 if not self._frame.narrow else 6)
        for at_s in times:
            x = self._frame.x(at_s)
            drawing.line(x, bottom, x, bottom + 4, "base")
            end = x + text_width(clock(at_s)) / 2 > self._frame.right
            place = "start" if at_s == 0 and self._frame.narrow else "end" if end else "middle"
            drawing.text(x, bottom + 17, clock(at_s), f"quiet {place}")
        for raised_s, alert in self._marks:
            x = self._frame.x(raised_s)
            drawing.line(x, top, x, bottom, f"{SEVERITY_COLOURS[alert.severity]} mark")
        return bottom + 24

    def _label(self, text: str, height: float, small: str = "", glyph: tuple[str, str] | None = None) -> None:
        """Beside the row that begins here, or above it where there is no room."""
        text = text[0].upper() + text[1:]
        if self._frame.narrow:
            self._drawing.text(0, self._y + 11, text if not small else f"{text} · {small}", "name", glyph)
            self._y += 16
            return
        middle = self._y + height / 2 + (18 if small else 4)
        self._drawing.text(0, middle, text, "name", glyph)
        if small:
            self._drawing.text(0, middle + 15, small, "quiet")

    def _across(self, y: float, look: str) -> None:
        self._drawing.line(self._frame.left, y, self._frame.right, y, look)

    def _alert(self, alert: AlertFacts) -> None:
        drawing, frame, colour = self._drawing, self._frame, SEVERITY_COLOURS[alert.severity]
        end_s = self._facts.duration_s if alert.cleared_s is None else alert.cleared_s
        left, right = frame.x(alert.start_s), frame.x(end_s)
        raised = frame.x(alert.start_s if alert.raised_s is None else alert.raised_s)
        drawing.box(left, self._y, max(3.0, right - left), _ALERT, f"{colour} tint", rx="3")
        drawing.box(raised, self._y, 2.5, _ALERT, f"{colour} solid")
        look = SEVERITIES[alert.severity]
        glyph = (look.glyph, f"{colour} solid")
        for text in self._alert_texts(alert):
            width = text_width(f"{look.glyph} {text}")
            if width <= frame.right - raised - 8:
                return drawing.text(raised + 7, self._y + 13, text, "", glyph)
            if width <= left - frame.left - 8:
                return drawing.text(left - 6, self._y + 13, text, "end", glyph)
        drawing.text(frame.right - 4, self._y + 13, _cut(words(alert.rule)), "end", glyph)

    def _alert_texts(self, alert: AlertFacts) -> list[str]:
        """What can be said on a bar, the longest first."""
        rule = _cut(words(alert.rule))
        raised = f"{rule}, raised {clock(alert.raised_s)}" if alert.raised_s is not None else rule
        by = "".join(f", taken on by {_cut(taken.by)} {clock(taken.at_s)}" for taken in alert.acknowledged)
        return [f"{raised}, {alert_end(alert, self._facts)}{by}", f"{raised}{by}", raised, rule]

    def _stretch(self, stretch: Stretch, base: float) -> None:
        drawing, frame = self._drawing, self._frame
        left, right = frame.x(stretch.start_s), frame.x(stretch.end_s)
        steps = self._steps(stretch.cells, base)
        if stretch.tone in LABELS:
            drawing.path(area(steps, base), f"{TONE_COLOURS[stretch.tone]} solid")
        else:
            _draw_state(drawing, stretch.tone, (left, right), base, _RIBBON, steps)

    def _steps(self, of: Sequence[Cell], base: float) -> list[tuple[float, float]]:
        points = []
        for cell in of:
            y = base - (cell.confidence or 0.0) * _RIBBON
            points += [(self._frame.x(cell.start_s), y), (self._frame.x(cell.end_s), y)]
        return points

    def _name(self, found: Sequence[Stretch], y: float) -> None:
        """Words over the longest stretches of one emotion, as far as there is room."""
        frame, taken = self._frame, list[tuple[float, float]]()
        emotions = [stretch for stretch in found if stretch.tone in LABELS]
        for stretch in sorted(emotions, key=lambda one: one.start_s - one.end_s):
            look = TONES[stretch.tone]
            width = text_width(f"{look.glyph} {look.word}") + 8
            left = min(frame.x(stretch.start_s), frame.right - width)
            free = all(left >= end or left + width <= start for start, end in taken)
            if free and frame.x(stretch.end_s) - frame.x(stretch.start_s) >= 5:
                taken.append((left, left + width))
                self._drawing.text(left, y, look.word, "", (look.glyph, f"{TONE_COLOURS[stretch.tone]} solid"))

    def _lost(self) -> None:
        for gap in self._party.gaps:
            left, right = self._frame.x(gap.start_s), self._frame.x(gap.end_s)
            self._drawing.box(left, self._y, max(2.0, right - left), 5, "lost")
        self._y += 5

    def _band(self, run: list[BandPoint], base: float, label: Label) -> None:
        def place(at_s: float, score: float) -> tuple[float, float]:
            return self._frame.x(at_s), base - score * _SCORE

        edges = [run[0].at_s - self._step_s / 2, *(point.at_s for point in run[1:-1]), run[-1].at_s + self._step_s / 2]
        times = edges if len(run) > 1 else [edges[0], edges[-1]]
        points = run if len(run) > 1 else [run[0], run[0]]
        timed = list(zip(times, points, strict=True))
        around = [place(at_s, point.high) for at_s, point in timed]
        around += [place(at_s, point.low) for at_s, point in reversed(timed)]
        self._drawing.path(polyline(around) + "Z", f"{label} band")
        self._drawing.path(polyline([place(at_s, point.mean) for at_s, point in timed]), f"{label} curve")

    def _peak(self, peak: BandPoint, base: float, label: Label) -> None:
        x, y = self._frame.x(peak.at_s), base - peak.mean * _SCORE
        self._drawing.dot(x, y, 2.5, f"{label} solid")
        text_y = y + 14 if peak.mean > 0.5 else y - 5
        side = "small end" if x > self._frame.right - 44 else "small"
        self._drawing.text(x, text_y, f"{100 * peak.mean:.0f} %", side)

    def _speaks(self, party: PartyFacts, base: float, sign: int) -> None:
        points = [(self._frame.x(at_s), base - sign * share * (_SPEECH - 2)) for at_s, share in
                  speech(party, max(self._step_s, self._facts.hop_s))]  # fmt: skip
        if points:
            self._drawing.path(area(points, base), f"speech {party.party}")
