"""Whether a port is still sent to by somebody: a client that does not know that its call is over."""

import asyncio
import socket

_LISTEN_S = 0.05
"""Two packets' time: whoever sends does so every 20 ms."""


async def is_quiet(one: socket.socket) -> bool:
    """Whether nothing comes to a socket that does not block, while nobody has been told of its port."""
    await asyncio.sleep(_LISTEN_S)
    try:
        one.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    return False
