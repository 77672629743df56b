"""The process in which listeners listen: `monitor.apart` starts it, orders by stdin, and hears by stdout what came."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

from monitor.allocator import give_back_until
from monitor.child_process import ParentProcess
from monitor.errors import CallmoodError
from monitor.identities import Identities
from monitor.log_records import forward
from monitor.sources import BlockQueue, Listener

_log = logging.getLogger(__name__)

Command = Literal["start", "drain", "stop"] | tuple[Literal["refuse"], str]

_TAKE_S = 0.05
_GATHER_S = 0.05
"""Events that come within this go together: a block at a time would cost both sides more than the audio."""
_MOST_EVENTS = 1_000
"""At once: between them it beats, however much has waited."""
_QUEUE_S = 2_000.0
"""Audio that may wait here (64 MB) while the first process is busy; older is dropped and counted."""
_MOST_RECORDS = 1_000
"""Lines of the log that may wait likewise."""
_BEAT_S = 1.0


def _main() -> None:
    """Until it is told to stop, or nobody is left who could."""
    child = _Child(ParentProcess())
    make, identities, level = child.hear()
    forward(level, child.log)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(child.serve(make, identities))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Child:
    def __init__(self, parent: ParentProcess) -> None:
        self._parent = parent
        self._over = threading.Event()
        self._beaten = threading.Event()
        """The event loop has turned since that was last told."""
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
        with suppress(OSError):
            self._parent.tell((kind, value))

    def hear(self) -> Any:
        """What it is told next; the first process's end is a command to stop."""
        try:
            return self._parent.hear()
        except EOFError:
            return "stop"

    async def serve(self, make: Callable[[], Sequence[Listener]], identities: Identities) -> None:
        """Until it is told to stop; then all that was heard has gone over."""
        queue = BlockQueue(_QUEUE_S)
        pump = threading.Thread(target=self._pump, args=(queue,), daemon=True)
        pump.start()
        give_back_until(self._over)
        commands: asyncio.Queue[Command] = asyncio.Queue()
        threading.Thread(target=self._hear_all, args=(asyncio.get_running_loop(), commands), daemon=True).start()
        beating = asyncio.create_task(self._beat())
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
        for task in (beating, draining):
            if task is not None:
                task.cancel()
        for listener in listeners:
            await listener.stop()
        self._over.set()
        await asyncio.to_thread(pump.join)

    async def _beat(self) -> None:
        while True:
            self._beaten.set()
            await asyncio.sleep(_BEAT_S)

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
        while (events := queue.take(_TAKE_S, _MOST_EVENTS)) or not self._over.is_set():
            self._send_records()
            if self._beaten.is_set():
                self._beaten.clear()
                self.send("beat", None)
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
