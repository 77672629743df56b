"""A queue for tests of sources: what they put comes out as they put it."""

from collections.abc import Sequence

from monitor.sources import BlockQueue, Event


class UngatheredQueue(BlockQueue):
    """Blocks do not wait for the end of a cell."""

    def _ready(self, event: Event) -> Sequence[Event]:
        return [event]
