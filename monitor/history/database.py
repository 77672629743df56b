"""The file of the history: how it is opened, who may write it, what its tables are.

SQLite in WAL mode, readable by its owner alone. One node at a time writes it, which a lock beside it says; commands read it, and
delete from it, meanwhile.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from monitor.errors import HistoryError
from monitor.settings import HistorySettings

if os.name != "nt":
    import fcntl

BUSY_S = 2.0
"""How long another program may hold the file before that is a fault."""

STEPS = (
    """
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, epoch TEXT NOT NULL UNIQUE, node TEXT NOT NULL, model TEXT NOT NULL,
        identities TEXT NOT NULL, began_ms INTEGER NOT NULL
    );
    CREATE TABLE calls (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, run INTEGER NOT NULL, call TEXT NOT NULL,
        source TEXT NOT NULL, path TEXT, agent TEXT, started_ms INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'running',
        ended_ms INTEGER, duration_s REAL, outcome TEXT, reason TEXT, alerts INTEGER NOT NULL DEFAULT 0,
        rules TEXT NOT NULL DEFAULT '', lost_s REAL NOT NULL DEFAULT 0, last_seq INTEGER, stored INTEGER
    );
    CREATE INDEX calls_by_start ON calls (started_ms);
    CREATE INDEX calls_by_name ON calls (call);
    CREATE INDEX calls_by_run ON calls (run, started_ms);
    CREATE INDEX calls_running ON calls (state) WHERE state = 'running';
    CREATE TABLE events (
        number INTEGER PRIMARY KEY, call INTEGER NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL, rule TEXT,
        body TEXT NOT NULL
    );
    CREATE INDEX events_by_call ON events (call, seq);
    CREATE TABLE pieces (
        number INTEGER PRIMARY KEY, call INTEGER NOT NULL, last_seq INTEGER NOT NULL, records BLOB NOT NULL
    );
    CREATE INDEX pieces_by_call ON pieces (call);
    CREATE TABLE chunks (
        number INTEGER PRIMARY KEY, call INTEGER NOT NULL, last_seq INTEGER NOT NULL, count INTEGER NOT NULL,
        records BLOB NOT NULL
    );
    CREATE INDEX chunks_by_call ON chunks (call);
    """,
    "CREATE TABLE erasures (call INTEGER PRIMARY KEY);",
)
"""From an empty file to the present version, a step a version. A step that was released never changes.

`calls.state` is running, ended or interrupted; `rules` has a space after each rule that was raised. `events.body` is every
message but readings, as JSON; readings lie in `pieces` as they come and in `chunks` by the hundred (`monitor.history.packing`).
`erasures` names, by number alone, calls that were deleted and that a running node still has to forget.
"""
VERSION = len(STEPS)
UNFINISHED = 0
"""In `erasures`, no call: traces of some deletion may still be in the file."""


def default_path() -> Path:
    """Where the history lies unless the settings say otherwise. Raises HistoryError where there is no home."""
    state = os.environ.get("XDG_STATE_HOME")
    try:
        folder = Path(state) if state else Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise HistoryError(f"no place for the history: {error}; set history.file, or XDG_STATE_HOME") from error
    return folder / "callmood" / "history.db"


def path_of(settings: HistorySettings) -> Path:
    """Where the history of `settings` lies. Raises HistoryError where nobody says."""
    return Path(settings.file).expanduser() if settings.file else default_path()


def opened(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """The file at `path`, of the present version, in autocommit mode: see `transaction`.

    With `create`, file and folder are made where they are missing. Raises HistoryError: what is wrong, how to mend it.
    """
    try:
        if create:
            make(path)
        elif not path.exists():
            raise HistoryError(
                f"{path}: no history is there: `callmood serve` and `callmood live` keep one; see history.file"
            )
        database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(database, path)
        except BaseException:
            database.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise fault(path, error) from error
    return database


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing. Raises what sqlite3 raises."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def fault(path: Path, error: Exception) -> HistoryError:
    """What `error` means for people."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    cures = {
        "full": "make room",
        "locked": "another program holds it: end that, or wait",
        "readonly": "it cannot be written: give it mode 0600 and the right owner",
        "not a database": "no history of callmood: move it away",
        "malformed": "it is damaged: move it away, and see docs/history.md on how to save what can be read",
        "unable to open": "it cannot be opened: look at its folder's owner and mode, or set history.file",
    }
    cure = next((cure for word, cure in cures.items() if word in text), "set history.file to another place")
    return HistoryError(f"{path}: {text}; {cure}")


class WriterLock:
    """Says that one node writes the file; it goes with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        """Raises HistoryError where another holds it."""
        self._file = os.open(lock_path(path), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.name != "nt":
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.fchmod(self._file, 0o600)
        except BlockingIOError:
            os.close(self._file)
            cure = "give this one its own by history.file"
            raise HistoryError(f"{path}: another callmood writes this history: {cure}") from None

    def release(self) -> None:
        os.close(self._file)


def is_written(path: Path) -> bool:
    """Whether a node writes the file now, or may: where that cannot be seen."""
    try:
        file = os.open(lock_path(path), os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        if os.name != "nt":
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def lock_path(path: Path) -> Path:
    """The lock's file, beside the history: `history.db.lock`."""
    return path.with_name(path.name + ".lock")


def make(path: Path) -> None:
    """The folder, and an empty file (0600), where they are missing, whatever the umask. Raises OSError."""
    make_folder(path.parent)
    with suppress(FileExistsError):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if os.name != "nt":
            os.fchmod(file, 0o600)
        os.close(file)


def make_folder(folder: Path) -> None:
    """The folder (0700) where it is missing, whatever the umask. Raises OSError."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    for name in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        if os.name != "nt" and name.exists() and stat.S_IMODE(name.stat().st_mode) & 0o077:
            name.chmod(0o600)
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        newer = f"a history of version {version}, and this callmood knows {VERSION}"
        raise HistoryError(f"{path}: {newer}: update callmood, or set history.file to another place")
    database.execute("PRAGMA secure_delete = ON")
    database.execute("PRAGMA synchronous = NORMAL")
    if version < VERSION:
        _migrate(database, path)


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    """From whatever version the file has to the present one, wholly or not at all."""
    database.execute("PRAGMA journal_mode = WAL")
    with transaction(database):
        (version,) = database.execute("PRAGMA user_version").fetchone()  # another process may have been faster
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and tables:
            raise HistoryError(f"{path}: a database of something else: set history.file to another place")
        for step in STEPS[version:]:
            for statement in step.split(";"):
                database.execute(statement)
        database.execute(f"PRAGMA user_version = {VERSION}")
