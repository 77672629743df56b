"""Where a report's calls come from: recordings, messages that were printed, the history. Nothing is printed."""

import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import soundfile

from monitor.dashboard.looks import plain
from monitor.errors import HistoryError, ReportError
from monitor.history.archive import Archive, StoredCall
from monitor.messages import AnyCallMessage, CallEnded, CallStarted, Error, Hello, Party, Reading, decode
from monitor.model import EmotionModel
from monitor.playback import played
from monitor.report.facts import CallFacts, Origin, facts_of
from monitor.settings import Settings
from monitor.sources.audiofile import SUFFIXES, printable

LINES = (".jsonl", ".ndjson")
_NAMED = ("score_agent", "score_mixed", "hop_s", "min_speech_s", "max_lost_s", "smooth_s", "mood_s", "outcome_s")
"""Settings that bear on every reading: told whether they were changed or not."""
_NOT_OF_READINGS = (
    "host",
    "port",
    "page",
    "token",
    "tls",
    "origins",
    "max_conn",
    "audit",
    "webhooks",
    "history",
    "rtp",
    "siprec",
)
_NEAR_AMONG = 2_000
"""Calls of the history, the last ones, among which a misspelt name is looked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What reports are asked of."""

    recordings: tuple[str, ...]
    """Files and folders."""
    lines: tuple[str, ...]
    """Files of messages."""
    calls: tuple[str, ...]
    """Names or ids in the history."""

    @property
    def several(self) -> bool:
        """Whether it is more than one call for certain, or may be."""
        count = len(self.recordings) + len(self.lines) + len(self.calls)
        return count > 1 or any(Path(path).is_dir() for path in self.recordings)


def sort(arguments: Sequence[str]) -> Asked:
    """Which of `arguments` are recordings, files of messages, and calls: what is there, or looks like one, is a file."""
    found: dict[str, list[str]] = {"recordings": [], "lines": [], "calls": []}
    for argument in arguments:
        suffix = Path(argument).suffix.lower()
        there = os.path.lexists(argument) or os.sep in argument
        kind = "lines" if suffix in LINES else "recordings" if there or suffix in SUFFIXES else "calls"
        found[kind].append(argument)
    return Asked(**{kind: tuple(paths) for kind, paths in found.items()})


def from_recordings(
    paths: Sequence[str],
    settings: Settings,
    model: EmotionModel,
    channels: tuple[Party, ...] | None,
    heard: Callable[[float], None],
) -> Iterator[CallFacts | str]:
    """The calls in recordings, each as soon as it is through; as text, what was wrong with one that cannot be reported.
    `heard` is told of every second of them that is played."""
    meaning = model.meaning
    scores = {name: value for name, value in meaning.scores.items() if isinstance(value, float)}
    origin = Origin("recording", f"{meaning.name} {meaning.version}", scores, _telling(settings))
    told: dict[str, list[AnyCallMessage]] = {}
    came_s: dict[str, float] = {}
    for message in played(paths, settings, model, channels):
        if isinstance(message, Error):
            yield message.text
        if not isinstance(message, AnyCallMessage):
            continue
        told.setdefault(message.call, []).append(message)
        if isinstance(message, Reading) and message.end_s > came_s.get(message.call, 0.0):
            heard(message.end_s - came_s.get(message.call, 0.0))
            came_s[message.call] = message.end_s
        if isinstance(message, CallEnded):
            yield _facts_or_fault(told.pop(message.call), origin)


def from_lines(path: str) -> list[CallFacts | str]:
    """The calls in a file of messages, as `replay --json` and `watch --json` print them; as text, why one cannot be reported.

    Raises ReportError where the file cannot be read.
    """
    hello: Hello | None = None
    told: list[list[AnyCallMessage]] = []
    running: dict[str, list[AnyCallMessage]] = {}
    for message in _messages(path):
        match message:
            case Hello():
                running = running if hello and hello.epoch == message.epoch else {}  # the same server, after a cut
                hello = message
            case CallStarted() if message not in running.get(message.call, ())[:1]:
                told.append([message])
                running[message.call] = told[-1]
            case _ if isinstance(message, AnyCallMessage):
                if message.call not in running:
                    told.append(running.setdefault(message.call, []))
                running[message.call].append(message)
    if not told:
        raise ReportError(
            f"{printable(path)}: no call in it, expected messages as `callmood replay --json` prints them"
        )
    origin = Origin("messages", hello.model if hello else "", hello.model_scores if hello else None)
    return [_facts_or_fault(messages, origin) for messages in told]


def opened(path: Path, names: Sequence[str]) -> Archive:
    """The history at `path`, in which the calls `names` are looked for. Raises HistoryError."""
    try:
        return Archive(path)
    except HistoryError as error:
        raise HistoryError(f"no file here is {plain(names[0])!r}, and {error}") from error


def stored(archive: Archive, name: str) -> StoredCall:
    """The call of that id or name in the history. Raises HistoryError, which names the nearest ones."""
    try:
        return archive.call(name)
    except HistoryError as error:
        known = {call.call: None for call in archive.calls(limit=_NEAR_AMONG)}
        if name in known:
            raise
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, map(plain, near)))}" if near else ""
        raise HistoryError(f"{error}, and no file here is {plain(name)!r}{hint}") from error


def from_name(archive: Archive, name: str) -> list[CallFacts]:
    """The one call of that id or name. Raises HistoryError, ReportError."""
    return [from_history(archive, stored(archive, name))]


def from_history(archive: Archive, call: StoredCall) -> CallFacts:
    """The facts of a stored call. Raises ReportError where nothing of it was read."""
    return facts_of(archive.messages(call.id), Origin("history", call.model))


def length_s(paths: Sequence[str]) -> float:
    """How long the recordings at `paths` (files, or folders of them) are together, as far as their headers say."""
    named = [Path(path) for path in paths]
    inside = [file for path in named if path.is_dir() for file in path.rglob("*") if file.suffix.lower() in SUFFIXES]
    return sum(map(_length_s, [path for path in named if path.is_file()] + inside))


def _facts_or_fault(messages: Sequence[AnyCallMessage], origin: Origin) -> CallFacts | str:
    try:
        return facts_of(messages, origin)
    except ReportError as error:
        return str(error)


def _length_s(file: Path) -> float:
    try:
        return float(soundfile.info(file).duration)
    except (OSError, soundfile.SoundFileError):
        return 0.0


def _telling(settings: Settings) -> dict[str, str]:
    """Those that bear on what is read, and whatever else of that kind was changed."""
    named = {name: getattr(settings, name) for name in _NAMED}
    changed = {name: value for name, value in settings.changed().items() if not name.startswith(_NOT_OF_READINGS)}
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in (named | changed).items()
    }


def _messages(path: str) -> Iterator[object]:
    """The messages in a file, a line each; what a later version adds is passed over. Raises ReportError."""
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield decode(line)
                    except msgspec.DecodeError as error:
                        raise ReportError(_no_message(path, number, error)) from error
    except OSError as error:
        raise ReportError(
            f"{printable(path)}: cannot be read ({error.strerror}), expected a file of messages"
        ) from error


def _no_message(path: str, number: int, error: msgspec.DecodeError) -> str:
    return (
        f"{printable(path)}, line {number}: no message ({plain(str(error))}), expected one JSON object a line as "
        "`callmood replay --json` prints them"
    )
