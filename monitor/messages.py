"""What flows on the bus and on the wire: schema v1, one JSON object a message.

Every message has `type`, `v` and `at`; a message of a call also has `call` and `seq`, counted per call from 1
over all its messages. Later versions of v1 add fields and types of messages, they never rename or remove one: a client
passes over what it does not know. `docs/contract.md` says what came when.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

import msgspec

Label = Literal["anger", "disgust", "fear", "happy", "neutral", "sad"]
Mood = Literal["angry", "dissatisfied", "satisfied", "calm", "unclear"]
State = Literal["speech", "uncertain", "silence", "too_little_speech", "clipped", "gap", "not_scored"]
Party = Literal["agent", "customer", "mixed"]
Severity = Literal["info", "warning", "critical"]
About = Literal["party", "call"]

SCHEMA = "1.3"
"""Version of the contract: the second number counts what was added to v1."""
LABELS: tuple[Label, ...] = ("anger", "disgust", "fear", "happy", "neutral", "sad")
"""The six emotions, in the order of every score vector."""
MOODS: tuple[Mood, ...] = ("angry", "dissatisfied", "satisfied", "calm", "unclear")
STATES: tuple[State, ...] = ("speech", "uncertain", "silence", "too_little_speech", "clipped", "gap", "not_scored")
PARTIES: tuple[Party, ...] = ("agent", "customer", "mixed")
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


def rfc3339(unix_s: float) -> str:
    """`unix_s` (seconds since 1970) as UTC, RFC 3339, with milliseconds: `2026-01-31T12:00:00.250Z`."""
    moment = datetime.fromtimestamp(unix_s, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


@lru_cache(maxsize=64)  # what is scored together is told at one moment
def unix_ms(at: str) -> int:
    """The moment `at` (RFC 3339) in milliseconds since 1970. Raises ValueError."""
    return round(datetime.fromisoformat(at).timestamp() * 1000)


class CallKey(NamedTuple):
    """One call among all that ever had its name."""

    name: str
    began_ms: int
    """Unix milliseconds of its first message."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every message carries."""

    v: Literal[1] = 1
    """Version of the schema."""
    at: str
    """When the message was made: UTC, RFC 3339, milliseconds."""


class CallMessage(Message, frozen=True, kw_only=True):
    """What every message of a call carries as well."""

    call: str
    """The call's name; of a recording its file stem, with `-2` appended when that is taken."""
    seq: int
    """Counts the call's messages from 1, without a hole."""


class PartyInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one party of a call is heard."""

    channel: int
    """Channel of the source, from 0."""
    scored: bool
    """Whether its emotion is read; who speaks is measured on every party."""
    identity: str | None = None
    """Phone number, address or name, only with `show_identities`, else a pseudonym; absent where the source names nobody."""


class CallStarted(CallMessage, frozen=True, kw_only=True, tag="call_started"):
    """A call began."""

    source: str
    """Kind of source: recording, microphone, …"""
    path: str | None
    """The recording as it was given; null for every other source."""
    agent: str | None = None
    """The agent's id, only with `show_identities`, else a pseudonym; null where nobody named one."""
    parties: dict[Party, PartyInfo]


class Reading(CallMessage, frozen=True, kw_only=True, tag="reading"):
    """What one window of one party says, every hop."""

    party: Party
    start_s: float
    """Where the window starts, seconds of the call."""
    end_s: float
    """Where the window ends."""
    state: State
    label: Label | None
    """The rolling label; null unless `state` is `speech`."""
    mood: Mood | None
    """The mood over the party's last 20 s of speech, `unclear` until six were scored; null for a party that is not scored."""
    confidence: float | None
    """Rolling probability of the most probable label, 0..1; null where nothing was scored."""
    scores: dict[Label, float] | None
    """The window's six calibrated probabilities (they sum to 1), before smoothing; null where nothing was scored."""
    speech_share: float
    """Share of the window in which the party speaks, 0..1."""
    level_db: float | None
    """RMS level of the window, dBFS; null for digital silence."""
    latency_ms: float
    """From the arrival of the window's last sample to this message."""


class Gap(CallMessage, frozen=True, kw_only=True, tag="gap"):
    """Audio of a party that was lost: time goes on, nothing was heard."""

    party: Party
    start_s: float
    end_s: float
    reason: str


class AlertRaised(CallMessage, frozen=True, kw_only=True, tag="alert_raised"):
    """A rule holds for a party."""

    alert: str
    """Identifier; the alert's clearing carries the same."""
    rule: str
    severity: Severity
    party: Party
    start_s: float
    """Since when the rule holds, seconds of the call."""
    at_s: float
    """When it was raised, seconds of the call."""
    evidence: list[int]
    """`seq` of the readings that raised it."""
    about: About = "party"
    """`call`: the rule looks at all parties together, as for dead air; `party` is then the one that the call is judged by."""


class AlertCleared(CallMessage, frozen=True, kw_only=True, tag="alert_cleared"):
    """A rule that held no longer does."""

    alert: str
    rule: str
    severity: Severity
    party: Party
    start_s: float
    at_s: float
    """When it cleared, seconds of the call."""
    evidence: list[int]
    """`seq` of the readings that cleared it."""
    about: About = "party"
    """As of the raised alert."""


class AlertAcknowledged(CallMessage, frozen=True, kw_only=True, tag="alert_acknowledged"):
    """Somebody says that they look after an open alert."""

    alert: str
    party: Party
    by: str
    """A name, as it was given."""


class CallEnded(CallMessage, frozen=True, kw_only=True, tag="call_ended"):
    """A call is over; nothing more comes of it."""

    duration_s: float
    reason: str
    """Why it ended: `end` of the recording, `stopped` by the user, `error: …`."""
    outcome: Mood
    """The mood of the last 30 s of the scored parties' speech; `angry` while sustained anger is open."""
    shares: dict[Party, dict[str, float]]
    """Party → share of its readings with each label (state `speech`) and each other state; they sum to 1."""


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """The first message to every subscriber."""

    node: str
    """Name of the running monitor."""
    model: str
    """Name and version of the model."""
    labels: tuple[str, ...] = LABELS
    window_s: float
    hop_s: float
    schema: str = SCHEMA
    """Version of the contract."""
    model_scores: dict[str, float] = msgspec.field(default_factory=dict)
    """What the model reaches on speakers that it never heard: `uar`, …, 0..1."""
    heartbeat_s: float | None = None
    """A subscriber that got nothing for three times as long has lost its connection; null where nobody subscribes."""
    epoch: str = ""
    """Names this run of the server: `seq` of another run means nothing here."""
    after: dict[str, int] = msgspec.field(default_factory=dict)
    """The resume point: each running call that this subscriber hears, and the last `seq` before what follows."""
    begun: int = 0
    """On `/v1/calls`: calls that have begun so far in this run, over or not. 0 elsewhere, and of an earlier run."""
    expires_at: str | None = None
    """When the subscriber's token expires: UTC, RFC 3339; null without one."""


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """Something that could not be done."""

    code: str
    """Stable: the codes of `monitor.errors`."""
    text: str


class Missed(Message, frozen=True, kw_only=True, tag="missed"):
    """Messages that this subscriber did not get."""

    count: int
    """0 where nobody knows how many."""
    reason: str
    call: str | None = None
    """The call that they were of; null where nobody knows, or where they were of an earlier run of the server."""
    seq: int | msgspec.UnsetType = msgspec.UNSET
    """The last of them: it counts as heard, like the `seq` of a message. Absent where `count` is 0."""


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Nothing happened, and the connection lives."""


class TokenAccepted(Message, frozen=True, kw_only=True, tag="token_accepted"):
    """The new token that this subscriber sent is in force."""

    expires_at: str
    """UTC, RFC 3339."""


AnyCallMessage = CallStarted | Reading | Gap | AlertRaised | AlertCleared | AlertAcknowledged | CallEnded
AnyMessage = AnyCallMessage | Hello | Error | Missed | Heartbeat | TokenAccepted


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="acknowledge"):
    """From a subscriber: somebody looks after an open alert. Needs the scope `acknowledge`."""

    call: str
    alert: str
    by: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """A name for the others to read, of printable characters; empty: the token's subject."""


class NewToken(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="token"):
    """From a subscriber: the token that stands in for the one that is about to expire."""

    token: str


class Resume(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="resume"):
    """From a subscriber of several calls that connected with `?after=EPOCH`: its first message."""

    after: dict[str, Annotated[int, msgspec.Meta(ge=0)]]
    """Call → the last `seq` that was heard of it in that epoch, calls that ended lately included."""
    begun: Annotated[int, msgspec.Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET
    """On `/v1/calls`: how many calls of that epoch this subscriber knows to have begun. Absent: what began and ended more than
    a minute ago, and is not named, is not told."""


ClientMessage = Acknowledge | NewToken | Resume

_encoder = msgspec.json.Encoder()
_client_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_decoder: msgspec.json.Decoder[AnyMessage] = msgspec.json.Decoder(AnyMessage)


def encode(message: AnyMessage) -> bytes:
    """`message` as one line of UTF-8 JSON, without the line's end."""
    return _encoder.encode(message)


def decode(line: bytes | str) -> AnyMessage:
    """The message in `line`; fields that this version does not know are passed over.

    Raises `msgspec.DecodeError` (`ValidationError` among them) with what was wrong.
    """
    return _decoder.decode(line)


def decode_client(text: bytes | str) -> ClientMessage:
    """What a subscriber said in `text`. Raises `msgspec.DecodeError` with what was wrong."""
    return _client_decoder.decode(text)
