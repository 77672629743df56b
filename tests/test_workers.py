import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NoReturn

import pytest
import soundfile

from monitor import workers
from monitor.bus import Bus
from monitor.identities import Identities
from monitor.messages import AnyMessage, CallEnded, CallStarted, Error, Reading
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.playback import played
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallNames
from monitor.workers import RecordingsApart, worth_workers
from tests.test_windows import speech_like
from tests.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """With the tiny model."""
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    write_tiny_model(path)
    return Settings(model=str(path))


def recordings(folder: Path, *names: str) -> list[Path]:
    """Some seconds of speech each, of two parties."""
    paths = []
    for number, name in enumerate(names):
        path = folder / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        seconds = 4 + len(names) - number  # the first is through last
        soundfile.write(path, speech_like(seconds)[:, None].repeat(2, axis=1), 8_000)
        paths.append(path)
    return paths


def told(source: RecordingsApart, settings: Settings, stop: threading.Event | None = None) -> list[AnyMessage]:
    """All that is told of what it plays."""
    queue, messages, bus = BlockQueue(settings.queue_s), list[AnyMessage](), Bus()
    bus.subscribe(messages.append)
    pipeline = Pipeline(EmotionModel(Path(settings.model)), settings, bus, identities=Identities(show=True))
    player = threading.Thread(target=source.run, args=(queue, stop or threading.Event()))
    player.start()
    while player.is_alive():
        pipeline.handle(queue.take(0.05))
    pipeline.handle(queue.take(0.0))
    return messages


def content(messages: list[AnyMessage]) -> list[dict[str, Any]]:
    """Without what the clock says."""
    names = {"at", "latency_ms"}
    return [{name: getattr(m, name) for name in m.__struct_fields__ if name not in names} for m in messages]


def test_processes_tell_what_one_would_in_the_order_of_the_files(settings: Settings, tmp_path: Path) -> None:
    paths = recordings(tmp_path, "one", "two", "sub/one")
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    given = [*paths[:2], tmp_path / "bad.wav", tmp_path / "none.wav", paths[2]]
    messages = told(RecordingsApart(given, CallNames(), settings, jobs=2, agent="4711"), settings)
    missing, *others = messages
    assert isinstance(missing, Error)
    assert "none.wav" in missing.text
    ends = [m.call if isinstance(m, CallEnded) else "bad" for m in others if isinstance(m, CallEnded | Error)]
    assert ends == ["one", "two", "bad", "one-2"]
    assert {m.agent for m in others if isinstance(m, CallStarted)} == {"4711"}
    alone = [*played(paths[:1], settings, EmotionModel(Path(settings.model)))]
    ours = others[: len(alone)]
    assert content(ours)[1:] == content(alone)[1:]
    assert any(isinstance(m, Reading) and m.scores for m in ours)


def test_a_recording_that_kills_its_worker_costs_no_other(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = recordings(tmp_path, "deadly", "other")
    monkeypatch.setattr(workers, "_messages", _deadly)
    messages = told(RecordingsApart(paths, CallNames(), settings, jobs=1), settings)
    assert [m.call for m in messages if isinstance(m, CallEnded)] == ["other"]
    (error,) = [m for m in messages if isinstance(m, Error)]
    assert "deadly.wav: the process that scored it died" in error.text


def test_a_fault_of_ours_costs_no_other_recording(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def played(*_: Any) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(workers, "played", played)
    monkeypatch.setattr(workers, "_worker", (None, settings, None), raising=False)
    (error,) = workers._messages(str(tmp_path / "one.wav"), "one")
    assert isinstance(error, Error)
    assert error.code == "source"
    assert "one.wav" in error.text


def _deadly(path: str, name: str) -> list[AnyMessage]:
    """In a worker."""
    if name == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    return workers._messages(path, name)


def test_what_is_stopped_ends_at_once(settings: Settings, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert (
        told(RecordingsApart(recordings(tmp_path, "one", "two"), CallNames(), settings, jobs=2), settings, stop) == []
    )


def test_few_recordings_are_worth_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert [worth_workers(count) for count in (1, 7, 8, 20, 1_000)] == [1, 1, 2, 5, 8]


def test_a_worker_that_cannot_begin_is_told(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> ProcessPoolExecutor:
        raise BrokenProcessPool

    monkeypatch.setattr(ProcessPoolExecutor, "submit", broken)
    messages = told(RecordingsApart(recordings(tmp_path, "one", "two"), CallNames(), settings, jobs=2), settings)
    assert [type(m) for m in messages] == [Error, Error]
