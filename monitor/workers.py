"""Recordings that are scored in several processes at once, as fast as possible: a `Source` of messages instead of audio.

A worker has the whole live path to itself and plays one recording after the other; its messages come here when the recording is
through, and are told in the order of the recordings. A worker that dies costs only the recording that killed it.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from pathlib import Path

from monitor.errors import SourceError
from monitor.messages import AnyMessage, CallStarted, Error, Party, rfc3339
from monitor.model import EmotionModel, default_path
from monitor.playback import played
from monitor.settings import Settings
from monitor.sources import CallNames, Intake, Refused, Told
from monitor.sources.audiofile import printable
from monitor.sources.recording import call_name, found_recordings, taken_as

_log = logging.getLogger(__name__)

_MOST = 61
"""Processes: Windows waits for no more."""
_WORTH = 4
"""Recordings a worker: starting one costs as much as a few minutes of audio."""
_AHEAD = 2
"""Recordings a worker that are given out: what is through waits for those before it, and is bounded."""
_LOOK_S = 0.1


def worth_workers(recordings: int) -> int:
    """How many processes so many recordings are worth on this machine."""
    return max(1, min(os.cpu_count() or 1, recordings // _WORTH))


class RecordingsApart:
    """Files, and folders of files, as calls: a `Source`. What cannot be played is refused by itself."""

    def __init__(
        self,
        paths: Iterable[str | Path],
        names: CallNames,
        settings: Settings,
        *,
        jobs: int,
        channels: tuple[Party, ...] | None = None,
        agent: str | None = None,
    ) -> None:
        """`agent`: the id of the agent whose calls these are."""
        self._paths, self._names, self._settings, self._agent = list(paths), names, settings, agent
        self._jobs, self._channels = min(jobs, _MOST), channels
        self._said: set[int] = set()

    def run(self, queue: Intake, stop: threading.Event) -> None:
        """Play all until `stop` is set. Raises nothing: see Refused."""
        files, faults = found_recordings(self._paths)
        for fault in faults:
            queue.put(Refused(fault))
        asked = deque((path, self._names.take(call_name(path))) for path in files)
        while asked and not stop.is_set():
            with self._pool() as pool:
                died = self._play(pool, self._jobs * _AHEAD, asked, queue, stop)
            if died and not stop.is_set():  # alone, the recording that kills its worker is known
                self._play_alone(asked, queue, stop)

    def _pool(self, workers: int | None = None) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            workers or self._jobs, multiprocessing.get_context("spawn"), _begin, (self._settings, self._channels)
        )

    def _play(
        self,
        pool: ProcessPoolExecutor,
        ahead: int,
        asked: "deque[tuple[str, str]]",
        queue: Intake,
        stop: threading.Event,
    ) -> bool:
        """Play `asked`, of which those that are told leave; whether a worker died before all were."""
        playing: deque[Future[list[AnyMessage]]] = deque()
        while asked:
            with suppress(BrokenProcessPool):
                playing += [pool.submit(_messages, *one) for one in islice(asked, len(playing), ahead)]
            messages = _through(playing[0], stop) if playing else None
            if messages is None:
                return not stop.is_set()
            playing.popleft()
            asked.popleft()
            self._say(messages)
            queue.put(Told(messages, self._agent), wait=True, stop=stop)
        return False

    def _play_alone(self, asked: "deque[tuple[str, str]]", queue: Intake, stop: threading.Event) -> None:
        """Play the first of `asked`, or refuse it."""
        one = deque([asked.popleft()])
        path = printable(one[0][0])
        with self._pool(1) as pool:
            died = self._play(pool, 1, one, queue, stop)
        if died:
            text = f"{path}: the process that scored it died; the others are played: report this with the recording"
            queue.put(Refused(SourceError(text)))

    def _say(self, messages: Sequence[AnyMessage]) -> None:
        """Who the channels are taken for, once."""
        for message in messages:
            if isinstance(message, CallStarted) and self._channels is None and len(message.parties) not in self._said:
                self._said.add(len(message.parties))
                _log.warning(taken_as(len(message.parties)))


def _through(playing: "Future[list[AnyMessage]]", stop: threading.Event) -> list[AnyMessage] | None:
    """Its messages; None where a worker died, or `stop` is set: then all of them are ended."""
    while not stop.is_set():
        with suppress(TimeoutError):
            try:
                return playing.result(_LOOK_S)
            except (BrokenProcessPool, CancelledError):
                return None
    for child in multiprocessing.active_children():
        child.terminate()
    return None


class _Named(CallNames):
    """The one name that the next call has been given already."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def take(self, wished: str) -> str:  # noqa: ARG002
        return self._name


_worker: tuple[EmotionModel, Settings, tuple[Party, ...] | None]


def _begin(settings: Settings, channels: tuple[Party, ...] | None) -> None:
    """In a worker, once."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word: whoever began it has the last
    logging.getLogger("monitor").setLevel(logging.ERROR)
    model = EmotionModel(Path(settings.model) if settings.model else default_path())
    _worker = model, settings, channels


def _messages(path: str, name: str) -> list[AnyMessage]:
    """In a worker: all that is to be said of the recording at `path`."""
    model, settings, channels = _worker
    try:
        return [*played([path], settings, model, channels, _Named(name))]
    except Exception as fault:  # the edge of the process: it must cost no other recording
        error = SourceError(f"{printable(path)}: scoring failed: {fault!r}; report this with the recording")
        return [Error(at=rfc3339(time.time()), code=error.code, text=str(error))]
