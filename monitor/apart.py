"""Listeners in a process of their own, on an event loop: what they hear comes into this process's queue.

Receiving and scoring must not share one interpreter: every datagram read gives the interpreter's lock away, and scoring
takes it, so that packets are lost while half the machine is idle. `tests/benchmarks/siprec_load.py` prints what is lost.

A listener that dies takes its calls with it, and that is told; scoring and the other sources go on, and `monitor.listening`
starts another process.
"""

import asyncio
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, BinaryIO, Literal

from monitor.errors import CallmoodError, SourceError
from monitor.identities import Identities
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened, Event, Listener

_log = logging.getLogger(__name__)

Command = Literal["start", "drain", "stop"] | tuple[Literal["refuse"], str]

_LOOK_S = 0.1
_TAKE_S = 0.05
_GATHER_S = 0.05
"""Events that come within this go together: a block at a time would cost both sides more than the audio."""
_PIPE_BYTES = 1 << 20
"""Between the processes: each reading must wait for the interpreter's lock, so it should bring much."""
_QUEUE_S = 2_000.0
"""Audio that may wait in the listeners' process (64 MB) while this one is busy; older is dropped and counted."""
_MOST_RECORDS = 1_000
"""Lines of the log that may wait there."""
_LONGEST_STOP_S = 10.0
_LONGEST_DEATH_S = 1.0
"""From the end of what it says to its own end: one that lingers is ended."""


class Apart:
    """Listeners elsewhere, as one source here: until it is stopped, or all are drained."""

    def __init__(
        self,
        make: Callable[[], Sequence[Listener]],
        queue: BlockQueue,
        identities: Identities,
        refusing: Callable[[], str] = lambda: "",
        names: CallNames | None = None,
    ) -> None:
        """`make` and `identities` go there by pickle. While it `run`s, new calls are refused as long as `refusing` says why.
        `names` get those of its calls.
        """
        self.ports: tuple[int, ...] = ()
        """Of the listeners, in their order, once it is started."""
        self.fault: SourceError | None = None
        """Why it died; none while it lives, and where it was stopped."""
        self._queue, self._refusing, self._names = queue, refusing, names or CallNames()
        self._calls: set[str] = set()
        """Those that are open there."""
        self._started: Future[list[tuple[str, int]]] = Future()
        self._over = threading.Event()
        """Drained, or dead."""
        self._stopping = False
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "monitor.apart"]
        # In a session of its own: Ctrl-C is this process's business, which says when to drain and to stop.
        self._process = subprocess.Popen(
            command,
            env=environment,
            bufsize=_PIPE_BYTES,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        _widen(self._process.stdout)
        self._tell((make, identities, logging.getLogger("monitor").getEffectiveLevel()))
        self._reader = threading.Thread(target=self._read, name="listeners", daemon=True)
        self._reader.start()

    def start(self) -> list[str]:
        """What they listen on, for people. Raises what a listener raises; nothing listens then."""
        self._tell("start")
        try:
            started = self._started.result()
        except CallmoodError:
            self._end()
            raise
        self.ports = tuple(port for _, port in started)
        return [address for address, _ in started]

    def drain(self) -> None:
        """Refuse new calls; when the running ones are over, `run` ends."""
        self._tell("drain")

    def run(self, _: BlockQueue, stop: threading.Event) -> None:
        """Waits until `stop` is set or all is over, then ends what still runs: see Source."""
        told = ""
        while not (stop.wait(_LOOK_S) or self._over.is_set()):
            if (why := self._refusing()) != told:
                told = why
                self._tell(("refuse", why))
                _log.warning("new calls are refused: %s" if why else "new calls are taken again%s", why)
        self._end()

    def _end(self) -> None:
        """Stops; everything is in the queue afterwards."""
        self._stopping = True
        self._tell("stop")
        self._reader.join(_LONGEST_STOP_S)
        if self._reader.is_alive():
            _log.error("the listeners' process did not end within %g s", _LONGEST_STOP_S)
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()

    def _tell(self, message: Any) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # of a process that died the reader tells; then the pipe may be closed
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def _read(self) -> None:
        """Until the other side closes."""
        assert self._process.stdout is not None
        while True:
            try:
                kind, value = pickle.load(self._process.stdout)
            except (EOFError, OSError, pickle.UnpicklingError):
                break
            if kind == "events":
                self._take(*value)
            elif kind == "log":
                logging.getLogger(value.name).handle(value)
            elif kind == "drained":
                self._over.set()
            elif isinstance(value, CallmoodError):
                self._started.set_exception(value)
            else:
                self._started.set_result(value)
        self._tell_end()

    def _take(self, events: list[Event], dropped_blocks: int, dropped_s: float) -> None:
        for event in events:
            if isinstance(event, CallOpened):
                self._calls.add(event.call)
                self._names.note(event.call)
            elif isinstance(event, CallClosed):
                self._calls.discard(event.call)
        self._queue.put_all(events)
        if dropped_blocks:
            self._queue.count_dropped(dropped_blocks, dropped_s)

    def _tell_end(self) -> None:
        """Nobody is left waiting; calls that were not closed are ended with the reason."""
        try:
            code = self._process.wait(_LONGEST_DEATH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        error = SourceError(f"the listeners' process died (code {code})")
        if not self._started.done():
            self._started.set_exception(error)
        elif not self._stopping:
            self.fault = error
            self._queue.put_all(CallClosed(call, f"error: {error}") for call in sorted(self._calls))
        self._over.set()


def _widen(pipe: Any) -> None:
    """Gives a pipe more room, where the system lets us."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _main() -> None:
    """The other process: what it is told comes by its stdin, what it says goes by its stdout."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    child = _Child(sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    make, identities, level = child.hear()
    logging.basicConfig(level=level, format="%(message)s", handlers=[_Handler(child.log)], force=True)
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

    def __init__(self, send: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = self.format(record), None
        record.exc_info = record.exc_text = record.stack_info = None
        self._send(record)


class _Child:
    def __init__(self, orders: BinaryIO, answers: BinaryIO) -> None:
        self._orders, self._answers = orders, answers
        self._sending = threading.Lock()
        self._over = threading.Event()
        self._records: deque[logging.LogRecord] = deque()
        self._left_out = 0

    def log(self, record: logging.LogRecord) -> None:
        """Never waits, as listening must not while the first process stands still; what there is no room for is counted."""
        if len(self._records) < _MOST_RECORDS:
            self._records.append(record)
        else:
            self._left_out += 1

    def send(self, kind: str, value: Any) -> None:
        """Waits while the first process does not read; what must not wait goes through a queue."""
        with self._sending, suppress(OSError):
            pickle.dump((kind, value), self._answers, pickle.HIGHEST_PROTOCOL)
            self._answers.flush()

    def hear(self) -> Any:
        """What it is told next; the first process's end is a command to stop."""
        try:
            return pickle.load(self._orders)
        except (EOFError, OSError):
            return "stop"

    async def serve(self, make: Callable[[], Sequence[Listener]], identities: Identities) -> None:
        """Until it is told to stop; then all that was heard has gone over."""
        queue = BlockQueue(_QUEUE_S)
        pump = threading.Thread(target=self._pump, args=(queue,), daemon=True)
        pump.start()
        commands: asyncio.Queue[Command] = asyncio.Queue()
        threading.Thread(target=self._hear_all, args=(asyncio.get_running_loop(), commands), daemon=True).start()
        listeners: Sequence[Listener] = ()
        draining: asyncio.Task[None] | None = None
        while (command := await commands.get()) != "stop":
            if command == "start":
                listeners = await self._start(make, queue, identities)
            elif isinstance(command, tuple):
                for listener in listeners:
                    listener.refuse(command[1])
            else:
                draining = asyncio.create_task(self._drain(listeners))
        if draining is not None:
            draining.cancel()
        for listener in listeners:
            await listener.stop()
        self._over.set()
        await asyncio.to_thread(pump.join)

    async def _start(
        self, make: Callable[[], Sequence[Listener]], queue: BlockQueue, identities: Identities
    ) -> Sequence[Listener]:
        listeners: Sequence[Listener] = ()
        try:
            listeners = make()
            started = [(await listener.start(queue, identities), listener.port) for listener in listeners]
            self.send("started", started)
        except CallmoodError as error:
            self.send("started", error)
        return listeners

    async def _drain(self, listeners: Sequence[Listener]) -> None:
        await asyncio.gather(*(listener.drain() for listener in listeners))
        self.send("drained", None)

    def _hear_all(self, loop: asyncio.AbstractEventLoop, commands: "asyncio.Queue[Command]") -> None:
        """In a thread of its own."""
        command: Command | None = None
        while command != "stop":
            command = self.hear()
            loop.call_soon_threadsafe(commands.put_nowait, command)

    def _pump(self, queue: BlockQueue) -> None:
        """What was heard, to the first process; all of it before the end."""
        blocks, seconds = 0, 0.0
        while (events := queue.take(_TAKE_S)) or not self._over.is_set():
            self._send_records()
            if events:
                dropped_blocks, dropped_s = queue.dropped_blocks, queue.dropped_s
                self.send("events", (events, dropped_blocks - blocks, dropped_s - seconds))
                blocks, seconds = dropped_blocks, dropped_s
                self._over.wait(_GATHER_S)
        self._send_records()

    def _send_records(self) -> None:
        while self._records or self._left_out:
            if self._records:
                self.send("log", self._records.popleft())
            else:
                left_out, self._left_out = self._left_out, 0
                _log.warning("%d lines of the log were left out while they could not be told", left_out)


if __name__ == "__main__":
    _main()
