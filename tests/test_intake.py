"""What reaches the pipeline's windows, to the last bit: cells of the example calls, and of calls by RTP however it went wrong.

The digests were recorded when every packet was parsed and every block of 20 ms went its own way. Another digest is another
reading somewhere: that has to be wanted.
"""

import hashlib
import random
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soundfile

from monitor.audio import Block, float_to_alaw, float_to_mulaw
from monitor.cells import Cell, Lost, PartyCells
from monitor.settings import RtpSettings
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened, Event
from monitor.sources.allowlist import AllowList
from monitor.sources.codecs import COMFORT_NOISE, PCMA, PCMU, TELEPHONE_EVENT
from monitor.sources.datagram_reader import one_by_one
from monitor.sources.latch import Latch
from monitor.sources.outbox import Outbox
from monitor.sources.recording import Recordings
from monitor.sources.rtp import RtpReceiver, RtpStream
from monitor.sources.rtp_party import PartyAudio
from tests.rtp_streams import WaitingSocket

CALLS = Path(__file__).parents[1] / "examples" / "calls"
CODECS = {0: PCMU, 8: PCMA, 13: COMFORT_NOISE, 101: TELEPHONE_EVENT}
HERE, THERE = ("127.0.0.1", 4_000), ("127.0.0.2", 4_000)
Datagram = tuple[float, bytes, tuple[str, int]]
"""When it comes, in seconds; bytes; from where."""

EXAMPLES = {
    "calm": "a3d3a48094e28d5c",
    "growing_anger": "0622484436d023e8",
    "sad": "77e5321ebd79ac72",
    "won_back": "30f281aaf09bf855",
}
RTP = {
    "nothing": "e20711571f9bdda5",
    "A-law": "490826c816ab09a8",
    "sizes": "5a568db60cebb0d6",
    "markers": "e20711571f9bdda5",
    "pauses": "922be6f6a6e98223",
    "keys": "736d0cf501d7bed7",
    "new SSRC": "cee3235ae1383fcb",
    "new base": "b4751deea6c95e6b",
    "loss": "31fcb13e50004e09",
    "everything": "2a28c474ebb9aefb",
    "drift": "e6716470637e9a0d",
    "moves": "e20711571f9bdda5",
    "foreign": "e20711571f9bdda5",
    "no RTP": "e20711571f9bdda5",
    "hold": "b44f4671476d096d",
}


def digest(events: Iterable[Event]) -> str:
    """Of all cells and gaps of all parties; times as far as microseconds."""
    parties: dict[tuple[str, str], PartyCells] = defaultdict(PartyCells)
    lines: dict[tuple[str, str], list[str]] = defaultdict(list)
    for event in events:
        if isinstance(event, Block):
            key = event.call, event.party
            lines[key] += map(told, parties[key].push(event))
    for key, cells in parties.items():
        lines[key] += map(told, cells.finish())
    text = "\n".join(f"{key}: {line}" for key in sorted(lines) for line in lines[key])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def told(piece: Cell | Lost) -> str:
    if isinstance(piece, Lost):
        return f"lost {piece.start}..{piece.end}"
    return f"{piece.samples.size} {piece.lost} {hashlib.sha256(piece.samples.tobytes()).hexdigest()}"


@pytest.mark.parametrize("pace", ["20 ms", "fast"])
@pytest.mark.parametrize("name", ["calm", "growing_anger", "sad", "won_back"])
def test_the_example_calls_are_heard_as_they_always_were(name: str, pace: str) -> None:
    queue, path = BlockQueue(1e9), CALLS / f"{name}.flac"
    if pace == "fast":
        Recordings([path], CallNames(), pace="fast", max_calls=1).run(queue, threading.Event())
    else:
        samples, rate = soundfile.read(path, dtype="float32")
        parties: tuple[Literal["agent", "customer"], ...] = ("agent", "customer")
        queue.put(CallOpened(name, "recording", None, {"agent": 0, "customer": 1}))
        for start in range(0, len(samples), 160):
            for party, channel in zip(parties, samples[start : start + 160].T, strict=True):
                queue.put(Block(name, party, start, rate, np.ascontiguousarray(channel), 0.0))
        queue.put(CallClosed(name, "end"))
    assert digest(queue.take(0)) == EXAMPLES[name]


class Voice:
    """A sender that says the customer's part of an example call for 12 s, and what goes wrong with it."""

    def __init__(self, wrong: str) -> None:
        samples, _ = soundfile.read(CALLS / "growing_anger.flac", dtype="float32", frames=100_000)
        self.wrong, self.random = wrong, random.Random(wrong)
        coded = float_to_alaw if wrong == "A-law" else float_to_mulaw
        self._codes = coded(np.ascontiguousarray(samples[:, 1])).tobytes()
        self._kind = 8 if wrong == "A-law" else 0
        self._sequence, self._timestamp, self._source = 65_400, 0xFFFF_0000, 77
        self._at = 0
        self.time_s = 0.1
        self.sent: list[Datagram] = []

    def talk(self) -> list[Datagram]:
        while self.time_s < 12.0:
            self._go_wrong_before()
            size = self.random.choice((80, 160, 240, 400)) if self.wrong == "sizes" else 160
            self.time_s += size / 8_000
            datagram = self._packet(self._kind, self._codes[self._at : self._at + size], size)
            self._at += size
            self._go_wrong_with(datagram)
        return sorted(self.sent, key=lambda one: one[0])

    def _packet(self, kind: int, payload: bytes, ticks: int) -> bytes:
        marked = 0x80 if self.wrong == "markers" and self.random.random() < 0.1 else 0
        header = struct.pack(">BBHII", 0x80, marked | kind, self._sequence, self._timestamp, self._source)
        self._sequence, self._timestamp = (self._sequence + 1) & 0xFFFF, (self._timestamp + ticks) & 0xFFFFFFFF
        return header + payload

    def _go_wrong_before(self) -> None:
        rare = self.random.random() < 0.02
        if self.wrong == "pauses" and rare:
            self.sent.append((self.time_s, self._packet(13, b"\x40", 0), HERE))
            silent = self.random.randrange(5, 60)
            self.time_s += silent / 50
            self._timestamp = (self._timestamp + 160 * silent) & 0xFFFFFFFF
        elif self.wrong == "keys" and rare:
            for _ in range(5):
                self.time_s += 0.02
                self.sent.append((self.time_s, self._packet(101, b"\x01\x0a\x00\xa0", 0), HERE))
            self._timestamp = (self._timestamp + 800) & 0xFFFFFFFF
        elif self.wrong == "new SSRC" and rare:
            self._sequence, self._timestamp = self.random.randrange(1 << 16), self.random.randrange(1 << 32)
            self._source += 1
        elif self.wrong == "new base" and rare:
            self._timestamp = self.random.randrange(1 << 32)

    def _go_wrong_with(self, datagram: bytes) -> None:
        chance, arrives_s, sender = self.random.random(), self.time_s, HERE
        if self.wrong == "everything":
            arrives_s += 0.12 * self.random.random()
        elif self.wrong == "drift":
            arrives_s *= 1.01
        elif self.wrong == "moves" and self.time_s > 6:
            arrives_s, sender = arrives_s + 3, THERE
        elif self.wrong == "foreign" and chance < 0.1:
            self.sent.append((arrives_s, datagram, THERE))
        elif self.wrong == "no RTP" and chance < 0.1:
            self.sent.append((arrives_s, self.random.randbytes(30), HERE))
        if self.wrong not in ("loss", "everything") or chance > 0.05:
            self.sent.append((arrives_s, datagram, sender))
        if self.wrong == "everything" and chance > 0.97:
            self.sent.append((arrives_s + 0.05, datagram, HERE))


WRONG = [
    "nothing",
    "A-law",
    "sizes",
    "markers",
    "pauses",
    "keys",
    "new SSRC",
    "new base",
    "loss",
    "everything",
    "drift",
]


@pytest.mark.parametrize("wrong", [*WRONG, "moves", "foreign", "no RTP", "hold"])
def test_a_call_by_rtp_is_heard_as_it_always_was(wrong: str) -> None:
    now_s, settings, queue = 0.0, RtpSettings(), BlockQueue(1e9)
    queue.put(CallOpened("call", "test", None, {"customer": 0}, in_step=False))
    outbox = Outbox(queue)
    audio = PartyAudio("call", "customer", CODECS, 0.0, settings.jitter_s, outbox.put)
    sockets: Any = WaitingSocket(), WaitingSocket()
    latch = Latch(settings, AllowList(("127.0.0.0/8",), "rtp.allow"), ())
    receiver = RtpReceiver(settings, queue, lambda: now_s, one_by_one)
    stream = RtpStream(receiver, sockets, audio, outbox, latch)
    coming = deque(Voice(wrong).talk())
    while now_s < 16.0:
        now_s = round(now_s + 0.04, 2)
        while coming and coming[0][0] <= now_s:
            sockets[0].datagrams.append(coming.popleft()[1:])
        receiver.read(stream)
        stream.pass_time(now_s)
        if wrong == "hold" and now_s in (4.0, 8.0):
            (stream.hold if now_s == 4.0 else stream.resume)()
    audio.finish(now_s)
    outbox.empty()
    queue.put(CallClosed("call", "end"))
    assert digest(queue.take(0)) == RTP[wrong]
