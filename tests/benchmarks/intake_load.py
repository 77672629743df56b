"""What it costs to bring audio to the pipeline, by stage: processor time of this one process.

    python -m tests.benchmarks.intake_load [--parties 200] [--seconds 10]

Prints one JSON object. `rtp` is the way of a telephone call: datagrams of PCMU (20 ms) on sockets of this machine → the receiver
→ the queue of the listeners' process → bytes and back, as between the processes → the pipeline's queue → cells. `blocks` is the
way of what is fed in process as blocks of 20 ms: queue → cells. Each stage is given in milliseconds for a second of one party's
audio, and the receiver's also in microseconds a packet. Time goes as fast as it can, so caches are warmer than in a live node.
"""

import argparse
import asyncio
import json
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from monitor.audio import SAMPLE_RATE, Block, mulaw_to_float
from monitor.bus import Bus
from monitor.calls import Due
from monitor.model import EmotionModel, default_path
from monitor.pipeline import Pipeline
from monitor.settings import RtpSettings, Settings
from monitor.sources import BlockQueue, CallClosed, CallOpened, Event
from monitor.sources.codecs import PCMU
from monitor.sources.rtp import RtpReceiver
from tests.benchmarks.rtp_media import voices

_POLL_S = 0.04
_PACKET = 160
_NO_BOUND_S = 1e9


class Intake(Pipeline):
    """A pipeline that goes as far as cells: what is heard in them is not looked at."""

    cells = 0

    def _hear(self) -> list[Due]:
        self.cells += len(self._pieces)
        self._pieces = []
        return []


class Stages:
    """Processor time by stage."""

    def __init__(self) -> None:
        self.used_s: dict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        before_s = time.process_time()
        yield
        self.used_s[name] += time.process_time() - before_s

    def ms_per_party_s(self, party_s: float) -> dict[str, float]:
        each = {name: round(1_000 * used_s / party_s, 4) for name, used_s in self.used_s.items()}
        return {**each, "sum": round(sum(each.values()), 4)}


def packets_of(voice: bytes, number: int, first: int, count: int) -> Iterator[bytes]:
    """RTP of `voice`, round and round, from its packet `first` on."""
    for k in range(first, first + count):
        at = (number * 7_919 + k) * _PACKET % len(voice)
        header = struct.pack(">BBHII", 0x80, 0, k & 0xFFFF, k * _PACKET & 0xFFFFFFFF, number + 1)
        yield header + voice[at : at + _PACKET]


def intake(parties: int) -> Intake:
    """With that many calls of one customer each."""
    settings = Settings(max_calls=parties)
    pipeline = Intake(EmotionModel(default_path()), settings, Bus())
    pipeline.handle(opened(parties))
    return pipeline


def opened(parties: int) -> list[CallOpened]:
    return [CallOpened(f"call-{k}", "load", None, {"customer": 0}, in_step=False) for k in range(parties)]


def queue_of(parties: int) -> BlockQueue:
    """One that knows their calls."""
    queue = BlockQueue(_NO_BOUND_S)
    queue.put_all(opened(parties))
    queue.take(0)
    return queue


async def by_rtp(parties: int, seconds: float) -> dict[str, Any]:
    """The way of telephone calls."""
    stages, now_s = Stages(), 0.0
    heard, waiting = queue_of(parties), queue_of(parties)
    receiver = RtpReceiver(RtpSettings(), heard, lambda: now_s)
    opening = [receiver.open(f"call-{k}", "customer", {0: PCMU}, 0.0) for k in range(parties)]
    streams = await asyncio.gather(*opening)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    pipeline, sound = intake(parties), voices()
    a_poll = round(_POLL_S * SAMPLE_RATE / _PACKET)
    for poll in range(round(seconds / _POLL_S)):
        for k, stream in enumerate(streams):
            for packet in packets_of(sound[k % len(sound)], k, a_poll * poll, a_poll):
                sender.sendto(packet, ("127.0.0.1", stream.port))
        now_s += _POLL_S
        with stages.of("receive"):
            receiver._poll()
        with stages.of("carry"):
            events = pickled(heard.take(0))
        with stages.of("queue"):
            waiting.put_all(events)
            events = waiting.take(0)
        with stages.of("cells"):
            pipeline.handle(events)
    packets = receiver.counters.received
    receiver.close()
    sender.close()
    return {
        "packets": packets,
        "cells": pipeline.cells,
        "receive_us_per_packet": round(1e6 * stages.used_s["receive"] / packets, 2),
        "ms_per_party_s": stages.ms_per_party_s(parties * seconds),
    }


def by_blocks(parties: int, seconds: float) -> dict[str, Any]:
    """The way of what is fed in process."""
    stages, queue, pipeline = Stages(), queue_of(parties), intake(parties)
    sound = [mulaw_to_float(np.frombuffer(voice, np.uint8)) for voice in voices()]
    turns = round(seconds * SAMPLE_RATE / _PACKET)
    for turn in range(turns):
        blocks = []
        for k in range(parties):
            voice = sound[k % len(sound)]
            at = (k * 7_919 + turn) * _PACKET % voice.size
            blocks.append(
                Block(f"call-{k}", "customer", turn * _PACKET, SAMPLE_RATE, voice[at : at + _PACKET], 0.02 * turn)
            )
        with stages.of("put"):
            for block in blocks:
                queue.put(block)
        with stages.of("take"):
            events = queue.take(0)
        with stages.of("cells"):
            pipeline.handle(events)
    pipeline.handle([CallClosed(f"call-{k}", "end") for k in range(parties)])
    return {"cells": pipeline.cells, "ms_per_party_s": stages.ms_per_party_s(parties * seconds)}


def pickled(events: list[Event]) -> list[Event]:
    """As bytes from process to process."""
    import pickle

    back: list[Event] = pickle.loads(pickle.dumps(events, pickle.HIGHEST_PROTOCOL))
    return back


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parties", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    found = {
        "parties": given.parties,
        "seconds": given.seconds,
        "rtp": asyncio.run(by_rtp(given.parties, given.seconds)),
        "blocks": by_blocks(given.parties, given.seconds),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
