"""How `callmood serve` carries calls that come by websocket or AudioSocket: N two-party calls at real pace, all from this one
process.

    python -m tests.benchmarks.stream_load [--kind twilio|audiohook|asterisk|audiosocket] [--calls 100] [--seconds 60]
        [--calls-per-s 20]

Prints one JSON object. Processor time and memory are the server's (both of its processes); readings count from their
messages. Twilio's calls come as 100 JSON messages a second (20 ms a track), AudioHook's as 5 binary ones (200 ms of stereo),
Asterisk's on two connections, each with 50 a second (20 ms of µ-law, or of 16 bit PCM by AudioSocket, which is sent silence).
"""

import argparse
import base64
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from monitor.audio import float_to_pcm, mulaw_to_float
from tests.benchmarks.rtp_media import voices
from tests.benchmarks.siprec_load import Server, _heard

_PACKET = 160
_SLICES = 10
"""20 ms are sent in so many pieces, so that no burst stands for what real platforms spread."""


class StreamServer(Server):
    """`callmood serve` with that kind switched on."""

    def __init__(self, folder: Path, kind: str, calls: int) -> None:
        self._messages, self._log = folder / "messages.json", folder / "log"
        table = "audiosocket" if kind == "audiosocket" else "streams"
        sets = [
            f"{table}.port=0",
            f"{table}.drain_s=2",
            f"{table}.max_connections={2 * calls}",
            f"{table}.max_calls={calls}",
        ]
        sets.append("audiosocket.pairing=last_digit" if kind == "audiosocket" else f"{kind}.path=/{kind}")
        command = [sys.executable, "-m", "monitor.cli", "-v", "serve", "--json", "--port", "0"]
        command += [word for one in sets for word in ("--set", one)]
        with self._messages.open("wb") as out, self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=out, stderr=log)
        self.port = int(self._said(r"(?:streams: ws://|AudioSocket: )127\.0\.0\.1:(\d+)"))

    def end(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Its messages, and its counters of the audio."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)
        log = self._log.read_text()
        said = re.findall(r"audio of all calls: (.*)", log)
        counters = {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", said[-1])} if said else {}
        dropped = re.search(r"dropped before it: (\d+) blocks", log)
        counters["dropped_blocks"] = int(dropped[1]) if dropped else -1
        return [json.loads(line) for line in self._messages.read_bytes().splitlines()], counters


class Call:
    """One call on its own connection. Sockets and frames by hand: a library's would be the bottleneck."""

    path = ""
    every = 1
    """Of the packet times, in how many something is sent."""

    def __init__(self, port: int, number: int, sounds: list[bytes]) -> None:
        self.number = number
        self._sounds = [sounds[(2 * number + party) % len(sounds)] for party in range(2)]
        self._at = number * 7_919 * _PACKET % min(map(len, self._sounds))
        self.sent = 0
        self.unsent = bytearray()
        self.connect(port)
        self._socket.setblocking(False)
        self.begin()

    def connect(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._socket.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(4_096)
        if not answer.startswith(b"HTTP/1.1 101"):
            raise SystemExit(f"refused: {answer.decode()}")

    def begin(self) -> None:
        raise NotImplementedError

    def play(self) -> None:
        """What has become due in one packet time."""
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def take(self) -> bool:
        """Whatever the server says is read and left aside; whether it said anything."""
        said = False
        while select.select([self._socket], [], [], 0)[0] and self._socket.recv(65_536):
            said = True
        return said

    def frame(self, data: bytes, text: bool) -> None:
        """One message, masked with zeros."""
        first = 0x81 if text else 0x82
        size = (
            struct.pack(">BB", first, 0x80 | len(data))
            if len(data) < 126
            else struct.pack(">BBH", first, 0xFE, len(data))
        )
        self.unsent += size + b"\0\0\0\0" + data
        self.sent += 1
        with suppress(BlockingIOError):
            del self.unsent[: self._socket.send(self.unsent)]

    def pieces(self, count: int) -> list[bytes]:
        """The next packets of both parties."""
        at, self._at = self._at, self._at + count * _PACKET
        return [_cut(one, at % len(one), count * _PACKET) for one in self._sounds]


def _cut(sound: bytes, at: int, length: int) -> bytes:
    """So many bytes, which begin anew at the end."""
    return sound[at : at + length] + sound[: max(0, at + length - len(sound))]


class TwilioCall(Call):
    path = "/twilio"

    def begin(self) -> None:
        media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start = {
            "streamSid": "MZ1",
            "callSid": f"CA{self.number}",
            "tracks": ["inbound", "outbound"],
            "mediaFormat": media_format,
        }
        self.frame(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}).encode(), True)
        self.frame(
            json.dumps({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": "MZ1"}).encode(), True
        )
        self._count = 0

    def play(self) -> None:
        for track, piece in zip(("outbound", "inbound"), self.pieces(1), strict=True):
            self.frame(
                b'{"event":"media","sequenceNumber":"%d","media":{"track":"%s","chunk":"%d","timestamp":"%d","payload":"%s"}'
                b',"streamSid":"MZ1"}'
                % (self.sent, track.encode(), self._count + 1, self._count * 20, base64.b64encode(piece)),
                True,
            )
        self._count += 1

    def end(self) -> None:
        self.frame(b'{"event":"stop","streamSid":"MZ1"}', True)


class AudioHookCall(Call):
    path = "/audiohook"
    every = 10

    def begin(self) -> None:
        self._session, self._seq = str(uuid.uuid4()), 0
        media = [{"type": "audio", "format": "PCMU", "channels": ["external", "internal"], "rate": 8000}]
        participant = {"id": self._session, "ani": "", "aniName": "", "dnis": ""}
        ids = {"organizationId": self._session, "conversationId": str(uuid.uuid4())}
        self._say("open", {**ids, "participant": participant, "media": media})
        self._is_open = False

    def play(self) -> None:
        if not self._is_open:
            return  # audio may follow the answer only
        agent, customer = (np.frombuffer(piece, np.uint8) for piece in self.pieces(self.every))
        self.frame(np.stack([customer, agent], axis=1).tobytes(), False)

    def take(self) -> bool:
        said = super().take()
        self._is_open |= said
        return said

    def end(self) -> None:
        self._say("close", {"reason": "end"})

    def _say(self, kind: str, parameters: dict[str, Any]) -> None:
        self._seq += 1
        common = {"version": "2", "id": self._session, "seq": self._seq, "serverseq": 0, "position": "PT0S"}
        self.frame(json.dumps({**common, "type": kind, "parameters": parameters}).encode(), True)


class AsteriskParty(Call):
    """Half a call: its partner is another connection."""

    def __init__(self, port: int, number: int, sounds: list[bytes], party: str) -> None:
        self.path = f"/asterisk?call=call-{number}&party={party}"
        self._party = ("agent", "customer").index(party)
        self._turns = 0
        super().__init__(port, number, sounds)
        self._sounds = [self._sounds[self._party]]

    def begin(self) -> None:
        self.frame(
            b"MEDIA_START connection_id:c channel:WebSocket/c/0x1 format:ulaw optimal_frame_size:160 ptime:20", True
        )

    def play(self) -> None:
        self.frame(self.pieces(1)[0], False)

    def take(self) -> bool:
        """Once a second: little comes."""
        self._turns += 1
        return self._turns % 50 == 0 and super().take()

    def end(self) -> None:
        self.unsent += b"\x88\x80\0\0\0\0"
        self._socket.sendall(self.unsent)
        self.unsent.clear()


class AudioSocketParty(AsteriskParty):
    """The same by AudioSocket."""

    def connect(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._uuid = uuid.UUID(int=(self.number + 1) << 4 | 1 - self._party)

    def begin(self) -> None:
        self.unsent += b"\x01\x00\x10" + self._uuid.bytes

    def frame(self, data: bytes, text: bool) -> None:
        """µ-law as 16 bit PCM."""
        assert not text
        pcm = _PCM[np.frombuffer(data, np.uint8)].tobytes()
        self.unsent += b"\x10" + struct.pack(">H", len(pcm)) + pcm
        self.sent += 1
        with suppress(BlockingIOError):
            del self.unsent[: self._socket.send(self.unsent)]

    def end(self) -> None:
        self._socket.close()


_PCM = float_to_pcm(mulaw_to_float(np.arange(256, dtype=np.uint8))).astype("<i2")


class Pair:
    """A call of two connections."""

    every = 1
    kind: type[AsteriskParty] = AsteriskParty

    def __init__(self, port: int, number: int, sounds: list[bytes]) -> None:
        self._parties = [self.kind(port, number, sounds, party) for party in ("customer", "agent")]

    @property
    def sent(self) -> int:
        return sum(one.sent for one in self._parties)

    @property
    def unsent(self) -> bytes:
        return b"".join(one.unsent for one in self._parties)

    def play(self) -> None:
        for one in self._parties:
            one.play()

    def take(self) -> None:
        for one in self._parties:
            one.take()

    def end(self) -> None:
        for one in self._parties:
            one.end()


class AudioSocketPair(Pair):
    kind = AudioSocketParty


KINDS: dict[str, Any] = {
    "twilio": TwilioCall,
    "audiohook": AudioHookCall,
    "asterisk": Pair,
    "audiosocket": AudioSocketPair,
}


class Crowd:
    """All calls of this process."""

    def __init__(self, port: int, kind: str) -> None:
        self._port, self._kind = port, KINDS[kind]
        self._voices = voices()
        self.calls: list[Call | Pair] = []
        self.late_s = 0.0
        """The most that this sender was behind its own clock."""

    def add(self) -> None:
        self.calls.append(self._kind(self._port, len(self.calls), self._voices))

    def play(self, seconds: float, every_s: float = 0.0, most: int = 0) -> None:
        """At real pace; a call is added each `every_s` until there are `most`."""
        next_s = time.monotonic()
        for turn in self._turns(seconds):
            if len(self.calls) < most and time.monotonic() >= next_s:
                next_s += every_s
                self.add()
            for call in self._due(turn):
                call.play()
                call.take()

    def end(self, every_s: float) -> None:
        """The others go on meanwhile: each ends right after its last packet, or what it lacks to its end would be lost."""
        running, next_s = set(self.calls), time.monotonic()
        for turn in self._turns(len(running) * every_s + 5):
            for call in running.intersection(self._due(turn)):
                call.play()
                if time.monotonic() >= next_s:
                    next_s += every_s
                    running.remove(call)
                    call.end()
                else:
                    call.take()
        assert not running, "this sender is too slow"

    def _turns(self, seconds: float) -> Iterator[int]:
        """At real pace, so many a packet time as there are slices."""
        began_s = time.monotonic()
        for turn in range(round(seconds * 50) * _SLICES):
            wait_s = began_s + turn / (50 * _SLICES) - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            self.late_s = max(self.late_s, -wait_s)
            yield turn

    def _due(self, turn: int) -> list[Call | Pair]:
        """Calls that send in that turn."""
        slices = _SLICES * self._kind.every
        return self.calls[turn % slices :: slices]


def run(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The load, and what came of it."""
    with closing(StreamServer(folder, given.kind, given.calls)) as server:
        return _load(given, server)


def _load(given: argparse.Namespace, server: StreamServer) -> dict[str, Any]:
    crowd = Crowd(server.port, given.kind)
    empty_mb = server.rss_mb()
    crowd.play(given.calls / given.calls_per_s + 2, 1 / given.calls_per_s, given.calls)
    before_s, before_cpu_s = time.monotonic(), server.cpu_s()
    crowd.play(given.seconds)
    wall_s = time.monotonic() - before_s
    used = [(after - before) / wall_s for before, after in zip(before_cpu_s, server.cpu_s(), strict=True)]
    full_mb = server.rss_mb()
    crowd.end(1 / given.calls_per_s)
    messages, counters = server.end()
    unsent = sum(len(call.unsent) for call in crowd.calls)
    calls = max(1, len(crowd.calls))
    return {
        "kind": given.kind,
        "calls": len(crowd.calls),
        "steady_s": round(wall_s),
        "messages_sent": sum(call.sent for call in crowd.calls),
        "bytes_unsent": unsent,
        "sender_late_ms": round(1_000 * crowd.late_s, 1),
        "server_says": counters,
        **_heard(messages),
        "cpu_cores": round(sum(used), 2),
        "cpu_cores_scoring": round(used[0], 2),
        "cpu_cores_receiving": round(sum(used[1:]), 2),
        "cpu_percent_a_call": round(100 * sum(used) / calls, 2),
        "rss_mb_empty": round(empty_mb),
        "rss_mb_full": round(full_mb),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=[*KINDS], default="twilio")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--calls-per-s", type=float, default=20)
    with tempfile.TemporaryDirectory(prefix="callmood-load-") as folder:
        print(json.dumps(run(parser.parse_args(), Path(folder)), indent=1))


if __name__ == "__main__":
    main()
