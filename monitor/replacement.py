"""Files that are whole or not there: what is written stands in the place of what was there when all of it is written."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file, mode 0600, that takes the place of `path` at the end; after an exception all stays as it was.

    What is no file, as a pipe or a device, is written as it is. Raises OSError.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as there:
            yield there
        return
    place = path.resolve()
    descriptor, draft = tempfile.mkstemp(dir=place.parent, prefix=".callmood-", suffix=place.suffix)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(draft).replace(place)
    except BaseException:
        Path(draft).unlink()
        raise
