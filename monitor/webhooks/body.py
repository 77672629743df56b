"""The body of a webhook: what happened to an alert, as on the websocket, and what a receiver needs to act. Pure.

The envelope (`type`, `timestamp`, `data`) is that of Standard Webhooks 1.0, https://www.standardwebhooks.com.
"""

import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from monitor.messages import (
    About,
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    AnyMessage,
    CallEnded,
    CallKey,
    CallStarted,
    Label,
    Mood,
    Party,
    Reading,
    Severity,
    State,
    unix_ms,
)

Happening = Literal["raised", "cleared", "acknowledged", "call_ended"]
AlertNews = AlertRaised | AlertCleared | AlertAcknowledged | CallEnded


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who posts."""

    name: str
    """Name of the node, as in `hello`."""
    callmood: str
    """Version of callmood."""
    model: str
    """Name and version of the model."""


class AlertFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The alert, the same in each of its webhooks."""

    id: str
    """Joins what is posted of one alert; unique among the calls that run."""
    rule: str
    severity: Severity
    party: Party
    about: About
    """`call` where the rule looks at all parties together."""
    start_s: float
    """Since when its rule held, seconds of the call."""
    raised_at: str
    """When it was raised: UTC, RFC 3339."""


class CallFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The call that the alert is of."""

    name: str
    source: str
    """Kind of source: siprec, microphone, …"""
    agent: str | None
    """The agent's id, only with `show_identities`, else a pseudonym; null where nobody named one."""
    started_at: str
    """UTC, RFC 3339."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """The last reading of the alert's party."""

    end_s: float
    """When it was heard, seconds of the call."""
    state: State
    label: Label | None
    """Null unless `state` is `speech`."""
    mood: Mood | None
    confidence: float | None
    """0..1; null where nothing was scored."""


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver needs to act."""

    alert: AlertFacts
    call: CallFacts
    heard: Heard | None
    """Null before the party's first reading."""
    node: Origin
    message: AlertNews
    """As on the websocket, see `docs/contract.md`."""


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's body."""

    type: Literal["alert.raised", "alert.cleared", "alert.acknowledged", "alert.call_ended"]
    timestamp: str
    """When it happened (not when it was posted): UTC, RFC 3339."""
    data: Data


class TrialBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `callmood webhooks test`: there is no alert."""

    type: Literal["webhook.test"] = "webhook.test"
    timestamp: str
    data: dict[str, Origin]


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be posted, to every endpoint under the same id."""

    id: str
    """`webhook-id`: the idempotency key."""
    kind: str
    """`type` of the body."""
    call: CallKey | None
    """Null where it is of none."""
    rule: str
    severity: str
    body: bytes


@dataclass(frozen=True)
class Wanted:
    """What of the alerts is posted."""

    happenings: Collection[str]
    severities: Collection[str]
    rules: Collection[str] = ()
    """Empty: all."""

    def takes(self, happening: Happening, alert: AlertRaised) -> bool:
        return (
            happening in self.happenings
            and alert.severity in self.severities
            and (not self.rules or alert.rule in self.rules)
        )


@dataclass
class _Call:
    """What is kept of a running call."""

    started: CallStarted
    heard: dict[Party, Reading] = field(default_factory=dict)
    """The last of each party."""
    open: dict[str, AlertRaised] = field(default_factory=dict)
    """By the alert's id."""


class Composer:
    """Sees every message of the bus, in order, and makes notices of what happens to alerts."""

    def __init__(self, origin: Origin, wanted: Wanted) -> None:
        self._origin, self._wanted = origin, wanted
        self._calls: dict[str, _Call] = {}

    def see(self, message: AnyMessage) -> list[Notice]:
        """What is to be posted because of `message`; a microsecond for those that are not about an alert."""
        if isinstance(message, CallStarted):
            self._calls[message.call] = _Call(message)
            return []
        if isinstance(message, Reading):
            if message.call in self._calls:
                self._calls[message.call].heard[message.party] = message
            return []
        if isinstance(message, AlertNews) and message.call in self._calls:
            return list(self._news(message, self._calls[message.call]))
        return []

    def _news(self, message: AlertNews, call: _Call) -> Iterator[Notice]:
        match message:
            case AlertRaised():
                call.open[message.alert] = message
                yield from self._notice("raised", message, message, call)
            case AlertCleared():
                yield from self._notice("cleared", call.open.pop(message.alert, None), message, call)
            case AlertAcknowledged():
                yield from self._notice("acknowledged", call.open.get(message.alert), message, call)
            case CallEnded():
                del self._calls[message.call]
                for alert in call.open.values():
                    yield from self._notice("call_ended", alert, message, call)

    def _notice(
        self, happening: Happening, alert: AlertRaised | None, message: AlertNews, call: _Call
    ) -> Iterator[Notice]:
        if alert is None or not self._wanted.takes(happening, alert):
            return
        facts = AlertFacts(
            id=alert.alert,
            rule=alert.rule,
            severity=alert.severity,
            party=alert.party,
            about=alert.about,
            start_s=alert.start_s,
            raised_at=alert.at,
        )
        data = Data(
            alert=facts,
            call=_call_facts(call.started),
            heard=_heard(call.heard.get(alert.party)),
            node=self._origin,
            message=message,
        )
        body = Body(type=f"alert.{happening}", timestamp=message.at, data=data)  # type: ignore[arg-type]
        key = CallKey(message.call, unix_ms(call.started.at))
        yield Notice(new_id(), body.type, key, alert.rule, alert.severity, msgspec.json.encode(body))


def trial_notice(origin: Origin, at: str) -> Notice:
    """What `callmood webhooks test` posts."""
    body = TrialBody(timestamp=at, data={"node": origin})
    return Notice(new_id(), body.type, None, "", "", msgspec.json.encode(body))


def new_id() -> str:
    """A `webhook-id` that nothing else has; without a full stop, which parts what is signed."""
    return f"msg_{secrets.token_hex(16)}"


def _call_facts(started: CallStarted) -> CallFacts:
    return CallFacts(name=started.call, source=started.source, agent=started.agent, started_at=started.at)


def _heard(reading: Reading | None) -> Heard | None:
    if reading is None:
        return None
    return Heard(
        end_s=reading.end_s,
        state=reading.state,
        label=reading.label,
        mood=reading.mood,
        confidence=reading.confidence,
    )
