"""Who of a recorded call is the agent and who the customer, and which rule says so. Pure.

1. A stream whose sender matches a pattern of `siprec.agent` is the agent's; then `siprec.customer` likewise.
2. What was settled before stays.
3. Of what is left the lower label is the party that `siprec.label_order` names first.

A lone stream of which no pattern speaks, or on which several people are heard, is `mixed`: not scored unless the settings
say so. Beside streams of single people one of several is left out: some clients send the mixture too. What finds no
party is not recorded: one stream a party.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from monitor.messages import PARTIES, Party
from monitor.settings import SiprecSettings
from monitor.sources.recording_metadata import Participant
from monitor.sources.sip import Uri


@dataclass(frozen=True, slots=True)
class Voice:
    """A stream that can be heard, and who is heard on it as far as that is known."""

    index: int
    """Of its m-line, from 0."""
    label: str = ""
    senders: tuple[Participant, ...] = ()

    @property
    def order(self) -> tuple[bool, int, str, int]:
        """Labels by number where they are numbers, then by text; without a label, the order of the m-lines."""
        number = self.label.isascii() and self.label.isdecimal()
        return (not number, int(self.label) if number else 0, self.label, self.index)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is who."""

    parties: Mapping[int, Party] = field(default_factory=dict)
    """Index of the m-line → party."""
    rules: Mapping[int, str] = field(default_factory=dict)
    """Index of the m-line → the rule that decided, in words."""
    identities: Mapping[Party, str] = field(default_factory=dict)
    agent: str | None = None
    """The agent's id: the user part of their address."""

    def fits(self, opened: "Cast") -> bool:
        """Whether a call that began as `opened` can go on as this: no stream changes its party, no party or agent is new."""
        moved = any(opened.parties.get(index, party) != party for index, party in self.parties.items())
        new = set(self.parties.values()) - set(opened.parties.values())
        return not moved and not new and self.agent in (None, opened.agent)


def cast_of(voices: Iterable[Voice], settings: SiprecSettings, before: Mapping[int, Party]) -> Cast:
    """The parties of `voices`; `before` is what was settled until now."""
    ordered = sorted(voices, key=lambda voice: voice.order)
    ordered = [voice for voice in ordered if len(voice.senders) < 2] or ordered
    parties: dict[int, Party] = {}
    rules: dict[int, str] = {}

    def give(voice: Voice, party: Party, rule: str) -> None:
        if voice.index not in parties and party not in parties.values():
            parties[voice.index], rules[voice.index] = party, rule

    lone = len(ordered) == 1
    if lone and len(ordered[0].senders) > 1:
        give(ordered[0], "mixed", "several people on one stream")
    ruled = {voice.index: _ruled(voice, settings) for voice in ordered}
    for voice in ordered:
        if (party_and_rule := ruled[voice.index]) and not (lone and parties):
            give(voice, *party_and_rule)
    unruled = [voice for voice in ordered if ruled[voice.index] is None]
    for voice in unruled:
        if voice.index in before and before[voice.index] != "mixed":
            give(voice, before[voice.index], "as before")
    if lone:
        give(ordered[0], "mixed", "a lone stream without a rule")
    else:
        rule = "the party that is left" if parties else f"label order {settings.label_order}"
        for voice in unruled:
            for party in _parties(settings.label_order):
                give(voice, party, rule)
    return _told(parties, rules, {voice.index: voice for voice in ordered})


def _ruled(voice: Voice, settings: SiprecSettings) -> tuple[Party, str] | None:
    rules: tuple[tuple[Party, tuple[str, ...]], ...] = (("agent", settings.agent), ("customer", settings.customer))
    for party, patterns in rules:
        for pattern in patterns:
            if any(_matches(sender, pattern) for sender in voice.senders):
                return party, f"{party} pattern {pattern}"
    return None


def _matches(sender: Participant, pattern: str) -> bool:
    texts = (sender.aor, str(Uri.parse(sender.aor)), sender.name)
    return any(fnmatchcase(text.lower(), pattern.lower()) for text in texts if text)


def _parties(order: str) -> list[Party]:
    return sorted((party for party in PARTIES if party in order.split(",")), key=order.index)


def _told(parties: dict[int, Party], rules: dict[int, str], voices: Mapping[int, Voice]) -> Cast:
    identities = {
        party: ", ".join(sender.identity for sender in voices[index].senders if sender.identity)
        for index, party in parties.items()
    }
    known = {party: identity for party, identity in identities.items() if identity}
    agents = (voices[index].senders for index, party in parties.items() if party == "agent")
    agent = next((Uri.parse(who[0].aor).user or who[0].identity for who in agents if who), None)
    return Cast(dict(sorted(parties.items())), rules, known, agent or None)
