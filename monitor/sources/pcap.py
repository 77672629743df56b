"""Calls in capture files (pcap, pcapng), through the same jitter buffer and time line as live RTP."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from monitor.audio import Block
from monitor.errors import AudioError, ProtocolError, SettingError
from monitor.messages import PARTIES, Party
from monitor.settings import RtpSettings
from monitor.sources import CallClosed, CallNames, CallOpened, Event, Intake, Refused
from monitor.sources.audiofile import printable
from monitor.sources.capture import Capture, Contents, Key, Stream, look_through
from monitor.sources.frames import Datagram, shown
from monitor.sources.recording import Pace, parse_channels
from monitor.sources.rtp_packet import is_rtcp, parse_rtp
from monitor.sources.rtp_party import PartyAudio

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Casting:
    """Who is who: `agent,customer` in the order of a call's streams, or `customer=192.0.2.7,agent=0x1234abcd` by name."""

    ordered: tuple[Party, ...] = ()
    named: tuple[tuple[Party, str], ...] = ()
    """Party, and its sender's address, `address:port` or SSRC."""

    @classmethod
    def parse(cls, text: str | None) -> "Casting":
        """Raises SettingError."""
        if not text:
            return cls()
        if "=" not in text:
            return cls(ordered=parse_channels(text))
        return cls(named=tuple(_rule(part.strip()) for part in text.split(",")))

    def parties(self, streams: list[Stream]) -> tuple[dict[Party, Stream], str]:
        """Party → stream, and by which rule. Raises AudioError where they do not fit."""
        if self.named:
            found = {party: stream for party, name in self.named for stream in streams if _is_called(stream, name)}
            if not found:
                raise AudioError(
                    f"no stream of {', '.join(map(str, streams))} is named by --channels; name one of them"
                )
            return found, "--channels"
        if self.ordered and len(self.ordered) != len(streams):
            named = f"--channels names {len(self.ordered)} ({','.join(self.ordered)})"
            raise AudioError(f"the call has {len(streams)} RTP streams, but {named}; name one party a stream")
        if len(streams) == 1:
            ordered = self.ordered or ("mixed",)
            rule = "--channels" if self.ordered else "nobody said who it is: name it by --channels customer"
        else:
            ordered = self.ordered or ("agent", "customer")
            rule = "--channels" if self.ordered else "their order; name them otherwise by --channels customer,agent"
        return dict(zip(ordered, streams, strict=True)), rule


def _rule(text: str) -> tuple[Party, str]:
    word, _, name = text.partition("=")
    for party in PARTIES:
        if party == word.strip().lower() and name.strip():
            return party, name.strip().lower()
    raise SettingError(
        f"--channels takes PARTY=SENDER, got {text!r}: for example customer=192.0.2.7 or agent=0x1234abcd"
    )


def _is_called(stream: Stream, name: str) -> bool:
    sender = shown(stream.sender)
    names = {sender, sender.rpartition(":")[0].strip("[]"), *(f"0x{source:08x}" for source in stream.sources)}
    return name in names


class Captures:
    """Capture files as calls: a `Source`. What cannot be played is refused by itself. One file after the other."""

    def __init__(
        self, paths: Iterable[str], names: CallNames, casting: Casting, rtp: RtpSettings, pace: Pace = "live"
    ) -> None:
        self._captures = [(path, Capture(path)) for path in paths]
        self._names, self._casting, self._rtp, self._live = names, casting, rtp, pace == "live"

    def run(self, queue: Intake, stop: threading.Event) -> None:
        """See Source."""
        for path, capture in self._captures:
            if stop.is_set():
                break
            try:
                self._play(path, capture, queue, stop)
            except AudioError as error:
                queue.put(Refused(error))

    def _play(self, path: str, capture: Capture, queue: Intake, stop: threading.Event) -> None:
        calls = self._calls(path, look_through(capture), queue, stop)
        routes = {key: (call, audio) for call in calls for key, audio in call.routes()}
        running = sorted(calls, key=lambda call: call.last_s)
        clock_s = time.monotonic() - min((call.first_s for call in calls), default=0.0)
        fault = None
        try:
            for moment_s, datagram in capture.datagrams():
                if stop.is_set() or (self._live and stop.wait(max(0.0, moment_s + clock_s - time.monotonic()))):
                    break
                while running and running[0].last_s < moment_s:
                    running.pop(0).close("end")
                _push(routes, moment_s, datagram)
        except AudioError as error:
            fault = error
        for call in running:
            call.close(f"error: {fault}" if fault else "stopped" if stop.is_set() else "end", fault)

    def _calls(self, path: str, contents: Contents, queue: Intake, stop: threading.Event) -> list["_Call"]:
        """Those that can be played."""
        calls = []
        text = os.fsencode(path).decode("utf-8", "replace")
        for number, streams in enumerate(contents.calls, 1):
            try:
                parties, rule = self._casting.parties(streams)
            except AudioError as error:
                queue.put(Refused(AudioError(f"{printable(path)}: call {number}: {error}")))
                continue
            name = self._names.take(Path(text).stem)
            cast = "; ".join(f"{party} is {stream}" for party, stream in parties.items())
            logger.warning("%s: %s (%s)", name, cast, rule)
            audio = partial(PartyAudio, codecs=contents.codecs, jitter_s=self._rtp.jitter_s)
            calls.append(_Call(name, text, parties, audio, partial(queue.put, wait=True, stop=stop)))
        if not contents.calls:
            unknown = "".join(f"; {count} packets of payload type {kind}" for kind, count in contents.unknown.items())
            kinds = "PCMU, PCMA, or another that SDP in the capture explains"
            raise AudioError(f"{printable(path)}: no RTP stream that can be decoded{unknown}, expected {kinds}")
        return calls


class _Call:
    """A call of a capture, and its parties' audio."""

    def __init__(
        self,
        name: str,
        path: str,
        parties: dict[Party, Stream],
        audio: Callable[..., PartyAudio],
        put: Callable[[Event], None],
    ) -> None:
        self.first_s = min(stream.first_s for stream in parties.values())
        self.last_s = max(stream.last_s for stream in parties.values())
        """Clock of the capture."""
        self._name, self._path, self._parties, self._put = name, path, parties, put
        self._audio = {party: audio(name, party, opened_s=self.first_s, put=self._put_block) for party in parties}
        self._reached_s = self.first_s
        self._opened = False

    def routes(self) -> Iterator[tuple[Key, PartyAudio]]:
        """Which packets belong to which party."""
        for party, stream in self._parties.items():
            for source in stream.sources:
                yield (stream.sender, stream.receiver, source), self._audio[party]

    def reach(self, moment_s: float) -> None:
        """It is that late now; puts its beginning, once."""
        self._reached_s = moment_s
        if not self._opened:
            self._opened = True
            channels = {party: channel for channel, party in enumerate(self._parties)}
            self._put(CallOpened(self._name, "pcap", self._path, channels, in_step=False))

    def close(self, reason: str, fault: AudioError | None = None) -> None:
        """Puts what is left and its end."""
        if self._opened:
            for audio in self._audio.values():
                audio.finish(self._reached_s)
            self._put(CallClosed(self._name, reason, fault))

    def _put_block(self, block: Block) -> None:
        self._put(block.come_at(time.monotonic()))


def _push(routes: Mapping[Key, tuple[_Call, PartyAudio]], moment_s: float, datagram: Datagram) -> None:
    """Takes a datagram to the party that it belongs to."""
    with suppress(ProtocolError):
        packet = parse_rtp(datagram.payload, moment_s)
        route = routes.get((datagram.sender, datagram.receiver, packet.source))
        if route is not None and not is_rtcp(datagram.payload):
            call, audio = route
            call.reach(moment_s)
            audio.push(packet)
