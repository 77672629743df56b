"""Log records on their way from one process to another."""

import logging
from collections.abc import Callable


class Forwarding(logging.Handler):
    """Hands records on, made into text here: what they were made of may not go to another process."""

    def __init__(self, send: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = self.format(record), None
        record.exc_info = record.exc_text = record.stack_info = None
        self._send(record)


def forward(level: int, send: Callable[[logging.LogRecord], None]) -> None:
    """From now on this process's records from `level` on go to `send` alone."""
    logging.basicConfig(level=level, format="%(message)s", handlers=[Forwarding(send)], force=True)


def take(record: logging.LogRecord) -> None:
    """Logs what another process has sent."""
    logging.getLogger(record.name).handle(record)
