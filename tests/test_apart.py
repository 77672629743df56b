import asyncio
import logging
import os
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest

from monitor import apart
from monitor.apart import Apart
from monitor.audio import Block
from monitor.errors import ServiceError, SourceError
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
    one = Apart(talkative, queue, Identities(show=True))
    (address,) = one.start()
    assert address.startswith("in process ")
    assert address != f"in process {os.getpid()}"
    one.drain()
    one.run(queue, threading.Event())
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

    one = Apart(talkative, queue, Identities(show=True), refusing)
    one.start()
    one.run(queue, stop)
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
        one = Apart(chatty, queue, Identities(show=True))
        threading.Timer(2.5, reading.set).start()
        one.start()
        stop.set()
        assert blocked.wait(10)
        assert reading.wait(20)
        while (closed := queue.take(20, 1)) == [OPENED]:
            pass
        one.run(queue, stop)
    finally:
        logging.getLogger("monitor.test").removeHandler(handler)
    (end,) = closed
    assert isinstance(end, CallClosed)
    assert float(end.reason) < 1.5
    left_out = [message for message in caplog.messages if "lines of the log were left out" in message]
    assert sum(int(message.split()[0]) for message in left_out) + caplog.messages.count("x" * 1_000) == 3_000


def test_it_ends_when_it_is_stopped() -> None:
    queue, stop = BlockQueue(10), threading.Event()
    one = Apart(talkative, queue, Identities(show=True))
    one.start()
    stop.set()
    one.run(queue, stop)
    assert queue.take(0) == [OPENED, CallClosed("other", "stopped")]


def test_whoever_is_drained_after_its_end_does_not_mind() -> None:
    one = Apart(partial(talkative, dies=True), BlockQueue(10), Identities(show=True))
    one.start()
    one.run(BlockQueue(10), threading.Event())
    one.drain()


def test_a_listener_that_cannot_begin_says_why() -> None:
    one = Apart(partial(talkative, fails=True), BlockQueue(10), Identities(show=False))
    with pytest.raises(ServiceError, match="the port is taken"):
        one.start()


def test_the_death_of_the_listeners_process_ends_its_calls_with_the_reason() -> None:
    queue, names = BlockQueue(10), CallNames()
    one = Apart(partial(talkative, dies=True), queue, Identities(show=False), names=names)
    one.start()
    assert (one.ports, one.fault) == ((4711,), None)
    one.run(queue, threading.Event())
    assert queue.take(0) == [OPENED, CallClosed("call", "error: the listeners' process died (code -9)")]
    assert str(one.fault) == "the listeners' process died (code -9)"
    assert names.taken == ("call",)


class Hanging(Talkative):
    """Its event loop turns no more."""

    async def start(self, queue: BlockQueue, identities: Identities) -> str:
        told = await super().start(queue, identities)
        asyncio.get_running_loop().call_later(0.05, self._hang)
        return told

    def _hang(self) -> None:
        threading.Event().wait()


def hanging() -> list[Hanging]:
    return [Hanging()]


def test_a_process_that_hangs_is_killed_and_says_where_it_did(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(apart, "HUNG_S", 2.5)
    queue = BlockQueue(10)
    one = Apart(hanging, queue, Identities(show=False))
    one.start()
    one.run(queue, threading.Event())
    why = "the listeners' process gave no sign of life for 2.5 s: it is killed"
    assert queue.take(0) == [OPENED, CallClosed("call", f"error: {why}")]
    assert str(one.fault) == why
    assert "in _hang" in capfd.readouterr().err


def test_a_process_that_hangs_while_it_begins_is_killed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_LONGEST_START_S", 0.0)
    with pytest.raises(SourceError, match="no sign of life for 0 s: it is killed"):
        Apart(talkative, BlockQueue(10), Identities(show=False)).start()
