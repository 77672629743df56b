"""SIP over UDP and TCP on one port: bytes in, bytes out, and what each peer may cost. No SIP beyond its framing.

Peers that are not on the allow-list get no answer. Everything is bounded: a message, the time in which it must come, the
messages a second of an address, the connections, and what waits to be sent to a peer that does not read.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, cast

from monitor.errors import ProtocolError, ServiceError
from monitor.settings import SiprecSettings
from monitor.sources.allowlist import AllowList
from monitor.sources.complaints import Budget, Complaints
from monitor.sources.sip_framing import PING, PONG, Framer
from monitor.sources.sip_transactions import Peer

_log = logging.getLogger(__name__)

_MOST_UNSENT_BYTES = 1_000_000
_MOST_BUDGETS = 4_096
_TRIES = 20
"""For a port that is free for both UDP and TCP."""
EVERYWHERE = ("0.0.0.0", "::")
"""Addresses that nobody can send to."""


class SipSockets:
    """Both sockets and all connections; belongs to one event loop. `received` gets whole messages."""

    def __init__(
        self,
        settings: SiprecSettings,
        received: Callable[[bytes, Peer], None],
        complaints: Complaints,
        now: Callable[[], float],
    ) -> None:
        self.settings, self.received, self.complaints, self.now = settings, received, complaints, now
        self.port = settings.port
        self.foreign = 0
        """Messages and connections from hosts that are not allowed."""
        self.flooded = 0
        """Messages beyond what a host may send, or that were too long."""
        self._allowed = AllowList(settings.allow, "siprec.allow")
        self._budgets: dict[str, Budget] = {}
        self._server: asyncio.Server | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self._connections: dict[int, _Connection] = {}
        self._connected = 0

    async def open(self) -> None:
        """Listen. Raises ServiceError when the port cannot be had."""
        for tries_left in reversed(range(1 if self.settings.port else _TRIES)):
            try:
                return await self._open()
            except OSError as error:
                self.close()
                if not tries_left:
                    where = f"{self.settings.host}:{self.settings.port}"
                    cure = "choose another with siprec.host and siprec.port"
                    raise ServiceError(f"SIP cannot listen on {where} ({error.strerror or error}); {cure}") from error

    async def _open(self) -> None:
        loop, host = asyncio.get_running_loop(), self.settings.host
        self.port = self.settings.port
        if "tcp" in self.settings.transports:
            listening = socket.create_server(
                (host, self.port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
            )
            # A peer that lost its power says nothing: the system finds out. Connections inherit it.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._server = await loop.create_server(lambda: _Connection(self), sock=listening)
            self.port = listening.getsockname()[1]
        if "udp" in self.settings.transports:
            self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), (host, self.port))
            self.port = self._datagrams.get_extra_info("sockname")[1]

    def send(self, peer: Peer, data: bytes) -> None:
        """To where it can be sent; else nowhere: a connection may be gone."""
        if not peer.connection:
            if self._datagrams is not None:
                self._datagrams.sendto(data, (peer.host, peer.port))
        elif connection := self._connections.get(peer.connection):
            connection.send(data)

    def own_host(self, peer: Peer) -> str:
        """The address of this machine that `peer` reaches."""
        if self.settings.public_host or self.settings.host not in EVERYWHERE:
            return self.settings.public_host or self.settings.host
        family = socket.AF_INET6 if ":" in peer.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:  # no packet is sent: the system looks its route up
            try:
                probe.connect((peer.host, peer.port))
            except OSError:
                return self.settings.host
            return str(probe.getsockname()[0])

    def tick(self) -> None:
        """End connections that have not brought their message in time."""
        for connection in list(self._connections.values()):
            if connection.is_late():
                connection.close(f"nothing whole came within {self.settings.message_s:g} s (siprec.message_s)")

    def close(self) -> None:
        """Listen no more, and end what is connected."""
        if self._server is not None:
            self._server.close()
        if self._datagrams is not None:
            self._datagrams.close()
        for connection in list(self._connections.values()):
            connection.close()

    def admits(self, host: str) -> bool:
        """Whether `host` may speak to us; counted where it may not."""
        admitted = self._allowed.admits(host)
        if not admitted:
            self.foreign += 1
            self.complaints.tell(f"SIP from {host} gets no answer: it is not in siprec.allow")
        return admitted

    def budget(self, host: str) -> "Budget":
        """What `host` may still send."""
        if host not in self._budgets:
            if len(self._budgets) >= _MOST_BUDGETS:
                self._budgets.clear()
            rate = self.settings.peer_messages
            self._budgets[host] = Budget(rate, rate, self.now())
        return self._budgets[host]

    def flood(self, host: str) -> None:
        """It sends more than it may."""
        self.flooded += 1
        self.complaints.tell(f"SIP from {host} is more than siprec.peer_messages or siprec.message_bytes allow")

    def add(self, connection: "_Connection", host: str, port: int) -> Peer | None:
        """The new connection's peer; None where it may not stay. One host may have half of all."""
        most = self.settings.max_connections
        its = sum(other.peer is not None and other.peer.host == host for other in self._connections.values())
        if not self.admits(host) or len(self._connections) >= most or its >= max(1, most // 2):
            return None
        self._connected += 1
        self._connections[self._connected] = connection
        return Peer(host, port, self._connected)

    def remove(self, peer: Peer) -> None:
        """The connection is gone."""
        self._connections.pop(peer.connection, None)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, sockets: SipSockets) -> None:
        self._sockets = sockets

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        sockets, (host, port) = self._sockets, address[:2]
        if not sockets.admits(host) or not data.strip(b"\r\n\0"):
            return
        budget = sockets.budget(host)
        if len(data) > sockets.settings.message_bytes or budget.owed_s(sockets.now()):
            sockets.flood(host)
            return
        budget.spend()
        sockets.received(data, Peer(host, port))

    def error_received(self, error: Exception) -> None:
        _log.debug("SIP over UDP: %s", error)


class _Connection(asyncio.Protocol):
    """One TCP connection. A host that has overdrawn its budget is not read from until it has earned it: it has to wait."""

    def __init__(self, sockets: SipSockets) -> None:
        self.peer: Peer | None = None
        self._sockets = sockets
        self._framer = Framer(sockets.settings.message_bytes)
        self._transport: asyncio.Transport
        self._awaited_s: float | None = sockets.now()
        """Since when a message is awaited: from the beginning, and from the first byte of each."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self.peer = self._sockets.add(self, *self._transport.get_extra_info("peername")[:2])
        if self.peer is None:
            self._transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        if self.peer is not None:
            self._sockets.remove(self.peer)

    def data_received(self, data: bytes) -> None:
        if self.peer is None:
            return
        try:
            for message in self._framer.feed(data):
                self._awaited_s = None
                self._take(message, self.peer)
        except ProtocolError as error:
            return self.close(str(error))
        if not self._framer.within_message:
            self._awaited_s = None
        elif self._awaited_s is None:
            self._awaited_s = self._sockets.now()
        self._wait_for_budget(self.peer)

    def _take(self, message: bytes, peer: Peer) -> None:
        self._sockets.budget(peer.host).spend()
        if message == PING:
            self.send(PONG)
        else:
            self._sockets.received(message, peer)

    def _wait_for_budget(self, peer: Peer) -> None:
        if owed_s := self._sockets.budget(peer.host).owed_s(self._sockets.now()):
            self._sockets.flood(peer.host)
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(owed_s, self._transport.resume_reading)

    def send(self, data: bytes) -> None:
        """Unless the peer does not read what it was sent before."""
        if self._transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            return self.close("the client does not read what it is sent")
        self._transport.write(data)

    def is_late(self) -> bool:
        """Whether what is awaited should have come by now."""
        return self._awaited_s is not None and self._sockets.now() - self._awaited_s > self._sockets.settings.message_s

    def close(self, why: str = "") -> None:
        """End it at once."""
        if why and self.peer is not None:
            self._sockets.complaints.tell(f"SIP connection of {self.peer.host} ended: {why}")
        self._transport.abort()
