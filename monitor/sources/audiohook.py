"""Genesys Cloud AudioHook Monitor: a `Dialect` of the websocket listener.

The client opens, we say which audio we want, it streams, and it closes; we may ask it to (`disconnect`). Wrong credentials
are told after the handshake, and not at once. What is external is the customer's voice, what is internal the agent's.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from monitor.errors import AccessError, CallmoodError, ProtocolError, SettingError
from monitor.messages import Party
from monitor.settings import Settings
from monitor.sources.audiohook_messages import (
    RATE,
    ClientMessage,
    Format,
    Open,
    choose,
    parse_duration_s,
    parse_message,
    parse_open,
    server_message,
)
from monitor.sources.audiohook_signature import Verifier, parse_keys
from monitor.sources.codecs import PCMU, linear
from monitor.sources.complaints import Complaints
from monitor.sources.credentials import secrets_from
from monitor.sources.streams import GOING_AWAY, POLICY, Line, Upgrade
from monitor.sources.switchboard import Claim, Seat, Switchboard

_log = logging.getLogger(__name__)

REFUSED_S = 0.5
"""How long the answer to wrong credentials takes."""
_GOODBYE_S = 10.0
"""How long a client may take to close, or to hang up, before we do."""
_REFUSED_GOODBYE_S = 2.0
_PARTIES: Mapping[str, Party] = {"external": "customer", "internal": "agent"}
_LONGEST_INFO = 200

State = Literal["preparing", "refused", "open", "paused", "failed", "closed"]


@dataclass(frozen=True)
class Terms:
    """What all sessions of one dialect share."""

    open_s: float
    reconnect_s: float
    complaints: Complaints


class AudioHook:
    """Raises SettingError for settings that cannot hold. `clock` is the time of day in Unix seconds."""

    table = "audiohook"
    subprotocol: str | None = None

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        if settings.audiohook is None:
            raise SettingError("AudioHook is off: write [audiohook] into the settings file")
        self.path = settings.audiohook.path
        keys = parse_keys(secrets_from(settings.audiohook.keys_file, "CALLMOOD_AUDIOHOOK_KEYS"))
        self.guarded = bool(keys)
        self._verifier = Verifier(keys, settings.streams.public_url, clock)
        complaints = Complaints(_log, time.monotonic)
        self._terms = Terms(settings.streams.open_s, settings.audiohook.reconnect_s, complaints)

    def open(self, upgrade: Upgrade, line: Line, switchboard: Switchboard, now_s: float) -> "AudioHookSession":
        """See Dialect. Who has no good credentials gets a session that says so."""
        refusal = None
        if self.guarded:
            try:
                self._verifier.check(upgrade)
            except AccessError as error:
                refusal = error
        return AudioHookSession(self._terms, upgrade, line, switchboard, now_s, refusal)


class AudioHookSession:
    """One session. It belongs to the listener's event loop."""

    def __init__(
        self,
        terms: Terms,
        upgrade: Upgrade,
        line: Line,
        switchboard: Switchboard,
        now_s: float,
        refusal: AccessError | None,
    ) -> None:
        self._terms, self._upgrade, self._line, self._switchboard = terms, upgrade, line, switchboard
        self._refusal = refusal
        self._state: State = "refused" if refusal else "preparing"
        self._until_s = now_s + (REFUSED_S if refusal else terms.open_s)
        """When something is to be done, unless the client has done it before."""
        self._id = upgrade.headers.get("audiohook-session-id", "")
        self._seq = self._clientseq = 0
        self._format: Format | None = None
        self._seat: Seat | None = None
        self._pieces = 0
        """What `Seat.push` calls the sequence."""
        self._position = 0
        """Samples of the audio's time so far."""

    def text(self, data: bytes, now_s: float) -> None:
        """See Session."""
        if self._state == "closed":
            return
        message = parse_message(data)
        if message.seq != self._clientseq + 1:
            raise ProtocolError(f"seq {message.seq} after {self._clientseq}: messages are missing")
        self._clientseq = message.seq
        if message.serverseq > self._seq:
            raise ProtocolError(f"serverseq {message.serverseq}, though only {self._seq} messages were sent")
        self._id = self._id or message.id
        if message.id.lower() != self._id.lower():
            raise ProtocolError(f"a message of the session {message.id}, expected {self._id[:40]!a}")
        if self._state in ("refused", "failed") and message.type != "close":
            return
        self._hear(message, now_s)

    def binary(self, data: bytes, now_s: float) -> None:
        """See Session."""
        if self._state in ("refused", "failed", "closed", "paused") or (self._state == "open" and self._seat is None):
            return
        if self._format is None or self._seat is None:
            raise ProtocolError("audio before the session is open")
        chosen = self._format
        whole = chosen.sample_bytes * len(chosen.channels)
        if len(data) % whole:
            raise ProtocolError(f"an audio message of {len(data)} bytes, expected a multiple of {whole}")
        samples = np.frombuffer(data, f"u{chosen.sample_bytes}").reshape(-1, len(chosen.channels))
        self._pieces += 1
        for channel, name in enumerate(chosen.channels):
            payload = np.ascontiguousarray(samples[:, channel]).tobytes()
            self._seat.push(_PARTIES[name], self._pieces, self._position, payload, now_s)
        self._position += len(samples)

    def tick(self, now_s: float) -> None:
        """See Session."""
        if now_s < self._until_s:
            return
        match self._state:
            case "refused" if self._refusal is not None:
                self._terms.complaints.tell(
                    f"an AudioHook client at {self._upgrade.peer} is unauthorized: {self._refusal}"
                )
                self._refusal = None
                self._until_s = now_s + _REFUSED_GOODBYE_S
                self._say("disconnect", {"reason": "unauthorized"})
            case "preparing":
                self._until_s = now_s + _GOODBYE_S
                raise ProtocolError("no open came in time (streams.open_s)")
            case "refused" | "failed" | "closed":
                self._until_s = float("inf")
                self._line.hang_up(1000 if self._state == "closed" else POLICY, "the session is over")

    def fail(self, error: CallmoodError, now_s: float) -> None:
        """See Session."""
        if self._state in ("failed", "closed"):
            return
        if self._state != "refused":
            self._say("disconnect", {"reason": "error", "info": str(error)[:_LONGEST_INFO]})
            self._state, self._until_s = "failed", now_s + _GOODBYE_S
        self._end(f"error: {error}", error, now_s)

    def leave(self, now_s: float) -> None:
        """See Session."""
        if self._state in ("open", "paused"):
            self._say("disconnect", {"reason": "completed", "info": "callmood ends"})
            self._end("stopped", None, now_s)
            self._state, self._until_s = "failed", now_s + _GOODBYE_S
        elif self._state != "failed":
            self._line.hang_up(GOING_AWAY, "callmood ends")

    def gone(self, why: str, now_s: float) -> None:
        """See Session."""
        text = why or "the connection was closed without a close message"
        self._state = "closed"
        self._end(f"error: {text}", ProtocolError(text), now_s, self._terms.reconnect_s)

    def _hear(self, message: ClientMessage, now_s: float) -> None:
        parameters = message.parameters
        match message.type:
            case "open":
                self._open(parse_open(parameters), now_s)
            case "ping":
                self._say("pong", {})
            case "close":
                self._close(parameters.get("reason"), now_s)
            case "discarded":
                end_s = parse_duration_s(parameters.get("start")) + parse_duration_s(parameters.get("discarded"))
                self._pieces += 1  # so much was lost
                self._position = max(self._position, round(end_s * RATE))
            case "paused":
                if self._state == "open":
                    self._state = "paused"
                    if self._seat is not None:
                        self._seat.hold()
            case "resumed":
                if self._state == "paused":
                    self._state = "open"
                    if self._seat is not None:
                        self._seat.resume()
            case "update":
                if self._state in ("open", "paused"):
                    self._say("updated", {})
            case "error":
                text = f"{parameters.get('code')} {parameters.get('message')}"[:_LONGEST_INFO]
                self._terms.complaints.tell(f"an AudioHook client at {self._upgrade.peer} tells an error: {text!a}")
            case _:
                raise ProtocolError(f"a message of type {message.type[:40]!a}, which no client sends")

    def _open(self, wish: Open, now_s: float) -> None:
        if self._state != "preparing":
            return
        organization = self._upgrade.headers.get("audiohook-organization-id", "").lower()
        if organization and organization != wish.organization:
            self._state, self._until_s = "refused", now_s + _REFUSED_GOODBYE_S
            self._terms.complaints.tell(f"an AudioHook client at {self._upgrade.peer} opens for another organization")
            return self._say("disconnect", {"reason": "unauthorized"})
        chosen = choose(wish.formats)
        if chosen is None and not wish.is_probe:
            raise ProtocolError("none of the offered media can be received: expected audio in PCMU or L16 at 8000 Hz")
        if chosen is not None and not wish.is_probe:
            self._connect(wish, chosen, now_s)
        self._state = "open"
        answer: dict[str, Any] = {"media": [chosen.offer()] if chosen else [], "startPaused": False}
        self._say("opened", answer | ({"supportedLanguages": []} if wish.wants_languages else {}))
        if wish.is_probe:
            _log.info("an AudioHook client at %s has tried the connection: it is good", self._upgrade.peer)

    def _connect(self, wish: Open, chosen: Format, now_s: float) -> None:
        agent = wish.config.get("agent")
        claim = Claim(
            name=wish.conversation,
            source="audiohook",
            parties={_PARTIES[name]: f"the channel {name}" for name in chosen.channels},
            key=f"{wish.organization}/{wish.conversation}",
            takes_over=bool(wish.continued),
            agent=agent if isinstance(agent, str) and agent else None,
            identities={"customer": wish.customer} if wish.customer and "external" in chosen.channels else {},
            in_step=len(chosen.channels) == 2,
        )
        self._format = chosen
        self._seat = self._switchboard.connect(claim, now_s)
        self._seat.use(PCMU if chosen.format == "PCMU" else linear(RATE, "little"))

    def _close(self, reason: Any, now_s: float) -> None:
        linger_s = self._terms.reconnect_s if reason == "reconnect" else 0.0
        if reason == "error":
            fault = ProtocolError("the client ended the session because of an error")
            self._end(f"error: {fault}", fault, now_s)
        self._end("end", None, now_s, linger_s)
        self._say("closed", {})
        self._state, self._until_s = "closed", now_s + _GOODBYE_S

    def _end(self, reason: str, fault: CallmoodError | None, now_s: float, linger_s: float = 0.0) -> None:
        if self._seat is not None:
            named = None if fault is None else type(fault)(f"{self._seat.name}: {fault}")
            self._seat.leave(reason, named, now_s, linger_s)
            self._seat = None

    def _say(self, kind: str, parameters: Mapping[str, Any]) -> None:
        self._seq += 1
        self._line.say(server_message(self._id, kind, self._seq, self._clientseq, parameters))
