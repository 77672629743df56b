"""Ports that nobody has, for what must be told one before it opens it.

The kernel gives ports of its own range to whoever asks for any, another test's too: one of those that was free a moment ago may
not be so now. These are below that range, and each process of tests has some for itself.
"""

import itertools
import os
import socket

_FIRST, _LAST = 10_000, 19_999
"""Below the kernel's own (32,768, see ip_local_port_range) and below those of callmood's RTP."""
_EACH = 50
"""Ports of a process."""

_own = os.getpid() * _EACH % (_LAST + 1 - _FIRST) + _FIRST
_starts = itertools.cycle(range(_own, _own + _EACH, 2))


def free_ports(count: int) -> int:
    """The first, an even one, of so many in a row on 127.0.0.1, free for UDP and for TCP."""
    for _ in range(_EACH):
        first = next(_starts)
        if first + count <= _own + _EACH and all(_is_free(port) for port in range(first, first + count)):
            for _ in range((count - 1) // 2):
                next(_starts)
            return first
    raise OSError(f"no {count} free ports in a row in {_own}..{_own + _EACH - 1} of 127.0.0.1; see who has them")


def free_port() -> int:
    """One of them."""
    return free_ports(1)


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(type=kind) as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
