"""The key of the pseudonyms, in a file beside the history: what is stored of one agent must stay one agent's over restarts."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from monitor.errors import HistoryError
from monitor.history.database import make_folder

KEY_BYTES = 32


def key_path(history: Path) -> Path:
    """`history.key` beside `history.db`."""
    return history.with_suffix(".key")


def lasting_key(history: Path) -> bytes:
    """The key beside `history`, made (mode 0600) where it is missing. Raises HistoryError."""
    path = key_path(history)
    try:
        make_folder(path.parent)
        with suppress(FileExistsError):
            _write(path)
        key = bytes.fromhex(path.read_text())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise HistoryError(f"{path}: cannot read the pseudonyms' key: {why}; expected 64 hexadecimal digits") from error
    if len(key) != KEY_BYTES:
        raise HistoryError(f"{path}: the pseudonyms' key has {len(key)} bytes, expected {KEY_BYTES}: remove it")
    return key


def _write(path: Path) -> None:
    """Whole or not at all: another node may look for it at the same moment."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if os.name != "nt":
            os.fchmod(file, 0o600)
        os.write(file, secrets.token_hex(KEY_BYTES).encode())
        os.close(file)
        os.link(draft, path)
    finally:
        draft.unlink()
