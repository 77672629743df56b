"""Recordings as calls: files and folders, played at live pace or as fast as they can be scored."""

import heapq
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from monitor.audio import Block
from monitor.errors import AudioError, SettingError
from monitor.messages import PARTIES, Party
from monitor.sources import CallClosed, CallNames, CallOpened, Intake, Refused
from monitor.sources.audiofile import SUFFIXES, AudioFile, look, printable

logger = logging.getLogger(__name__)

Pace = Literal["live", "fast"]

_STEP_S: dict[Pace, float] = {"live": 0.1, "fast": 5.0}
"""Length of a block. Readings do not depend on it."""
_FILES_KEPT_FREE = 128
"""Open files left to the rest of the program."""
_UNNAMED: dict[int, tuple[Party, ...]] = {1: ("customer",), 2: ("agent", "customer")}
_TAKEN_AS: dict[int, str] = {
    1: "one channel is taken as the customer; name it otherwise with --channels mixed",
    2: "two channels are taken as agent,customer; name them otherwise with --channels customer,agent",
}


def parse_channels(text: str) -> tuple[Party, ...]:
    """The party of each channel in `text`, such as `agent,customer`. Raises SettingError."""
    words = [word.strip().lower() for word in text.split(",")]
    for word in words:
        if word not in PARTIES:
            known = ", ".join(PARTIES)
            raise SettingError(f"--channels takes {known}, got {word!r}: for example --channels agent,customer")
        if words.count(word) > 1:
            raise SettingError(f"--channels names {word} twice: name each party once, for example agent,customer")
    if len(words) > 1 and "mixed" in words:
        raise SettingError(f"--channels {text}: mixed is both parties on one channel, it stands alone")
    return tuple(party for word in words for party in PARTIES if party == word)


def count_recordings(paths: Iterable[str | Path]) -> int:
    """How many files `Recordings` would try to play."""
    # pathlib's own is_dir raises where a folder above may not be read.
    return sum(len(_recordings_in(os.fspath(path))[0]) if os.path.isdir(path) else 1 for path in paths)  # noqa: PTH112


def found_recordings(paths: Iterable[str | Path]) -> tuple[list[str], list[AudioError]]:
    """Every file to play, and what is wrong with paths that lead to none."""
    found: list[str] = []
    faults: list[AudioError] = []
    for given in paths:
        path = os.fspath(given)
        # pathlib's own is_dir raises where a folder above may not be read.
        files, wrong = _recordings_in(path) if os.path.isdir(path) else _recording_at(path)  # noqa: PTH112
        found += files
        faults += wrong
    return found, faults


def call_name(path: str) -> str:
    """What the call in a recording is called, if no other is."""
    return _text(Path(path).stem)


def taken_as(channels: int) -> str:
    """Who the channels are taken for where nobody says it, for people."""
    return _TAKEN_AS[channels]


class Recordings:
    """Files, and folders of files, as calls: a `Source`. What cannot be played is refused by itself.

    At live pace all play at once, at most `max_calls`, and the others wait for their turn; at fast pace two a core.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        names: CallNames,
        *,
        channels: tuple[Party, ...] | None = None,
        pace: Pace = "live",
        max_calls: int,
        agent: str | None = None,
    ) -> None:
        """`agent`: the id of the agent whose calls these are."""
        self._paths = [os.fspath(path) for path in paths]
        self._names = names
        self._channels = channels
        self._pace = pace
        self._agent = agent
        self._at_once = 2 * (os.cpu_count() or 1) if pace == "fast" else min(max_calls, _files_that_may_be_open())
        self._said: set[int] = set()

    def run(self, queue: Intake, stop: threading.Event) -> None:
        """Play all; when `stop` is set, close what is open as `stopped`. Raises nothing: see Refused."""
        found, faults = found_recordings(self._paths)  # paths that lead to none are refused before anything plays
        for fault in faults:
            queue.put(Refused(fault))
        waiting = deque(found)
        playing: list[_Playing] = []
        while (waiting or playing) and not stop.is_set():
            if waiting and len(playing) < self._at_once:
                if opened := self._open(waiting.popleft(), queue):
                    heapq.heappush(playing, opened)
            elif stop.wait(playing[0].turn_s - time.monotonic()):
                break
            elif playing[0].step(queue, stop):
                heapq.heapreplace(playing, playing[0])
            else:
                heapq.heappop(playing)
        for call in playing:
            call.close("stopped", queue, stop)

    def _open(self, path: str, queue: Intake) -> "_Playing | None":
        try:
            file = AudioFile(path)
            parties = self._parties(path, file)
        except AudioError as error:
            queue.put(Refused(error))
            return None
        call = self._names.take(call_name(path))
        channels = {party: channel for channel, party in enumerate(parties)}
        queue.put(CallOpened(call, "recording", _text(path), channels, agent=self._agent))
        return _Playing(call, file, parties, self._pace)

    def _parties(self, path: str, file: AudioFile) -> tuple[Party, ...]:
        if self._channels is None:
            if file.channels not in self._said:
                self._said.add(file.channels)
                logger.warning(taken_as(file.channels))
            return _UNNAMED[file.channels]
        if len(self._channels) != file.channels:
            file.close()
            has = "1 channel" if file.channels == 1 else f"{file.channels} channels"
            named = f"--channels names {len(self._channels)} ({','.join(self._channels)})"
            raise AudioError(f"{printable(path)}: has {has}, but {named}; name one party a channel")
        return self._channels


class _Playing:
    """A call that is under way. Ordered by whose turn is next."""

    def __init__(self, call: str, file: AudioFile, parties: tuple[Party, ...], pace: Pace) -> None:
        self._call = call
        self._file = file
        self._parties = parties
        self._live = pace == "live"
        self._step = round(file.sample_rate * _STEP_S[pace])
        self._began_s = time.monotonic()
        self.turn_s = self._next_turn_s()
        """Monotonic clock: when its next block has been spoken; at fast pace, when it had its last turn."""

    def __lt__(self, other: "_Playing") -> bool:
        return self.turn_s < other.turn_s

    def step(self, queue: Intake, stop: threading.Event) -> bool:
        """Put its next block, a party at a time, and its end after the last; whether it still plays."""
        start = self._file.position
        channels = self._file.read(self._step)
        arrived_s = self.turn_s if self._live else time.monotonic()
        for party, samples in zip(self._parties, channels, strict=True):
            if samples.size:
                block = Block(self._call, party, start, self._file.sample_rate, samples, arrived_s)
                queue.put(block, wait=True, stop=stop)
        if self._file.ended and not stop.is_set():
            fault = self._file.fault
            self.close(f"error: {fault}" if fault else "end", queue, stop, fault)
            return False
        self.turn_s = self._next_turn_s()
        return True

    def close(self, reason: str, queue: Intake, stop: threading.Event, fault: AudioError | None = None) -> None:
        """Put its end."""
        self._file.close()
        queue.put(CallClosed(self._call, reason, fault), wait=True, stop=stop)

    def _next_turn_s(self) -> float:
        if not self._live:
            return time.monotonic()
        # Reckoned from the beginning, so that it cannot drift and catches up after a stall.
        return self._began_s + (self._file.position + self._step) / self._file.sample_rate


def _text(path: str) -> str:
    """`path` as text that can be sent: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def _recordings_in(folder: str) -> tuple[list[str], list[AudioError]]:
    """The recordings under `folder`, sorted by name, hidden ones left out; and what is wrong with it."""
    found: list[str] = []
    faults: list[AudioError] = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: faults.append(_not_listed(error))):
        folders[:] = [name for name in folders if not name.startswith(".")]
        # Joined as text: a path is shown as it was given.
        found += (os.path.join(parent, name) for name in names if _is_recording(name))  # noqa: PTH118
    if not found and not faults:
        kinds = ", ".join(sorted(SUFFIXES))
        faults = [AudioError(f"{printable(folder)}: a folder without recordings, expected files named {kinds}")]
    return sorted(found), faults


def _recording_at(path: str) -> tuple[list[str], list[AudioError]]:
    """The recording that `path` names, or what is wrong with it."""
    try:
        return [look(path)], []
    except AudioError as error:
        return [], [error]


def _is_recording(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def _not_listed(error: OSError) -> AudioError:
    folder = printable(os.fsdecode(error.filename))
    return AudioError(f"{folder}: cannot be listed ({error.strerror}), expected a folder; check its permissions")


def _files_that_may_be_open() -> int:
    """How many recordings the operating system lets this program hold open, leaving some files to its other parts."""
    if sys.platform == "win32":
        return 400
    import resource

    return max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _FILES_KEPT_FREE)
