"""The page of one call: facts → HTML. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from markupsafe import Markup

from monitor.dashboard.looks import MOODS, SEVERITIES, TONES, Look, clock, words
from monitor.messages import LABELS, Party
from monitor.report.chart import chart, swatch
from monitor.report.facts import AlertFacts, CallFacts, PartyFacts
from monitor.report.markup import page, picture_address
from monitor.report.palette import MOOD_COLOURS, SEVERITY_COLOURS, TONE_COLOURS
from monitor.report.timeline import Event, Row, rows
from monitor.report.words import PARTIES, acknowledged, alert_end, counted, finding, length, not_read, percent, standing
from monitor.snapshot import Tone

_WHOSE: Mapping[Party, str] = {"customer": "the customer", "agent": "the agent", "mixed": "both voices"}
_MEANINGS: Mapping[Tone, str] = {
    "uncertain": "unsure: the model cannot tell",
    "silence": "silent",
    "too_little_speech": "too little speech to tell",
    "clipped": "too loud a line to read",
    "gap": "lost audio",
}
"""Every state that is no emotion and has a look in the chart."""


@dataclass(frozen=True, slots=True)
class SoundPicture:
    """What a recording looks like, of one party, over the whole call."""

    party: Party
    waveform: bytes
    """PNG."""
    spectrogram: bytes | None
    """PNG; null for a party that is not scored."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at the head of a page."""

    name: str
    value: str
    more: str = ""
    look: Look | None = None
    colour: str = ""


def call_page(facts: CallFacts, written_at: str, sound: Sequence[SoundPicture] = (), back: str | None = None) -> str:
    """The page about `facts`. `back`: address of the page that lists the others."""
    shown = facts.scored or facts.parties[:1]
    values = {
        "facts": facts,
        "back": back,
        "subtitle": ", ".join(_subtitle(facts)),
        "findings": [finding(facts, party) for party in facts.scored] or [not_read(facts)],
        "warnings": list(_warnings(facts)),
        "tiles": list(_tiles(facts)),
        "charts": [_drawn(facts, party) for party in shown],
        "sound": [_sound(one) for one in sound],
        "alerts": [_alert(alert, facts) for alert in facts.alerts],
        "shares": [_heard(party) for party in facts.scored],
        "steps": [_steps(facts, party) for party in shown],
        "rests": list(_rests(facts)),
    }
    return page("call.html", values, written_at)


def moment(at: str) -> str:
    """RFC 3339 for people: `25 November 2026, 21:36 UTC`."""
    read = datetime.fromisoformat(at)
    return f"{read.day} {read:%B %Y, %H:%M} UTC"


def mood_tile(facts: CallFacts) -> Tile:
    """How the call ended."""
    if facts.outcome is None:
        return Tile("Outcome", "none yet", "the call goes on")
    look = MOODS[facts.outcome]
    return Tile("Outcome", look.word, f"mood of {_last_speech(facts, 'outcome_s')}", look, MOOD_COLOURS[facts.outcome])


def _last_speech(facts: CallFacts, setting: str) -> str:
    """How much speech a mood rests on, as far as it is known."""
    seconds = (facts.origin.settings or {}).get(setting)
    return f"the last {float(seconds):g} s of speech" if seconds else "the last of the speech"


def _subtitle(facts: CallFacts) -> Iterator[str]:
    if facts.source == "recording":
        yield f"recording {PurePath(facts.path).name}" if facts.path else "a recording"
        yield f"read on {moment(facts.began_at)}"
    else:
        yield f"call by {words(facts.source)}" if facts.source else "a call whose beginning was not heard"
        yield f"began {moment(facts.began_at)}"
    if facts.agent:
        yield f"agent {facts.agent}"
    for party in facts.parties:
        if party.identity:
            yield f"{PARTIES[party.party]} {party.identity}"


def _warnings(facts: CallFacts) -> Iterator[str]:
    if facts.reason is None:
        yield f"This call was still going on: the report reaches to {clock(facts.duration_s)} and no further."
    elif facts.reason not in ("end", "stopped"):
        yield f"The call did not end by itself: {standing(facts)}."
    if facts.missing:
        yield f"{facts.missing} messages of this call are missing: what they told is not in this report."
    if any(party.party == "agent" for party in facts.scored):
        yield "The agent’s emotion was read too (score_agent): the law of your country may forbid it."


def _tiles(facts: CallFacts) -> Iterator[Tile]:
    yield mood_tile(facts)
    yield Tile("Length", clock(facts.duration_s), standing(facts))
    urgent = [alert for alert in facts.alerts if alert.severity != "info"]
    still = sum(alert.cleared_s is None for alert in urgent)
    good = len(facts.alerts) - len(urgent)
    more = [f"{still} open to the end" if still else "", f"{good} good news" if good else ""]
    yield Tile("Alerts", str(len(urgent)) if urgent else "none", ", ".join(filter(None, more)))
    for party in facts.parties:
        name = "Speech" if party.party == "mixed" else f"{PARTIES[party.party].capitalize()} speaks"
        yield Tile(name, percent(party.speech_share) if party.readings else "not heard", "of the time")
    lost_s = sum(party.lost_s for party in facts.parties)
    yield Tile("Lost audio", f"{lost_s:.1f} s" if lost_s else "none", "over all parties" if lost_s else "")


def _drawn(facts: CallFacts, party: PartyFacts) -> dict[str, Any]:
    present = [state for state in _MEANINGS if state in party.tones] if party.scored else []
    return {
        "heading": f"How {_WHOSE[party.party]} sounded" if party.scored else "Who speaks",
        "wide": Markup(chart(facts, party)),
        "narrow": Markup(chart(facts, party, wide=False)),
        "key": [(Markup(swatch(state, party.party)), _MEANINGS[state]) for state in present],
        "caption": _caption(facts) if party.scored else "How much each party speaks, over the call.",
    }


def _caption(facts: CallFacts) -> str:
    return (
        f"A reading listens to {facts.window_s:g} s of sound and stands where it was told, at their end. The higher the area "
        "of an emotion, the surer. Of each score, 0 to 100 %, the line is the mean of three seconds’ windows, and the band "
        f"reaches from the lowest of them to the highest. Mood is {_last_speech(facts, 'mood_s')} taken together."
    )


def _sound(one: SoundPicture) -> dict[str, Any]:
    return {
        "party": PARTIES[one.party],
        "name": PARTIES[one.party].capitalize(),
        "waveform": picture_address(one.waveform),
        "spectrogram": picture_address(one.spectrogram) if one.spectrogram else None,
    }


def _alert(alert: AlertFacts, facts: CallFacts) -> dict[str, Any]:
    look = SEVERITIES[alert.severity]
    whose = "" if len(facts.scored) < 2 else f" of {_WHOSE[alert.party]}"
    raised = "raised before the first message that is there"
    if alert.raised_s is not None:
        count = f"{alert.evidence} reading{'' if alert.evidence == 1 else 's'}"
        raised = f"held from {clock(alert.start_s)}, raised at {clock(alert.raised_s)} on {count}"
    return {
        "look": look,
        "colour": SEVERITY_COLOURS[alert.severity],
        "heading": f"{words(alert.rule).capitalize()}{whose} ({look.word})",
        "text": f"{raised[0].upper()}{raised[1:]}, {alert_end(alert, facts)}.{_taken(alert)}",
    }


def _taken(alert: AlertFacts) -> str:
    """Who took an alert on; good news needs nobody."""
    return f" Acknowledged by {acknowledged(alert)}." if alert.acknowledged or alert.severity != "info" else ""


def _heard(party: PartyFacts) -> dict[str, Any]:
    shares = party.shares
    ordered = sorted(shares, key=lambda name: (name not in LABELS, -shares[name]))
    return {
        "heading": f"What was told of {_WHOSE[party.party]}",
        "caption": f"Share of the {len(party.readings)} readings; emotions first, then what kept one from being told.",
        "rows": [{"look": TONES[name], "colour": TONE_COLOURS[name], "share": shares[name]} for name in ordered],
    }


def _steps(facts: CallFacts, party: PartyFacts) -> dict[str, Any]:
    found = rows(facts, party)
    each = f"For each {length(found[0].end_s - found[0].start_s)} of the call"
    told = f"{each}: what most readings told, how sure they were on average, and who spoke how much of the time."
    return {
        "heading": f"{_WHOSE[party.party].capitalize()}, step by step" if party.scored else "Step by step",
        "caption": told if party.scored else f"{each}: who spoke how much of the time.",
        "scored": party.scored,
        "speakers": [PARTIES[one.party].capitalize() for one in facts.parties],
        "columns": len(facts.parties) + (3 if party.scored else 0),
        "rows": [_step(row) for row in found],
    }


def _step(row: Row) -> dict[str, Any]:
    cell = row.cell
    return {
        "time": clock(row.start_s),
        "look": TONES[cell.tone] if cell else None,
        "colour": TONE_COLOURS[cell.tone] if cell else "",
        "sure": percent(cell.confidence) if cell else "–",
        "mood": MOODS[cell.mood].word if cell and cell.mood else "–",
        "events": [_event(event) for event in row.events],
        "speech": [percent(share) for share in row.speech],
    }


def _event(event: Event) -> dict[str, Any]:
    look, colour = SEVERITIES[event.alert.severity], SEVERITY_COLOURS[event.alert.severity]
    text = f"{words(event.alert.rule)} {event.what}"
    return {"time": clock(event.at_s), "look": look, "colour": colour, "text": text}


def _rests(facts: CallFacts) -> Iterator[tuple[str, str]]:
    origin = facts.origin
    yield "Model", origin.model or "not kept with the call"
    if origin.model_scores and "uar" in origin.model_scores:
        told = f"tells {percent(origin.model_scores['uar'])} of six acted emotions of speakers whom it never heard"
        yield "How good it is", f"{told}, each emotion counted alike; chance is 17 %"
    count = sum(len(party.readings) for party in facts.parties)
    yield "Readings", f"{count}, each of {facts.window_s:g} s of sound, every {facts.hop_s:g} s"
    for party in facts.parties:
        read = "emotion and speech" if party.scored else "speech alone, never emotion"
        yield PARTIES[party.party].capitalize(), read
    lost = [f"{PARTIES[p.party]} {p.lost_s:.1f} s in {counted(len(p.gaps), 'piece')}" for p in facts.parties if p.gaps]
    yield "Audio that was lost", "; ".join(lost) or "none"
    yield "Messages missing", str(facts.missing) if facts.missing else "none"
    if origin.settings is None:
        yield "Settings", "not kept with the call"
    else:
        yield "Settings", ", ".join(f"{name} = {value}" for name, value in origin.settings.items())
