"""Another machine's node as it is seen from here: its messages, its board, and whether they still come.

The websocket is read in a thread, a terminal draws in the main one.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from types import TracebackType

from monitor.board import Board
from monitor.client import Client, Event, Lost
from monitor.errors import CallmoodError
from monitor.messages import AlertAcknowledged, CallEnded, Error, Hello
from monitor.snapshot import Health

ANSWER_S = 10.0
"""How long it stands in `health` that something could not be done."""
_LONGEST_STOP_S = 3.0
_REFUSALS = ("access", "request")
"""Codes of errors that answer what this subscriber said; all others are of the node."""

logger = logging.getLogger(__name__)


class Watch:
    """A context manager, like `Node`: inside, messages come; `finished` is set when nothing more will."""

    def __init__(self, client: Client, receivers: Iterable[Callable[[Event], None]] = ()) -> None:
        """Each of `receivers` gets every event, in the thread that reads."""
        self.board = Board()
        self.finished = threading.Event()
        self.ended: list[CallEnded] = []
        """How the one call ended, where only one was asked for."""
        self.fault: Exception | None = None
        """Why it finished; None where the one call has ended."""
        self._client, self._receivers = client, tuple(receivers)
        self._model = ""
        self._ahead_s = 0.0
        """How far the server's clock is ahead of ours."""
        self._away, self._retry_s = f"connecting to {client.address.url}", 0.0
        self._asked: set[tuple[str, str]] = set()
        """Alerts (call, alert) whose acknowledgement was asked for, and is not answered."""
        self._answer, self._answered_s = "", 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._listening is not None and not self.finished.is_set():
            self._loop.call_soon_threadsafe(self._listening.cancel)
        self._thread.join(_LONGEST_STOP_S)

    def now(self) -> float:
        """Unix seconds on the clock of the node that makes the messages."""
        return time.time() + self._ahead_s

    def health(self) -> Health:
        """What is known of the node from here."""
        left_s = max(0.0, self._retry_s - time.monotonic())
        away = f"{self._away}; next try in {left_s:.0f} s" if self._away and self._retry_s else self._away
        answer = self._answer if time.monotonic() - self._answered_s < ANSWER_S else ""
        return Health(None, None, None, self._client.address.url, self._model, away=away, answer=answer)

    def acknowledge(self, call: str, alert: str, by: str) -> None:
        """Tell the server that `by` looks after an open alert: everybody hears it, this board too. Where that cannot be, it
        stands in `health` for a while."""
        if self._loop is None or self._away or self.finished.is_set():
            self._refused("not connected: try again when the calls are back")
            return
        self._asked.add((call, alert))
        asyncio.run_coroutine_threadsafe(self._ask(call, alert, by), self._loop)

    def _run(self) -> None:
        try:
            asyncio.run(self._listen())
        except Exception as fault:  # the edge of a thread: told by whoever started it
            self.fault = fault
        except asyncio.CancelledError:
            pass
        finally:
            self.finished.set()

    async def _listen(self) -> None:
        self._loop, self._listening = asyncio.get_running_loop(), asyncio.current_task()
        async with self._client as events:
            async for event in events:
                self._take(event)
                for receive in self._receivers:
                    receive(event)

    async def _ask(self, call: str, alert: str, by: str) -> None:
        try:
            await self._client.acknowledge(call, alert, by)
        except CallmoodError as error:
            self._asked.discard((call, alert))
            self._refused(str(error))

    def _refused(self, why: str) -> None:
        self._answer, self._answered_s = f"not acknowledged: {why}", time.monotonic()

    def _take(self, event: Event) -> None:
        try:
            match event:
                case Lost():
                    self._asked.clear()
                    self._away, self._retry_s = event.reason, time.monotonic() + event.retry_s
                    return
                case Hello():
                    self._away, self._retry_s, self._model = "", 0.0, event.model
                    self._ahead_s = datetime.fromisoformat(event.at).timestamp() - time.time()
                case Error() if event.code in _REFUSALS and self._asked:
                    self._asked.pop()
                    self._refused(event.text)
                    return
                case AlertAcknowledged():
                    self._asked.discard((event.call, event.alert))
                case CallEnded() if self._client.address.call is not None:
                    self.ended = [event]
            self.board.receive(event)
        except (ValueError, LookupError, ArithmeticError) as error:  # another machine says what it likes
            logger.debug("a message is not shown: %r", error)
