"""The token that a subscriber shows: itself, from a file, or from whatever makes one."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from monitor.errors import SettingError

TokenSource = str | Path | Callable[[], str]
"""A function runs in a thread and may take its time; it raises CallmoodError or OSError when it has none just now."""


async def read_token(source: TokenSource | None) -> str | None:
    """The token that `source` has now. Raises SettingError where there is none."""
    if source is None:
        return None
    if isinstance(source, str):
        return _checked(source, "the token")
    if isinstance(source, Path):
        return _checked(_content(source), str(source))
    try:
        return _checked(await asyncio.to_thread(source), "the token")
    except OSError as error:
        raise SettingError(f"there is no token just now: {error}; see where it comes from") from None


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SettingError(f"{path}: cannot read the token file: {error.strerror or error}") from None


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        got = f"{len(token)} characters of something else" if token else "nothing"
        raise SettingError(f"{where}: expected one token, as `callmood token` prints it, got {got}")
    return token
