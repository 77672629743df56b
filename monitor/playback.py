"""Recordings through the whole live path as fast as possible: what the messages would have been."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from monitor.bus import Bus
from monitor.messages import AnyMessage, Party
from monitor.model import EmotionModel
from monitor.pipeline import Pipeline
from monitor.settings import Settings
from monitor.sources import BlockQueue, CallNames
from monitor.sources.recording import Recordings

_TAKE_S = 0.05


def played(
    paths: Sequence[str | Path],
    settings: Settings,
    model: EmotionModel,
    channels: tuple[Party, ...] | None = None,
) -> Iterator[AnyMessage]:
    """The messages of the recordings at `paths` (files, or folders of them), as they come; what cannot be played is an
    `error` among them. `channels`: who is on each; None: as `callmood replay` takes them.

    Reading ahead is bounded by the queue of the live path; whoever stops iterating stops the playing.
    """
    told: list[AnyMessage] = []
    bus, queue = Bus(), BlockQueue(settings.queue_s)
    bus.subscribe(told.append)
    pipeline = Pipeline(model, settings, bus)
    source = Recordings(paths, CallNames(), channels=channels, pace="fast", max_calls=settings.max_calls)
    stop = threading.Event()
    player = threading.Thread(target=source.run, args=(queue, stop), name="playback", daemon=True)
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
