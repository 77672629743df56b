import asyncio
import logging
import os
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest

from monitor.apart import Apart
from monitor.audio import Block
from monitor.errors import ServiceError
from monitor.identities import Identities
from monitor.sources import BlockQueue, CallClosed, CallNames, CallOpened, Refused

OPENED = CallOpened("call", "test", None, {"customer": 0}, in_step=False)


class Talkative:
    """A listener that opens a call at once and, while it drains, sends a block and closes it."""

    def __init__(self, fails: bool = False, dies: bool = False) -> None:
        if fails:
            raise ServiceError("the port is taken")
        self._dies = dies
        self.port = 4711

    async def start(self, queue: BlockQueue, identities: Identities) -> str:
        self._queue = queue
        queue.put(OPENED)
        logging.getLogger("monitor.test").warning("listening for %s", identities.shown("Anna"))
        if self._dies:
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGKILL)
        return f"in process {os.getpid()}"

    def refuse(self, why: str) -> None:
        self._queue.put(Refused(ServiceError(why)))

    async def drain(self) -> None:
        self._queue.put(Block("call", "customer", 0, 8_000, np.arange(3, dtype=np.float32), 1.5))
        self._queue.put(CallClosed("call", "end"))

    async def stop(self) -> None:
        self._queue.put(CallClosed("other", "stopped"))


def talkative(*, fails: bool = False, dies: bool = False) -> list[Talkative]:
    return [Talkative(fails, dies)]


def test_what_a_listener_hears_elsewhere_is_in_the_queue_here(caplog: pytest.LogCaptureFixture) -> None:
    queue = BlockQueue(10)
    apart = Apart(talkative, queue, Identities(show=True))
    (address,) = apart.start()
    assert address.startswith("in process ")
    assert address != f"in process {os.getpid()}"
    apart.drain()
    apart.run(queue, threading.Event())
    opened, block, closed, other = queue.take(0)
    assert (opened, closed, other) == (OPENED, CallClosed("call", "end"), CallClosed("other", "stopped"))
    assert isinstance(block, Block)
    assert (block.start, block.arrived_s, block.samples.tolist()) == (0, 1.5, [0.0, 1.0, 2.0])
    assert caplog.messages == ["listening for Anna"]


def test_listeners_are_told_when_to_refuse_calls_and_when_no_longer() -> None:
    queue, stop = BlockQueue(10), threading.Event()
    reasons = iter(["", "late: why", "late: why", ""])

    def refusing() -> str:
        reason = next(reasons, None)
        if reason is None:
            stop.set()
        return reason or ""

    apart = Apart(talkative, queue, Identities(show=True), refusing)
    apart.start()
    apart.run(queue, stop)
    assert [str(event.error) for event in queue.take(0) if isinstance(event, Refused)] == ["late: why", ""]


class Chatty(Talkative):
    """Says more than a pipe holds while nobody reads, and then how long that took."""

    async def start(self, queue: BlockQueue, identities: Identities) -> str:
        told = await super().start(queue, identities)
        asyncio.get_running_loop().call_later(0.2, self._chat)
        return told

    def _chat(self) -> None:
        began_s = time.monotonic()
        for _ in range(3_000):
            logging.getLogger("monitor.test").warning("x" * 1_000)
        self._queue.put(CallClosed("call", f"{time.monotonic() - began_s:.3f}"))


def chatty() -> list[Chatty]:
    return [Chatty()]


def test_listeners_do_not_wait_for_their_log_while_this_process_stands_still(caplog: pytest.LogCaptureFixture) -> None:
    queue, stop = BlockQueue(10), threading.Event()
    reading, blocked = threading.Event(), threading.Event()

    class Stuck(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            blocked.set()
            assert reading.wait(20)

    handler = Stuck()
    logging.getLogger("monitor.test").addHandler(handler)
    try:
        apart = Apart(chatty, queue, Identities(show=True))
        threading.Timer(2.5, reading.set).start()
        apart.start()
        stop.set()
        assert blocked.wait(10)
        assert reading.wait(20)
        while (closed := queue.take(20, 1)) == [OPENED]:
            pass
        apart.run(queue, stop)
    finally:
        logging.getLogger("monitor.test").removeHandler(handler)
    (end,) = closed
    assert isinstance(end, CallClosed)
    assert float(end.reason) < 1.5
    left_out = [message for message in caplog.messages if "lines of the log were left out" in message]
    assert sum(int(message.split()[0]) for message in left_out) + caplog.messages.count("x" * 1_000) == 3_000


def test_it_ends_when_it_is_stopped() -> None:
    queue, stop = BlockQueue(10), threading.Event()
    apart = Apart(talkative, queue, Identities(show=True))
    apart.start()
    stop.set()
    apart.run(queue, stop)
    assert queue.take(0) == [OPENED, CallClosed("other", "stopped")]


def test_whoever_is_drained_after_its_end_does_not_mind() -> None:
    apart = Apart(partial(talkative, dies=True), BlockQueue(10), Identities(show=True))
    apart.start()
    apart.run(BlockQueue(10), threading.Event())
    apart.drain()


def test_a_listener_that_cannot_begin_says_why() -> None:
    apart = Apart(partial(talkative, fails=True), BlockQueue(10), Identities(show=False))
    with pytest.raises(ServiceError, match="the port is taken"):
        apart.start()


def test_the_death_of_the_listeners_process_ends_its_calls_with_the_reason() -> None:
    queue, names = BlockQueue(10), CallNames()
    apart = Apart(partial(talkative, dies=True), queue, Identities(show=False), names=names)
    apart.start()
    assert (apart.ports, apart.fault) == ((4711,), None)
    apart.run(queue, threading.Event())
    assert queue.take(0) == [OPENED, CallClosed("call", "error: the listeners' process died (code -9)")]
    assert str(apart.fault) == "the listeners' process died (code -9)"
    assert names.taken == ("call",)
