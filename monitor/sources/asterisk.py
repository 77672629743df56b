"""Asterisk's chan_websocket: a `Dialect` of the websocket listener. Asterisk connects, a websocket a party.

Who is who: the uri's parameters (`party`, `call`, `agent`, `customer`; v() of the dial string), else channel variables
(CALLMOOD_PARTY, …; with JSON messages only), else the setting `asterisk.party`. Nothing is sent: Asterisk makes silence itself.
"""

import logging
import time
from collections.abc import Mapping
from typing import cast

from monitor.errors import AccessError, CallmoodError, ProtocolError, RequestError, SettingError
from monitor.messages import PARTIES, Party
from monitor.settings import Settings
from monitor.sources.asterisk_messages import MediaStart, Other, codec_of, parse_message
from monitor.sources.complaints import Complaints
from monitor.sources.credentials import secrets_from, shows_one
from monitor.sources.one_party import OneParty, claim_of
from monitor.sources.streams import GOING_AWAY, INTERNAL_ERROR, UNSUPPORTED_DATA, Line, Upgrade
from monitor.sources.switchboard import Switchboard

_log = logging.getLogger(__name__)

_MOST_MALFORMED = 50
"""Messages that cannot be read, before the call ends for them."""
_RULES = ("its parameter party", "asterisk.party")


class Asterisk:
    """Raises SettingError for settings that cannot hold."""

    table = "asterisk"
    subprotocol: str | None = "media"

    def __init__(self, settings: Settings) -> None:
        if settings.asterisk is None:
            raise SettingError("Asterisk's websockets are off: write [asterisk] into the settings file")
        self.path = settings.asterisk.path
        self._party, self._open_s = cast(Party, settings.asterisk.party), settings.streams.open_s
        self._tokens = secrets_from(settings.asterisk.token_file, "CALLMOOD_ASTERISK_TOKEN")
        self.guarded = bool(self._tokens)
        self._complaints = Complaints(_log, time.monotonic)

    def open(self, upgrade: Upgrade, line: Line, switchboard: Switchboard, now_s: float) -> "AsteriskSession":
        """See Dialect."""
        shown = upgrade.tokens
        if self._tokens and not shown:
            raise AccessError("no credentials came along, expected a password of asterisk.token_file", 401, "no_token")
        if self._tokens and not shows_one(shown, self._tokens):
            raise AccessError("the password is another one than asterisk.token_file has", 403, "token")
        query = upgrade.query
        if (party := query.get("party", "")) and party not in PARTIES:
            raise RequestError(f"the address says party={party[:40]!a}, expected one of {', '.join(PARTIES)}")
        return AsteriskSession(self._party, query, line, switchboard, self._complaints, now_s + self._open_s)


class AsteriskSession:
    """One party's connection. It belongs to the listener's event loop."""

    def __init__(
        self,
        default: Party,
        query: Mapping[str, str],
        line: Line,
        switchboard: Switchboard,
        complaints: Complaints,
        start_until_s: float,
    ) -> None:
        self._default, self._query, self._line, self._switchboard = default, query, line, switchboard
        self._complaints, self._start_until_s = complaints, start_until_s
        self._voice: OneParty | None = None
        self._sample_bytes = 1
        self._malformed = 0
        self._complained = False
        self._over = False

    def text(self, data: bytes, now_s: float) -> None:
        """See Session."""
        if self._over:
            return
        try:
            message = parse_message(data)
        except ProtocolError as error:
            self._malformed += 1
            if self._voice is None or self._malformed > _MOST_MALFORMED:
                raise
            return self._complain(str(error))
        match message:
            case MediaStart() if self._voice is None:
                self._begin(message, now_s)
            case Other(event="ERROR", text=text):
                self._complain(f"Asterisk's error {text!a}")

    def binary(self, data: bytes, now_s: float) -> None:
        """See Session."""
        if self._over:
            return
        if self._voice is None:
            raise ProtocolError(f"a binary message of {len(data)} bytes before MEDIA_START: in which format?")
        if len(data) % self._sample_bytes:
            self._malformed += 1
            if self._malformed > _MOST_MALFORMED:
                raise ProtocolError(f"an audio message of {len(data)} bytes, expected whole samples of 2")
            return self._complain(f"an audio message of {len(data)} bytes, expected whole samples of 2")
        self._voice.hear(data, now_s)

    def tick(self, now_s: float) -> None:
        """See Session."""
        if self._voice is not None:
            self._voice.flush()
        elif not self._over and now_s > self._start_until_s:
            raise ProtocolError("no MEDIA_START came in time (streams.open_s)")

    def fail(self, error: CallmoodError, now_s: float) -> None:
        """See Session."""
        name = f"{self._voice.call}: " if self._voice else ""
        self._end(f"error: {error}", ProtocolError(f"{name}{error}"), now_s)
        self._line.hang_up(UNSUPPORTED_DATA if isinstance(error, ProtocolError) else INTERNAL_ERROR, str(error))

    def leave(self, now_s: float) -> None:
        """See Session."""
        self._end("stopped", None, now_s)
        self._line.hang_up(GOING_AWAY, "callmood ends")

    def gone(self, why: str, now_s: float) -> None:
        """See Session."""
        if why and self._voice is not None and not self._over:
            self._end(f"error: {why}", ProtocolError(f"{self._voice.call}: {why}"), now_s)
        self._end("end", None, now_s)

    def _begin(self, start: MediaStart, now_s: float) -> None:
        codec = codec_of(start.format or self._query.get("format", ""))
        name = start.channel_id or start.channel or start.connection or "call"
        parameters = {**start.variables, **{name: value for name, value in self._query.items() if value}}
        claim = claim_of("asterisk", parameters, name, self._default, _RULES)
        (party,) = claim.parties
        self._voice = OneParty(self._switchboard.connect(claim, now_s), party)
        self._voice.use(codec)
        self._sample_bytes = 2 if codec.name == "slin" else 1

    def _complain(self, what: str) -> None:
        """Once a connection: what is passed over."""
        if not self._complained:
            self._complained = True
            name = self._voice.call if self._voice else "an Asterisk connection"
            self._complaints.tell(f"{name}: passed over: {what}")

    def _end(self, reason: str, fault: CallmoodError | None, now_s: float) -> None:
        if not self._over:
            self._over = True
            if self._voice is not None:
                self._voice.leave(reason, fault, now_s)
