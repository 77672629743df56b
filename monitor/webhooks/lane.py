"""One endpoint's deliveries in their order, one at a time: a task of its own, which waits for nobody else's."""

import asyncio
import logging
import random
import sqlite3
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import httpx

from monitor.errors import ServiceError
from monitor.settings import WebhookSettings
from monitor.steady import steady_clock
from monitor.webhooks.endpoints import Endpoint
from monitor.webhooks.post import LONGEST_RETRY_AFTER_S, Answer, client, post, wait_s
from monitor.webhooks.queue import Delivery, DeliveryQueue, Turn, open_queue

LOOK_S = 2.0
"""How often the queue is looked at for what another program changed in it (`callmood webhooks retry`)."""
MEND_S = 1.0
"""After a failure of the disk, until it is tried again."""
PATIENCE_S = 0.1
"""For another program's lock, before the other endpoints get their turn."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class SureQueue:
    """The queue on disk, for tasks that cannot go on without it: what fails is done again until it works."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._queue: DeliveryQueue | None = None
        self._troubles: dict[object, str] = {}
        """Of what is being done again; reading may work where writing does not."""

    @property
    def trouble(self) -> str:
        """Why the disk keeps nothing at the moment; empty while it does."""
        return next(iter(self._troubles.values()), "")

    async def surely(self, do: Callable[[DeliveryQueue], _T]) -> _T:
        """What `do` returns, as soon as the disk lets it; after a failure the file is opened anew."""
        attempt = object()
        while True:
            try:
                if self._queue is None:
                    self._queue = open_queue(self.path, PATIENCE_S)
                done = do(self._queue)
            except (sqlite3.Error, ServiceError) as error:
                self._fail(attempt, str(error))
                await asyncio.sleep(MEND_S)
            else:
                self._mend(attempt)
                return done

    def _fail(self, attempt: object, trouble: str) -> None:
        if not self._troubles:
            _log.error("%s: webhooks cannot be stored: %s", self.path, trouble)
        self._troubles[attempt] = trouble
        self.close()

    def _mend(self, attempt: object) -> None:
        if self._troubles.pop(attempt, "") and not self._troubles:
            _log.warning("%s: webhooks are stored again", self.path)

    def close(self) -> None:
        if self._queue is not None:
            self._queue.close()
            self._queue = None


class Lane:
    """Posts what waits for one endpoint. Its counters are of this run."""

    def __init__(self, endpoint: Endpoint, queue: SureQueue, settings: WebhookSettings, tls: ssl.SSLContext) -> None:
        self.endpoint = endpoint
        self.posted = self.failed = self.given_up = 0
        """Deliveries that arrived, tries that failed, deliveries that were given up."""
        self.waiting = 0
        """Deliveries that wait, as of the last look."""
        self.trouble = ""
        """What came of the last try, where nothing came of it; empty while the endpoint takes what it gets."""
        self.resting = asyncio.Event()
        """Nothing is due."""
        self._queue, self._settings, self._tls = queue, settings, tls
        self._woken = asyncio.Event()
        self._now = steady_clock()

    def wake(self) -> None:
        """There may be something to post."""
        self.resting.clear()
        self._woken.set()

    async def run(self) -> None:
        """Until it is cancelled; a try that is under way then will be made again, under the same id."""
        async with client(self._tls) as connection:
            while True:
                self._woken.clear()
                turn = await self._queue.surely(lambda queue: queue.turn(self.endpoint.key))
                self.waiting = turn.waiting
                pause_s = _pause_s(turn, self._now())
                if turn.delivery is None or pause_s > 0:
                    await self._rest(pause_s)
                    continue
                self.resting.clear()
                if turn.gone:
                    await self._refuse(turn.delivery, "not tried: it answered 410 Gone before", gone=True)
                else:
                    await self._settle(turn, turn.delivery, await self._try(connection, turn.delivery))

    async def _rest(self, pause_s: float) -> None:
        self.resting.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), min(pause_s, LOOK_S))

    async def _try(self, connection: httpx.AsyncClient, delivery: Delivery) -> Answer:
        try:
            return await post(connection, self.endpoint, delivery.id, delivery.body, self._settings.timeout_s)
        except Exception as fault:  # the edge of the task: one delivery must not cost those behind it
            _log.exception("webhook %d could not be tried", self.endpoint.number)
            return Answer("failed", f"a fault of callmood: {type(fault).__name__}")

    async def _settle(self, turn: Turn, delivery: Delivery, answer: Answer) -> None:
        if answer.verdict == "delivered":
            self._tell("")
            await self._queue.surely(lambda queue: queue.delivered(delivery))
            self.posted += 1
        elif answer.verdict == "failed":
            await self._fail(turn, delivery, answer)
        else:
            self.failed += 1
            self._tell_given_up(delivery, answer.text)
            await self._refuse(delivery, answer.text, answer.verdict == "gone")

    async def _fail(self, turn: Turn, delivery: Delivery, answer: Answer) -> None:
        settings, failures = self._settings, turn.failures + 1
        pause_s = wait_s(failures, settings.first_wait_s, settings.longest_wait_s, random.random())
        due_s = self._now() + max(pause_s, answer.retry_after_s)
        give_up = delivery.tries >= settings.retries
        self.failed += 1
        self._tell(answer.text)
        if give_up:
            self._tell_given_up(delivery, answer.text)
        await self._queue.surely(lambda queue: queue.failed(delivery, answer.text, failures, due_s, give_up))
        self.given_up += give_up

    async def _refuse(self, delivery: Delivery, text: str, gone: bool) -> None:
        self._tell(text)
        await self._queue.surely(lambda queue: queue.refused(delivery, text, gone))
        self.given_up += 1

    def _tell_given_up(self, delivery: Delivery, why: str) -> None:
        where = self.endpoint.number, self.endpoint.shown
        _log.error("webhook %d, %s: %s is given up: %s: `callmood webhooks` lists it", *where, delivery.id, why)

    def _tell(self, trouble: str) -> None:
        """A line of the log where an endpoint begins to fail, and where it works again."""
        if trouble and not self.trouble:
            _log.warning("webhook %d, %s: %s", self.endpoint.number, self.endpoint.shown, trouble)
        elif self.trouble and not trouble:
            _log.warning("webhook %d, %s: delivered again", self.endpoint.number, self.endpoint.shown)
        self.trouble = trouble


def _pause_s(turn: Turn, now_s: float) -> float:
    """Seconds until something is due; no longer than any pause can be: then the clock was set back before the start."""
    if turn.delivery is None:
        return LOOK_S
    pause_s = turn.due_s - now_s
    return 0.0 if turn.gone or pause_s > LONGEST_RETRY_AFTER_S else pause_s
