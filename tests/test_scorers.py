import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from monitor import child_process, scorer, watchdog
from monitor.alerts.rulefile import load_rules
from monitor.audio import Block
from monitor.bus import Bus
from monitor.errors import PipelineError, SettingError
from monitor.identities import Identities
from monitor.messages import AnyMessage, CallEnded, CallMessage, CallStarted, Error, Reading
from monitor.model import EmotionModel
from monitor.scorers import Scorers
from monitor.scoring import Load
from monitor.settings import Settings
from monitor.sources import Acknowledged, CallClosed, CallOpened, Event, Refused
from tests.test_pipeline import TWO, events_of, run, without_times
from tests.tiny_model import write_tiny_model

VOICE = TWO["customer"]
KILLED = "the process that scored it died (code -9)"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmotionModel:
    return EmotionModel(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


class Run:
    """Scoring in two processes, and what it tells."""

    def __init__(self, model: EmotionModel, unscoring: Callable[[], str] = lambda: "", **settings: object) -> None:
        self.told: list[AnyMessage] = []
        self._changed, self._finished = threading.Condition(), threading.Event()
        bus = Bus()
        bus.subscribe(self._hear)
        chosen = Settings(scoring_processes=2, **settings)  # type: ignore[arg-type]
        self.scorers = Scorers.of(model, chosen, bus, Identities(show=False), load_rules(""), unscoring)
        self.fault: PipelineError | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.scorers.run(self._finished)
        except PipelineError as fault:
            self.fault = fault

    def _hear(self, message: AnyMessage) -> None:
        with self._changed:
            self.told.append(message)
            self._changed.notify_all()

    def __enter__(self) -> "Run":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def put(self, events: Iterator[Event] | Sequence[Event], wait: bool = False) -> None:
        for event in events:
            self.scorers.put(event, wait=wait)

    def end(self) -> list[AnyMessage]:
        """All that was told."""
        self._finished.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.told

    def until(self, holds: Callable[[list[AnyMessage]], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.told), timeout=60)

    def until_read(self, *calls: str) -> None:
        self.until(lambda told: {one.call for one in told if isinstance(one, Reading)} >= set(calls))

    def of(self, call: str) -> list[CallMessage]:
        return [one for one in self.told if isinstance(one, CallMessage) and one.call == call]


def opened(call: str, goes_on: str = "") -> CallOpened:
    return CallOpened(call, "test", None, {"customer": 0}, goes_on=goes_on)


def spoken(call: str, start_s: float, end_s: float) -> list[Block]:
    """The customer's voice between two moments, in blocks of 20 ms."""
    starts = range(round(start_s * 8_000), round(end_s * 8_000), 160)
    return [Block(call, "customer", start, 8_000, VOICE[start : start + 160], time.monotonic()) for start in starts]


def process_of(running: Run, number: int) -> int:
    process = running.scorers._scorers[number]._process
    assert process is not None
    return process.pid


@pytest.fixture
def two_calls(model: EmotionModel) -> Iterator[Run]:
    """`a` in the first process, `b` in the second; each has been read."""
    with Run(model) as running:
        for call in ("a", "b"):
            running.put([opened(call), *spoken(call, 0.0, 5.0)])
        running.until_read("a", "b")
        yield running


def test_every_call_is_told_as_one_process_would_tell_it(model: EmotionModel) -> None:
    names = ["a", "b", "c"]
    events = [event for name in names for event in events_of(name, TWO, 800)]
    alone = run(model, events)
    with Run(model) as running:
        running.put(events, wait=True)
        running.end()
    for name in names:
        assert without_times(running.of(name)) == without_times(
            [one for one in alone if isinstance(one, CallMessage) and one.call == name]
        )
    assert (running.scorers.dropped_blocks, running.scorers.restarts) == (0, 0)


def test_a_call_goes_to_the_process_with_the_fewest_parties_and_stays_there(model: EmotionModel) -> None:
    running = Run(model)
    parties = [one.parties for one in running.scorers._scorers]
    assert parties == [0, 0]
    running.put([CallOpened("a", "test", None, {"agent": 0, "customer": 1}), opened("b"), opened("c")])
    assert [one.parties for one in running.scorers._scorers] == [2, 2]
    running.put([CallClosed("a", "end"), opened("d", goes_on="a"), opened("e")])
    assert [one.parties for one in running.scorers._scorers] == [3, 3]
    first, second = ([event.call for event in one.queue.take(0.0)] for one in running.scorers._scorers)  # type: ignore[union-attr]
    assert (first, second) == (["a", "a", "d"], ["b", "c", "e"])


def test_the_calls_of_a_killed_process_go_on_under_other_names_and_the_others_do_not_notice(two_calls: Run) -> None:
    killed_s = time.monotonic()
    os.kill(process_of(two_calls, 0), signal.SIGKILL)
    two_calls.until(lambda told: any(isinstance(one, CallEnded) for one in told))
    assert time.monotonic() - killed_s < 5.0
    for call in ("a", "b"):
        two_calls.put([*spoken(call, 5.0, 20.0), CallClosed(call, "end")])
    two_calls.end()
    last = two_calls.of("a")[-1]
    assert isinstance(last, CallEnded)
    assert (last.reason, last.outcome) == (f"goes on as a-again: {KILLED}", "unclear")
    assert last.duration_s == max(one.end_s for one in two_calls.of("a") if isinstance(one, Reading))
    (error,) = [one for one in two_calls.told if isinstance(one, Error)]
    assert error.code == "scorer"  # `pipeline` tells every desktop that scoring has stopped
    assert (
        error.text
        == "a process that scores died (code -9); calls ended: 1, 1 of them go on under other names; another begins"
    )
    again = two_calls.of("a-again")
    assert isinstance(again[0], CallStarted)
    assert isinstance(again[-1], CallEnded)
    assert (again[-1].reason, again[-1].duration_s) == ("end", 15.0)
    others = two_calls.of("b")
    assert (others[-1].reason, others[-1].duration_s) == ("end", 20.0)  # type: ignore[attr-defined]
    for call in ("a", "a-again", "b"):
        assert [one.seq for one in two_calls.of(call)] == [*range(1, len(two_calls.of(call)) + 1)]


def test_an_alert_of_a_call_that_went_on_elsewhere_is_acknowledged_by_its_new_name(two_calls: Run) -> None:
    os.kill(process_of(two_calls, 0), signal.SIGKILL)
    two_calls.until(lambda told: any(isinstance(one, CallEnded) for one in told))
    assert two_calls.scorers._placed(CallClosed("nobody", "end")) is None
    placed = [two_calls.scorers._placed(Acknowledged(call, "1", "Kim")) for call in ("a", "a-again", "b")]
    assert [one is not None for one in placed] == [False, True, True]


def test_calls_that_a_killed_process_had_not_begun_begin_elsewhere_under_their_names(two_calls: Run) -> None:
    os.kill(process_of(two_calls, 0), signal.SIGSTOP)  # it takes nothing more
    two_calls.put([opened("c"), *spoken("c", 0.0, 8.0), opened("d"), *spoken("d", 0.0, 8.0)])
    assert {"a", "c"} == set(two_calls.scorers._scorers[0].calls)
    two_calls.put([CallClosed("c", "end")])
    os.kill(process_of(two_calls, 0), signal.SIGKILL)
    two_calls.until(lambda told: any(isinstance(one, CallStarted) and one.call == "c" for one in told))
    two_calls.put([CallClosed(call, "end") for call in ("a", "b", "d")])
    two_calls.end()
    ends = {one.call: one.reason for one in two_calls.told if isinstance(one, CallEnded)}
    assert ends.pop("c") in ("end", f"error: {KILLED}")  # what had been sent to that process is gone
    assert ends == {"a": f"goes on as a-again: {KILLED}", "a-again": "end", "b": "end", "d": "end"}


def test_a_call_whose_process_died_twice_is_not_taken_up_again(two_calls: Run) -> None:
    for call in ("a", "a-again"):
        (number,) = [k for k, one in enumerate(two_calls.scorers._scorers) if call in one.unfinished]
        os.kill(process_of(two_calls, number), signal.SIGKILL)
        two_calls.until(lambda _, call=call: isinstance(two_calls.of(call)[-1], CallEnded))  # type: ignore[misc]
        two_calls.put(spoken("a", 6.0, 12.0))
        two_calls.until(lambda _: bool(two_calls.of("a-again")))
    two_calls.put([*spoken("a", 12.0, 14.0), CallClosed("a", "end"), CallClosed("b", "end")])
    two_calls.end()
    ends = {one.call: one.reason for one in two_calls.told if isinstance(one, CallEnded)}
    assert ends.pop("b-again", "end") == "end"
    assert ends.pop("b") in ("end", f"goes on as b-again: {KILLED}")
    assert ends == {"a": f"goes on as a-again: {KILLED}", "a-again": f"error: {KILLED}"}


def test_a_call_that_its_process_told_to_be_over_does_not_begin_again_where_that_dies(two_calls: Run) -> None:
    two_calls.put([Block("a", "customer", 40_000, 8_000, np.full(4_000, np.nan, np.float32), time.monotonic())])
    two_calls.until(lambda told: any(isinstance(one, CallEnded) for one in told))
    os.kill(process_of(two_calls, 0), signal.SIGKILL)
    two_calls.until(lambda told: any(isinstance(one, Error) and one.code == "scorer" for one in told))
    two_calls.put([*spoken("a", 6.0, 12.0), CallClosed("a", "end"), CallClosed("b", "end")])
    two_calls.end()
    assert sorted(one.call for one in two_calls.told if isinstance(one, CallStarted)) == ["a", "b"]
    assert [one.call for one in two_calls.told if isinstance(one, CallEnded)] == ["a", "b"]


def test_a_call_that_was_not_scored_goes_on_unscored_while_there_is_no_time_for_it(model: EmotionModel) -> None:
    with Run(model, unscoring=lambda: "late: the reason") as running:
        running.put([opened("a"), *spoken("a", 0.0, 4.0)])
        running.until_read("a")
        os.kill(process_of(running, 0), signal.SIGKILL)
        running.until(lambda _: bool(running.of("a-again")))
    started = running.of("a-again")[0]
    assert isinstance(started, CallStarted)
    assert not started.parties["customer"].scored


def test_what_goes_on_from_a_call_that_went_on_elsewhere_goes_there(two_calls: Run) -> None:
    os.kill(process_of(two_calls, 0), signal.SIGKILL)
    two_calls.until(lambda told: any(isinstance(one, CallEnded) for one in told))
    two_calls.put([CallClosed("a", "goes on as c: its parties changed")])
    where = two_calls.scorers._past["a"].scorer
    assert two_calls.scorers._placed(opened("c", goes_on="a")) == (where, opened("c", goes_on="a-again"))
    two_calls.scorers._placed(CallClosed("c", "end"))


def test_where_a_process_died_nothing_waits_and_no_call_goes_before_another_takes_its_place(two_calls: Run) -> None:
    first, second = two_calls.scorers._scorers
    os.kill(process_of(two_calls, 0), signal.SIGSTOP)  # it tells no other load
    first._load = Load(0.9, time.monotonic() - 60.0, 0.0)
    assert two_calls.scorers.waited_s(time.monotonic()) >= 60.0
    two_calls.put([CallClosed("b", "end")])
    os.kill(process_of(two_calls, 0), signal.SIGKILL)
    two_calls.until(lambda told: any(isinstance(one, Error) for one in told))
    assert two_calls.scorers.waited_s(time.monotonic()) < 60.0
    two_calls.put([opened("c")])
    assert two_calls.scorers.trouble == "1 of 2 processes that score do not run"
    assert (set(first.calls), set(second.calls)) == ({"a-again"}, {"c"})
    deadline_s = time.monotonic() + 30
    while two_calls.scorers.trouble:
        assert time.monotonic() < deadline_s
        two_calls._finished.wait(0.01)
    assert two_calls.scorers._next() is first


def test_a_fault_of_ours_beside_a_process_is_no_silence(
    model: EmotionModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(watchdog, "WAITS_S", ())
    with Run(model, unscoring=fails) as running:
        running.put([opened("a"), opened("b")])
        running._thread.join(60)
    assert "every process that scored died" in str(running.fault)
    assert "a process that scores is killed: no more can be told or heard of it" in caplog.text


def test_a_fault_of_ours_while_processes_are_looked_after_ends_scoring_and_is_told(
    model: EmotionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([True])

    def fails(*_: object) -> None:
        if next(looks, False):
            raise ZeroDivisionError

    monkeypatch.setattr(scorer.Scorer, "tend", fails)
    with Run(model) as running:
        running._thread.join(60)
    assert str(running.fault).startswith("scoring stopped: ZeroDivisionError(); nothing is read any more: restart")
    assert [one.text for one in running.told if isinstance(one, Error)] == [str(running.fault)]


def test_a_process_that_hangs_is_killed(two_calls: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "HUNG_S", 1.0)
    os.kill(process_of(two_calls, 0), signal.SIGSTOP)
    two_calls.until(lambda told: any(isinstance(one, Error) for one in told))
    (error,) = [one for one in two_calls.told if isinstance(one, Error)]
    assert error.text.startswith(
        "a process that scores gave no sign of life for 1 s: it is killed; calls ended: 1, 1 of them"
    )


def test_where_no_process_lives_scoring_ends_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "WAITS_S", (0.0,))
    model = EmotionModel(write_tiny_model(tmp_path / "gone.onnx"))
    model.path.unlink()
    with Run(model) as running:
        running._thread.join(60)
    assert str(running.fault).startswith("scoring stopped: every process that scored died, again and again")
    assert running.told[-1] == Error(at=running.told[-1].at, code="pipeline", text=str(running.fault))


def test_where_the_system_gives_no_process_scoring_ends_and_says_so(
    model: EmotionModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(_: str) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(watchdog, "WAITS_S", (0.0,))
    monkeypatch.setattr(scorer, "ChildProcess", none)
    with Run(model) as running:
        running._thread.join(60)
    assert str(running.fault).startswith("scoring stopped: every process that scored died")
    assert "a process that scores cannot begin (Resource temporarily unavailable): free memory" in caplog.text


def test_a_call_that_its_source_never_ends_holds_nothing_up(model: EmotionModel) -> None:
    with Run(model) as running:
        running.put([opened("a"), *spoken("a", 0.0, 4.0)])
        running.until_read("a")
    assert running.scorers.restarts == 0


def test_a_process_that_takes_long_to_end_after_all_is_told_has_not_died(
    model: EmotionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "_LONGEST_DEATH_S", 0.0)
    with Run(model) as running:
        running.put([opened("a"), *spoken("a", 0.0, 4.0), CallClosed("a", "end")])
        running.end()
    assert not any(isinstance(one, Error) for one in running.told)
    assert running.of("a")[-1].reason == "end"  # type: ignore[attr-defined]


def test_recordings_wait_for_room_and_nothing_is_lost(model: EmotionModel) -> None:
    with Run(model, queue_s=1.0) as running:
        running.put([opened("a")])
        running.put(spoken("a", 0.0, 20.0), wait=True)
        running.put([CallClosed("a", "end")])
        running.end()
    assert running.scorers.dropped_blocks == 0
    assert running.of("a")[-1].duration_s == 20.0  # type: ignore[attr-defined]


def test_live_audio_that_nobody_takes_is_dropped_and_counted_with_what_was_dropped_before(model: EmotionModel) -> None:
    running = Run(model, queue_s=1.0)
    running.put([opened("a"), *spoken("a", 0.0, 3.0)])
    running.scorers.count_dropped(2, 0.5)
    assert (running.scorers.dropped_blocks, running.scorers.dropped_s) == (10, 2.5)
    assert running.scorers.waiting_s == 1.0
    assert 0.0 < running.scorers.waited_s(time.monotonic()) < 60.0


def test_calls_beyond_the_limit_are_refused(model: EmotionModel) -> None:
    running = Run(model, max_calls=1)
    running.put([opened("a"), opened("b")])
    waiting = [event for one in running.scorers._scorers for event in one.queue.take(0.0)]
    (refused,) = [event for event in waiting if isinstance(event, Refused)]
    assert str(refused.error) == "b: refused: 1 calls run, max_calls is 1; raise it or wait"


def test_calls_that_begin_while_the_node_is_late_are_not_scored(model: EmotionModel) -> None:
    with Run(model, unscoring=lambda: "late: the reason") as running:
        running.put([opened("a"), *spoken("a", 0.0, 4.0), CallClosed("a", "end")])
        running.end()
    started = running.of("a")[0]
    assert isinstance(started, CallStarted)
    assert not started.parties["customer"].scored


def test_settings_that_contradict_the_model_are_refused_before_any_process_begins(model: EmotionModel) -> None:
    with pytest.raises(SettingError, match="window_s must be the model's 3 s, got 4"):
        Run(model, window_s=4.0)


def test_how_busy_they_are_is_told(two_calls: Run) -> None:
    assert 0.0 <= two_calls.scorers.busy <= 1.0
    assert two_calls.scorers.trouble == ""
    deadline_s = time.monotonic() + 30
    while not two_calls.scorers.cpu_s and time.monotonic() < deadline_s:
        two_calls.put(spoken("a", 5.0, 5.02))
        two_calls._finished.wait(0.05)
    assert two_calls.scorers.cpu_s > 0.1
    assert np.isfinite(two_calls.scorers.waited_s(time.monotonic()))


def test_time_goes_on_without_a_step(two_calls: Run) -> None:
    two_calls.put([CallClosed("a", "end"), CallClosed("b", "end")])
    two_calls.end()
    ends = [one.end_s for one in two_calls.of("a") if isinstance(one, Reading)]
    assert all(abs(after - before - 0.5) < 1e-9 for before, after in pairwise(ends))
