"""Pages and pictures on disk: names that any file system takes, and files that are whole or not there."""

import re
from collections.abc import Iterable
from pathlib import Path

from monitor.errors import ReportError
from monitor.replacement import replacing
from monitor.sources.audiofile import printable

_KEPT = re.compile(r"[^\w.+@=-]+")
_LONGEST = 80
_INDEX = "index.html"


def page_name(call: str, taken: Iterable[str] = ()) -> str:
    """A file name for the page of `call`, none of `taken`, without a path, a blank or anything that a shell reads."""
    stem = _KEPT.sub("_", call).strip("._")[:_LONGEST] or "call"
    used, name, number = {_INDEX, *taken}, f"{stem}.html", 1
    while name in used:
        number += 1
        name = f"{stem}-{number}.html"
    return name


def index_in(folder: Path) -> Path:
    """Where the list of a folder's pages goes."""
    return folder / _INDEX


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one go, mode 0600, whatever was there. Raises ReportError."""
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise _unwritable(path, error) from error


def make_folder(folder: Path) -> None:
    """Make `folder` where it is not there. Raises ReportError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(path: Path, error: OSError) -> ReportError:
    return ReportError(
        f"{printable(str(path))}: cannot be written ({error.strerror}); name a place that exists and may be written to"
    )
