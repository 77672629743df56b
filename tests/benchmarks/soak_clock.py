"""A wall clock that can be set, for the processes of a server under test: Python's `time.time` with seconds added.

`libfaketime` would do the same below Python, but the version of Debian 12 breaks `time.sleep`.
"""

import mmap
import struct
from pathlib import Path

_CUSTOMIZE = """import mmap, struct, time
_file = open({path!r}, "rb")
_ahead = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
_file.close()
_time, _unpack = time.time, struct.Struct("d").unpack
time.time = lambda: _time() + _unpack(_ahead[:8])[0]
"""


class WallClock:
    """The clock of all processes whose PYTHONPATH begins with `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        path = folder / "ahead"
        path.write_bytes(struct.pack("d", 0.0))
        (folder / "sitecustomize.py").write_text(_CUSTOMIZE.format(path=str(path)))
        with path.open("r+b") as file:
            self._ahead = mmap.mmap(file.fileno(), 8)

    def set_ahead(self, seconds: float) -> None:
        """From now on it is ahead of this machine's by so much."""
        self._ahead[:8] = struct.pack("d", seconds)
