"""Publish and subscribe, in process: every message goes to every receiver, in order, in the publisher's thread."""

import logging
from collections.abc import Callable

from monitor.messages import AnyMessage

_log = logging.getLogger(__name__)

Receiver = Callable[[AnyMessage], None]
"""Takes a message at once: a slow one holds up all scoring, so it copies and queues, no more."""


class Bus:
    """A receiver that raises is logged and counted, once a fault; the others get the message all the same."""

    def __init__(self) -> None:
        self._receivers: list[Receiver] = []
        self.faults = 0

    def subscribe(self, receiver: Receiver) -> None:
        """From now on `receiver` gets every message."""
        self._receivers.append(receiver)

    def publish(self, message: AnyMessage) -> None:
        """Hand `message` to all receivers."""
        for receiver in self._receivers:
            try:
                receiver(message)
            except Exception:
                self.faults += 1
                _log.exception("a receiver failed on a %s message", type(message).__name__)
