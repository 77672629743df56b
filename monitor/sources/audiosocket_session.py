"""One AudioSocket connection's frames → its party's voice. No socket: it is called with what came and when."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from monitor.errors import CallmoodError, ProtocolError
from monitor.settings import AudioSocketSettings
from monitor.sources.audiosocket_frames import DTMF, ERROR, HANGUP, RATES, UUID, Frame
from monitor.sources.audiosocket_parties import Directory, parse_uuid
from monitor.sources.codecs import Codec, linear
from monitor.sources.complaints import Complaints
from monitor.sources.one_party import OneParty
from monitor.sources.switchboard import Switchboard

_MOST_MALFORMED = 50
"""Frames that mean nothing, before the call ends for them."""
_FIRST_KIND = 0x10


@dataclass(frozen=True)
class Terms:
    """What all connections of one listener share."""

    settings: AudioSocketSettings
    directory: Directory
    switchboard: Switchboard
    complaints: Complaints

    def codec(self, kind: int) -> Codec:
        """Of a kind of audio."""
        return linear(self.settings.sample_rate if kind == _FIRST_KIND else RATES[kind], "little")


class AudioSocketSession:
    """It belongs to the listener's event loop; `hang_up` ends its connection, and may be called twice."""

    def __init__(self, terms: Terms, hang_up: Callable[[], None], now_s: float) -> None:
        self._terms, self._hang_up = terms, hang_up
        self._uuid_until_s = now_s + terms.settings.open_s
        self._uuid: uuid.UUID | None = None
        self._voice: OneParty | None = None
        self._kind = 0
        """Of the last audio; 0 before."""
        self._malformed = 0
        self._over = False

    @property
    def answer_kind(self) -> int | None:
        """The kind of audio that the other side takes; None where none is to be sent."""
        return None if self._over or self._uuid is None else self._kind or _FIRST_KIND

    def frame(self, frame: Frame, now_s: float) -> None:
        """Raises ProtocolError for what ends the call, SourceError where there is no room for it."""
        if self._over:
            return
        kind, payload = frame
        if kind in RATES:
            self._hear(kind, payload, now_s)
        elif kind == UUID:
            self._begin(parse_uuid(payload), now_s)
        elif kind == HANGUP:
            self._end("end", None, now_s)
            self._hang_up()
        elif kind == ERROR:
            raise ProtocolError(f"Asterisk tells an error (code {payload[:8].hex() or 'none'})")
        elif kind != DTMF:
            self._pass_over(f"a frame of the kind {kind:#04x}, which AudioSocket does not know")

    def tick(self, now_s: float) -> None:
        """Several times a second. Raises ProtocolError where the UUID was waited for in vain."""
        if self._voice is not None:
            self._voice.flush()
        elif not self._over and now_s > self._uuid_until_s:
            raise ProtocolError("no UUID came in time (audiosocket.open_s)")

    def fail(self, error: CallmoodError, now_s: float) -> None:
        """Something is wrong with what came: end the call with it, and the connection."""
        name = f"{self._voice.call}: " if self._voice else ""
        self._end(f"error: {error}", type(error)(f"{name}{error}"), now_s)
        self._hang_up()

    def leave(self, now_s: float) -> None:
        """We end."""
        self._end("stopped", None, now_s)
        self._hang_up()

    def gone(self, why: str, now_s: float) -> None:
        """The connection is over: in order, unless `why` says otherwise."""
        if why and self._voice is not None and not self._over:
            self._end(f"error: {why}", ProtocolError(f"{self._voice.call}: {why}"), now_s)
        self._end("end", None, now_s)

    def _begin(self, name: uuid.UUID, now_s: float) -> None:
        if self._uuid is not None:
            if name != self._uuid:
                raise ProtocolError(f"another UUID, {name}, after {self._uuid}")
            return
        claim = self._terms.directory.claim(name)
        (party,) = claim.parties
        self._voice = OneParty(self._terms.switchboard.connect(claim, now_s), party)
        self._uuid = name

    def _hear(self, kind: int, payload: bytes, now_s: float) -> None:
        assert self._voice is not None, "the framer lets a UUID through first"
        if len(payload) % 2:
            return self._pass_over(f"audio of {len(payload)} bytes, expected samples of 2")
        if kind != self._kind:
            self._kind = kind
            self._voice.use(self._terms.codec(kind))
        self._voice.hear(payload, now_s)

    def _pass_over(self, what: str) -> None:
        self._malformed += 1
        if self._malformed > _MOST_MALFORMED:
            raise ProtocolError(what)
        if self._malformed == 1:
            self._terms.complaints.tell(f"{self._voice.call if self._voice else self._uuid}: passed over: {what}")

    def _end(self, reason: str, fault: CallmoodError | None, now_s: float) -> None:
        if not self._over:
            self._over = True
            if self._voice is not None:
                self._voice.leave(reason, fault, now_s)
