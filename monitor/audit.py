"""Who watched what: one JSON object a line, in a file of its own or in the log."""

import json
import logging
import os
import time
from pathlib import Path

from monitor.errors import ServiceError
from monitor.messages import rfc3339

logger = logging.getLogger(__name__)


class Audit:
    """Notes are written at once. A disk that fails costs the notes, which are counted and told once, not the service."""

    def __init__(self, path: Path | None) -> None:
        """Raises ServiceError where the file cannot be opened; a new one gets mode 0600."""
        self.lost = 0
        """Notes that could not be written."""
        self._path = path
        try:
            self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise ServiceError(f"{path}: cannot write the audit log: {error.strerror}; see audit_log") from error

    def note(self, event: str, **fields: str | int | float) -> None:
        """`event` and its `fields`, with the time."""
        line = json.dumps({"at": rfc3339(time.time()), "event": event} | fields)
        if self._file is None:
            logger.info("%s", line)
            return
        try:
            os.write(self._file, line.encode() + b"\n")
        except OSError as error:
            if not self.lost:
                logger.error("%s: the audit log cannot be written: %s", self._path, error.strerror)
            self.lost += 1

    def close(self) -> None:
        """Nothing is noted after this."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
