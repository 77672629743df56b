"""Listeners in a process of their own, on an event loop: what they hear comes into this process's queue.

Receiving and scoring must not share one interpreter: every datagram read gives the interpreter's lock away, and scoring
takes it. Measured on two cores with 200 two-party calls, 0.8 of a core was used, a sixth of the packets was lost and
readings came 6 s late; apart, none is lost.

A listener that dies takes its calls with it, and that is told; scoring and the other sources go on.
"""

import asyncio
import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Literal

from monitor.errors import CallmoodError, ServiceError, SourceError
from monitor.identities import Identities
from monitor.sources import BlockQueue, CallClosed, CallOpened, Event, Listener, Refused

_log = logging.getLogger(__name__)

Command = Literal["start", "drain", "stop"]

_TAKE_S = 0.05
_GATHER_S = 0.01
"""Events that come within this go together: a block at a time would cost both sides more than the audio."""
_QUEUE_S = 60.0
"""Audio that may wait in the listeners' process: 400 parties for 0.15 s, or a few for long."""
_LONGEST_STOP_S = 10.0


class Apart:
    """A listener elsewhere. The methods wait; they may be called from any thread, each once."""

    def __init__(self, make: Callable[[], Listener], queue: BlockQueue, identities: Identities) -> None:
        """`make` and `identities` go there by pickle."""
        self._queue = queue
        self._calls: set[str] = set()
        """Those that are open there."""
        self._answers: dict[Command, Future[str]] = {name: Future() for name in ("start", "drain", "stop")}
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, make, identities, logging.getLogger("monitor").getEffectiveLevel())
        self._process = context.Process(target=_run, args=arguments, name="callmood-listener", daemon=True)
        self._process.start()
        theirs.close()
        self._reader = threading.Thread(target=self._read, name="listener", daemon=True)
        self._reader.start()

    def start(self) -> str:
        """What it listens on, for people. Raises what the listener raises."""
        return self._ask("start", None)

    def drain(self) -> None:
        """Refuses new calls; returns when the running ones are over."""
        self._ask("drain", None)

    def stop(self) -> None:
        """Ends what still runs; everything is in the queue afterwards."""
        with suppress(CallmoodError, TimeoutError):
            self._ask("stop", _LONGEST_STOP_S)
        with suppress(OSError):
            self._connection.close()
        self._process.join(_LONGEST_STOP_S)
        if self._process.is_alive():
            _log.error("the listeners' process did not end within %g s", _LONGEST_STOP_S)
            self._process.kill()

    def _ask(self, command: Command, timeout_s: float | None) -> str:
        try:
            self._connection.send(command)
        except OSError:
            self._died(command)
        return self._answers[command].result(timeout_s)

    def _died(self, command: Command) -> None:
        answer = self._answers[command]
        if not answer.done():
            answer.set_exception(ServiceError(f"the listeners' process has ended, code {self._process.exitcode}"))

    def _read(self) -> None:
        """Until the other side closes."""
        while True:
            try:
                kind, value = self._connection.recv()
            except (EOFError, OSError):
                break
            if kind == "events":
                self._take(*value)
            elif kind == "log":
                logging.getLogger(value.name).handle(value)
            else:
                self._answer(kind, value)
        self._end()

    def _answer(self, command: Command, value: str | CallmoodError) -> None:
        if isinstance(value, CallmoodError):
            self._answers[command].set_exception(value)
        else:
            self._answers[command].set_result(value)

    def _take(self, events: list[Event], dropped_blocks: int, dropped_s: float) -> None:
        for event in events:
            if isinstance(event, CallOpened):
                self._calls.add(event.call)
            elif isinstance(event, CallClosed):
                self._calls.discard(event.call)
            self._queue.put(event)
        if dropped_blocks:
            self._queue.count_dropped(dropped_blocks, dropped_s)

    def _end(self) -> None:
        """Nobody is left waiting; calls that were not closed are ended with the reason."""
        self._process.join(_LONGEST_STOP_S)
        stopped = self._answers["stop"].done()
        for command in self._answers:
            self._died(command)
        if not stopped:
            text = (
                f"the listeners' process died (code {self._process.exitcode}); its calls have ended: restart callmood"
            )
            error = SourceError(text)
            self._queue.put(Refused(error))
            for call in sorted(self._calls):
                self._queue.put(CallClosed(call, f"error: {error}"))


def _run(connection: "Connection[Any, Any]", make: Callable[[], Listener], identities: Identities, level: int) -> None:
    """The other process. Signals are the first one's business: it says when to drain and to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    child = _Child(connection)
    logging.basicConfig(level=level, format="%(message)s", handlers=[_Handler(child.send)], force=True)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(child.serve(make, identities))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Handler(logging.Handler):
    """Log records on their way to the first process, made into text here."""

    def __init__(self, send: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = self.format(record), None
        record.exc_info = record.exc_text = record.stack_info = None
        self._send("log", record)


class _Child:
    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._over = threading.Event()

    def send(self, kind: str, value: Any) -> None:
        """Waits while the first process does not read; what must not wait goes through the queue."""
        with self._sending, suppress(OSError):
            self._connection.send((kind, value))

    async def serve(self, make: Callable[[], Listener], identities: Identities) -> None:
        queue = BlockQueue(_QUEUE_S)
        pump = threading.Thread(target=self._pump, args=(queue,), daemon=True)
        pump.start()
        commands: asyncio.Queue[Command] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._hear, args=(loop, commands), daemon=True).start()
        listener: Listener | None = None
        draining: asyncio.Task[None] | None = None
        while (command := await commands.get()) != "stop":
            if command == "start":
                try:
                    listener = make()
                    self.send("start", await listener.start(queue, identities))
                except CallmoodError as error:
                    self.send("start", error)
            elif listener is not None:
                draining = asyncio.create_task(self._drain(listener))
        if draining is not None:
            draining.cancel()
        if listener is not None:
            await listener.stop()
        self._over.set()
        await asyncio.to_thread(pump.join)
        self.send("stop", "")

    async def _drain(self, listener: Listener) -> None:
        await listener.drain()
        self.send("drain", "")

    def _hear(self, loop: asyncio.AbstractEventLoop, commands: "asyncio.Queue[Command]") -> None:
        """Commands, in a thread of its own; the first process's end is a command to stop."""
        command: Command | None = None
        while command != "stop":
            try:
                command = self._connection.recv()
            except (EOFError, OSError):
                command = "stop"
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(commands.put_nowait, command)

    def _pump(self, queue: BlockQueue) -> None:
        """What was heard, to the first process; all of it before the end."""
        blocks, seconds = 0, 0.0
        while (events := queue.take(_TAKE_S)) or not self._over.is_set():
            if events:
                self.send("events", (events, queue.dropped_blocks - blocks, queue.dropped_s - seconds))
                blocks, seconds = queue.dropped_blocks, queue.dropped_s
                self._over.wait(_GATHER_S)
