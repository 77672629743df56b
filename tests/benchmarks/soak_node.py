"""The node under a soak: `callmood serve` with all it has, its files, and what it costs minute by minute."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.webhooks.endpoints import write_webhook_secret
from tests.benchmarks.soak_clock import WallClock

IDLE_S = 10.0
"""Of a call whose source has died."""
_HZ = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """One process at one moment."""

    pid: int
    rss_mb: float
    files: int
    cpu_s: float


def cost(pid: int) -> Cost | None:
    """None where the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    return Cost(pid, pages * os.sysconf("SC_PAGE_SIZE") / 1e6, files, (int(stat[11]) + int(stat[12])) / _HZ)


def children(pid: int) -> list[int]:
    """The processes that it began."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended meanwhile
            found += map(int, path.read_text().split())
    return found


def command(pid: int) -> str:
    """Its command line; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _size(folder: Path, name: str) -> int:
    """Bytes of a database with what SQLite keeps beside it, which comes and goes."""
    total = 0
    for path in folder.glob(f"{name}*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


class Disk:
    """A small disk of its own that can be filled; without the right to mount one it is an ordinary folder that cannot."""

    def __init__(self, folder: Path, mb: int) -> None:
        folder.mkdir()
        self.folder = folder
        mount = ["mount", "-t", "tmpfs", "-o", f"size={mb}m", "callmood-soak", str(folder)]
        self.fills = subprocess.run(mount, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        # Without a buffer, whose rest closing the file would try to write once more; and the disk may be full already.
        with suppress(OSError), (self.folder / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(65_536)):
                pass

    def clear(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        if self.fills:
            subprocess.run(["umount", str(self.folder)], check=False)


@dataclass
class Log:
    """What the node says, counted."""

    path: Path
    lines: dict[str, int] = field(default_factory=dict)
    """Kind (the first words, numbers and names left out) → how many."""
    bytes: int = 0
    last: list[str] = field(default_factory=list)
    """The last ones, whole."""
    _at: int = 0

    def look(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._at += len(whole)
        self.bytes += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            kind = re.sub(r"[^ ]*\d[^ ]*", "#", line.removeprefix("callmood: "))[:60]
            self.lines[kind] = self.lines.get(kind, 0) + 1
            self.last = [*self.last[-9:], line]


class Node:
    """`callmood serve`, on ports of its own."""

    def __init__(self, folder: Path, disk: Disk, most: int, webhook: str, secret: Path, sets: list[str]) -> None:
        self.clock = WallClock(folder / "clock")
        self.disk = disk
        self.history = self.disk.folder / "history.db"
        self._queue = self.disk.folder / "webhooks.db"
        self.log, self._out = Log(folder / "log"), folder / "out"
        sets = [
            "siprec.port=0",
            "siprec.allow=127.0.0.1",
            "rtp.allow=127.0.0.1",
            f"siprec.max_calls={most}",
            f"siprec.idle_s={IDLE_S:g}",
            "siprec.drain_s=2",
            f"history.file={self.history}",
            f"webhooks.urls={webhook}",
            f"webhooks.secret_files={secret}",
            f"webhooks.queue={self._queue}",
            "webhooks.longest_wait_s=5",
            "webhooks.retries=1000",
            "backlog=64",
            *sets,
        ]
        command = [sys.executable, "-m", "monitor.cli", "-v", "serve", "--port", "0"]
        command += [word for one in sets for word in ("--set", one)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(self.clock.folder), str(Path.cwd())])}
        with self._out.open("wb") as out, self.log.path.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=out, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        self.address = self._said(r"websocket: (ws://\S+)")
        self.port = int(self._said(r"SIPREC: sip:127\.0\.0\.1:(\d+)"))

    def _said(self, pattern: str) -> str:
        until_s = time.monotonic() + 60
        while time.monotonic() < until_s and self.process.poll() is None:
            if found := re.search(pattern, self._out.read_text()):
                return found[1]
            time.sleep(0.05)
        raise SystemExit(f"the node did not say {pattern}: {self.log.path.read_text()}")

    @property
    def listeners(self) -> int:
        """The process that listens, 0 while there is none."""
        return next((pid for pid in children(self.process.pid) if "listeners_process" in command(pid)), 0)

    @property
    def scorers(self) -> list[int]:
        """The processes that score, by number; none where the first process does."""
        return sorted(pid for pid in children(self.process.pid) if "scorer_process" in command(pid))

    def costs(self) -> dict[str, Cost]:
        """By what the process does: the first is "scoring" also where others do."""
        found = {"scoring": cost(self.process.pid), "listeners": cost(self.listeners)}
        found |= {f"scorer {number}": cost(pid) for number, pid in enumerate(self.scorers, 1)}
        return {name: one for name, one in found.items() if one is not None}

    def bytes(self) -> dict[str, int]:
        """Of what grows on disk."""
        return {
            "log": self.log.bytes,
            "lines": self._out.stat().st_size,
            "history": _size(self.disk.folder, "history.db"),
            "webhooks": _size(self._queue.parent, "webhooks.db"),
        }

    def signal(self, number: int) -> None:
        """To the first process."""
        self.process.send_signal(number)

    def signal_scoring(self, number: int, also_listeners: bool = False) -> None:
        """To all that score, and tell what is scored."""
        for pid in [*self.scorers, *([self.listeners] if also_listeners else [])]:
            if pid:
                os.kill(pid, number)
        self.signal(number)

    def end(self) -> int:
        """Its exit status, once it has told everything."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def close(self) -> None:
        """Where it did not end by itself."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def webhook_secret(folder: Path) -> Path:
    path = folder / "webhook_secret"
    write_webhook_secret(path)
    return path


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in values.items()}
