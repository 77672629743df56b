"""Where the queue of webhooks lies, who may read it, and who posts from it."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.errors import ServiceError
from monitor.settings import WebhookSettings


def queue_path(settings: WebhookSettings) -> Path:
    """The queue's file as `settings` name it."""
    if settings.queue:
        return Path(settings.queue).expanduser()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "callmood" / "webhooks.db"


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Nobody else posts from the queue in `path` meanwhile; a process that dies lets go. Raises ServiceError.

    The lock is a file beside it: SQLite's own locks are left to SQLite.
    """
    make_private(path)
    if sys.platform == "win32":  # two nodes on one queue would post in disorder there, under the same ids
        yield
        return
    import fcntl

    lock_path = path.with_name(path.name + ".lock")
    make_private(lock_path)
    lock = os.open(lock_path, os.O_RDWR)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            cure = "end it, or give this one a queue of its own by webhooks.queue"
            raise ServiceError(f"{path}: another callmood posts from this queue: {cure}") from None
        yield
    finally:
        os.close(lock)


def make_private(path: Path) -> None:
    """Makes the file where there is none, mode 0600. Raises ServiceError where it cannot be, or others may read it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        cure = "name another file by webhooks.queue"
        raise ServiceError(f"{path}: cannot keep webhooks there: {error.strerror}: {cure}") from None
    if os.name != "nt" and mode & 0o077:
        text = f"mode {mode:04o} lets others read what waits to be posted, expected 0600: chmod 600 {path}"
        raise ServiceError(f"{path}: {text}")
