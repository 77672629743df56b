"""A call's readings as what a chart draws and a table lists: cells, stretches, bands. Pure.

A reading stands where it was told, at the end of its window; how much a party speaks stands in the middle of the window.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from monitor.messages import Label, Mood, Reading
from monitor.report.facts import AlertFacts, CallFacts, PartyFacts
from monitor.snapshot import Tone, tone

_SMOOTH_S = 3.0
"""A band is what the windows within so many seconds say."""
_STEPS_S = (5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 86_400.0)
_MOST_ROWS = 30
_SHORTEST_MOOD = 0.06
"""Share of the call under which a mood is passed over in words."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of a party's time."""

    start_s: float
    end_s: float
    tone: Tone
    """What most of its readings say."""
    confidence: float | None
    """Mean over the readings that say it, 0..1; null where nothing was scored."""
    mood: Mood | None
    """That of its last reading."""
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring cells that say the same."""

    tone: Tone
    cells: tuple[Cell, ...]

    @property
    def start_s(self) -> float:
        return self.cells[0].start_s

    @property
    def end_s(self) -> float:
        return self.cells[-1].end_s


@dataclass(frozen=True, slots=True)
class MoodStretch:
    """How long a mood held."""

    mood: Mood
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class BandPoint:
    """One emotion's scores around one moment, 0..1."""

    at_s: float
    low: float
    mean: float
    high: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an alert."""

    at_s: float
    alert: AlertFacts
    what: str
    """`raised`, `taken on by …`, `cleared`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table beside a chart."""

    start_s: float
    end_s: float
    cell: Cell | None
    """Null where no reading came."""
    speech: tuple[float | None, ...]
    """Share of the time in which each party of the call speaks, in their order; null without a reading."""
    events: tuple[Event, ...]
    """In order."""


def step_s(facts: CallFacts, most_cells: int) -> float:
    """The length of a cell, a whole number of hops, so that a call has `most_cells` at most."""
    hops = max(1.0, facts.duration_s / facts.hop_s)
    return facts.hop_s * math.ceil(hops / most_cells)


def cells(party: PartyFacts, length_s: float, hop_s: float) -> list[Cell]:
    """`party`'s time in pieces of `length_s`, those without a reading left out."""
    return [
        _cell(number * length_s, tuple(group), length_s, hop_s)
        for number, group in groupby(party.readings, lambda reading: _piece(reading.end_s, length_s))
    ]


def stretches(of: Sequence[Cell]) -> list[Stretch]:
    """`of` in stretches without a hole, of one tone each."""
    return [Stretch(run[0].tone, run) for run in _runs(of, lambda one, next_: one.tone == next_.tone)]


def moods(of: Sequence[Cell]) -> list[MoodStretch]:
    """The moods in order; none where no reading came."""
    runs = _runs(of, lambda one, next_: one.mood == next_.mood)
    return [MoodStretch(run[0].mood, run[0].start_s, run[-1].end_s) for run in runs if run[0].mood is not None]


def chief_moods(facts: CallFacts, party: PartyFacts) -> list[MoodStretch]:
    """The moods that held for a while, neighbours of one kind joined; `unclear` only where there is nothing else."""
    shortest_s = _SHORTEST_MOOD * facts.duration_s
    held = [mood for mood in moods(cells(party, facts.hop_s, facts.hop_s)) if mood.end_s - mood.start_s >= shortest_s]
    clear = [mood for mood in held if mood.mood != "unclear"] or held
    joined = [list(run) for _, run in groupby(clear, lambda mood: mood.mood)]
    return [MoodStretch(run[0].mood, run[0].start_s, run[-1].end_s) for run in joined]


def mood_shares(party: PartyFacts) -> dict[Mood, float]:
    """Mood → share of the time in which it held, the longest first."""
    counts = Counter(reading.mood for reading in party.readings if reading.mood is not None)
    return {mood: count / counts.total() for mood, count in counts.most_common()}


def bands(of: Sequence[Cell], label: Label) -> list[list[BandPoint]]:
    """What the windows say of `label`: runs of neighbouring cells that were scored."""
    scored = [cell for cell in of if _scores(cell, label)]
    return [[_point(cell, of_run, label) for cell in of_run] for of_run in _runs(scored, lambda _one, _next: True)]


def speech(party: PartyFacts, length_s: float) -> list[tuple[float, float]]:
    """(second of the call, share of speech around it), by time."""
    groups = groupby(party.readings, lambda reading: _piece((reading.start_s + reading.end_s) / 2, length_s))
    return [(number * length_s + length_s / 2, _mean(r.speech_share for r in group)) for number, group in groups]


def rows(facts: CallFacts, party: PartyFacts) -> list[Row]:
    """The call in at most thirty lines of equal length, as `party` was read."""
    length_s = next((step for step in _STEPS_S if facts.duration_s / step <= _MOST_ROWS), _STEPS_S[-1])
    told = {round(cell.start_s / length_s): cell for cell in _whole(cells(party, length_s, facts.hop_s), length_s)}
    events = _events(facts, party)
    found = []
    for number in range(max(1, math.ceil(facts.duration_s / length_s - 1e-6))):
        start_s, end_s = number * length_s, min((number + 1) * length_s, facts.duration_s)
        last = end_s >= facts.duration_s
        inside = tuple(event for event in events if start_s <= event.at_s < end_s or (last and event.at_s >= end_s))
        shares = tuple(_spoken(each, start_s, end_s) for each in facts.parties)
        found.append(Row(start_s, end_s, told.get(number), shares, inside))
    return found


def ticks(duration_s: float, most: int) -> list[float]:
    """Round seconds from 0 on, `most` at most, the last within the call."""
    length_s = next((step for step in (1.0, 2.0, *_STEPS_S) if duration_s / step <= most - 1), _STEPS_S[-1])
    return [number * length_s for number in range(int(duration_s / length_s + 1e-9) + 1)]


def _piece(at_s: float, length_s: float) -> int:
    return max(0, math.floor((at_s - 1e-6) / length_s))


def _cell(start_s: float, readings: tuple[Reading, ...], length_s: float, hop_s: float) -> Cell:
    tones = [tone(reading.state, reading.label) for reading in readings]
    most = Counter(tones).most_common(1)[0][0]
    sure = [r.confidence for r, said in zip(readings, tones, strict=True) if said == most and r.confidence is not None]
    first_s = max(start_s, readings[0].end_s - hop_s)
    return Cell(
        start_s=first_s,
        end_s=min(start_s + length_s, readings[-1].end_s),
        tone=most,
        confidence=_mean(sure) if sure else None,
        mood=readings[-1].mood,
        readings=readings,
    )


def _whole(of: Sequence[Cell], length_s: float) -> Iterator[Cell]:
    """The cells as pieces of a table, from where their pieces begin."""
    for cell in of:
        yield replace(cell, start_s=_piece(cell.end_s, length_s) * length_s)


def _runs(of: Sequence[Cell], joins: Callable[[Cell, Cell], bool]) -> list[tuple[Cell, ...]]:
    """`of` cut wherever time is missing between two cells, or they do not join."""
    runs: list[list[Cell]] = [[of[0]]] if of else []
    for one, next_ in pairwise(of):
        if next_.start_s - one.end_s > 1e-3 or not joins(one, next_):
            runs.append([])
        runs[-1].append(next_)
    return [tuple(run) for run in runs]


def _scores(cell: Cell, label: Label) -> list[float]:
    return [reading.scores[label] for reading in cell.readings if reading.scores is not None]


def _point(cell: Cell, run: Sequence[Cell], label: Label) -> BandPoint:
    at_s = (cell.start_s + cell.end_s) / 2
    beside = [other for other in run if abs((other.start_s + other.end_s) / 2 - at_s) <= _SMOOTH_S / 2]
    near = [score for other in beside for score in _scores(other, label)]
    return BandPoint(at_s, min(near), _mean(near), max(near))


def _spoken(party: PartyFacts, start_s: float, end_s: float) -> float | None:
    inside = [r.speech_share for r in party.readings if start_s <= (r.start_s + r.end_s) / 2 < end_s]
    return _mean(inside) if inside else None


def _events(facts: CallFacts, party: PartyFacts) -> list[Event]:
    found = []
    for alert in facts.alerts_of(party.party):
        if alert.raised_s is not None:
            found.append(Event(alert.raised_s, alert, "raised"))
        found += [Event(taken.at_s, alert, f"taken on by {taken.by}") for taken in alert.acknowledged]
        if alert.cleared_s is not None:
            found.append(Event(alert.cleared_s, alert, "cleared"))
    return sorted(found, key=lambda event: event.at_s)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
