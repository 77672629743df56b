"""A call in one picture, by matplotlib: the page's chart with the sound under it, to paste elsewhere. Facts → PNG."""

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from monitor import __version__
from monitor.dashboard.looks import MOODS, SEVERITIES, TONES, clock, plain, words
from monitor.messages import LABELS, Label, Party
from monitor.report.drawing import png_of, spectrogram, waveform
from monitor.report.facts import AlertFacts, CallFacts, PartyFacts
from monitor.report.palette import LIGHT, MOOD_COLOURS, SEVERITY_COLOURS, TONE_COLOURS
from monitor.report.sound import Sound
from monitor.report.timeline import Cell, Stretch, bands, cells, moods, speech, step_s, stretches, ticks
from monitor.report.words import PARTIES, alert_end, finding, not_read, standing
from monitor.snapshot import Tone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 12.0
"""Inches."""
_MOST_CELLS = 400
_MOST_ALERTS = 4
_HATCHES: Mapping[Tone, str] = {"uncertain": "...", "speech": "...", "gap": "////", "clipped": "----"}
_LETTERS_A_LINE = 145
_NAME_SHARE = 0.075
"""Of the call: emotions that begin closer to each other are not both named."""
_KEY: Mapping[Tone, str] = {
    "uncertain": "dots: unsure",
    "gap": "hatched: lost audio",
    "clipped": "lines: too loud to read",
    "too_little_speech": "dotted line: too little speech, or silent",
}


def picture(facts: CallFacts, sounds: Mapping[Party, Sound]) -> bytes:
    """The call as its judged party was read, or who speaks where nobody was; with what there is of its sound. PNG."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name in a script that no font here has
        return png_of(_poster(facts, sounds))


def _poster(facts: CallFacts, sounds: Mapping[Party, Sound]) -> "Figure":
    from matplotlib.figure import Figure

    party = facts.judged or facts.parties[0]
    rows = _rows(facts, party, sounds)
    lead = textwrap.wrap(finding(facts, party) if party.scored else not_read(facts), _LETTERS_A_LINE)
    head_in, foot_in = 0.85 + 0.26 * len(lead), 0.75
    height_in = head_in + foot_in + sum(height for _, height in rows)
    figure = Figure(figsize=(_WIDTH, height_in), dpi=130, facecolor=LIGHT.card)
    axes = figure.subplots(
        len(rows), 1, sharex=True, squeeze=False,
        gridspec_kw={"height_ratios": [height for _, height in rows], "hspace": 0.22, "left": 0.13, "right": 0.98,
                     "top": 1 - head_in / height_in, "bottom": foot_in / height_in},
    )[:, 0]  # fmt: skip
    _head(figure, facts, lead, height_in)
    for one, (name, _) in zip(axes, rows, strict=True):
        _plain(one)
        _draw(one, name, facts, party, sounds)
    _times(list(axes), facts, party)
    return figure


def _rows(facts: CallFacts, party: PartyFacts, sounds: Mapping[Party, Sound]) -> list[tuple[str, float]]:
    """(name, height in inches) from top to bottom."""
    rows: list[tuple[str, float]] = []
    if party.scored:
        alerts = min(_MOST_ALERTS, len(facts.alerts_of(party.party)))
        rows += [("alerts", 0.3 * alerts)] if alerts else []
        rows += [("emotion", 1.35), ("mood", 0.28), *((label, 0.42) for label in LABELS)]
    rows += [(f"speech {one.party}", 0.34) for one in facts.parties]
    for one in facts.parties:
        if one.party in sounds:
            rows += [(f"waveform {one.party}", 0.6)]
            rows += [(f"spectrogram {one.party}", 1.3)] if one.scored else []
    return rows


def _head(figure: "Figure", facts: CallFacts, lead: Sequence[str], height_in: float) -> None:
    ink, quiet = LIGHT.ink, LIGHT.quiet
    outcome = f"   {MOODS[facts.outcome].glyph} {MOODS[facts.outcome].word}" if facts.outcome else ""
    colour = getattr(LIGHT, MOOD_COLOURS[facts.outcome]) if facts.outcome else quiet
    title = figure.text(0.012, 1 - 0.36 / height_in, _shown(facts.call[:60]), size=17, weight="bold", color=ink)
    figure.canvas.draw()
    after = title.get_window_extent().x1 / figure.bbox.width
    figure.text(after, 1 - 0.36 / height_in, outcome, size=15, weight="bold", color=colour)
    figure.text(
        0.98, 1 - 0.36 / height_in, f"{clock(facts.duration_s)}, {standing(facts)}", size=12, color=quiet, ha="right"
    )
    figure.text(0.012, 1 - 0.5 / height_in, _shown("\n".join(lead)), size=11, color=ink, va="top", linespacing=1.4)
    judged = facts.judged
    key = [text for tone, text in _KEY.items() if judged and tone in judged.tones]
    figure.text(0.98, 0.12 / height_in, "; ".join(key), size=8.5, color=quiet, ha="right")
    model = facts.origin.model or "a model that was not kept"
    figure.text(0.012, 0.12 / height_in, f"An estimate by {_shown(model)}, which can be wrong. callmood {__version__}",
                size=8.5, color=quiet)  # fmt: skip


def _shown(text: str) -> str:
    """`text` as text: matplotlib would read dollars as mathematics."""
    return "\n".join(plain(line) for line in text.split("\n")).replace("$", r"\$")


def _plain(axes: "Axes") -> None:
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)


def _draw(axes: "Axes", name: str, facts: CallFacts, party: PartyFacts, sounds: Mapping[Party, Sound]) -> None:
    pieces = cells(party, step_s(facts, _MOST_CELLS), facts.hop_s)
    kind, _, whose = name.partition(" ")
    match kind:
        case "alerts":
            _alerts(axes, facts, party)
        case "emotion":
            _emotion(axes, stretches(pieces), facts)
        case "mood":
            _moods(axes, pieces, facts)
        case "speech":
            _speech(axes, next(one for one in facts.parties if one.party == whose), facts)
        case "waveform" | "spectrogram":
            one = next(party for party in sounds if party == whose)
            (waveform if kind == "waveform" else spectrogram)(axes, sounds[one])
            _plain(axes)
            axes.set_ylabel("")
            _name(axes, f"{PARTIES[one].capitalize()}", kind)
        case _:
            _score(axes, pieces, next(label for label in LABELS if label == kind))


def _name(axes: "Axes", text: str, small: str = "", colour: str = LIGHT.ink) -> None:
    """At the picture's left edge, beside the row."""
    place: Any = {"xycoords": ("figure fraction", "axes fraction"), "textcoords": "offset points", "va": "center"}
    axes.annotate(text, (0.012, 0.5), (0, 6 if small else 0), size=10, weight="bold", color=colour, **place)
    if small:
        axes.annotate(small, (0.012, 0.5), (0, -8), size=8.5, color=LIGHT.quiet, **place)


def _alerts(axes: "Axes", facts: CallFacts, party: PartyFacts) -> None:
    shown = facts.alerts_of(party.party)[:_MOST_ALERTS]
    axes.set_ylim(len(shown), 0)
    _name(axes, "Alerts")
    for lane, alert in enumerate(shown):
        colour = getattr(LIGHT, SEVERITY_COLOURS[alert.severity])
        end_s = facts.duration_s if alert.cleared_s is None else alert.cleared_s
        axes.barh(lane + 0.5, end_s - alert.start_s, 0.8, alert.start_s, color=colour, alpha=0.18)
        left = alert.start_s < facts.duration_s / 2
        text, at_s = _alert_text(alert, facts), alert.start_s if left else min(end_s, facts.duration_s)
        axes.annotate(text, (at_s, lane + 0.5), (6 if left else -6, 0), textcoords="offset points", size=9.5,
                      va="center", ha="left" if left else "right", color=LIGHT.ink)  # fmt: skip


def _alert_text(alert: AlertFacts, facts: CallFacts) -> str:
    raised = f"raised {clock(alert.raised_s)}" if alert.raised_s is not None else "raised before"
    by = "".join(f", taken on by {taken.by}" for taken in alert.acknowledged)
    return _shown(f"{SEVERITIES[alert.severity].glyph} {words(alert.rule)}, {raised}, {alert_end(alert, facts)}{by}")


def _emotion(axes: "Axes", found: Sequence[Stretch], facts: CallFacts) -> None:
    axes.set_ylim(0, 1.2)
    _name(axes, "Emotion", "height: how sure")
    for share in (0.5, 1.0):
        axes.axhline(share, color=LIGHT.line, linewidth=0.8, zorder=0)
    axes.axhline(0, color=LIGHT.edge, linewidth=1.2)
    for stretch in found:
        _stretch(axes, stretch)
    taken_s: list[float] = []
    for stretch in sorted(found, key=lambda one: one.start_s - one.end_s):
        apart_s = min((abs(stretch.start_s - at_s) for at_s in taken_s), default=facts.duration_s)
        room_s = min(apart_s, facts.duration_s - stretch.start_s)
        if stretch.tone in LABELS and room_s >= _NAME_SHARE * facts.duration_s:
            taken_s.append(stretch.start_s)
            look = TONES[stretch.tone]
            axes.text(stretch.start_s, 1.05, f"{look.glyph} {look.word}", size=9.5, color=LIGHT.ink)


def _stretch(axes: "Axes", stretch: Stretch) -> None:
    colour = getattr(LIGHT, TONE_COLOURS[stretch.tone])
    edges_s = [stretch.cells[0].start_s, *(cell.end_s for cell in stretch.cells)]
    sure = [cell.confidence or 0.0 for cell in stretch.cells]
    if stretch.tone in LABELS:
        axes.stairs(sure, edges_s, fill=True, color=colour)
    elif stretch.tone in _HATCHES:
        whole = [1.0] * len(sure) if stretch.tone in ("gap", "clipped") else sure
        axes.stairs(whole, edges_s, fill=True, facecolor="none", edgecolor=colour, hatch=_HATCHES[stretch.tone],
                    linewidth=0)  # fmt: skip
    else:
        height = 0.08 if stretch.tone == "too_little_speech" else 0.02
        axes.plot([edges_s[0], edges_s[-1]], [height, height], color=colour, linewidth=2, linestyle=":")


def _moods(axes: "Axes", pieces: Sequence[Cell], facts: CallFacts) -> None:
    axes.set_ylim(0, 1)
    _name(axes, "Mood")
    for mood in moods(pieces):
        colour, width_s = getattr(LIGHT, MOOD_COLOURS[mood.mood]), mood.end_s - mood.start_s
        axes.barh(0.5, width_s, 1, mood.start_s, align="center", color=colour, alpha=0.18, linewidth=0)
        axes.barh(0.5, min(width_s, 0.004 * facts.duration_s), 1, mood.start_s, color=colour, linewidth=0)
        if width_s > 0.12 * facts.duration_s:
            look = MOODS[mood.mood]
            axes.text(mood.start_s + 0.01 * facts.duration_s, 0.45, f"{look.glyph} {look.word}", va="center", size=9.5)


def _score(axes: "Axes", pieces: Sequence[Cell], label: Label) -> None:
    colour, look = getattr(LIGHT, label), TONES[label]
    axes.set(ylim=(0, 1), facecolor=LIGHT.ground)
    _name(axes, f"{look.glyph} {look.word.capitalize()}", colour=colour if label in ("anger", "sad") else LIGHT.ink)
    for run in bands(pieces, label):
        at_s = [point.at_s for point in run]
        axes.fill_between(at_s, [p.low for p in run], [p.high for p in run], color=colour, alpha=0.28, linewidth=0)
        axes.plot(at_s, [point.mean for point in run], color=colour, linewidth=1.6)


def _speech(axes: "Axes", party: PartyFacts, facts: CallFacts) -> None:
    axes.set_ylim(0, 1)
    _name(axes, f"{PARTIES[party.party].capitalize()} speaks" if party.party != "mixed" else "Speech")
    points = speech(party, max(step_s(facts, _MOST_CELLS), facts.hop_s))
    axes.fill_between([at_s for at_s, _ in points], [share for _, share in points], color=LIGHT.edge, linewidth=0)
    axes.axhline(0, color=LIGHT.edge, linewidth=1)


def _times(axes: Sequence["Axes"], facts: CallFacts, party: PartyFacts) -> None:
    """One axis of time under all rows, and a line through them where an alert was raised."""
    last = axes[-1]
    last.set_xlim(0, facts.duration_s)
    at_s = ticks(facts.duration_s, 13)
    last.set_xticks(at_s, [clock(one) for one in at_s])
    last.tick_params(bottom=True, labelbottom=True, labelsize=9, colors=LIGHT.quiet)
    for alert in facts.alerts_of(party.party):
        if alert.raised_s is not None and alert.severity != "info":
            for one in axes:
                one.axvline(alert.raised_s, color=getattr(LIGHT, SEVERITY_COLOURS[alert.severity]), linewidth=0.9,
                            linestyle=(0, (4, 3)))  # fmt: skip
