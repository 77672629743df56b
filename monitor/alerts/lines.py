"""Messages from a file with one a line, as `callmood replay --json` prints them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from monitor.errors import SettingError
from monitor.messages import AnyMessage, decode

MOST_LINE_BYTES = 1_000_000


def read_lines(path: Path) -> Iterator[AnyMessage]:
    """The messages of a file, in its order. Raises SettingError for what cannot be read, with its line."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MOST_LINE_BYTES):
                number += 1
                if line.strip():
                    yield _message(line, f"{path}:{number}")
    except OSError as error:
        raise SettingError(f"{path}: cannot read the messages: {error.strerror or error}") from error


def _message(line: bytes, where: str) -> AnyMessage:
    try:
        return decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cure = "expected a message a line, as `callmood replay --json` prints them"
        raise SettingError(f"{where}: no message of callmood: {error}; {cure}") from error
