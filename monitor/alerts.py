"""Rules over a party's rolling scores, with hysteresis. Pure.

Time here is seconds of speech: a pause neither raises nor clears an alert, but a condition that began before a long pause
begins anew.
"""

from dataclasses import dataclass, field
from typing import Literal

from monitor.messages import LABELS, Label, Severity
from monitor.readings import Scores

_LONG_PAUSE_S = 8.0
"""Speech on both sides of a longer pause does not make one stretch."""


@dataclass(frozen=True)
class Rule:
    """Raised when the labels' rolling scores together stay at `raise_at` or more for `raise_for_s`."""

    name: str
    labels: tuple[Label, ...]
    severity: Severity
    raise_at: float
    """0..1"""
    raise_for_s: float
    """Seconds of speech."""
    clear_at: float
    """0..1, under `raise_at`."""
    clear_for_s: float
    """Seconds of speech."""


SUSTAINED_ANGER = Rule("sustained_anger", ("anger",), "critical", 0.5, 2.5, 0.3, 5.0)
RULES = (SUSTAINED_ANGER,)


@dataclass(frozen=True)
class Change:
    """An alert raised or cleared."""

    kind: Literal["raised", "cleared"]
    rule: Rule
    start_s: float
    """Since when the condition holds."""
    evidence: tuple[int, ...]
    """`seq` of the readings that made it."""


@dataclass
class RuleWatch:
    """One rule over one party. A condition is: score high while not raised, low while raised."""

    rule: Rule
    open: bool = False
    _since_s: float = 0.0
    _held_s: float = 0.0
    _last_s: float = 0.0
    _evidence: list[int] = field(default_factory=list)

    def see(self, rolling: Scores, end_s: float, hop_s: float, seq: int) -> Change | None:
        """A scored window that ends at `end_s`, read as message `seq`; what it raises or clears."""
        rule = self.rule
        score = float(sum(rolling[LABELS.index(label)] for label in rule.labels))
        holds = score <= rule.clear_at if self.open else score >= rule.raise_at
        if not holds or end_s - self._last_s > _LONG_PAUSE_S + hop_s:
            self._evidence, self._held_s = [], 0.0
        self._last_s = end_s
        if not holds:
            return None
        if not self._evidence:
            self._since_s = end_s - hop_s
        self._evidence.append(seq)
        self._held_s += hop_s
        if self._held_s < (rule.clear_for_s if self.open else rule.raise_for_s):
            return None
        change = Change("cleared" if self.open else "raised", rule, self._since_s, tuple(self._evidence))
        self.open, self._evidence, self._held_s = not self.open, [], 0.0
        return change
