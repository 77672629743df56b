"""Pairs of UDP ports for RTP and RTCP that nobody sends to yet."""

import asyncio
import itertools
import logging
import random
import socket
import time
from collections.abc import Callable, Iterator

from monitor.errors import SettingError, SourceError
from monitor.settings import RtpSettings

Sockets = tuple[socket.socket, socket.socket]
"""RTP's, on an even port, and RTCP's on the next."""

_log = logging.getLogger(__name__)

_RECEIVE_BUFFER_BYTES = 1 << 19
_LISTEN_S = 0.05
"""Two packets' time: whoever sends does so every 20 ms."""
_REST_S = 60.0
"""So long a port that somebody sent to is taken only where there is no other, or it would be tried again for each call."""
_MOST_STRAYS = 50
"""Times that another port is looked for."""


class RtpPorts:
    """The range of the settings. Raises SettingError where it holds no pair."""

    def __init__(self, settings: RtpSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._now = settings, now
        self._ports = _even_ports(settings)
        self._rest_until_s: dict[int, float] = {}
        """By port; no more than there are."""

    async def take(self, count: int) -> list[Sockets]:
        """So many pairs, or none: then SourceError is raised.

        The client of a call that has ended may not know it, above all where the process that heard it was killed, and its
        voice must not become part of another call. So each port is listened to before anybody is told of it. One that is
        sent to stays bound until the end, so that it is tried once.
        """
        taken: list[Sockets] = []
        strays: list[Sockets] = []
        try:
            for _ in range(_MOST_STRAYS):
                while len(taken) < count:
                    taken.append(self._bind(len(strays)))
                await asyncio.sleep(_LISTEN_S if count else 0.0)
                sent_to = [sockets for sockets in taken if _is_sent_to(sockets[0])]
                taken = [sockets for sockets in taken if sockets not in sent_to]
                strays += sent_to
                for rtp, _ in sent_to:
                    port = rtp.getsockname()[1]
                    self._rest_until_s[port] = self._now() + _REST_S
                    _log.warning("RTP comes to port %d, which no call has: another is looked for", port)
                if len(taken) == count:
                    return taken
            raise SourceError(
                f"RTP that no call has comes to {len(strays)} free ports, one after the other; "
                "widen rtp.first_port..last_port"
            )
        except BaseException:
            for sockets in taken:
                _close(sockets)
            raise
        finally:
            for sockets in strays:
                _close(sockets)

    def _bind(self, strays: int) -> Sockets:
        """Two free ports, an even one and the next; so many pairs are passed over."""
        host = self._settings.host
        count = (self._settings.last_port - self._settings.first_port) // 2 + 1
        for tried in range(2 * count):
            port = next(self._ports)
            if tried < count and self._rest_until_s.get(port, 0.0) > self._now():
                continue
            try:
                rtp = _bound(host, port)
            except OSError as error:
                fault = error
                continue
            try:
                return rtp, _bound(host, port + 1)
            except OSError as error:
                fault = error
                rtp.close()
        ports = f"{self._settings.first_port}..{self._settings.last_port} of {host}"
        passed_over = f", and RTP that no call has comes to {strays} more" if strays else ""
        raise SourceError(
            f"no two free UDP ports for RTP in {ports} ({fault.strerror}){passed_over}; widen rtp.first_port..last_port"
        )


def _even_ports(settings: RtpSettings) -> Iterator[int]:
    """The even ports of the range that have a next one in it, round and round: a port rests before it is used again. Their
    order is of chance: those of a process that died lay side by side, and may still be sent to.
    """
    first, last = settings.first_port, settings.last_port
    ports = range(first + first % 2, last, 2)
    if not ports:
        raise SettingError(f"rtp.first_port..rtp.last_port must hold an even port and the next, got {first}..{last}")
    return itertools.cycle(random.sample(ports, len(ports)))


def _is_sent_to(one: socket.socket) -> bool:
    try:
        one.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


def _close(sockets: Sockets) -> None:
    for one in sockets:
        one.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        one.bind((host, port))
    except OSError:
        one.close()
        raise
    return one
