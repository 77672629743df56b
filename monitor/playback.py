"""Recordings through the whole live path as fast as possible: what the messages would have been."""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from monitor.bus import Bus
from monitor.errors import CallmoodError
from monitor.messages import AnyMessage, Party
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallNames, Intake, Refused, Source
from monitor.sources.audiofile import is_capture
from monitor.sources.recording import Recordings

_TAKE_S = 0.05


def played(
    paths: Sequence[str | Path],
    settings: Settings,
    model: EmotionModel,
    channels: tuple[Party, ...] | None = None,
    names: CallNames | None = None,
) -> Iterator[AnyMessage]:
    """The messages of the recordings at `paths` (files, folders of them, or captures), as they come; what cannot be played
    is an `error` among them. `channels`: who is on each; None: as `callmood replay` takes them. `names`: those of the calls;
    None: of these alone. Raises SettingError.

    Reading ahead is bounded by the queue of the live path; whoever stops iterating stops the playing.
    """
    told: list[AnyMessage] = []
    bus, queue = Bus(), BlockQueue(settings.queue_s)
    bus.subscribe(told.append)
    pipeline = Pipeline(model, settings, bus)
    sources, stop = _sources(paths, settings, channels, names or CallNames()), threading.Event()
    player = threading.Thread(target=_play, args=(sources, queue, stop), name="playback", daemon=True)
    player.start()
    try:
        ended = False
        while not ended:
            ended = not player.is_alive()  # asked first: then all that it put is there to be taken
            pipeline.handle(queue.take(_TAKE_S))
            yield from told
            told.clear()
    finally:
        stop.set()
        queue.close()
        player.join()


def _sources(
    paths: Sequence[str | Path], settings: Settings, channels: tuple[Party, ...] | None, names: CallNames
) -> list[Source]:
    given = [os.fspath(path) for path in paths]
    captures = [path for path in given if is_capture(path)]
    recordings = [path for path in given if path not in captures]
    sources: list[Source] = []
    if recordings or not captures:
        sources.append(Recordings(recordings, names, channels=channels, pace="fast", max_calls=settings.max_calls))
    if captures:
        from monitor.sources.pcap import Captures, Casting  # needs the extra `pcap`

        sources.append(Captures(captures, names, Casting(ordered=channels or ()), settings.rtp, "fast"))
    return sources


def _play(sources: Sequence[Source], queue: Intake, stop: threading.Event) -> None:
    for source in sources:
        try:
            source.run(queue, stop)
        except CallmoodError as error:
            queue.put(Refused(error))
