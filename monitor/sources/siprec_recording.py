"""One recorded call as the pipeline hears it: its parties' streams, however the client changes its mind about them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from monitor.errors import CallmoodError, ProtocolError
from monitor.identities import Identities
from monitor.messages import Party
from monitor.settings import SiprecSettings
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened
from monitor.sources.audiofile import printable
from monitor.sources.codecs import Codec, known_codecs
from monitor.sources.recording_metadata import Metadata, Participant
from monitor.sources.rtp import RtpReceiver, RtpStream
from monitor.sources.sdp import PLAIN_RTP, Answered, Media
from monitor.sources.siprec_parties import Cast, Voice, cast_of

_log = logging.getLogger(__name__)

Codecs = Mapping[int, Codec]
"""Payload type → codec."""
_LONGEST_NAME = 128


class UnusableOfferError(ProtocolError):
    """An offer of which nothing can be received: 488."""


@dataclass(frozen=True)
class Desk:
    """What all recordings of one listener share."""

    settings: SiprecSettings
    queue: BlockQueue
    receiver: RtpReceiver
    names: CallNames
    identities: Identities


class Recording:
    """From the first offer, with which the call opens, to `close`."""

    def __init__(self, desk: Desk, wished_name: str, caller: Participant | None) -> None:
        """`caller` is who is heard where no metadata says: of a plain SIP call its sender."""
        self._desk, self._wished_name, self._caller = desk, printable(wished_name)[:_LONGEST_NAME], caller
        self.name = ""
        """Of the call; empty before it is opened."""
        self._opened_s = 0.0
        self._cast = Cast()
        """Who is who since the call was opened, streams that are gone included."""
        self._media: tuple[Media, ...] = ()
        self._metadata: Metadata | None = None
        self._streams: dict[int, RtpStream] = {}

    @property
    def heard_s(self) -> float:
        """Monotonic clock of the last audio; 0 before the first."""
        return max((stream.heard_s or 0.0 for stream in self._streams.values()), default=0.0)

    @property
    def on_hold(self) -> bool:
        """Whether every stream is."""
        return all(self._media[index].on_hold for index in self._streams)

    async def take(
        self, media: tuple[Media, ...] | None, metadata: Metadata | None, client: str
    ) -> tuple[Answered, ...]:
        """Receive what is offered (None: as before) from now on; the answer to each m-line. `client` is its SIP address.

        Where the parties turn out to be others than was thought, the call ends and another goes on in its place.
        Raises UnusableOfferError where nothing can be received, SourceError where no port is left: then all stays.
        """
        usable = self._usable(media)
        media = self._media if media is None else media
        if metadata is not None and self._metadata is not None:
            metadata = self._metadata.updated(metadata)
        metadata = metadata or self._metadata
        cast = cast_of([self._voice(i, media[i], metadata) for i in usable], self._desk.settings, self._cast.parties)
        if not cast.parties:
            raise UnusableOfferError(_unusable(media))
        wanted = {index: usable[index] for index in cast.parties}
        missing = [index for index in wanted if index not in self._streams]
        ports = dict(zip(missing, await self._desk.receiver.ports.take(len(missing)), strict=True))
        name, opened_s = self.name, self._opened_s
        if not name or not cast.fits(self._cast):
            name, opened_s = self._desk.names.take(self._wished_name), self._desk.receiver.now()
        new = {
            index: self._desk.receiver.open_on(
                sockets, name, cast.parties[index], wanted[index], opened_s, [media[index].host, client]
            )
            for index, sockets in ports.items()
        }
        self._media, self._metadata = media, metadata
        self._change(wanted, new)
        self._go_on_as(name, opened_s, cast)
        return tuple(
            Answered(one, self._streams[index].port, wanted[index]) if index in wanted else Answered(one)
            for index, one in enumerate(media)
        )

    def close(self, reason: str, fault: CallmoodError | None = None) -> None:
        """The end of the call; what it heard is told before."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        if self.name:
            self._desk.queue.put(CallClosed(self.name, reason, fault))
            self.name = ""

    def _usable(self, media: tuple[Media, ...] | None) -> dict[int, Codecs]:
        if media is None:
            return {index: self._media[index].codecs() for index in self._streams}
        return {index: codecs for index, one in enumerate(media) if (codecs := one.codecs())}

    def _voice(self, index: int, media: Media, metadata: Metadata | None) -> Voice:
        if metadata is None:
            return Voice(index, media.label, (self._caller,) if self._caller else ())
        return Voice(index, media.label, metadata.senders(media.label))

    def _change(self, wanted: Mapping[int, Codecs], new: Mapping[int, RtpStream]) -> None:
        for index in [index for index in self._streams if index not in wanted]:
            self._streams.pop(index).close()
        for index, stream in self._streams.items():
            stream.set_codecs(wanted[index])
        self._streams |= new
        for index, stream in self._streams.items():
            if self._media[index].on_hold:
                stream.hold()
            else:
                stream.resume()

    def _go_on_as(self, name: str, opened_s: float, cast: Cast) -> None:
        if name == self.name:
            self._cast = replace(self._cast, parties={**self._cast.parties, **cast.parties})
            return
        for index, stream in self._streams.items():
            stream.assign(name, cast.parties[index], opened_s)
        before = self.name
        if before:
            self._desk.queue.put(CallClosed(before, f"goes on as {name}: its parties changed"))
        self.name, self._opened_s, self._cast = name, opened_s, cast
        parties: dict[Party, int] = {party: index for index, party in cast.parties.items()}
        source = "sip" if self._caller else "siprec"
        opened = CallOpened(name, source, None, parties, cast.agent, cast.identities, in_step=False, goes_on=before)
        self._desk.queue.put(opened)
        _log.info("%s: %s", name, self._told(cast))

    def _told(self, cast: Cast) -> str:
        """Which rule made whom what, for the log."""
        told = []
        for index, media in enumerate(self._media):
            label = f", label {printable(media.label)}" if media.label else ""
            party = cast.parties.get(index)
            if party is None:
                told.append(f"m-line {index + 1}{label} is not recorded")
                continue
            who = cast.identities.get(party)
            shown = f" {printable(self._desk.identities.shown(who))}" if who else ""
            told.append(f"{party}{shown} is m-line {index + 1}{label} ({cast.rules[index]})")
        return "; ".join(told)


def _unusable(media: tuple[Media, ...]) -> str:
    offered = ", ".join(f"{one.kind} {one.protocol} {' '.join(one.formats)}"[:60] for one in media)
    known = ", ".join(codec.name for codec in known_codecs() if codec.kind == "audio")
    srtp = any(one.kind == "audio" and one.protocol not in PLAIN_RTP for one in media)
    cure = "switch SRTP off for the recording" if srtp else "let the client offer one of them"
    return f"nothing of the offer can be received: expected audio over RTP/AVP in {known}, got {offered}; {cure}"
