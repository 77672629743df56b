"""What a dashboard shows: every call at one moment, as frozen values. Made by `monitor.board`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.messages import Label, Mood, Party, Severity, State

Tone = Label | State
"""What a reading says in one word: its label where it heard speech, else its state. Never `speech`."""

OLD_MOOD_S = 10.0
"""Seconds of a call without a scored reading after which a mood is history."""
STALE_S = 5.0
"""A party without a reading for so long is stale: the source is dead, not the caller calm."""
DEAD_AIR_S = 10.0
"""Silence of both sides from which it is told."""

_RANKS: Mapping[Severity, int] = {"critical": 0, "warning": 1, "info": 2}


def tone(state: State, label: Label | None) -> Tone:
    """The label of `speech`, else the state."""
    return (label or "uncertain") if state == "speech" else state


@dataclass(frozen=True, slots=True)
class PartyView:
    """One party of a call, as last read."""

    party: Party
    scored: bool
    state: State | None
    """Null before the first reading."""
    label: Label | None
    mood: Mood | None
    """Null before the first reading and for a party that is not scored."""
    mood_for_s: float
    """How long the mood has held, seconds of the call."""
    unscored_s: float
    """How long no reading was scored (silence, clipped, lost audio …), seconds of the call."""
    confidence: float | None
    """0..1; null where nothing was scored."""
    speech_share: float
    """Share of the last window in which the party speaks, 0..1."""
    level_db: float | None
    """dBFS; null for digital silence."""
    trend: float | None
    """Anger, disgust, fear and sadness now less those of its first minute, -1..1; null until that is over."""
    strip: tuple[Tone | None, ...]
    """One cell for each 3 s, oldest first, two minutes at most; null where no reading came."""
    unheard_s: float
    """Wall-clock seconds since its last reading."""
    identity: str | None
    """Number, address or name, or its pseudonym; null where the source names nobody."""

    @property
    def tone(self) -> Tone | None:
        """What the last reading says; null before the first."""
        return tone(self.state, self.label) if self.state else None

    @property
    def mood_is_old(self) -> bool:
        """Whether the mood rests on speech that is long over."""
        return self.unscored_s >= OLD_MOOD_S

    @property
    def stale(self) -> bool:
        """Whether readings have stopped coming."""
        return self.unheard_s >= STALE_S


@dataclass(frozen=True, slots=True)
class Evidence:
    """The readings that raised an alert."""

    count: int
    """How many."""
    readings: tuple[tuple[float, float | None], ...]
    """Those that this board heard, in order: where each ends, seconds of the call, and how probable `leader` was, 0..1."""
    leader: Label | None
    """The emotion that was the most probable on average; null where none of them was scored."""
    means: Mapping[Label, float]
    """Emotion → mean probability, 0..1; empty likewise."""


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert of a call."""

    alert: str
    """Identifier."""
    rule: str
    severity: Severity
    party: Party | None
    """Null where the alert is about the call as a whole."""
    start_s: float
    """Since when the rule holds, seconds of the call."""
    at_s: float
    """When it was raised."""
    over_s: float | None
    """When it cleared, or the call ended; null while it is open."""
    open_s: float
    """How long the rule has held, or held, seconds of the call."""
    by: str | None
    """Who looks after it; null while nobody does."""
    evidence: Evidence

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Sorts first what nobody looks after, then the worst, then the oldest."""
        return self.by is not None, _RANKS[self.severity], self.start_s

    @property
    def waits(self) -> bool:
        """Whether somebody should look after it: it is open, no good news, and nobody does."""
        return self.over_s is None and self.by is None and self.severity != "info"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended."""

    outcome: Mood
    reason: str
    ago_s: float
    """Wall-clock seconds since."""


@dataclass(frozen=True, slots=True)
class CallView:
    """One call."""

    name: str
    source: str
    """Kind of source; empty where the call's beginning was missed."""
    duration_s: float
    """How much of the call was heard, seconds."""
    parties: tuple[PartyView, ...]
    caller: PartyView | None
    """The party that the call is judged by: a scored one first, the customer before the others."""
    agent: str | None
    """The agent's id, or its pseudonym; null where nobody named one."""
    alerts: tuple[AlertView, ...]
    """Open ones, those that nobody looks after first, then the worst first."""
    alerts_raised: int
    """All since the call began."""
    dead_air_s: float
    """For how long neither side has spoken, seconds of the call; 0 where only one side is heard."""
    lost_s: float
    """Audio that never came, seconds over all parties."""
    ending: Ending | None
    """Null while the call goes on."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A few seconds of a party's voice."""

    scores: tuple[float, ...] | None
    """Mean probabilities, in the order of LABELS; null where nothing was scored."""
    speech_share: float
    """0..1"""
    tone: Tone
    """What most of its readings say."""


@dataclass(frozen=True, slots=True)
class CourseView:
    """A party's voice since the call began, or since this board listened."""

    cell_s: float
    """Seconds that a cell stands for."""
    cells: tuple[Cell | None, ...]
    """From the call's beginning; null where no reading came."""


@dataclass(frozen=True, slots=True)
class CallDetail:
    """One call with all that is kept of it."""

    call: CallView
    alerts: tuple[AlertView, ...]
    """All that are kept, the last first."""
    courses: Mapping[Party, CourseView]
    shares: Mapping[Tone, float]
    """Tone → share of the caller's readings, 0..1, the largest first."""
    outcome: Mood | None
    """How it ended, or would if it ended now; null where nothing was scored."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What has happened since the board began: two of them tell what has happened between."""

    begun: int
    ended: int
    alerts: int
    """Raised, good news apart."""
    forgotten: int = 0
    """Calls that were deleted on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An `error` message."""

    ago_s: float
    """Wall-clock seconds since."""
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every call and the node's own measurements at one moment."""

    calls: tuple[CallView, ...]
    """Running calls, the most urgent first: open alert, angry, dissatisfied or stale; each the longest first."""
    ended: tuple[CallView, ...]
    """Calls that ended a short while ago, the last first."""
    faults: tuple[Fault, ...]
    """The last few errors, oldest first."""
    fault_count: int
    """All errors."""
    missed: int
    """Messages that did not reach this board."""
    failure: str | None
    """Why scoring stopped; null while readings come."""
    latency_p50_ms: float | None
    """Over the last 4,096 scored readings; null before the first."""
    latency_p99_ms: float | None
    now_s: float = 0.0
    """The moment, Unix seconds on the node's clock."""
    totals: Totals = field(default_factory=lambda: Totals(0, 0, 0))
    detail: CallDetail | None = None
    """Of the call that was asked for, where it is kept."""

    @property
    def scored_parties(self) -> int:
        """Parties of running calls whose emotion is read."""
        return sum(party.scored for call in self.calls for party in call.parties)

    @property
    def open_alerts(self) -> int:
        """Over all running calls, good news apart."""
        return sum(alert.severity != "info" for call in self.calls for alert in call.alerts)

    @property
    def waiting_alerts(self) -> int:
        """Of those, the ones that nobody looks after."""
        return sum(alert.waits for call in self.calls for alert in call.alerts)


@dataclass(frozen=True, slots=True)
class Health:
    """What the board cannot know about its node."""

    dropped_s: float | None = 0.0
    """Audio that was dropped because scoring could not keep up, seconds; null where it is not known, as of another machine."""
    waiting_s: float | None = 0.0
    """Audio that waits to be scored, seconds; null where it is not known."""
    subscribers: int | None = 0
    """Desktops on the websocket; null where it is not known."""
    address: str = ""
    """Of the websocket; empty when none listens."""
    model: str = ""
    """Name and version."""
    hint: str = ""
    """What to try, for whoever looks at the screen."""
    away: str = ""
    """Why nothing comes from another machine's node; empty while it does, and of the own node."""
    history: str = ""
    """Why calls are not stored just now; empty while they are, and where no history is kept."""
    unstored: int | None = None
    """Messages that the history lacks for good; null where none is kept, or it is not known."""
    warnings: tuple[str, ...] = ()
    """What else goes wrong beside scoring (what is posted to other systems), each in one line."""
    restarts: int | None = None
    """How often the listeners' process died and was started again; null where there is none, or it is not known."""
    scoring_restarts: int | None = None
    """The same of processes that score; null where the node scores in its own."""
    answer: str = ""
    """What became of the last thing that was asked for by a key; empty where there is nothing to say."""
