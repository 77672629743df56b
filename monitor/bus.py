"""Publish and subscribe, in process: every message goes to every receiver, in order, in the publisher's thread."""

import logging
from collections.abc import Callable, Iterable

from monitor.messages import AnyMessage

_log = logging.getLogger(__name__)

Receiver = Callable[[AnyMessage], None]
"""Takes a message at once: a slow one holds up all scoring, so it copies and queues, no more."""


class Bus:
    """A receiver that raises is logged and counted, once a fault; the others get the message all the same."""

    def __init__(self) -> None:
        self._receivers: list[Receiver] = []
        self._afterwards: list[Callable[[], None]] = []
        self.faults = 0

    def subscribe(self, receiver: Receiver, afterwards: Callable[[], None] | None = None) -> None:
        """From now on `receiver` gets every message. `afterwards` is called after the last of those that are published
        together: to wake somebody for each would cost more than the message.
        """
        self._receivers.append(receiver)
        if afterwards is not None:
            self._afterwards.append(afterwards)

    def publish(self, message: AnyMessage) -> None:
        """Hand `message` to all receivers."""
        self.publish_all((message,))

    def publish_all(self, messages: Iterable[AnyMessage]) -> None:
        """The same for what is made at one moment: each as it comes."""
        try:
            for message in messages:
                self._hand(message)
        finally:
            for call in self._afterwards:
                try:
                    call()
                except Exception:
                    self._note("after what was published")

    def _hand(self, message: AnyMessage) -> None:
        for receiver in self._receivers:
            try:
                receiver(message)
            except Exception:
                self._note(f"on a {type(message).__name__} message")

    def _note(self, when: str) -> None:
        self.faults += 1
        _log.exception("a receiver failed %s", when)
