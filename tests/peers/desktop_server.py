"""A websocket service in this process, calls to tell it, and a wire to it that can be cut or fall silent."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

from monitor.broadcast import Broadcaster
from monitor.handshake import Ties
from monitor.memory import READINGS_KEPT_S
from monitor.messages import (
    LABELS,
    Acknowledge,
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    AnyMessage,
    CallEnded,
    CallStarted,
    Hello,
    PartyInfo,
    Reading,
    rfc3339,
)
from monitor.settings import Settings
from monitor.tokens import Tokens

HOP_S = 0.5


class Server:
    """A broadcaster on an event loop in a thread of its own. A context manager."""

    def __init__(self, tokens: Tokens | None = None, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.calls: dict[str, Call] = {}
        ties = Ties(hello, self._acknowledge)
        self.broadcaster = Broadcaster(Settings(**{"port": 0, "show_identities": True} | settings), ties, tokens=tokens)

    def __enter__(self) -> "Server":
        self._thread.start()
        self.run(self.broadcaster.start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.broadcaster.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def page(self) -> str:
        return self.broadcaster.page_address

    @property
    def port(self) -> int:
        return int(self.page.rstrip("/").rpartition(":")[2])

    def run(self, task: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(task, self._loop).result(10)

    def publish(self, message: AnyMessage) -> None:
        self._loop.call_soon_threadsafe(self.broadcaster.publish, message)

    def call(self, name: str = "a call", **started: Any) -> "Call":
        self.calls[name] = call = Call(self, name)
        call.start(**started)
        return call

    def forget_readings(self) -> None:
        """Of ended calls, as a minute after their end."""
        self.run(self._forget_readings())

    async def _forget_readings(self) -> None:
        self.broadcaster._memory.forget(time.monotonic() + READINGS_KEPT_S)

    def refuse_all(self, code: int, reason: str) -> None:
        """Close every subscriber, as the service does where a token expires."""
        self.run(self._refuse_all(code, reason))

    async def _refuse_all(self, code: int, reason: str) -> None:
        for subscriber in tuple(self.broadcaster._everybody()):
            subscriber.leave(code, reason)

    def _acknowledge(self, said: Acknowledge) -> None:
        self.calls[said.call].acknowledge(said.alert, said.by)


class Call:
    """A call that tells itself to the server, as a pipeline would."""

    def __init__(self, server: Server, name: str) -> None:
        self._server, self.name = server, name
        self._seq, self.now_s = 0, 3.0
        self.customer_readings = 0

    def start(self, agent: str | None = "4711", customer_scored: bool = True, identity: str | None = None) -> None:
        parties = {
            "agent": PartyInfo(channel=0, scored=False),
            "customer": PartyInfo(channel=1, scored=customer_scored, identity=identity),
        }
        self._tell(CallStarted, source="siprec", path=None, agent=agent, parties=parties)

    def say(self, readings: int, label: str | None = "neutral", mood: str | None = "calm", **fields: Any) -> None:
        """So many hops of both parties, the customer expressing `label` (None: uncertain, or another `state`)."""
        for _ in range(readings):
            self.now_s += HOP_S
            span = {"start_s": self.now_s - 3, "end_s": self.now_s, "level_db": -30.0, "latency_ms": 9.0}
            nothing = {"label": None, "mood": None, "confidence": None, "scores": None}
            agent = {"party": "agent", "state": "not_scored", "speech_share": fields.get("agent_share", 0.1)}
            self._tell(Reading, **span, **nothing, **agent)
            state = fields.get("state", "speech" if label else "uncertain")
            customer = {"party": "customer", "state": state, "speech_share": 0.9, "mood": mood}
            scored = {"label": label, "confidence": fields.get("confidence", 0.7), "scores": _scores(label)}
            if state not in ("speech", "uncertain"):
                scored = nothing
                customer["speech_share"] = 0.0
            self._tell(Reading, **span, **{**scored, **customer})
            self.customer_readings += 1

    def alert(self, rule: str = "sustained_anger") -> str:
        name = f"{self.name}:{self._seq}"
        since = {"start_s": self.now_s - 9, "at_s": self.now_s, "evidence": [3]}
        self._tell(AlertRaised, alert=name, rule=rule, severity="critical", party="customer", **since)
        return name

    def clear(self, alert: str) -> None:
        since = {"start_s": self.now_s - 5, "at_s": self.now_s, "evidence": [3]}
        self._tell(AlertCleared, alert=alert, rule="sustained_anger", severity="critical", party="customer", **since)

    def acknowledge(self, alert: str, by: str) -> None:
        self._tell(AlertAcknowledged, alert=alert, party="customer", by=by)

    def end(self, outcome: str = "angry") -> None:
        self._tell(CallEnded, duration_s=self.now_s, reason="end", outcome=outcome, shares={})

    def _tell(self, kind: Any, **fields: Any) -> None:
        self._seq += 1
        self._server.publish(kind(at=rfc3339(time.time()), call=self.name, seq=self._seq, **fields))


class Wire:
    """A TCP forwarder to a server on the same loop: what is between a desktop and it. A context manager."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._writers: set[asyncio.StreamWriter] = set()
        self._silent: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> "Wire":
        self._listener = self._server.run(asyncio.start_server(self._forward, "127.0.0.1", 0))
        self.page = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/"
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.run(self._close())

    def cut(self) -> None:
        """Every connection breaks off, without a goodbye."""
        self._server.run(self._abort())

    def silence(self) -> None:
        """Nothing more comes through the connections that stand, and they do not break off."""
        self._silent |= self._writers

    async def _abort(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _close(self) -> None:
        self._listener.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        await asyncio.gather(self._pipe(reader, there_writer), self._pipe(there_reader, writer))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while (data := await reader.read(65_536)) and not writer.transport.is_closing():
                if writer not in self._silent:
                    writer.write(data)
        except OSError:
            pass  # cut
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


def hello() -> Hello:
    return Hello(at=rfc3339(time.time()), node="node", model="tiny 1", window_s=3.0, hop_s=HOP_S)


def _scores(label: str | None) -> dict[str, float]:
    rest = 0.1 if label else 1 / 6
    return {name: 0.5 if name == label else rest for name in LABELS}
