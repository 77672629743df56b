"""Made-up calls for the tests of reports."""

from msgspec.structs import replace

from monitor.messages import (
    LABELS,
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    AnyCallMessage,
    CallEnded,
    CallStarted,
    Gap,
    Label,
    Mood,
    Party,
    PartyInfo,
    Reading,
    State,
    rfc3339,
)
from monitor.report.facts import CallFacts, Origin, facts_of

T0 = 1_790_000_000.0
MARKUP = '<script>alert(1)</script>"&amp;\u202etxt.exe'
ORIGIN = Origin("history", "tiny 1")


class Told:
    """A call of a customer and an agent as it is told, half a second after the other."""

    def __init__(
        self,
        call: str = "a call",
        source: str = "siprec",
        agent: str | None = "id-4711",
        scored: tuple[Party, ...] = ("customer",),
        identity: str | None = None,
    ) -> None:
        self.call, self.now_s = call, 2.5
        self.messages: list[AnyCallMessage] = []
        parties: dict[Party, PartyInfo] = {
            "agent": PartyInfo(channel=0, scored="agent" in scored),
            "customer": PartyInfo(channel=1, scored="customer" in scored, identity=identity),
        }
        self._scored = scored
        self._add(CallStarted, source=source, path=None, agent=agent, parties=parties)

    def say(
        self,
        seconds: float,
        label: Label | None = "neutral",
        mood: Mood = "calm",
        state: State = "speech",
        sure: float = 0.7,
        agent_share: float = 0.1,
    ) -> "Told":
        """So many seconds of readings of both."""
        for _ in range(round(2 * seconds)):
            self.now_s += 0.5
            self._read("agent", None, None, "not_scored", None, agent_share)
            scored = state in ("speech", "uncertain")
            share = 0.8 if scored else 0.1
            self._read("customer", label if state == "speech" else None, mood, state, sure if scored else None, share)
        return self

    def lose(self, seconds: float) -> "Told":
        """Audio of the customer's that ends now."""
        self._add(Gap, party="customer", start_s=self.now_s - seconds, end_s=self.now_s, reason="lost")
        return self

    def alert(self, alert: str = "1", rule: str = "sustained_anger", severity: str = "critical") -> "Told":
        start_s, evidence = self.now_s - 3, [message.seq for message in self.messages[-3:]]
        self._add(AlertRaised, alert=alert, rule=rule, severity=severity, party="customer", start_s=start_s,
                  at_s=self.now_s, evidence=evidence)  # fmt: skip
        return self

    def clear(self, alert: str = "1", rule: str = "sustained_anger", severity: str = "critical") -> "Told":
        self._add(AlertCleared, alert=alert, rule=rule, severity=severity, party="customer", start_s=self.now_s - 5,
                  at_s=self.now_s, evidence=[])  # fmt: skip
        return self

    def acknowledge(self, by: str = "Ana", alert: str = "1") -> "Told":
        self._add(AlertAcknowledged, alert=alert, party="customer", by=by)
        return self

    def end(self, outcome: Mood = "calm", reason: str = "end") -> "Told":
        self._add(CallEnded, duration_s=self.now_s, reason=reason, outcome=outcome, shares={})
        return self

    @property
    def facts(self) -> CallFacts:
        return facts_of(self.messages, ORIGIN)

    def _read(self, party: Party, label, mood, state, confidence, share) -> None:
        rest = 0.0 if label is None else (confidence or 0.0)
        scores = None if confidence is None else {name: (1 - rest) / 6 + rest * (name == label) for name in LABELS}
        if party == "agent" and "agent" in self._scored:
            state, mood, scores = "silence", "unclear", None
        self._add(Reading, party=party, start_s=self.now_s - 3, end_s=self.now_s, state=state, label=label, mood=mood,
                  confidence=confidence, scores=scores, speech_share=share, level_db=-20.0, latency_ms=40.0)  # fmt: skip

    def _add(self, kind, **fields) -> None:
        seq = len(self.messages) + 1
        self.messages.append(kind(call=self.call, seq=seq, at=rfc3339(T0 + self.now_s), **fields))


def with_everything(call: str = "a call", by: str = "Ana", rule: str = "sustained_anger") -> Told:
    """A call in which everything occurs that a report shows."""
    told = Told(call, agent=f"agent {call}", identity=f"customer {call}").say(20, agent_share=0.9)
    told.say(10, None, "calm", "silence", agent_share=0.9).say(8, "happy").say(6, None, "calm", "uncertain", sure=0.34)
    told.say(4, None, "calm", "too_little_speech").say(12, "sad", "dissatisfied").say(6, "fear", "dissatisfied")
    told.say(5, None, "dissatisfied", "gap").lose(4).say(6, "disgust", "dissatisfied").say(3, None, "calm", "clipped")
    told.say(20, "anger", "angry", sure=0.9).alert(rule=rule).say(6, "anger", "angry").acknowledge(by)
    told.say(20, "neutral").clear(rule=rule).say(5, "neutral", "satisfied")
    told.alert("2", "recovery", "info").say(10, "happy", "satisfied").clear("2", "recovery", "info")
    return told.say(4, "happy", "satisfied").alert("3", "turning_worse", "warning").say(3, "sad").end("satisfied")


def renamed(messages: list[AnyCallMessage], call: str) -> list[AnyCallMessage]:
    """The same call under another name."""
    return [replace(message, call=call) for message in messages]
