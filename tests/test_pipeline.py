import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest

from monitor.audio import Block
from monitor.bus import Bus
from monitor.errors import AudioError, PipelineError, SettingError
from monitor.messages import (
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    AnyMessage,
    CallEnded,
    CallStarted,
    Error,
    Gap,
    Reading,
)
from monitor.model import EmotionModel, Stream, default_path
from monitor.pipeline import Pipeline
from monitor.settings import Settings
from monitor.sources import Acknowledged, BlockQueue, CallClosed, CallOpened, Event, Refused
from monitor.windows import Window
from tests.test_windows import speech_like, steady_noise
from tests.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmotionModel:
    return EmotionModel(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"))


class AngryModel:
    """Says anger while the window is loud, neutral while it is not; counts what it was asked."""

    def __init__(self, model: EmotionModel) -> None:
        self.meaning = model.meaning
        self.runs: list[int] = []

    def score(self, windows: list[tuple[Stream, Window]]) -> np.ndarray:
        self.runs.append(len(windows))
        loud = np.array([window.power.sum(axis=1).max() > 10.0 for _, window in windows], bool)
        return np.log(np.where(loud[:, None], [[0.9, *[0.02] * 5]], [[*[0.02] * 4, 0.9, 0.02]])).astype(np.float32)


def events_of(call: str, parties: dict[str, np.ndarray], size: int, rate: int = 8_000) -> Iterable[Event]:
    yield CallOpened(call, "recording", f"{call}.wav", {name: k for k, name in enumerate(parties)})  # type: ignore[misc]
    length = max(samples.size for samples in parties.values())
    for start in range(0, length, size):
        for name, samples in parties.items():
            yield Block(call, name, start, rate, samples[start : start + size], time.monotonic())  # type: ignore[arg-type]
    yield CallClosed(call, "end")


def run(
    model: EmotionModel,
    events: Iterable[Event],
    one_by_one: bool = False,
    unscoring: Callable[[], str] = lambda: "",
    **settings: object,
) -> list[AnyMessage]:
    bus, told = Bus(), list[AnyMessage]()
    bus.subscribe(told.append)
    pipeline = Pipeline(model, Settings(**settings), bus, wall=lambda: 0.0, unscoring=unscoring)  # type: ignore[arg-type]
    for batch in [[event] for event in events] if one_by_one else [list(events)]:
        pipeline.handle(batch)
    return told


def without_times(messages: Iterable[AnyMessage]) -> list[dict[str, object]]:
    import msgspec

    return [{k: v for k, v in msgspec.to_builtins(m).items() if k not in ("at", "latency_ms")} for m in messages]


CALM, LOUD = speech_like(8.0) * 0.2, speech_like(12.0) * 4
TWO = {"agent": speech_like(20.0, seed=1), "customer": np.concatenate([CALM, LOUD])}


def test_a_call_starts_is_read_every_half_second_and_ends(model: EmotionModel) -> None:
    told = run(model, events_of("a", TWO, 800))
    assert isinstance(told[0], CallStarted)
    assert (told[0].source, told[0].path) == ("recording", "a.wav")
    assert {name: (info.channel, info.scored) for name, info in told[0].parties.items()} == {
        "agent": (0, False),
        "customer": (1, True),
    }
    readings = [m for m in told if isinstance(m, Reading)]
    assert [(r.party, r.end_s) for r in readings] == [
        (party, 3 + k / 2) for k in range(35) for party in ("agent", "customer")
    ]
    assert isinstance(told[-1], CallEnded)
    assert (told[-1].duration_s, told[-1].reason) == (20.0, "end")
    assert [m.seq for m in told] == list(range(1, len(told) + 1))


def test_a_noisy_line_on_which_nobody_speaks_is_silent_and_raises_nothing() -> None:
    """A minute of what a room or a line sounds like, which the network that ships takes for a neutral voice, and a sad one."""
    told = run(EmotionModel(default_path()), events_of("a", {"customer": steady_noise(60.0, 0.98, -40)}, 800))
    assert {(m.state, m.label) for m in told if isinstance(m, Reading)} == {("silence", None)}
    assert [m.rule for m in told if isinstance(m, AlertRaised)] == []


def test_the_agent_is_heard_but_not_scored(model: EmotionModel) -> None:
    told = run(model, events_of("a", TWO, 800))
    for reading in told:
        if isinstance(reading, Reading) and reading.party == "agent":
            assert (reading.state, reading.label, reading.mood) == ("not_scored", None, None)
            assert (reading.confidence, reading.scores) == (None, None)
            assert reading.speech_share > 0.3
    (ended,) = [m for m in told if isinstance(m, CallEnded)]
    assert ended.shares["agent"] == {"not_scored": 1.0}


@pytest.mark.parametrize(("party", "setting"), [("agent", "score_agent"), ("mixed", "score_mixed")])
def test_others_than_the_customer_are_scored_only_on_demand(model: EmotionModel, party: str, setting: str) -> None:
    alone = {party: TWO["customer"]}
    states = {m.state for m in run(model, events_of("a", alone, 800)) if isinstance(m, Reading)}
    assert states == {"not_scored"}
    asked = run(model, events_of("a", alone, 800), **{setting: True})
    assert "speech" in {m.state for m in asked if isinstance(m, Reading)}


def test_calls_that_begin_while_the_node_is_late_are_not_scored_and_the_others_are(
    model: EmotionModel, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter(["", "late: why"])
    calls = [events_of("scored", TWO, 800), events_of("late", TWO, 800)]
    for name, before in (("rest", "scored"), ("late-2", "late"), ("late-3", "late-2")):
        opened, *rest = events_of(name, TWO, 800)
        assert isinstance(opened, CallOpened)
        calls.append([replace(opened, goes_on=before), *rest])
    told = run(model, chain(*calls), unscoring=lambda: next(answers))
    parties = {
        m.call: {name: party.scored for name, party in m.parties.items()} for m in told if isinstance(m, CallStarted)
    }
    scored = {"agent": False, "customer": True}
    unscored = dict.fromkeys(scored, False)
    assert parties == {"scored": scored, "late": unscored, "rest": scored, "late-2": unscored, "late-3": unscored}
    states = {m.state for m in told if isinstance(m, Reading) and m.call.startswith("late")}
    assert states == {"not_scored"}
    assert [m.outcome for m in told if isinstance(m, CallEnded)] == ["calm", "unclear", "calm", "unclear", "unclear"]
    assert "late: not scored: late: why" in caplog.messages
    assert "late-2: not scored: late, which it goes on from, was not" in caplog.messages


@pytest.mark.parametrize("size", [160, 4_000, 7_777, 160_000])
def test_messages_do_not_depend_on_blocks_nor_on_batches(model: EmotionModel, size: int) -> None:
    reference = without_times(run(model, events_of("a", TWO, 800)))
    assert without_times(run(model, events_of("a", TWO, size))) == reference
    assert without_times(run(model, events_of("a", TWO, size), one_by_one=True)) == reference


@pytest.mark.parametrize("size", [160, 7_777])
def test_alerts_do_not_depend_on_blocks_nor_on_batches(model: EmotionModel, size: int) -> None:
    quiet = np.zeros(220_000, np.float32)
    sides = {"agent": speech_like(20.0, seed=1), "customer": np.concatenate([CALM, LOUD, quiet])}
    sides["agent"] = np.concatenate([sides["agent"], quiet])
    reference = without_times(run(AngryModel(model), events_of("a", sides, 8_000)))  # type: ignore[arg-type]
    raised = [(m["rule"], m["party"], m["about"]) for m in reference if m["type"] == "alert_raised"]
    assert raised == [("sustained_anger", "customer", "party"), ("dead_air", "customer", "call")]
    assert without_times(run(AngryModel(model), events_of("a", sides, size), one_by_one=True)) == reference  # type: ignore[arg-type]


def test_many_calls_share_one_run_of_the_network(model: EmotionModel) -> None:
    counting = AngryModel(model)
    streams = [list(events_of(f"call-{k}", {"customer": TWO["customer"][:24_000]}, 24_000)) for k in range(20)]
    opened, blocks, closed = zip(*streams, strict=True)
    run(counting, [*opened, *blocks, *closed])  # type: ignore[arg-type]
    assert counting.runs == [20]


def test_silence_costs_no_inference_and_is_no_emotion(model: EmotionModel) -> None:
    counting = AngryModel(model)
    told = run(counting, events_of("a", {"customer": np.zeros(80_000, np.float32)}, 800))  # type: ignore[arg-type]
    readings = [m for m in told if isinstance(m, Reading)]
    assert {(r.state, r.label, r.mood, r.scores) for r in readings} == {("silence", None, "unclear", None)}
    assert {r.level_db for r in readings} == {None}
    assert sum(counting.runs) == 0


def test_sustained_anger_is_raised_with_its_evidence_and_decides_the_outcome(model: EmotionModel) -> None:
    told = run(AngryModel(model), events_of("a", TWO, 800))  # type: ignore[arg-type]
    (raised,) = [m for m in told if isinstance(m, AlertRaised)]
    assert (raised.rule, raised.severity, raised.party) == ("sustained_anger", "critical", "customer")
    assert 8.0 < raised.start_s < raised.at_s < 16.0
    evidence = [m for m in told if isinstance(m, Reading) and m.seq in raised.evidence]
    assert len(evidence) == len(raised.evidence) > 3
    assert {m.label for m in evidence[-3:]} == {"anger"}
    assert isinstance(told[-1], CallEnded)
    assert told[-1].outcome == "angry"


def test_calm_after_anger_clears_the_alert_and_is_satisfied(model: EmotionModel) -> None:
    calm_again = np.concatenate([CALM, LOUD, speech_like(40.0) * 0.2])
    told = run(AngryModel(model), events_of("a", {"customer": calm_again}, 800))  # type: ignore[arg-type]
    anger, recovery = (m for m in told if isinstance(m, AlertRaised))
    (cleared,) = [m for m in told if isinstance(m, AlertCleared)]
    assert (anger.rule, cleared.alert, cleared.rule) == ("sustained_anger", anger.alert, "sustained_anger")
    assert (recovery.rule, recovery.severity) == ("recovery", "info")
    assert isinstance(told[-1], CallEnded)
    assert told[-1].outcome == "satisfied"


def test_an_acknowledgement_is_the_calls_next_message_and_comes_once(model: EmotionModel) -> None:
    events = list(events_of("a", {"customer": np.concatenate([CALM, LOUD])}, 800))
    said = [Acknowledged("a", "a:1", "Kim"), Acknowledged("a", "a:1", "Lou"), Acknowledged("b", "a:1", "Lou")]
    told = run(AngryModel(model), [*events[:-1], *said, events[-1]], one_by_one=True)  # type: ignore[arg-type]
    (acknowledged,) = [m for m in told if isinstance(m, AlertAcknowledged)]
    assert (acknowledged.alert, acknowledged.party, acknowledged.by) == ("a:1", "customer", "Kim")
    assert [m.seq for m in told] == list(range(1, len(told) + 1))
    early = run(AngryModel(model), [events[0], *said, *events[1:]], one_by_one=True)  # type: ignore[arg-type]
    assert not [m for m in early if isinstance(m, AlertAcknowledged)], "no alert was open yet"


def test_identities_of_a_call_are_pseudonyms_unless_they_may_be_shown(model: EmotionModel) -> None:
    who = {"customer": "tel:+15551234567"}
    opened = CallOpened("a", "siprec", None, {"agent": 0, "customer": 1}, agent="4711", identities=who)  # type: ignore[arg-type]
    (hidden,), (shown,) = run(model, [opened]), run(model, [opened], show_identities=True)
    assert isinstance(shown, CallStarted)
    assert (shown.agent, shown.parties["customer"].identity) == ("4711", "tel:+15551234567")
    assert isinstance(hidden, CallStarted)
    assert hidden.agent is not None
    assert hidden.agent.startswith("id-")
    assert "5551234567" not in repr(hidden)
    assert "4711" not in repr(hidden)


def test_the_outcome_is_the_customers_whatever_the_agent_sounds_like(model: EmotionModel) -> None:
    angry_agent = {"agent": np.concatenate([CALM, LOUD]), "customer": speech_like(20.0, seed=3) * 0.2}
    told = run(AngryModel(model), events_of("a", angry_agent, 800), score_agent=True)  # type: ignore[arg-type]
    assert [m.party for m in told if isinstance(m, AlertRaised)] == ["agent"]
    assert told[-1].outcome == "calm"  # type: ignore[union-attr]


def test_lost_audio_is_a_gap_message_and_gap_readings(model: EmotionModel) -> None:
    samples = TWO["customer"]
    told = run(
        model,
        [
            CallOpened("a", "rtp", None, {"customer": 0}, in_step=False),
            Block("a", "customer", 0, 8_000, samples[:32_000], 0.0),
            Block("a", "customer", 56_000, 8_000, samples[56_000:], 0.0),
            CallClosed("a", "end"),
        ],
    )
    (gap,) = [m for m in told if isinstance(m, Gap)]
    assert (gap.party, gap.start_s, gap.end_s, gap.reason) == ("customer", 4.0, 7.0, "lost")
    states = {m.end_s: m.state for m in told if isinstance(m, Reading)}
    assert [end for end, state in states.items() if state == "gap"] == [5.0 + 0.5 * k for k in range(9)]
    assert max(states) == 20.0


def test_a_call_that_goes_wrong_ends_alone(model: EmotionModel) -> None:
    bad = TWO["customer"].copy()
    bad[40_000] = np.nan
    good = list(events_of("good", {"customer": TWO["customer"]}, 800))
    wrong = list(events_of("wrong", {"customer": bad}, 800))
    told = run(model, [event for pair in zip(good, wrong, strict=True) for event in pair])
    (error,) = [m for m in told if isinstance(m, Error)]
    text = "sample at 5.000 s is nan: expected finite samples; export the audio again"
    assert (error.code, error.text) == ("audio", f"wrong: customer: {text}")
    ends = {m.call: m for m in told if isinstance(m, CallEnded)}
    assert ends["wrong"].reason == f"error: {text}"
    assert (ends["good"].reason, ends["good"].duration_s) == ("end", 20.0)
    assert without_times(m for m in told if getattr(m, "call", "") == "good") == without_times(run(model, good))


def test_what_cannot_be_opened_is_told(model: EmotionModel) -> None:
    (error,) = run(model, [Refused(AudioError("x.wav: empty"))])
    assert isinstance(error, Error)
    assert (error.code, error.text) == ("audio", "x.wav: empty")


def test_calls_beyond_the_limit_are_refused(model: EmotionModel) -> None:
    told = run(model, [*list(events_of("a", TWO, 160_000))[:-1], *events_of("b", TWO, 160_000)], max_calls=1)
    assert {getattr(m, "call", None) for m in told} == {"a", None}
    (error,) = [m for m in told if isinstance(m, Error)]
    assert error.text == "b: refused: 1 calls run, max_calls is 1; raise it or wait"


def test_a_fault_of_ours_is_told_and_stops_the_pipeline(model: EmotionModel) -> None:
    class Broken(AngryModel):
        def score(self, _: list[tuple[Stream, Window]]) -> np.ndarray:
            raise RuntimeError("boom")

    bus, told = Bus(), list[AnyMessage]()
    bus.subscribe(told.append)
    queue, finished = BlockQueue(1_000.0), threading.Event()
    finished.set()
    for event in events_of("a", TWO, 800):
        queue.put(event)
    with pytest.raises(PipelineError):
        Pipeline(Broken(model), Settings(), bus).run(queue, finished)  # type: ignore[arg-type]
    assert isinstance(told[-1], Error)
    assert told[-1].code == "pipeline"
    assert told[-1].text.startswith("scoring stopped: RuntimeError('boom'); nothing is read any more: restart")


def test_a_receiver_that_fails_is_counted_and_the_others_hear_all(model: EmotionModel) -> None:
    bus, told = Bus(), list[AnyMessage]()
    bus.subscribe(lambda _: 1 / 0)  # type: ignore[arg-type]
    bus.subscribe(told.append)
    Pipeline(model, Settings(), bus).handle(events_of("a", TWO, 8_000))
    assert bus.faults == len(told) > 10


def test_settings_that_contradict_the_model_are_refused(model: EmotionModel) -> None:
    with pytest.raises(SettingError, match=r"window_s must be the model's 3 s, got 2"):
        Pipeline(model, Settings(window_s=2.0), Bus())


class SlowModel(AngryModel):
    """An angry model that is given its time by the test."""

    def __init__(self, model: EmotionModel) -> None:
        super().__init__(model)
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def score(self, windows: list[tuple[Stream, Window]]) -> np.ndarray:
        if windows:
            self.asked.set()
            assert self.may_answer.wait(20.0)
        return super().score(windows)


class WatchedQueue(BlockQueue):
    """Says when all that waited was taken and the next is asked for."""

    def __init__(self) -> None:
        super().__init__(60.0)
        self.idle = threading.Semaphore(0)

    def take(self, timeout_s: float, most: int | None = None) -> list[Event]:
        if not self.waiting_s:
            self.idle.release()
        return super().take(timeout_s, most)


def test_while_the_network_scores_the_next_is_heard_and_all_is_told_in_order(model: EmotionModel) -> None:
    events = [*events_of("a", {"customer": speech_like(6.0)}, 2_000)]
    slow, queue, finished, told = SlowModel(model), WatchedQueue(), threading.Event(), list[AnyMessage]()
    bus = Bus()
    bus.subscribe(told.append)
    pipeline = Pipeline(slow, Settings(), bus)  # type: ignore[arg-type]
    thread = threading.Thread(target=pipeline.run, args=(queue, finished))
    thread.start()
    queue.put_all(events[:13])  # the first window is whole
    assert slow.asked.wait(20.0)
    queue.put_all(events[13:15])
    while queue.waiting_s:  # it is taken, though the first window has no scores yet
        assert queue.idle.acquire(timeout=20.0)
    assert [type(message) for message in told] == [CallStarted]
    slow.may_answer.set()
    queue.put_all(events[15:])
    finished.set()
    thread.join(20.0)
    assert [message.seq for message in told] == list(range(1, len(told) + 1))  # type: ignore[union-attr]
    assert [message.end_s for message in told if isinstance(message, Reading)] == [3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0]


class FinishingQueue(BlockQueue):
    """What comes last comes after a look that found nothing, together with the end."""

    def __init__(self, last: Iterable[Event], finished: threading.Event) -> None:
        super().__init__(60.0)
        self._last, self._finished = list(last), finished

    def take(self, timeout_s: float, most: int | None = None) -> list[Event]:
        taken = super().take(timeout_s, most)
        if not taken:
            last, self._last = self._last, []
            self.put_all(last)
            self._finished.set()
        return taken


def test_nothing_is_lost_that_comes_together_with_the_end(model: EmotionModel) -> None:
    bus, told, finished = Bus(), list[AnyMessage](), threading.Event()
    bus.subscribe(told.append)
    queue = FinishingQueue(events_of("a", {"customer": speech_like(3.0)}, 2_000), finished)
    Pipeline(model, Settings(), bus).run(queue, finished)
    assert [type(message) for message in told] == [CallStarted, Reading, CallEnded]


class LazyNetwork:
    """Scores when it is asked for the result, and is done when it was once looked at; notes how many batches were with it."""

    def __init__(self) -> None:
        self.waiting: set[LazyBatch] = set()
        self.most = 0
        self.at_result: Callable[[], None] = lambda: None

    def __enter__(self) -> "LazyNetwork":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, score: Callable[[object], Any], due: object) -> "LazyBatch":
        batch = LazyBatch(self, lambda: score(due))
        self.waiting.add(batch)
        self.most = max(self.most, len(self.waiting))
        return batch


class LazyBatch:
    def __init__(self, network: LazyNetwork, score: Callable[[], Any]) -> None:
        self._network, self._score, self._looked = network, score, False

    def done(self) -> bool:
        looked, self._looked = self._looked, True
        return looked

    def result(self) -> Any:
        self._network.waiting.discard(self)
        self._network.at_result()
        return self._score()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> LazyNetwork:
    one = LazyNetwork()
    monkeypatch.setattr("monitor.pipeline.ThreadPoolExecutor", lambda *_, **__: one)
    return one


def run_through(pipeline: Pipeline, events: Iterable[Event]) -> None:
    queue, finished = BlockQueue(1_000.0), threading.Event()
    queue.put_all(events)
    finished.set()
    pipeline.run(queue, finished)


def test_at_most_two_batches_are_with_the_network_however_much_is_taken(
    model: EmotionModel, network: LazyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.pipeline._MOST_AT_ONCE", 12)  # cells, and events of 3 s each
    run_through(Pipeline(model, Settings(), Bus()), events_of("a", {"customer": speech_like(30.0)}, 24_000))
    assert network.most == 2


def test_what_is_with_the_network_is_as_late_as_its_audio_is_old(model: EmotionModel, network: LazyNetwork) -> None:
    pipeline, waited_s = Pipeline(model, Settings(), Bus()), list[float]()
    network.at_result = lambda: waited_s.append(pipeline.waited_s(107.0))
    voice = speech_like(3.5)
    opened = CallOpened("a", "rtp", None, {"customer": 0}, in_step=False)
    pieces = [voice[:24_000], voice[24_000:]]
    blocks = [Block("a", "customer", 24_000 * k, 8_000, piece, 100.0 + 2.0 * k) for k, piece in enumerate(pieces)]
    run_through(pipeline, [opened, *blocks])
    assert (waited_s, pipeline.waited_s(107.0)) == ([7.0], 0.0)


def test_the_end_of_a_call_that_was_silent_for_long_is_not_late(model: EmotionModel, network: LazyNetwork) -> None:
    pipeline, waited_s = Pipeline(model, Settings(), Bus()), list[float]()
    began_s = time.monotonic()
    network.at_result = lambda: waited_s.append(pipeline.waited_s(began_s))
    opened = CallOpened("a", "rtp", None, {"customer": 0}, in_step=False)
    block = Block("a", "customer", 0, 8_000, speech_like(2.0), began_s - 60.0)
    run_through(pipeline, [opened, block, CallClosed("a", "end")])
    assert waited_s == [0.0]


def test_a_pipeline_that_failed_is_not_late(model: EmotionModel, network: LazyNetwork) -> None:
    def fail() -> None:
        raise RuntimeError("boom")

    network.at_result = fail
    pipeline = Pipeline(model, Settings(), Bus())
    with pytest.raises(PipelineError):
        run_through(pipeline, events_of("a", TWO, 8_000))
    assert pipeline.waited_s(time.monotonic() + 60.0) == 0.0
