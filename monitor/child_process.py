"""A process of our own beside this one: what is told and heard between the two, by pickle through its stdin and stdout.

It is begun by its module's name, so nothing of the program that begins it is run again. It is in a session of its own: Ctrl-C
is the business of the process that began it, which says when to end.
"""

import faulthandler
import os
import pickle
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Any

_PIPE_BYTES = 1 << 20
"""Between the processes: each reading must wait for the interpreter's lock, so it should bring much."""
_STACKS_S = 0.5
"""In which a process that hangs writes to stderr where it does."""
_LONGEST_DEATH_S = 1.0
"""From the end of what it says to its own end: one that lingers is ended."""


class ChildProcess:
    """As seen from the process that began it."""

    def __init__(self, module: str) -> None:
        """Begins `module`, whose first act is to make a `ParentProcess`. Raises OSError where the system gives no process."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            env=environment,
            bufsize=_PIPE_BYTES,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        for pipe in (self._orders, self._answers):
            _widen(pipe)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def tell(self, message: Any) -> None:
        """Waits while it does not read. Raises OSError where it is no more."""
        try:
            pickle.dump(message, self._orders, pickle.HIGHEST_PROTOCOL)
            self._orders.flush()
        except ValueError as error:  # closed
            raise BrokenPipeError from error

    def hear(self) -> Any:
        """What it tells next. Raises EOFError where nothing more comes."""
        try:
            return pickle.load(self._answers)
        except (OSError, ValueError, pickle.UnpicklingError) as error:
            raise EOFError from error

    def kill(self) -> None:
        """At once."""
        self._process.kill()

    def kill_hung(self) -> None:
        """One that hangs; it says before where, if it still can."""
        if sys.platform != "win32":
            self._process.send_signal(signal.SIGUSR1)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STACKS_S)
        self._process.kill()

    def ended(self) -> int:
        """Its exit status, once nothing more comes of it; negative: the signal that ended it."""
        try:
            return self._process.wait(_LONGEST_DEATH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def close(self) -> None:
        """Nothing more is told or heard."""
        for pipe in (self._orders, self._answers):
            with suppress(OSError):
                pipe.close()


class ParentProcess:
    """The process that began this one. What this one prints goes to stderr."""

    def __init__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if sys.platform != "win32":
            faulthandler.register(signal.SIGUSR1, all_threads=True)
        self._orders, self._answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._telling = threading.Lock()

    def tell(self, message: Any) -> None:
        """From any thread; waits while it does not read. Raises OSError where it is no more."""
        with self._telling:
            pickle.dump(message, self._answers, pickle.HIGHEST_PROTOCOL)
            self._answers.flush()

    def hear(self) -> Any:
        """What it tells next. Raises EOFError where it is no more."""
        try:
            return pickle.load(self._orders)
        except (OSError, pickle.UnpicklingError) as error:  # it may have died in the middle of a word
            raise EOFError from error


def _widen(pipe: IO[bytes]) -> None:
    """Gives a pipe more room, where the system lets us."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
