"""What a report says in sentences: the finding that stands above a chart, and is its text for whoever cannot see it. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping

from monitor.dashboard.looks import MOODS, TONES, clock, plain, words
from monitor.messages import LABELS, Party
from monitor.report.facts import AlertFacts, CallFacts, PartyFacts
from monitor.report.timeline import chief_moods, mood_shares
from monitor.snapshot import Tone

PARTIES: Mapping[Party, str] = {"customer": "customer", "agent": "agent", "mixed": "both voices"}
"""`mixed`: both parties on one channel."""
_LEAST_SHARE = 0.1
"""Of an emotion that is worth a word."""
_MOST_TURNS = 3
_MOST_ALERTS = 3
"""More are told in sum."""
_UNITS = ((3_600.0, "hour"), (60.0, "minute"), (1.0, "second"))
_SHORT_LOSS_S = 0.05


def finding(facts: CallFacts, party: PartyFacts) -> str:
    """What `party` sounded like over the call, its alerts and what was lost, in a few sentences."""
    return " ".join(_sentences(facts, party))


def not_read(facts: CallFacts) -> str:
    """What a report says of a call in which nobody's emotion was read."""
    return f"Nobody’s emotion was read in these {clock(facts.duration_s)}: only who speaks when."


def standing(facts: CallFacts) -> str:
    """How the call ended, in a few words; that it goes on, where it does."""
    if facts.reason is None:
        return "still going on"
    known = {
        "end": "ended",
        "stopped": "was stopped here",
        "interrupted": "interrupted: listening stopped before its end",
    }
    return known.get(facts.reason, plain(facts.reason))


def percent(share: float | None) -> str:
    """A share, 0..1, as a percentage; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.0f} %"


def length(seconds: float) -> str:
    """A round time: `0.6 seconds`, `5 seconds`, `1 minute`."""
    if seconds < 1.0:
        return f"{seconds:.1f} seconds"
    size_s, unit = next((size_s, unit) for size_s, unit in _UNITS if seconds >= size_s)
    return counted(round(seconds / size_s), unit)


def counted(count: int, word: str) -> str:
    """`no calls`, `1 call`, `2 calls`."""
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"


def alert_end(alert: AlertFacts, facts: CallFacts) -> str:
    """What became of an alert."""
    if alert.cleared_s is not None:
        return f"cleared at {clock(alert.cleared_s)}"
    return "still open" if facts.reason is None else "open at the end"


def acknowledged(alert: AlertFacts) -> str:
    """Who looks after an alert, since when."""
    taken = (f"{plain(taken.by)} at {clock(taken.at_s)}" for taken in alert.acknowledged)
    return ", ".join(taken) or "nobody"


def _sentences(facts: CallFacts, party: PartyFacts) -> Iterator[str]:
    yield f"{_moods(facts, party)}."
    yield from _alerts(facts, facts.alerts_of(party.party))
    yield from _emotions(party.shares)
    if party.lost_s > _SHORT_LOSS_S:
        yield f"{party.lost_s:.1f} s of audio never came."


def _moods(facts: CallFacts, party: PartyFacts) -> str:
    who, held = PARTIES[party.party], chief_moods(facts, party)
    subject = "The mood of both voices, heard as one," if party.party == "mixed" else f"The {who}’s mood"
    if not held:
        shares = mood_shares(party)
        told = [f"{MOODS[mood].word} for {percent(share)} of the time" for mood, share in shares.items()]
        return f"{subject} keeps changing: {_and(told[:3])}" if told else f"Nothing was heard of the {who}’s mood"
    first, *later = (MOODS[mood.mood].word for mood in held)
    if not later:
        throughout = "unclear throughout: the model is not sure of any" if first == "unclear" else f"{first} throughout"
        return f"{subject} is {throughout}"
    turns = [f"{word} from {clock(mood.start_s)}" for word, mood in zip(later, held[1:], strict=True)]
    if len(turns) > _MOST_TURNS:
        return f"{subject} turns {len(turns)} times: {first} at first, {turns[-1]} to the end"
    return f"{subject} is {first} at first, {_listed(turns, 'then ')}"


def _listed(turns: list[str], joint: str) -> str:
    return ", ".join([*turns[:-1], joint + turns[-1]]) if len(turns) > 1 else joint + turns[0]


def _alerts(facts: CallFacts, alerts: tuple[AlertFacts, ...]) -> Iterator[str]:
    if not alerts:
        yield "No alert was raised."
    if len(alerts) > _MOST_ALERTS:
        yield _in_sum(facts, alerts)
        return
    for alert in alerts:
        raised = "raised earlier" if alert.raised_s is None else f"raised at {clock(alert.raised_s)}"
        by = "" if alert.severity == "info" else f", acknowledged by {acknowledged(alert)}"
        yield f"{words(alert.rule).capitalize()} was {raised} and {_became(alert, facts)}{by}."


def _in_sum(facts: CallFacts, alerts: tuple[AlertFacts, ...]) -> str:
    rules = Counter(alert.rule for alert in alerts)
    told = _and([f"{words(rule)} {count} time{'' if count == 1 else 's'}" for rule, count in rules.most_common()])
    left = sum(alert.cleared_s is None for alert in alerts)
    ending = "still open" if facts.reason is None else "open at the end"
    first = f", first at {clock(alerts[0].raised_s)}" if alerts[0].raised_s is not None else ""
    return f"{len(alerts)} alerts were raised{first}: {told}; {left or 'none'} of them {'was' if left < 2 else 'were'} {ending}."


def _became(alert: AlertFacts, facts: CallFacts) -> str:
    return alert_end(alert, facts) if alert.cleared_s is not None else f"was {alert_end(alert, facts)}"


def _emotions(shares: Mapping[Tone, float]) -> Iterator[str]:
    heard = {name: share for name, share in shares.items() if name in LABELS}
    chief = [f"{TONES[name].word} in {percent(share)}" for name, share in heard.items() if share >= _LEAST_SHARE]
    if chief:
        yield f"An emotion was told in {percent(sum(heard.values()))} of the readings: {_and(chief)}."
    else:
        yield "Hardly any reading was sure of an emotion."


def _and(listed: list[str]) -> str:
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
