"""Who watched what: one JSON object a line, in a file of its own or in the log."""

import json
import logging
import os
import stat
import time
from pathlib import Path

from monitor.errors import ServiceError
from monitor.messages import rfc3339

logger = logging.getLogger(__name__)


class Audit:
    """Notes are written at once. A disk that fails costs the notes, which are counted and told once, not the service."""

    def __init__(self, path: Path | None) -> None:
        """Raises ServiceError where the file cannot be opened, or others may read it; a new one gets mode 0600."""
        self.lost = 0
        """Notes that could not be written."""
        self._path = path
        self._file = self._opened()

    @property
    def private(self) -> bool:
        """Whether the notes go to a file that only its owner reads."""
        return self._path is not None

    def reopen(self) -> None:
        """Go on in a new file where the old one was moved away. Raises ServiceError: then the old one goes on."""
        opened = self._opened()
        self.close()
        self._file = opened

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
        """Nothing is noted in the file after this."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int | None:
        if self._path is None:
            return None
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            text = f"{self._path}: cannot write the audit log: {error.strerror}; see audit_log"
            raise ServiceError(text) from error
        mode = stat.S_IMODE(os.fstat(file).st_mode)
        if os.name != "nt" and mode & 0o077:
            os.close(file)
            text = f"mode {mode:04o} lets others read the audit log, expected 0600: chmod 600 {self._path}"
            raise ServiceError(f"{self._path}: {text}")
        return file
