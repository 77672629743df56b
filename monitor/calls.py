"""One running call: its parties' streams and memories, and the messages about it in the order of time. No clock, no bus."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.alerts.rules import SUSTAINED_ANGER, Rule
from monitor.alerts.watches import CallWatch, Change
from monitor.audio import SAMPLE_RATE, Block
from monitor.cells import Cell, Lost
from monitor.identities import Identities
from monitor.messages import (
    LABELS,
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    AnyCallMessage,
    CallEnded,
    CallStarted,
    Gap,
    Mood,
    Party,
    PartyInfo,
    Reading,
    State,
)
from monitor.model import Meaning, Stream
from monitor.readings import PartyReader, Scores, Verdict, unscored_state
from monitor.settings import Settings
from monitor.sources import CallClosed, CallOpened
from monitor.windows import PartyWindows, Window


@dataclass
class PartyState:
    """One party of a running call."""

    name: Party
    channel: int
    windows: PartyWindows
    reader: PartyReader | None
    """None for a party that is not scored."""
    stream: Stream = field(default_factory=Stream)
    """Its place in the network."""
    tally: Counter[str] = field(default_factory=Counter)
    """Readings by label, or by state where there is none."""

    def judge(self, window: Window, state: State | None, scores: Scores | None, hears_anger: bool) -> Verdict | None:
        """What `window` says; None for a party that is not scored. `scores` where `state` is None."""
        if self.reader is None:
            return None
        if scores is None:
            assert state is not None
            return self.reader.unscored(state)
        return self.reader.read(window, scores, hears_anger)


class Due(NamedTuple):
    """Something about a call that is to be told now: a window, lost audio, or its end."""

    call: "CallState"
    party: PartyState | None
    """None for the end."""
    item: Window | Lost | CallClosed
    state: State | None = None
    """Why a window is not scored; None where it is."""

    @property
    def scored(self) -> bool:
        """Whether it is a window that the network scores."""
        return self.to_score() is not None

    def to_score(self) -> tuple[Stream, Window] | None:
        """A window that is to be scored, and whose."""
        if self.party is None or self.state is not None or not isinstance(self.item, Window):
            return None
        return self.party.stream, self.item


class Piece(NamedTuple):
    """Something about a call that is to be heard next: a cell, lost audio, or its end."""

    call: "CallState"
    party: PartyState | None
    """None for the end."""
    item: Cell | Lost | CallClosed


class CallState:
    """A call from its beginning to its end."""

    def __init__(
        self, opened: CallOpened, meaning: Meaning, settings: Settings, rules: Sequence[Rule], unscored: bool = False
    ) -> None:
        self.name = opened.call
        self.unscored = unscored
        """No party's emotion is read, whoever it is."""
        self._watch = CallWatch(rules, opened.parties, settings.smooth_s, settings.hop_s)
        self._opened, self._settings = opened, settings
        self.parties = {name: self._party(name, channel, meaning) for name, channel in opened.parties.items()}
        self._seq = 0
        self._raised: Counter[Party] = Counter()
        self._open_alerts: dict[tuple[Party, str], str] = {}
        self._acknowledged: set[str] = set()
        self._waiting: list[tuple[int, PartyState, Window | Lost]] = []
        """Heard, but a party that comes in step may be behind: (moment, …)."""
        self._closed: CallClosed | None = None

    def push(self, block: Block) -> list["Piece"]:
        """What is to be heard of `block`. Raises AudioError where it cannot belong to the call."""
        party = self.parties[block.party]
        return [Piece(self, party, item) for item in party.windows.cells.push(block)]

    def finish(self, closed: CallClosed) -> list["Piece"]:
        """What is still to be heard when no more audio comes, and the end."""
        rest = [Piece(self, party, cell) for party in self.parties.values() for cell in party.windows.cells.finish()]
        return [*rest, Piece(self, None, closed)]

    def collect(self, party: PartyState, item: Window | Lost | None) -> None:
        """Keeps what was heard until it is `released`."""
        if item is not None:
            self._waiting.append((item.start if isinstance(item, Lost) else item.end, party, item))

    def close(self, closed: CallClosed) -> None:
        """All has been heard."""
        self._closed = closed
        for party in self.parties.values():
            self.collect(party, party.windows.last())

    def released(self) -> list[Due]:
        """What no party of the call can still overtake, in order of time and then of the parties; then the end."""
        if self._closed is not None or not self._opened.in_step:
            ready, self._waiting = self._waiting, []
        else:
            horizon = min(party.windows.cells.position for party in self.parties.values())
            ready = [waiting for waiting in self._waiting if waiting[0] <= horizon]
            self._waiting = [waiting for waiting in self._waiting if waiting[0] > horizon]
        if len(ready) > 1:
            order = {name: number for number, name in enumerate(self.parties)}
            ready.sort(key=lambda waiting: (waiting[0], order[waiting[1].name]))
        due = [Due(self, party, item, self._state(party, item)) for _, party, item in ready]
        return due if self._closed is None else [*due, Due(self, None, self._closed)]

    def started(self, at: str, identities: Identities) -> CallStarted:
        """The call's first message."""
        opened = self._opened

        def shown(identity: str | None) -> str | None:
            return None if identity is None else identities.shown(identity)

        return CallStarted(
            at=at,
            call=self.name,
            seq=self._next(),
            source=opened.source,
            path=opened.path,
            agent=shown(opened.agent),
            parties={
                name: PartyInfo(
                    channel=party.channel,
                    scored=party.reader is not None,
                    identity=shown(opened.identities.get(name)),
                )
                for name, party in self.parties.items()
            },
        )

    def tell(self, due: Due, scores: Scores | None, at: str, now_s: float) -> Iterator[AnyCallMessage]:
        """The messages about what was due; `scores` (6,) log probabilities where it was scored, `now_s` monotonic."""
        match due.party, due.item:
            case PartyState() as party, Window() as window:
                verdict = party.judge(window, due.state, scores, self._hears_anger(party))
                reading = self._reading(party, window, verdict, at, now_s)
                party.tally[reading.label or reading.state] += 1
                yield reading
                for change in self._watch.see(reading):
                    yield self._alert(change, at)
            case PartyState() as party, Lost() as lost:
                yield self._gap(party, lost, at)
            case _, CallClosed() as closed:
                yield self._ended(closed.reason, at)

    def acknowledge(self, alert: str, by: str, at: str) -> AlertAcknowledged | None:
        """Somebody looks after `alert`; None where it is not open, or is looked after already."""
        party = next((party for (party, _), name in self._open_alerts.items() if name == alert), None)
        if party is None or alert in self._acknowledged:
            return None
        self._acknowledged.add(alert)
        return AlertAcknowledged(at=at, call=self.name, seq=self._next(), alert=alert, party=party, by=by)

    def _ended(self, reason: str, at: str) -> CallEnded:
        return CallEnded(
            at=at,
            call=self.name,
            seq=self._next(),
            duration_s=_seconds(max(party.windows.cells.position for party in self.parties.values())),
            reason=reason,
            outcome=self._outcome(),
            shares={party.name: _shares(party.tally) for party in self.parties.values()},
        )

    def _party(self, name: Party, channel: int, meaning: Meaning) -> PartyState:
        settings = self._settings
        scored = {"customer": True, "agent": settings.score_agent, "mixed": settings.score_mixed}[name]
        scored = scored and not self.unscored
        windows = PartyWindows(settings.window_s, settings.hop_s, with_features=scored)
        return PartyState(name, channel, windows, PartyReader(meaning, settings) if scored else None)

    def _state(self, party: PartyState, item: Window | Lost) -> State | None:
        if isinstance(item, Lost):
            return None
        return unscored_state(item, self._settings) if party.reader else "not_scored"

    def _gap(self, party: PartyState, lost: Lost, at: str) -> Gap:
        start_s, end_s = _seconds(lost.start), _seconds(lost.end)
        return Gap(
            at=at, call=self.name, seq=self._next(), party=party.name, start_s=start_s, end_s=end_s, reason="lost"
        )

    def _reading(self, party: PartyState, window: Window, verdict: Verdict | None, at: str, now_s: float) -> Reading:
        confidence = None if verdict is None else verdict.confidence
        scores = None if verdict is None else verdict.scores
        return Reading(
            at=at,
            call=self.name,
            seq=self._next(),
            party=party.name,
            start_s=_seconds(window.start),
            end_s=_seconds(window.end),
            state=verdict.state if verdict else "not_scored",
            label=verdict.label if verdict else None,
            mood=verdict.mood if verdict else None,
            confidence=None if confidence is None else round(confidence, 4),
            scores=None if scores is None else {name: round(p, 4) for name, p in zip(LABELS, scores, strict=True)},
            speech_share=round(window.speech_share, 3),
            level_db=None if window.level_db is None else round(window.level_db, 1),
            latency_ms=round(1000 * max(0.0, now_s - window.arrived_s), 1),
        )

    def _alert(self, change: Change, at: str) -> AlertRaised | AlertCleared:
        rule = change.rule
        kind = AlertRaised if change.kind == "raised" else AlertCleared
        return kind(
            at=at,
            call=self.name,
            seq=self._next(),
            alert=self._raise(change) if change.kind == "raised" else self._clear(change),
            rule=rule.name,
            severity=rule.severity,
            party=change.party,
            start_s=round(change.start_s, 4),
            at_s=change.at_s,
            evidence=list(change.evidence),
            about="call" if rule.about_call else "party",
        )

    def _raise(self, change: Change) -> str:
        """The new alert's identifier."""
        # Counted apart: the customer's alerts must not tell how many the agent had.
        self._raised[change.party] += 1
        whose = f"{self.name}:agent" if change.party == "agent" else self.name
        alert = self._open_alerts[change.party, change.rule.name] = f"{whose}:{self._raised[change.party]}"
        return alert

    def _clear(self, change: Change) -> str:
        """The cleared alert's identifier."""
        reader = self.parties[change.party].reader
        if change.rule.name == SUSTAINED_ANGER and reader:
            reader.alert_cleared()
        return self._open_alerts.pop((change.party, change.rule.name))

    def _hears_anger(self, party: PartyState) -> bool:
        return self._watch.is_open(SUSTAINED_ANGER, party.name)

    def _outcome(self) -> Mood:
        """The customer's (else the first scored party's) last mood; its open alert of sustained anger makes it angry."""
        parties = sorted(self.parties.values(), key=lambda party: party.name != "customer")
        judged = next((party for party in parties if party.reader), None)
        if judged is None or judged.reader is None:
            return "unclear"
        return "angry" if self._hears_anger(judged) else judged.reader.mood(self._settings.outcome_s)

    def _next(self) -> int:
        self._seq += 1
        return self._seq


def _seconds(samples: int) -> float:
    return round(samples / SAMPLE_RATE, 4)


def _shares(tally: Counter[str]) -> dict[str, float]:
    """Counts as shares that sum to 1; empty where nothing was read."""
    total = sum(tally.values())
    return {name: round(count / total, 4) for name, count in sorted(tally.items())}
