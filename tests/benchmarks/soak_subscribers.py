"""Those who hear a node: subscribers that keep accounts, and a receiver of its webhooks. A process of its own for `soak`.

    python -m tests.benchmarks.soak_subscribers

Commands come as JSON lines on stdin, and each gets one line back: ["follow", ADDRESS, CALLS], ["stall", NAME,
SECONDS], ["cut", NAME], ["catch up"], ["receiver", STATUS], ["status"], ["stop"]. The first line that is printed tells the
receiver's address.
"""

import asyncio
import json
import socket
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from monitor.client import Client, Lost
from monitor.messages import (
    AlertRaised,
    AnyMessage,
    CallEnded,
    CallMessage,
    CallStarted,
    Error,
    Gap,
    Hello,
    Missed,
    Reading,
)

NAMES = ("steady", "stalls", "is cut", "is slow")
_SLOW_PER_S = 1.5
"""Messages of a call that the slow one takes: less than half of what is told of it, so it is to lack the others. A slower one
would answer no ping in time, behind all that waits for it, and be cut off."""

_LONGEST_WAIT_S = 60.0
_CATCH_UP_S = 300.0
"""The greeting of an hour's node is hundreds of thousands of messages."""


@dataclass
class HeardCall:
    """What one subscriber heard of one call."""

    last_seq: int = 0
    since_anew: int = 0
    """The last `seq` since the subscription began, or began anew."""
    messages: int = 0
    doubles: int = 0
    readings: dict[str, int] = field(default_factory=dict)
    """Party → how many."""
    gaps: list[tuple[str, float, float]] = field(default_factory=list)
    """Lost audio: party, from, to; seconds of the call."""
    reason: str | None = None
    """Why it ended; null while it runs."""
    ended_s: float = 0.0
    """When that was heard, monotonic."""
    alerts: int = 0


class Account:
    """What one subscriber got, by call."""

    def __init__(self) -> None:
        self.calls: dict[str, HeardCall] = {}
        self.messages = self.lost = 0
        """Messages of calls; lost connections."""
        self.connected = False
        self.missed: dict[str, int] = {}
        """Call (empty: none was named, which must not be) → messages that `missed` counted."""
        self.unknown: list[str] = []
        """Calls (empty: any) of which `missed` told that nobody knows how many lack."""
        self.errors: list[str] = []
        self.epochs: set[str] = set()
        self.late_ms: deque[float] = deque(maxlen=100_000)

    def take(self, event: AnyMessage | Lost) -> None:
        match event:
            case Lost():
                self.lost += 1
                self.connected = False
            case Missed():
                call = event.call or ""
                if event.count:
                    self.missed[call] = self.missed.get(call, 0) + event.count
                else:
                    self.unknown.append(call)
                    if not call:  # it begins anew, and what runs is told from its beginning
                        for one in self.calls.values():
                            one.since_anew = 0
            case Error():
                self.errors.append(event.text)
            case Hello():
                self.connected = True
                self.epochs.add(event.epoch or "")
        if isinstance(event, CallMessage):
            self._count(event)

    def _count(self, message: Any) -> None:
        call = self.calls.setdefault(message.call, HeardCall())
        self.messages += 1
        call.doubles += message.seq <= call.since_anew
        call.since_anew = max(call.since_anew, message.seq)
        call.messages += 1
        call.last_seq = max(call.last_seq, message.seq)
        match message:
            case Reading():
                call.readings[message.party] = call.readings.get(message.party, 0) + 1
                self.late_ms.append(message.latency_ms)
            case CallStarted():
                call.readings |= dict.fromkeys(message.parties, 0)
            case Gap():
                call.gaps.append((message.party, message.start_s, message.end_s))
            case AlertRaised():
                call.alerts += 1
            case CallEnded():
                call.reason, call.ended_s = message.reason, time.monotonic()

    def ended(self, call: str) -> bool:
        """Whether the end of `call` was heard."""
        return call in self.calls and self.calls[call].reason is not None

    def told(self) -> dict[str, Any]:
        late_ms = sorted(self.late_ms)
        return {
            "calls": {name: vars(call) for name, call in self.calls.items()},
            "messages": self.messages,
            "missed": self.missed,
            "unknown": self.unknown,
            "lost_connections": self.lost,
            "errors": self.errors,
            "epochs": len(self.epochs),
            "latency_p50_ms": late_ms[len(late_ms) // 2] if late_ms else None,
            "latency_p99_ms": late_ms[int(0.99 * len(late_ms))] if late_ms else None,
        }


class Subscriber:
    """One that never gives up, and does what it is told to do wrong."""

    def __init__(self, address: str) -> None:
        self.account = Account()
        self._client = Client(address)
        self._stall_s = self.pause_s = 0.0

    async def run(self) -> None:
        async with self._client as events:
            async for event in events:
                self.account.take(event)
                if self.pause_s:
                    if isinstance(event, Hello):
                        self._shrink()
                    if isinstance(event, CallMessage):
                        await asyncio.sleep(self.pause_s)
                if self._stall_s:
                    stall_s, self._stall_s = self._stall_s, 0.0
                    self._shrink()
                    await asyncio.sleep(stall_s)

    def stall(self, seconds: float) -> None:
        """Reads nothing for so long."""
        self._stall_s = seconds

    def catch_up(self) -> None:
        """Reads on as fast as it can: through the small buffer it would be sent 40 kB a second."""
        self.pause_s = 0.0
        self._set_buffer(1 << 20)

    def _shrink(self) -> None:
        """The system here shall not read on in its place."""
        self._set_buffer(4_096)

    def _set_buffer(self, size: int) -> None:
        """Bytes that the system keeps of what was not read yet."""
        if self._client._connection is not None:
            one = self._client._connection.transport.get_extra_info("socket")
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    def cut(self) -> None:
        """The network between takes the connection away, without a word."""
        if self._client._connection is not None:
            self._client._connection.transport.abort()


class Receiver:
    """Takes webhooks and remembers each once. It looks at no signature: the clock that signs them is set while it runs."""

    def __init__(self) -> None:
        self.status = 204
        self.kinds: dict[str, str] = {}
        """Id → what it is about."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if receiver.status < 300:
                    receiver.kinds[self.headers["webhook-id"]] = event["type"]
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


class House:
    """All of them, and what is asked of them."""

    def __init__(self) -> None:
        self.receiver = Receiver()
        self.subscribers: dict[str, Subscriber] = {}
        self._metrics = ""
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, address: str, calls: int) -> None:
        self._metrics = address.replace("ws:", "http:").replace("/v1/calls", "/metrics")
        self.subscribers = {name: Subscriber(address) for name in NAMES}
        self.subscribers["is slow"].pause_s = 1 / (_SLOW_PER_S * calls)
        self._tasks = [asyncio.create_task(one.run()) for one in self.subscribers.values()]

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def answer(self, command: str, *words: Any) -> Any:
        match command:
            case "stall":
                self.subscribers[words[0]].stall(words[1])
            case "cut":
                self.subscribers[words[0]].cut()
            case "catch up":
                self.subscribers["is slow"].catch_up()
                _wait_until(self._all_are_current, _CATCH_UP_S)
            case "receiver":
                self.receiver.status = words[0]
            case "status":
                return {"metrics": self._scraped(), "webhooks": self._webhooks(), "messages": self._steady.messages}
            case "stop":
                _wait_until(lambda: not any(one.account.connected for one in self.subscribers.values()))
                accounts = {name: one.account.told() for name, one in self.subscribers.items()}
                return {"accounts": accounts, "webhooks": self._webhooks()}
        return None

    def _all_are_current(self) -> bool:
        """Whether everybody heard the end of the call that ended last, where no call runs any more."""
        ended_s = {name: call.ended_s for name, call in self._steady.calls.items()}
        last = max(ended_s, key=ended_s.__getitem__, default=None)
        return last is None or all(one.account.ended(last) for one in self.subscribers.values())

    @property
    def _steady(self) -> Account:
        return self.subscribers[NAMES[0]].account

    def _webhooks(self) -> dict[str, int]:
        kinds = list(self.receiver.kinds.values())
        return {"events": len(kinds), "raised": sum(kind.endswith("raised") for kind in kinds)}

    def _scraped(self) -> dict[str, float]:
        try:
            text = urllib.request.urlopen(self._metrics, timeout=10).read().decode()
        except OSError:
            return {}
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines if "bucket" not in name}


def _wait_until(so: Callable[[], bool], longest_s: float = _LONGEST_WAIT_S) -> None:
    until_s = time.monotonic() + longest_s
    while not so() and time.monotonic() < until_s:
        time.sleep(0.1)


async def _main() -> None:
    house = House()
    print(json.dumps(house.receiver.url), flush=True)
    command = ""
    while command != "stop" and (line := await asyncio.to_thread(sys.stdin.readline)):
        command, *words = json.loads(line)
        if command == "follow":
            house.follow(*words)
        answer = await asyncio.to_thread(house.answer, command, *words)
        print(json.dumps(answer), flush=True)
    house.close()


if __name__ == "__main__":
    asyncio.run(_main())
