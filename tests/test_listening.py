import errno
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from monitor import apart, watchdog
from monitor.errors import ServiceError
from monitor.identities import Identities
from monitor.listening import Listening
from monitor.settings import Settings, SiprecSettings
from monitor.sources import Before, BlockQueue, CallClosed, CallNames, CallOpened, Event, Refused
from monitor.sources.listeners import listeners

GONE = "the listeners' process died (code -9)"


class Mortal:
    """A listener with a call that says in it what it goes on from; while a file is there it cannot begin."""

    def __init__(self, before: Before, closed: Path) -> None:
        self._before, self._closed = before, closed
        self.port = 4711

    async def start(self, queue: BlockQueue, identities: Identities) -> str:
        assert identities.shown("Anna") == "Anna"
        if self._closed.exists() and self._before.ports:
            raise ServiceError("the port is taken")
        name = CallNames(self._before.names).take("call")
        path = f"process {os.getpid()} on {self._before.ports}"
        queue.put(CallOpened(name, "test", path, {"customer": 0}, in_step=False))
        return path

    def refuse(self, why: str) -> None:
        pass

    async def drain(self) -> None:
        pass

    async def stop(self) -> None:
        pass


def mortal(closed: Path, before: Before) -> list[Mortal]:
    return [Mortal(before, closed)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "WAITS_S", (0.0, 0.01))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "HUNG_S", 2.5)


class Run:
    """Listeners that run, and what they put into the queue."""

    def __init__(self, closed: Path) -> None:
        self.queue, self.stop = BlockQueue(10), threading.Event()
        self.listening = Listening(partial(mortal, closed), self.queue, Identities(show=True))
        self.listening.start()
        self.thread = threading.Thread(target=self.listening.run, args=(self.queue, self.stop))
        self.thread.start()

    def kill(self, number: int = signal.SIGKILL) -> CallOpened:
        """The process whose call comes next, once that has come."""
        opened = self.next()
        assert isinstance(opened, CallOpened)
        os.kill(int(str(opened.path).split()[1]), number)
        return opened

    def next(self) -> Event:
        events = self.queue.take(20, 1)
        assert events, "nothing came"
        return events[0]

    def told(self) -> str:
        event = self.next()
        assert isinstance(event, Refused)
        return str(event.error)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    one = Run(tmp_path / "closed")
    yield one
    one.stop.set()
    one.thread.join(20)
    assert not one.thread.is_alive()


def test_listeners_whose_process_dies_are_started_again_on_their_ports_and_use_no_name_twice(run: Run) -> None:
    assert run.kill().call == "call"
    assert run.next() == CallClosed("call", f"error: {GONE}")
    assert run.told() == f"{GONE} and its calls with it: another begins"
    opened = run.next()
    assert isinstance(opened, CallOpened)
    assert opened.call == "call-2"
    assert str(opened.path).endswith("on (4711,)")
    while run.listening.trouble:
        assert run.thread.is_alive()
    assert run.listening.restarts == 1


@pytest.mark.usefixtures("impatient")
def test_listeners_whose_process_hangs_are_started_again_like_those_of_one_that_dies(run: Run) -> None:
    hung = "the listeners' process gave no sign of life for 2.5 s: it is killed"
    assert run.kill(signal.SIGSTOP).call == "call"
    assert run.next() == CallClosed("call", f"error: {hung}")
    assert run.told() == f"{hung} and its calls with it: another begins"
    opened = run.next()
    assert isinstance(opened, CallOpened)
    assert opened.call == "call-2"


@pytest.mark.usefixtures("quick")
def test_listeners_that_cannot_begin_again_are_given_up_in_the_end(run: Run, tmp_path: Path) -> None:
    (tmp_path / "closed").touch()
    run.kill()
    run.next()
    assert run.told() == f"{GONE} and its calls with it: another begins"
    assert run.told() == "the port is taken: another begins in 0.01 s"
    assert run.told() == "the port is taken; nobody listens any more after 2 tries: restart callmood"
    run.thread.join(20)
    assert (run.listening.trouble[:17], run.listening.restarts) == ("the port is taken", 0)


@pytest.mark.usefixtures("quick")
def test_a_process_that_the_system_does_not_begin_is_tried_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, refusals = subprocess.Popen, iter([BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")])

    def popen(*args: Any, **kwargs: Any) -> "subprocess.Popen[bytes]":
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        return begin(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", popen)
    run.kill()
    run.next()
    assert run.told() == f"{GONE} and its calls with it: another begins"
    assert run.told() == (
        "no process can begin for the listeners (Resource temporarily unavailable); "
        "free memory or allow more processes: another begins in 0.01 s"
    )
    opened = run.next()
    assert isinstance(opened, CallOpened)
    assert opened.call == "call-2"


def test_whoever_is_stopped_or_drained_starts_nothing_again(run: Run) -> None:
    run.listening.drain()
    run.thread.join(20)
    assert not run.thread.is_alive()
    assert run.listening.restarts == 0


def test_whoever_is_drained_while_another_process_is_waited_for_waits_no_longer(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "WAITS_S", (600.0,))
    run.kill()
    run.next()
    assert run.told() == f"{GONE} and its calls with it: another begins in 600 s"
    run.listening.drain()
    run.thread.join(20)
    assert not run.thread.is_alive()
    assert run.listening.restarts == 0
    assert run.queue.take(0) == []


def test_listeners_go_on_with_their_ports_where_the_settings_leave_the_choice_and_where_they_do_not() -> None:
    for port in (0, 5060):
        settings = Settings(siprec=SiprecSettings(port=port))
        (siprec,) = listeners(settings, Before((5099,), ("a",)))
        assert siprec.port == 5099
