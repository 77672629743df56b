"""How `callmood serve` carries SIPREC calls: N two-party calls by SIP and PCMU at real pace, all from this one process.

    python tests/benchmarks/siprec_load.py [--calls 200] [--seconds 180] [--transport udp|tcp] [--loop uvloop|asyncio]
                                           [--max-calls N] [--calls-per-s 20] [--set NAME=VALUE]

Prints one JSON object. Processor time and memory are the server's (all of its processes), and apart from it what this one
takes from it (`cpu_cores_here`); readings count from their messages, losses from what the server says of its sockets when it
ends. Latencies are from a window's last sample to its message, and to the moment when a websocket subscriber has it.
`--max-calls` is what the server allows; beyond it calls are refused with 503 (`refused`), and the others must go on unharmed.
"""

import argparse
import json
import math
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.ear import Ear
from tests.benchmarks.rtp_media import Media, Stream
from tests.benchmarks.soak_node import Cost, children, command, cost
from tests.sip_texts import SDP, both, request

_BODY = both(SDP.replace("RTP/AVP 8 0", "RTP/AVP 0"))


class Server:
    """`callmood serve` and what it says."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self._messages, self._log = folder / "messages.json", folder / "log"
        environment = dict(os.environ)
        if given.loop == "asyncio":
            (folder / "uvloop.py").write_text("raise ImportError('not in this run')\n")
            environment["PYTHONPATH"] = os.pathsep.join([str(folder), *sys.path])
        most = given.max_calls or given.calls
        sets = ["siprec.port=0", f"siprec.max_calls={most}", "siprec.peer_messages=100000", "siprec.drain_s=2"]
        sets += [f"rtp.last_port={min(65_534, 20_000 + 5 * most + 100)}"]
        words = [sys.executable, "-m", "monitor.cli", "-v", "serve", "--json", "--port", "0"]
        words += [word for one in [*sets, *given.set] for word in ("--set", one)]
        with self._messages.open("wb") as out, self._log.open("wb") as log:
            self.process = subprocess.Popen(words, stdout=out, stderr=log, env=environment)
        self.port = int(self._said(r"SIPREC: sip:127\.0\.0\.1:(\d+)"))
        self.address = self._said(r"websocket: (ws://\S+)")

    def _said(self, pattern: str) -> str:
        until_s = time.monotonic() + 120
        while time.monotonic() < until_s and self.process.poll() is None:
            if found := re.search(pattern, self._log.read_text()):
                return found[1]
            time.sleep(0.05)
        self.close()
        raise SystemExit(f"the server did not say {pattern}: {self._log.read_text()}")

    def close(self) -> None:
        """Where it did not end by itself."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def costs(self) -> dict[str, list[Cost]]:
        """By what the processes do: `listeners`, `scorers`, and the `first`, which scores where there are no scorers."""
        found: dict[str, list[Cost]] = {"first": [], "scorers": [], "listeners": []}
        for pid in (self.process.pid, *children(self.process.pid)):
            kind = next((kind for kind in ("scorer", "listeners") if f"{kind}_process" in command(pid)), "first")
            if one := cost(pid):
                found["scorers" if kind == "scorer" else kind].append(one)
        return found

    def end(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Its messages, and its counters of RTP."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)  # one that is behind first tells what waits
        said = re.findall(r"RTP of all streams: (.*)", self._log.read_text())
        counters = {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", said[-1])} if said else {}
        dropped = re.search(r"dropped before it: (\d+) blocks", self._log.read_text())
        counters["dropped_blocks"] = int(dropped[1]) if dropped else -1
        return [json.loads(line) for line in self._messages.read_bytes().splitlines()], counters


@dataclass
class Call:
    """One call as its client knows it."""

    name: str
    tag: str = ""
    state: str = "asked"
    streams: list[Stream] = field(default_factory=list)


class Client:
    """A recording client with many calls."""

    def __init__(self, port: int, transport: str, media: Media) -> None:
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect(("127.0.0.1", port))
        self._own_port = self._socket.getsockname()[1]
        self._transport, self._media = transport.upper(), media
        self._buffer = b""
        self.calls: dict[str, Call] = {}

    def invite(self) -> None:
        """One more call."""
        call = Call(f"load-{len(self.calls) + 1}@client")
        self.calls[call.name] = call
        self._send("INVITE", call, _BODY, "Require: siprec")

    def bye(self, call: Call) -> None:
        """Its end, and with it that of its media."""
        call.state = "ending"
        for stream in call.streams:
            stream.end()
        self._send("BYE", call, b"", cseq=2)

    def count(self, state: str) -> int:
        """Calls in that state: asked, up, refused, ending, over."""
        return sum(call.state == state for call in self.calls.values())

    def take(self) -> None:
        """Whatever has come."""
        while select.select([self._socket], [], [], 0)[0]:
            data = self._socket.recv(65_535)
            if not data:
                raise SystemExit("the server closed the connection")
            self._buffer += data
            while self._take_one():
                pass

    def _take_one(self) -> bool:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1]) if separator else 0
        if not separator or len(rest) < length:
            return False
        self._buffer = rest[length:]
        self._answered(head.decode(), rest[:length].decode())
        return True

    def _answered(self, head: str, body: str) -> None:
        call = self.calls[re.search(r"(?i)call-id: *(\S+)", head)[1]]
        status = int(head.split()[1]) if head.startswith("SIP/2.0") else 0
        if status < 200:
            return
        if re.search(r"(?i)cseq: *\d+ BYE", head):
            call.state = "over"
            return
        call.tag = re.search(r"(?i)\r\nto:[^\r]*;tag=([^\s;]+)", head)[1]
        self._send("ACK", call, b"")
        if call.state == "asked":
            call.state = "up" if status == 200 else "refused"
            for party, port in enumerate(re.findall(r"m=audio (\d+)", body) if status == 200 else ()):
                call.streams.append(self._media.add(("127.0.0.1", int(port)), agent=party == 0))

    def _send(self, method: str, call: Call, body: bytes, *headers: str, cseq: int = 1) -> None:
        data = request(
            method,
            body,
            *headers,
            call=call.name,
            cseq=cseq,
            to_tag=call.tag,
            port=self._own_port,
            transport=self._transport,
        )
        self._socket.sendall(data)


def run(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The load, and what came of it."""
    with closing(Server(folder, given)) as server:
        return _load(given, server)


def _load(given: argparse.Namespace, server: Server) -> dict[str, Any]:
    media = Media("127.0.0.1")
    client, ear = Client(server.port, given.transport, media), Ear(server.address)
    empty_mb = _rss_mb(server.costs())
    every_s = 1 / given.calls_per_s
    next_s = time.monotonic()

    def between() -> None:
        nonlocal next_s
        if len(client.calls) < given.calls and time.monotonic() >= next_s:
            next_s += every_s
            client.invite()
        client.take()
        ear.take()

    media.play(given.calls * every_s + 3, between)
    before_s, before, before_sent = time.monotonic(), server.costs(), media.sent
    steady_from_s, before_here_s = time.time(), time.process_time()
    media.play(given.seconds, between)
    wall_s, sent, here_s = time.monotonic() - before_s, media.sent - before_sent, time.process_time() - before_here_s
    steady_to_s = time.time()
    after = server.costs()
    cores = {kind: (_cpu_s(ones) - _cpu_s(before[kind])) / wall_s for kind, ones in after.items()}
    full_mb, up = _rss_mb(after), client.count("up")
    running = deque(call for call in client.calls.values() if call.state == "up")

    def ending() -> None:
        if running:
            client.bye(running.popleft())
        client.take()
        ear.take()

    until_s = time.monotonic() + 15
    while client.count("over") < up and time.monotonic() < until_s:
        media.play(0.5, ending)
    messages, counters = server.end()
    media.close()
    ear.close()
    late_ms = ear.readings_late_ms(steady_from_s, steady_to_s)
    return {
        "calls_set_up": up,
        "calls_refused": client.count("refused"),
        "calls_unanswered": client.count("asked"),
        "loop": given.loop,
        "transport": given.transport,
        "steady_s": round(wall_s),
        "packets_per_s": round(sent / wall_s),
        "packets_sent": media.sent,
        "sender_late_ms": round(1_000 * media.late_s, 1),
        "server_says": counters,
        "packets_missed": media.sent
        - sum(counters.get(name, 0) for name in ("received", "flooded", "malformed", "foreign")),
        **_heard(messages),
        "subscriber_readings": len(late_ms),
        "subscriber_p50_ms": round(_quantile(late_ms, 0.5), 1),
        "subscriber_p99_ms": round(_quantile(late_ms, 0.99), 1),
        "cpu_cores": round(sum(cores.values()), 2),
        "cpu_cores_scoring": round(cores["first"] + cores["scorers"], 2),
        "of_which_first_process": round(cores["first"], 2),
        "cpu_cores_receiving": round(cores["listeners"], 2),
        "cpu_cores_here": round(here_s / wall_s, 2),
        "rss_mb_empty": round(empty_mb),
        "rss_mb_full": round(full_mb),
        "kb_a_call": round(1_000 * (full_mb - empty_mb) / max(1, up)),
    }


def _heard(messages: list[dict[str, Any]]) -> dict[str, Any]:
    readings = [message for message in messages if message["type"] == "reading"]
    ended = [message for message in messages if message["type"] == "call_ended"]
    gaps = [message for message in messages if message["type"] == "gap"]
    ends_s = {one["call"]: one["duration_s"] for one in ended}
    late_ms = sorted(reading["latency_ms"] for reading in readings)
    return {
        "calls_ended": len(ended),
        "readings": len(readings),
        "readings_expected": sum(map(_expected, _last_ends_s(readings).values())),
        "latency_p50_ms": _quantile(late_ms, 0.5),
        "latency_p99_ms": _quantile(late_ms, 0.99),
        "latency_max_ms": _quantile(late_ms, 1.0),
        "gaps": len(gaps),
        "gap_s": round(sum(gap["end_s"] - gap["start_s"] for gap in gaps), 2),
        "gaps_at_start": sum(gap["start_s"] == 0 for gap in gaps),
        "gaps_at_end": sum(gap["end_s"] == ends_s.get(gap["call"]) for gap in gaps),
        "errors": [message["text"] for message in messages if message["type"] == "error"][:5],
    }


def _cpu_s(costs: list[Cost]) -> float:
    return sum(one.cpu_s for one in costs)


def _rss_mb(costs: dict[str, list[Cost]]) -> float:
    return sum(one.rss_mb for ones in costs.values() for one in ones)


def _quantile(ordered: list[float], share: float) -> float:
    """Of nothing it is none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def _last_ends_s(readings: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Call and party → how far it was heard: one may have had a packet more than the other."""
    return {(reading["call"], reading["party"]): reading["end_s"] for reading in readings}


def _expected(end_s: float) -> int:
    """Readings of a party that was heard for so long."""
    return max(0, math.ceil((end_s - 3) / 0.5)) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--transport", choices=("udp", "tcp"), default="udp")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--max-calls", type=int)
    parser.add_argument("--calls-per-s", type=float, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server")
    with tempfile.TemporaryDirectory(prefix="callmood-load-") as folder:
        print(json.dumps(run(parser.parse_args(), Path(folder)), indent=1))


if __name__ == "__main__":
    main()
