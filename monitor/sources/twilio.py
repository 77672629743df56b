"""Twilio Media Streams, and what speaks like it: a `Dialect` of the websocket listener.

bytes → twilio_messages (what was sent) → twilio_order (which piece, and when) → switchboard (whose, and of which call)

Who is who: the stream's parameters (`party`, `agent`, `customer`, `call`; in the address's query or the platform's own
custom parameters), else the setting `twilio.inbound`.
"""

import logging
import time
from collections.abc import Mapping
from typing import Literal, cast

from monitor.errors import CallmoodError, ProtocolError, RequestError, SettingError
from monitor.messages import PARTIES, Party
from monitor.settings import Settings, TwilioSettings
from monitor.sources.codecs import Codec
from monitor.sources.complaints import Complaints
from monitor.sources.credentials import secrets_from
from monitor.sources.streams import GOING_AWAY, INTERNAL_ERROR, UNSUPPORTED_DATA, Line, Upgrade
from monitor.sources.switchboard import Claim, Seat, Switchboard
from monitor.sources.twilio_messages import Media, Other, Start, Track, codec_of, parse_message
from monitor.sources.twilio_order import Chunks, Timeline
from monitor.sources.twilio_signature import check_request

_log = logging.getLogger(__name__)

_MOST_MALFORMED = 50
"""Media that cannot be read, before the call ends for it."""
_OTHER: Mapping[Party, Party] = {"customer": "agent", "agent": "customer"}


class Twilio:
    """Raises SettingError for settings that cannot hold."""

    table = "twilio"
    subprotocol: str | None = None

    def __init__(self, settings: Settings) -> None:
        if settings.twilio is None:
            raise SettingError("Twilio is off: write [twilio] into the settings file")
        self._settings, self._public_url = settings.twilio, settings.streams.public_url
        self._open_s = settings.streams.open_s
        self.path = self._settings.path
        self._auth_tokens = secrets_from(self._settings.auth_token_file, "CALLMOOD_TWILIO_AUTH_TOKEN")
        self._tokens = secrets_from(self._settings.token_file, "CALLMOOD_TWILIO_TOKEN")
        self.guarded = bool(self._auth_tokens or self._tokens)
        self._complaints = Complaints(_log, time.monotonic)

    def open(self, upgrade: Upgrade, line: Line, switchboard: Switchboard, now_s: float) -> "TwilioSession":
        """See Dialect."""
        if self.guarded:
            check_request(upgrade, self._public_url, self._auth_tokens, self._tokens)
        query = upgrade.query
        if (party := query.get("party", "")) and party not in PARTIES:
            raise RequestError(f"the address says party={party[:40]!a}, expected one of {', '.join(PARTIES)}")
        return TwilioSession(self._settings, query, line, switchboard, self._complaints, now_s + self._open_s)


class TwilioSession:
    """One stream. It belongs to the listener's event loop."""

    def __init__(
        self,
        settings: TwilioSettings,
        query: Mapping[str, str],
        line: Line,
        switchboard: Switchboard,
        complaints: Complaints,
        start_until_s: float,
    ) -> None:
        self._settings, self._query, self._line, self._switchboard = settings, query, line, switchboard
        self._complaints, self._start_until_s = complaints, start_until_s
        self._start: Start | None = None
        self._codec: Codec
        self._seat: Seat | None = None
        self._parties: Mapping[Track, Party] = {}
        self._chunks = Chunks()
        self._timelines: dict[Track, Timeline] = {}
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
            if self._start is None or self._malformed > _MOST_MALFORMED:
                raise
            return self._complain(str(error))
        match message:
            case Media():
                self._take(message, now_s)
            case Start():
                self._begin(message, now_s)
            case Other(event="stop"):
                self._end("end", None, now_s)
                self._line.hang_up(1000, "stopped")

    def binary(self, data: bytes, _: float) -> None:
        """See Session."""
        if not self._over:
            raise ProtocolError(
                f"a binary message of {len(data)} bytes, expected JSON: is this another platform's stream?"
            )

    def tick(self, now_s: float) -> None:
        """See Session."""
        if self._start is None and not self._over and now_s > self._start_until_s:
            raise ProtocolError("no start came in time (streams.open_s)")

    def fail(self, error: CallmoodError, now_s: float) -> None:
        """See Session."""
        name = f"{self._seat.name}: " if self._seat else ""
        self._end(f"error: {error}", ProtocolError(f"{name}{error}"), now_s)
        self._line.hang_up(UNSUPPORTED_DATA if isinstance(error, ProtocolError) else INTERNAL_ERROR, str(error))

    def leave(self, now_s: float) -> None:
        """See Session."""
        self._end("stopped", None, now_s)
        self._line.hang_up(GOING_AWAY, "callmood ends")

    def gone(self, why: str, now_s: float) -> None:
        """See Session."""
        if why and self._seat is not None and not self._over:
            self._end(f"error: {why}", ProtocolError(f"{self._seat.name}: {why}"), now_s)
        self._end("end", None, now_s)

    def _begin(self, start: Start, now_s: float) -> None:
        if self._start is not None:
            return  # it says the same again
        self._codec = codec_of(start, cast(Literal["big", "little"], self._settings.l16_order))
        self._start = start
        if start.tracks:
            self._connect(start, start.tracks, now_s)

    def _take(self, media: Media, now_s: float) -> None:
        if self._start is None:
            return self._complain("media before the start: of which call, and in which codec?")
        if self._seat is None:
            # Where the start names no tracks, the first media tell whether there are any.
            self._connect(self._start, ("inbound", "outbound") if media.track else ("",), now_s)
        track = media.track
        if not track and len(self._parties) == 1:
            (track,) = self._parties
        party = self._parties.get(track)
        if party is None or self._seat is None:
            return self._complain(f"media of the track {track!r}, which its start does not name")
        if not media.payload:
            return
        timeline = self._timelines.get(track)
        if timeline is None:
            timeline = self._timelines[track] = Timeline(self._codec)
        sequence = self._chunks.sequence(track, media.chunk)
        timestamp = timeline.timestamp(sequence, media.timestamp, self._codec.ticks(media.payload))
        self._seat.push(party, sequence, timestamp, media.payload, now_s)

    def _complain(self, what: str) -> None:
        """Once a stream: what is passed over."""
        if not self._complained:
            self._complained = True
            self._complaints.tell(f"{self._seat.name if self._seat else 'a stream'}: passed over: {what}")

    def _connect(self, start: Start, tracks: tuple[Track, ...], now_s: float) -> None:
        parameters = {**self._query, **start.parameters}
        self._parties, rules = cast_of(tracks, parameters.get("party", ""), self._settings)
        call = parameters.get("call", "")
        shared = bool(call) and len(rules) == 1 and "mixed" not in rules
        claim = Claim(
            name=call or start.call or start.stream or "stream",
            source="twilio",
            parties=rules,
            key=call if shared else "",
            expects=("customer", "agent") if shared else (),
            agent=parameters.get("agent") or None,
            identities={"customer": parameters["customer"]} if parameters.get("customer") else {},
        )
        self._seat = self._switchboard.connect(claim, now_s)
        self._seat.use(self._codec)

    def _end(self, reason: str, fault: CallmoodError | None, now_s: float) -> None:
        if not self._over:
            self._over = True
            if self._seat is not None:
                self._seat.leave(reason, fault, now_s)


def cast_of(
    tracks: tuple[Track, ...], said: str, settings: TwilioSettings
) -> tuple[Mapping[Track, Party], Mapping[Party, str]]:
    """Track → party, and party → the rule that decided; `said` is the stream's own parameter `party`, or empty.

    It is the party of the lone track, or of the inbound one where there are two. Raises ProtocolError for one that is none.
    """
    if said and said not in PARTIES:
        raise ProtocolError(f"the stream's parameter party is {said[:40]!a}, expected one of {', '.join(PARTIES)}")
    rule = "the stream's parameter party" if said else "twilio.inbound"
    if tracks == ("",):
        party = cast(Party, said or settings.trackless)
        return {"": party}, {party: f"the only track ({rule if said else 'twilio.trackless'})"}
    if len(tracks) == 1:
        inbound = settings.inbound if tracks[0] == "inbound" else _OTHER[cast(Party, settings.inbound)]
        party = cast(Party, said or inbound)
        return {tracks[0]: party}, {party: f"track {tracks[0]} ({rule})"}
    if said == "mixed":
        raise ProtocolError("the stream's parameter party is mixed, but it has two tracks: send one, or leave it out")
    customer_first = cast(Party, said or settings.inbound)
    parties: dict[Track, Party] = {"inbound": customer_first, "outbound": _OTHER[customer_first]}
    return parties, {party: f"track {track} ({rule})" for track, party in parties.items()}
