"""Recordings and clips through the live path: the same windows, scores, baseline, labels and alerts as in a running call."""

import copy
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from monitor.audio import SAMPLE_RATE, Block, Samples
from monitor.bus import Bus
from monitor.messages import LABELS, AnyCallMessage, AnyMessage, Party, Reading
from monitor.model import EmotionModel, Stream
from monitor.pipeline import Pipeline
from monitor.readings import unscored_state
from monitor.settings import Settings
from monitor.sources import CallClosed, CallOpened, Event
from monitor.windows import PartyWindows, Window
from train.corpus import CorpusError

AT_ONCE = 64
"""Calls that go through the pipeline together: enough for whole batches, few enough for the memory."""
LIVE = Settings()
"""What a node without a settings file does."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A call as it was recorded."""

    name: str
    """Of no other call."""
    parties: Mapping[Party, Samples] = field(repr=False)
    """(n,) each, full scale ±1."""
    sample_rate: int = SAMPLE_RATE
    """Hertz."""


def windows(samples: Samples, settings: Settings = LIVE) -> list[Window]:
    """The windows that a live call of (n,) `samples` at 8 kHz is cut into, its last one included."""
    party = PartyWindows(settings.window_s, settings.hop_s, with_features=True)
    items = [*party.push(_block("", "customer", samples, SAMPLE_RATE)), *party.finish()]
    return [item for item in items if isinstance(item, Window)]


def speech_windows(samples: Samples, settings: Settings = LIVE) -> list[Window]:
    """The windows of (n,) `samples` that would be scored live; all of them where that is none."""
    cut = windows(samples, settings)
    return [window for window in cut if unscored_state(window, settings) is None] or cut


def speech_powers(samples: Samples, settings: Settings = LIVE) -> list[Samples]:
    """(192, 64) mel power of its `speech_windows`."""
    return [window.power for window in speech_windows(samples, settings) if window.power is not None]


def heard(
    calls: Iterable[Recorded], model: EmotionModel, settings: Settings = LIVE
) -> Iterator[tuple[str, list[AnyCallMessage]]]:
    """Every call's name and its messages, in the calls' order. Raises `CorpusError` where the pipeline refuses one."""
    waiting = iter(calls)
    while together := tuple(islice(waiting, AT_ONCE)):
        yield from _heard_together(together, model, settings)


def streamed(windows: Iterable[Window]) -> list[tuple[Stream, Window]]:
    """Windows of one party, in order, as a model scores them."""
    stream = Stream()
    return [(stream, window) for window in windows]


def _heard_together(
    calls: Sequence[Recorded], model: EmotionModel, settings: Settings
) -> Iterator[tuple[str, list[AnyCallMessage]]]:
    told: dict[str, list[AnyCallMessage]] = defaultdict(list)
    others: list[AnyMessage] = []

    def receive(message: AnyMessage) -> None:
        told[message.call].append(message) if isinstance(message, AnyCallMessage) else others.append(message)

    bus = Bus()
    bus.subscribe(receive)
    pipeline = Pipeline(model, replace(settings, max_calls=max(settings.max_calls, AT_ONCE)), bus)
    pipeline.handle(event for call in calls for event in _events(call))
    if others:
        raise CorpusError(f"a call could not be heard: {getattr(others[0], 'text', others[0])}")
    for call in calls:
        yield call.name, told[call.name]


def _events(call: Recorded) -> Iterator[Event]:
    yield CallOpened(call.name, "recording", None, {party: channel for channel, party in enumerate(call.parties)})
    step = call.sample_rate
    longest = max(len(samples) for samples in call.parties.values())
    for start in range(0, longest, step):
        for party, samples in call.parties.items():
            if len(piece := samples[start : start + step]):
                yield _block(call.name, party, piece, call.sample_rate, start)
    yield CallClosed(call.name, "end")


def _block(call: str, party: Party, samples: Samples, sample_rate: int, start: int = 0) -> Block:
    return Block(call, party, start, sample_rate, np.ascontiguousarray(samples, np.float32), time.monotonic())


def clip_scores(clips: Iterable[Samples], model: EmotionModel, settings: Settings = LIVE) -> np.ndarray:
    """(clips, 6) each clip's mean scores, the clip being a call without earlier speech.

    The scores are those of the readings, baseline and all. Of a clip whose every window was left unscored (silence, too
    little speech, clipped) they are the windows' own: abstention removes no clip.
    """
    kept = list(clips)
    calls = (Recorded(str(number), {"customer": samples}) for number, samples in enumerate(kept))
    rows = []
    for samples, (_, messages) in zip(kept, heard(calls, model, settings), strict=True):
        scores = [list(m.scores.values()) for m in messages if isinstance(m, Reading) and m.scores is not None]
        rows.append(np.mean(scores or np.exp(model.score(streamed(speech_windows(samples, settings)))), axis=0))
    return np.array(rows).reshape(-1, len(LABELS))


def with_meaning(model: EmotionModel, **changes: Any) -> EmotionModel:
    """The same network with another meaning; the given model stays as it is."""
    other = copy.copy(model)
    other.meaning = msgspec.structs.replace(model.meaning, **changes)
    return other
