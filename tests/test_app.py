"""A whole node: sources, pipeline, websocket and metrics together."""

import asyncio
import json
import os
import queue
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import connect

from monitor.app import Node
from monitor.audio import Block
from monitor.broadcast import Broadcaster
from monitor.handshake import Ties
from monitor.identities import Identities
from monitor.messages import CallStarted
from monitor.model import EmotionModel, Stream
from monitor.service_thread import ServiceThread
from monitor.settings import Settings
from monitor.sources import Before, BlockQueue, CallClosed, CallOpened
from monitor.windows import Window
from tests.broadcasting import hello, started
from tests.test_pipeline import CALM, LOUD, AngryModel
from tests.test_pipeline import model as model  # a fixture

VOICE = np.concatenate([CALM, LOUD])


class Telephone:
    """A source: one call, angry from the eighth second on, that ends when it is told to."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def run(self, queue: BlockQueue, stop: threading.Event) -> None:
        queue.put(CallOpened("a", "test", None, {"customer": 0}, agent="4711"))
        for start in (*range(0, 16_000, 800), *range(20_000, VOICE.size, 800)):  # half a second is lost
            queue.put(Block("a", "customer", start, 8_000, VOICE[start : start + 800], time.monotonic()))
        while not (stop.is_set() or self.over.wait(0.01)):
            pass
        queue.put(CallClosed("a", "end"))


@pytest.fixture
def node(model: EmotionModel) -> Iterator[tuple[Node, Telephone, str]]:
    """A running node, its source and the address of its websocket."""
    telephone = Telephone()
    running = Node(Settings(port=0, queue_s=60.0), AngryModel(model), [telephone])  # type: ignore[arg-type]
    served = running.serve()
    with running:
        yield running, telephone, served.address


def until(client: Any, kind: str) -> dict[str, Any]:
    """The next message of a type."""
    while True:
        message: dict[str, Any] = json.loads(client.recv(timeout=20))
        if message["type"] == kind:
            return message


def metrics_of(address: str) -> dict[str, float]:
    url = address.replace("ws:", "http:").replace("/v1/calls", "/metrics")
    text = urllib.request.urlopen(url, timeout=10).read().decode()
    assert not re.search(r"4711|\ba\b:|id-", "".join(re.findall(r"{.*}", text))), "no call or agent is a label"
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_an_acknowledgement_at_the_dashboard_reaches_every_subscriber(node: tuple[Node, Telephone, str]) -> None:
    running, telephone, address = node
    with connect(address, proxy=None) as desktop:
        alert = until(desktop, "alert_raised")
        running.acknowledge("a", alert["alert"], "Maria")
        told = until(desktop, "alert_acknowledged")
        assert (told["alert"], told["by"]) == (alert["alert"], "Maria")
        (shown,) = running.board.snapshot(time.time()).calls[0].alerts
        assert shown.by == "Maria"
        running.acknowledge("a", alert["alert"], "Kim")
        running.acknowledge("nobody", "nothing", "Kim")
        telephone.over.set()
        assert until(desktop, "call_ended")["reason"] == "end"


def test_a_supervisor_acknowledges_an_alert_and_everybody_hears_of_it(node: tuple[Node, Telephone, str]) -> None:
    running, telephone, address = node
    with connect(address) as supervisor, connect(address.replace("calls", "agents/4711")) as desktop:
        alert = until(supervisor, "alert_raised")
        assert until(desktop, "alert_raised") == alert
        supervisor.send(json.dumps({"type": "acknowledge", "call": "a", "alert": alert["alert"], "by": "Kim"}))
        told = until(supervisor, "alert_acknowledged")
        assert (told["call"], told["alert"], told["party"], told["by"]) == ("a", alert["alert"], "customer", "Kim")
        assert until(desktop, "alert_acknowledged") == told
        telephone.over.set()
        assert until(desktop, "call_ended")["outcome"] == "angry"
    assert running.finished.wait(10)


def test_prometheus_sees_calls_readings_alerts_latency_and_subscribers(node: tuple[Node, Telephone, str]) -> None:
    running, telephone, address = node
    with connect(address) as supervisor:
        until(supervisor, "alert_raised")
        seen = metrics_of(address)
        assert seen["callmood_calls"] == seen["callmood_parties_scored"] == seen["callmood_subscribers"] == 1
        assert seen["callmood_alerts_open"] == 1
        assert seen['callmood_alerts_raised_total{rule="sustained_anger",severity="critical"}'] == 1
        assert seen['callmood_model_info{callmood="0.1.0",model="tiny 0"}'] == 1
        telephone.over.set()
        until(supervisor, "call_ended")
    assert running.finished.wait(10)
    seen = metrics_of(address)
    assert (seen["callmood_calls"], seen["callmood_calls_started_total"]) == (0, 1)
    assert seen['callmood_calls_ended_total{outcome="angry"}'] == 1
    readings = sum(value for name, value in seen.items() if name.startswith("callmood_readings_total"))
    assert readings == 1 + (VOICE.size / 8_000 - 3) * 2
    scored = seen['callmood_readings_total{state="speech"}'] + seen.get('callmood_readings_total{state="uncertain"}', 0)
    assert seen["callmood_reading_latency_seconds_count"] == scored
    assert seen["callmood_audio_lost_seconds_total"] == 0.5
    assert (seen["callmood_alerts_open"], seen['callmood_messages_dropped_total{reason="slow_subscriber"}']) == (0, 0)


def test_a_node_says_whether_it_takes_calls(node: tuple[Node, Telephone, str], model: EmotionModel) -> None:
    running, telephone, address = node
    with connect(address) as supervisor:
        until(supervisor, "call_started")
        assert (running.unready(), running.health().warnings) == ("", ())
        running.drain()
        draining = "draining: new calls are refused, the running ones go on to their end"
        assert (running.unready(), running.health().warnings) == (draining, (draining,))
        telephone.over.set()
    assert running.finished.wait(10)
    assert running.unready() == "no call is scored any more: stopped, or all is played"
    assert Node(Settings(), model, []).unready() == "starting"


def test_a_full_node_is_not_ready(model: EmotionModel) -> None:
    telephone = Telephone()
    with Node(Settings(max_calls=1), AngryModel(model), [telephone]) as running:  # type: ignore[arg-type]
        deadline_s = time.monotonic() + 10
        while not running.board.running:
            assert time.monotonic() < deadline_s
        assert running.unready() == "full: 1 calls run, max_calls is 1"


def test_a_node_that_is_behind_says_so(model: EmotionModel) -> None:
    scored = threading.Event()

    class Stuck(AngryModel):
        def score(self, windows: list[tuple[Stream, Window]]) -> np.ndarray:
            assert scored.wait(10)
            return super().score(windows)

    class Endless:
        def run(self, queue: BlockQueue, stop: threading.Event) -> None:
            queue.put(CallOpened("a", "test", None, {"customer": 0}))
            for start in range(0, 8_000_000, 800):
                queue.put(Block("a", "customer", start, 8_000, VOICE[:800], time.monotonic()))
                if stop.wait(0.01):
                    break
            queue.put(CallClosed("a", "stopped"))

    late = "late: audio waits longer than 0.2 s to be scored; fewer calls, or more processor"
    with Node(Settings(queue_s=60.0, late_s=0.2), Stuck(model), [Endless()]) as running:  # type: ignore[arg-type]
        deadline_s = time.monotonic() + 10
        while not running.unready():
            assert time.monotonic() < deadline_s
        assert running.unready() == late
        assert running.health().warnings == (late,)
        scored.set()


class Crowd:
    """A listener with a call of more audio than can be scored, and further calls that come meanwhile."""

    port = 4711

    async def start(self, queue: BlockQueue, _: Identities) -> str:
        self._task = asyncio.create_task(self._call(queue))
        return "crowd"

    async def _call(self, queue: BlockQueue) -> None:
        for number in range(10_000):
            if number % 20 == 0:
                queue.put(CallOpened(f"call-{number}", "test", None, {"customer": 0}, in_step=False))
            samples = VOICE[:8_000]
            queue.put(Block("call-0", "customer", 8_000 * number, 8_000, samples, time.monotonic()))
            await asyncio.sleep(0.05)

    def refuse(self, why: str) -> None:
        raise AssertionError(why)

    async def drain(self) -> None:
        pass

    async def stop(self) -> None:
        self._task.cancel()


def crowd(_: Before) -> list[Crowd]:
    return [Crowd()]


def test_a_late_node_may_take_calls_without_scoring_them(model: EmotionModel) -> None:
    scored = threading.Event()

    class Stuck(AngryModel):
        def score(self, windows: list[tuple[Stream, Window]]) -> np.ndarray:
            assert scored.wait(40)
            return super().score(windows)

    told: queue.Queue[Any] = queue.Queue()
    settings = Settings(queue_s=60.0, late_s=0.2, when_late="unscored")
    running = Node(settings, Stuck(model), [], [told.put])  # type: ignore[arg-type]
    running.listen(crowd)
    with running:
        deadline_s = time.monotonic() + 30
        while not running.unready().startswith("late"):
            assert time.monotonic() < deadline_s
        late = (
            "late: audio waits longer than 0.2 s to be scored; new calls are not scored: fewer calls, or more processor"
        )
        assert running.health().warnings == (late,)
        scored.set()
        scores = {}
        while False not in scores.values():
            message = told.get(timeout=20)
            if isinstance(message, CallStarted):
                scores[message.call] = message.parties["customer"].scored
    assert scores["call-0"]


def test_a_node_outlives_the_processes_that_score_its_calls(model: EmotionModel) -> None:
    telephone = Telephone()
    running = Node(Settings(port=0, queue_s=60.0, scoring_processes=2), model, [telephone])
    address = running.serve().address
    with running, connect(address) as desktop:
        until(desktop, "reading")
        seen = metrics_of(address)
        assert (seen["callmood_calls"], seen["callmood_scoring_restarts_total"]) == (1, 0)
        assert running.health().warnings == ()
        assert running._scorers is not None
        (busy,) = [one for one in running._scorers._scorers if one.calls]
        assert busy._process is not None
        os.kill(busy._process.pid, signal.SIGKILL)
        reason = until(desktop, "call_ended")["reason"]
        assert reason == "goes on as a-again: the process that scored it died (code -9)"
        assert until(desktop, "error")["text"].startswith(
            "a process that scores died (code -9); calls ended: 1, 1 of them"
        )
        assert until(desktop, "call_started")["call"] == "a-again"
        deadline_s = time.monotonic() + 20
        while running.health().scoring_restarts != 1 or running.health().warnings:
            assert time.monotonic() < deadline_s
        assert metrics_of(address)["callmood_scoring_restarts_total"] == 1
        telephone.over.set()
        assert until(desktop, "call_ended")["reason"] == "end"
        assert running.finished.wait(20)
    assert [one.call for one in running.ended] == ["a", "a-again"]


def test_a_node_takes_no_call_while_none_of_its_scoring_processes_runs(model: EmotionModel) -> None:
    telephone = Telephone()
    running = Node(Settings(scoring_processes=2), model, [telephone])

    def until_unready(why: str) -> None:
        deadline_s = time.monotonic() + 20
        while running.unready() != why:
            assert time.monotonic() < deadline_s

    with running:
        assert running._scorers is not None
        scorers = running._scorers._scorers
        deadline_s = time.monotonic() + 20
        while not all(one.cpu_s for one in scorers):  # each has told its load
            assert time.monotonic() < deadline_s
        for one in scorers:
            assert one._process is not None
            os.kill(one._process.pid, signal.SIGKILL)
        until_unready("2 of 2 processes that score do not run")
        until_unready("")
        telephone.over.set()
        assert running.finished.wait(20)
    assert running._scorers.restarts == 2


def test_a_message_that_cannot_be_sent_costs_none_of_those_behind_it() -> None:
    service = ServiceThread(Broadcaster(Settings(port=0), Ties(hello)))
    service.start()
    try:
        with connect(service.broadcaster.address) as client:
            until(client, "hello")
            for call in ("one", "\ud800", "two"):
                service.publish(started(call))
            service.wake()
            assert [until(client, "call_started")["call"] for _ in range(2)] == ["one", "two"]
        assert service.unpublished == 1
    finally:
        service.stop()
